"""Every step of a delivery is a compare-and-swap: of two who try, one wins, and nobody takes a step that is none."""

from __future__ import annotations

import itertools
import secrets
import threading
from dataclasses import replace
from datetime import timedelta

import pytest
from rq import Queue
from rq.serializers import JSONSerializer

from relay.core.errors import IllegalTransitionError, LostRace
from relay.core.lifecycle import FINAL, TRANSITIONS, EventState, State, Verdict
from relay.queue.jobs import SERVE_JOB, queue_key, queue_name
from relay.store.portals.gate import Gate
from relay.store.portals.questions import Questions
from relay.store.record.entries import SINGLE, Load
from relay.store.record.record import HARD_DEADLINE, Record
from relay.store.redis import keys
from relay.store.redis.connection import connect
from relay.store.redis.scripts import lease
from tests.support.making import (
    DAY,
    NOON,
    bring_to,
    make_attempt,
    make_delivery,
    make_entry,
    with_turn,
    write,
    write_one,
)

SECOND = timedelta(seconds=1)


def queued(redis, portal="main"):
    return Queue(queue_name(portal), connection=redis, serializer=JSONSerializer).get_jobs()


def claim(record, now=NOON, load=SINGLE, name=None):
    return record.claim("main", name or secrets.token_hex(8), now, load)


def retrying_until(record, at):
    sending = bring_to(record, State.SENDING)
    record.settle(sending, State.RETRYING, NOON, next_at=at)
    return record.delivery(sending.id)


def test_a_claim_makes_a_delivery_sending_until_the_hard_deadline(redis, record):
    delivery = write_one(record)

    (claimed,) = claim(record, NOON + SECOND)

    assert (claimed.id, claimed.state, claimed.turn) == (delivery.id, State.SENDING, 2)
    assert claimed == record.delivery(delivery.id)
    assert record.lapsed(NOON + SECOND + HARD_DEADLINE - SECOND, 10) == []
    assert record.lapsed(NOON + SECOND + HARD_DEADLINE, 10) == [claimed]
    assert not redis.exists(keys.WAITING + "main")


@pytest.mark.parametrize("workers", [2, 12])
def test_of_many_who_claim_at_once_one_wins(valkey, record, workers):
    deliveries = [write_one(record) for _ in range(5)]
    barrier = threading.Barrier(workers)
    won = []

    def claim_all():
        own = Record(connect(valkey.url))
        barrier.wait()
        for _ in deliveries:
            won.extend(claim(own))
        own.redis.close()

    threads = [threading.Thread(target=claim_all) for _ in range(workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(delivery.id for delivery in won) == sorted(delivery.id for delivery in deliveries)


@pytest.mark.parametrize("state", [State.SENDING, State.UNCERTAIN, State.STARTED, State.DEAD])
def test_what_is_not_waiting_cannot_be_claimed(record, state):
    delivery = bring_to(record, state)

    assert claim(record, NOON + HARD_DEADLINE) == []
    assert record.delivery(delivery.id) == delivery


@pytest.mark.parametrize("state", [State.SENDING, State.UNCERTAIN, State.STARTED, State.DEAD])
def test_what_stands_among_the_waiting_by_mistake_is_taken_out_and_not_sent(redis, record, state):
    delivery = bring_to(record, state)
    redis.zadd(keys.WAITING + "main", {delivery.id: 0, "dlv_x": 0})

    assert claim(record, load=Load(2)) == []
    assert record.delivery(delivery.id) == delivery
    assert not redis.exists(keys.WAITING + "main")


def test_a_claim_takes_the_oldest(record):
    written = [write_one(record, NOON + n * SECOND) for n in range(5)]
    elsewhere = write_one(record, NOON - SECOND, portal="second")

    claimed = claim(record, NOON + 10 * SECOND, Load(3))

    assert [delivery.id for delivery in claimed] == [one.id for one in written[:3]]
    assert {delivery.state for delivery in claimed} == {State.SENDING}
    assert {record.delivery(one.id).state for one in [*written[3:], elsewhere]} == {State.PENDING}


def test_a_claim_never_takes_what_is_not_due_yet(record):
    at = NOON + 60 * SECOND
    later, now = retrying_until(record, at), write_one(record)

    assert [one.id for one in claim(record, at - SECOND, Load(50))] == [now.id]
    assert [one.id for one in claim(record, at, Load(50))] == [later.id]


def test_a_claim_whose_answer_was_lost_returns_what_it_took_the_first_time(record):
    write_one(record)
    write_one(record)
    others = write_one(record, NOON + SECOND)

    taken = claim(record, NOON, Load(2), "mine")
    again = claim(record, NOON + 30 * SECOND, Load(2), "mine")

    assert [one.id for one in again] == [one.id for one in taken]
    assert [one.turn for one in again] == [2, 2]
    assert record.lapsed(NOON + HARD_DEADLINE, 10) == [], "its time runs from the answer that came"
    assert record.delivery(others.id).state is State.PENDING


def test_what_has_moved_on_since_is_not_in_the_answer_to_the_repeated_claim(record):
    write_one(record)
    other = write_one(record)
    first, _ = claim(record, NOON, Load(2), "mine")
    record.settle(first, State.RETRYING, NOON)
    claim(record)

    assert [one.id for one in claim(record, NOON, Load(2), "mine")] == [other.id]


def test_what_a_claim_took_is_remembered_no_longer_than_the_hard_deadline(redis, record):
    write_one(record)
    claim(record, name="mine")

    assert 0 < redis.pttl(keys.CLAIM + "mine") <= HARD_DEADLINE / timedelta(milliseconds=1)


def test_of_those_in_doubt_the_one_whose_time_came_first_is_looked_into_by_one(record):
    later, sooner, left = [bring_to(record, State.SENDING) for _ in range(3)]
    record.settle(later, State.UNCERTAIN, NOON, next_at=NOON + 2 * SECOND)
    record.settle(sooner, State.UNCERTAIN, NOON, next_at=NOON + SECOND)
    record.settle(left, State.UNCERTAIN, NOON)

    assert record.look("main", NOON) is None
    found = [record.look("main", NOON + 5 * SECOND) for _ in range(3)]

    assert [one and (one.id, one.turn) for one in found] == [(sooner.id, 3), (later.id, 3), None]
    assert record.counts().imbalances == []


def test_whoever_dies_looking_leaves_it_to_the_next_after_the_hard_deadline(record):
    sending = bring_to(record, State.SENDING)
    record.settle(sending, State.UNCERTAIN, NOON, next_at=NOON)
    first = record.look("main", NOON)

    assert record.look("main", NOON + HARD_DEADLINE - SECOND) is None
    second = record.look("main", NOON + HARD_DEADLINE)

    assert second.turn == first.turn + 1
    with pytest.raises(LostRace):
        record.settle(first, State.RETRYING, NOON)


@pytest.mark.parametrize(("current", "following"), list(itertools.product(State, State)))
def test_a_step_is_written_exactly_where_the_table_has_it(record, current, following):
    delivery = bring_to(record, current)

    if following in TRANSITIONS[current]:
        if following is State.SENDING:
            claim(record)
        else:
            record.settle(delivery, following, NOON + SECOND)
        assert record.delivery(delivery.id).state is following
    else:
        with pytest.raises(IllegalTransitionError):
            record.settle(delivery, following, NOON + SECOND)
        assert record.delivery(delivery.id) == delivery
    assert record.counts().imbalances == []


def test_settling_writes_attempt_outcome_and_time_at_once(record):
    sending = bring_to(record, State.SENDING)

    record.settle(sending, State.STARTED, NOON + SECOND, attempt=make_attempt(), workflow_id="wf-7", reason="")

    settled = record.delivery(sending.id)
    assert (settled.state, settled.workflow_id, settled.reason) == (State.STARTED, "wf-7", None)
    assert settled.attempts == (make_attempt(),)
    assert settled.updated_at == NOON + SECOND
    assert settled.next_attempt_at is None


def test_settling_for_later_says_when(record):
    sending, at = bring_to(record, State.SENDING), NOON + 15 * SECOND

    record.settle(sending, State.RETRYING, NOON, attempt=make_attempt(Verdict.THROTTLED), reason="busy", next_at=at)

    settled = record.delivery(sending.id)
    assert (settled.turn, settled.next_attempt_at, settled.reason) == (2, at, "busy")
    assert [record.due("main", moment) for moment in (at - SECOND, at)] == [0, 1]


@pytest.mark.parametrize("following", TRANSITIONS[State.SENDING])
def test_whoever_holds_an_old_turn_settles_nothing(record, following):
    sending = bring_to(record, State.SENDING)

    with pytest.raises(LostRace):
        record.settle(with_turn(sending, sending.turn + 1), following, NOON, attempt=make_attempt())

    assert record.delivery(sending.id) == sending


def test_settling_twice_is_settling_once(record):
    sending = bring_to(record, State.SENDING)
    record.settle(sending, State.STARTED, NOON, attempt=make_attempt(), workflow_id="wf-1")

    with pytest.raises(LostRace):
        record.settle(sending, State.STARTED, NOON, attempt=make_attempt(), workflow_id="wf-2")

    assert record.delivery(sending.id).workflow_id == "wf-1"
    assert len(record.delivery(sending.id).attempts) == 1


def test_an_uncertain_delivery_that_is_not_to_be_looked_into_waits_for_a_person(record):
    delivery = bring_to(record, State.UNCERTAIN)

    assert record.look("main", NOON + 3650 * timedelta(days=1)) is None
    assert record.size(keys.UNDECIDED) == 1
    assert record.counts().imbalances == []
    assert record.delivery(delivery.id).state is State.UNCERTAIN


def test_a_new_delivery_wakes_a_worker_and_the_next_ones_find_it_awake(redis, record):
    write_one(record)
    write_one(record)
    write_one(record, portal="second")

    (job,) = queued(redis)
    assert (job.func_name, job.args, job.kwargs) == (SERVE_JOB, ["main"], {})
    assert len(queued(redis, "second")) == 1


def test_a_claim_that_leaves_something_wakes_the_next_worker(redis, record):
    for _ in range(3):
        write_one(record)
    redis.delete(queue_key("main"))

    claim(record, load=Load(2))
    assert len(queued(redis)) == 1

    redis.delete(queue_key("main"))
    claim(record)
    assert queued(redis) == []


def test_what_may_be_sent_again_at_once_wakes_a_worker(redis, record):
    one, two = bring_to(record, State.SENDING), bring_to(record, State.SENDING)
    redis.delete(queue_key("main"))

    record.settle(one, State.RETRYING, NOON, next_at=NOON + SECOND)
    assert queued(redis) == []

    record.settle(two, State.PENDING, NOON)
    assert len(queued(redis)) == 1


def nothing(_record): ...


def a_retry(record):
    retrying_until(record, NOON)


def a_retry_later(record):
    retrying_until(record, NOON + 60 * SECOND)


def a_doubt(record):
    record.settle(bring_to(record, State.SENDING), State.UNCERTAIN, NOON, next_at=NOON)


def a_question(record):
    Questions(record.redis).ask("main", "ping", "", NOON)


CLOSED = {
    "open": Gate.look,
    "paused": lambda gate: gate.back_off(gate.look(), "r", NOON),
    "to be asked": lambda gate: gate.back_off(gate.look(), "r", NOON - 60 * SECOND),
    "held": lambda gate: gate.hold(gate.look(), "r", NOON),
    "by a person": lambda gate: gate.pause_by_person(NOON - DAY),
}


@pytest.mark.parametrize(
    ("what", "wakes"),
    [
        (nothing, {"to be asked"}),
        (a_retry, {"open", "to be asked"}),
        (a_retry_later, {"to be asked"}),
        (a_doubt, {"open", "to be asked"}),
        (a_question, set(CLOSED)),
    ],
)
@pytest.mark.parametrize("gate", CLOSED)
def test_the_clock_wakes_a_worker_where_something_can_be_done_now(redis, record, what, wakes, gate):
    what(record)
    CLOSED[gate](Gate(redis, "main"))
    redis.delete(queue_key("main"))

    woken = record.notify(["main", "second"], NOON)

    assert (woken, len(queued(redis))) == ((1, 1) if gate in wakes else (0, 0))
    assert record.notify(["main"], NOON) == 0


@pytest.mark.parametrize("state", sorted(FINAL))
def test_a_final_delivery_is_replayed_as_a_new_one_and_never_changes_again(redis, record, state):
    old = bring_to(record, state)
    event = record.event(old.event_id)
    fresh = make_delivery(event.id)

    record.replay(event, old, [fresh])

    assert record.delivery(old.id) == replace(old, replayed_by=fresh.id)
    assert record.delivery(fresh.id) == fresh
    assert record.event(event.id).deliveries == (old.id, fresh.id)
    assert len(queued(redis)) == 1
    assert record.counts().imbalances == []


def test_a_delivery_is_replayed_once_only(record):
    old = bring_to(record, State.DEAD)
    event = record.event(old.event_id)
    record.replay(event, old, [make_delivery(event.id)])

    with pytest.raises(LostRace):
        record.replay(event, old, [make_delivery(event.id)])

    assert len(record.event(event.id).deliveries) == 2


@pytest.mark.parametrize("state", sorted(set(State) - FINAL))
def test_what_may_still_be_sent_is_not_replayed(record, state):
    old = bring_to(record, state)

    with pytest.raises(LostRace):
        record.replay(record.event(old.event_id), old, [make_delivery(old.event_id)])

    assert record.event(old.event_id).deliveries == (old.id,)


@pytest.mark.parametrize("state", [EventState.REJECTED, EventState.IGNORED])
def test_an_event_that_no_rule_could_use_becomes_accepted_by_its_replay(record, state):
    entry = make_entry([], state=state)
    write(record, entry)
    fresh = make_delivery(entry.event.id)

    record.replay(entry.event, None, [fresh])

    event = record.event(entry.event.id)
    assert (event.state, event.deliveries, event.reason) == (EventState.ACCEPTED, (fresh.id,), None)
    assert record.page(keys.EVENTS_BY_STATE + state) == []
    assert record.counts().imbalances == []
    with pytest.raises(LostRace):
        record.replay(entry.event, None, [make_delivery(entry.event.id)])


def test_a_refused_event_is_never_replayed(record):
    entry = make_entry([], state=EventState.REFUSED)
    write(record, entry)

    with pytest.raises(LostRace):
        record.replay(entry.event, None, [make_delivery(entry.event.id)])


def test_the_longest_lapsed_come_first_and_not_more_than_asked_for(record):
    deliveries = [bring_to(record, State.SENDING, NOON + n * SECOND) for n in (2, 0, 1)]

    found = record.lapsed(NOON + HARD_DEADLINE + 2 * SECOND, 2)

    assert [one.id for one in found] == [deliveries[1].id, deliveries[2].id]


def test_a_lease_is_kept_by_its_holder_and_ends_with_what_it_was_taken_for(redis):
    with lease(redis, "ask:main", "me", timedelta(seconds=20)) as is_mine:
        with lease(redis, "ask:main", "you", timedelta(seconds=20)) as is_yours:
            assert (is_mine, is_yours) == (True, False)
        assert 0 < redis.pttl(keys.LEASE + "ask:main") <= 20_000
        with lease(redis, "ask:main", "me", timedelta(seconds=20)) as is_still_mine:
            assert is_still_mine
    assert not redis.exists(keys.LEASE + "ask:main")


def test_who_was_too_slow_ends_nobody_elses_lease(redis):
    with lease(redis, "ask:main", "slow", timedelta(seconds=20)):
        redis.set(keys.LEASE + "ask:main", "quick")

    assert redis.get(keys.LEASE + "ask:main") == b"quick"
