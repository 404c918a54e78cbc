"""Every step of a delivery is a compare-and-swap: of two who try, one wins, and nobody takes a step that is none."""

from __future__ import annotations

import itertools
import threading
from datetime import timedelta

import pytest
from rq import Queue
from rq.job import Job
from rq.serializers import JSONSerializer

from relay.errors import IllegalTransitionError, LostRace
from relay.lifecycle import FINAL, TRANSITIONS, EventState, State, Verdict
from relay.queueing import RECONCILE_JOB, job_id, queue_name
from relay.store import keys
from relay.store.connection import connect
from relay.store.record import GRACE, HARD_DEADLINE, Load, Record
from tests.support.making import (
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
    return Queue(queue_name(portal), connection=redis, serializer=JSONSerializer).get_job_ids()


def retrying_until(record, at):
    sending = bring_to(record, State.SENDING)
    ticket = record.queues.deliver("main", sending.id, 2, at)
    record.settle(sending, State.RETRYING, NOON, ticket=ticket, next_at=at)
    return record.delivery(sending.id)


def test_a_claim_makes_a_delivery_sending_until_the_hard_deadline(redis, record):
    delivery = write_one(record)

    (claimed,) = record.claim("main", delivery.id, 1, NOON + SECOND)

    assert claimed.state is State.SENDING
    assert claimed == record.delivery(delivery.id)
    assert record.overdue(NOON + SECOND + HARD_DEADLINE - SECOND, 10) == []
    assert record.overdue(NOON + SECOND + HARD_DEADLINE, 10) == [claimed]
    assert not redis.exists(keys.WAITING + "main")


@pytest.mark.parametrize("workers", [2, 12])
def test_of_many_who_claim_at_once_one_wins(valkey, record, workers):
    deliveries = [write_one(record) for _ in range(5)]
    barrier = threading.Barrier(workers)
    won = []

    def claim_all():
        own = Record(connect(valkey.url))
        barrier.wait()
        for delivery in deliveries:
            try:
                won.extend(own.claim("main", delivery.id, 1, NOON))
            except LostRace:
                continue
        own.redis.close()

    threads = [threading.Thread(target=claim_all) for _ in range(workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(delivery.id for delivery in won) == sorted(delivery.id for delivery in deliveries)


@pytest.mark.parametrize("turn", [1, 3])
def test_a_job_whose_turn_is_over_or_not_yet_come_does_not_claim_its_delivery(record, turn):
    delivery = retrying_until(record, NOON + 60 * SECOND)

    with pytest.raises(LostRace):
        record.claim("main", delivery.id, turn, NOON)

    assert record.delivery(delivery.id) == delivery


def test_a_job_whose_turn_is_over_works_for_others_that_wait(record):
    done, other = bring_to(record, State.STARTED), write_one(record)

    assert [one.id for one in record.claim("main", done.id, 1, NOON)] == [other.id]


@pytest.mark.parametrize("state", [State.SENDING, State.UNCERTAIN, State.STARTED, State.DEAD])
def test_what_is_not_waiting_cannot_be_claimed(record, state):
    delivery = bring_to(record, state)

    with pytest.raises(LostRace):
        record.claim("main", delivery.id, delivery.turn, NOON)

    assert record.delivery(delivery.id) == delivery


def test_a_delivery_that_does_not_exist_cannot_be_claimed(record):
    with pytest.raises(LostRace):
        record.claim("main", "dlv_x", 1, NOON)


def test_a_claim_takes_the_oldest_others_along(record):
    others = [write_one(record, NOON + n * SECOND) for n in range(5)]
    elsewhere = write_one(record, NOON - SECOND, portal="second")
    asked = others.pop(3)

    claimed = record.claim("main", asked.id, 1, NOON + 10 * SECOND, Load(3))

    assert [delivery.id for delivery in claimed] == [asked.id, others[0].id, others[1].id]
    assert {delivery.state for delivery in claimed} == {State.SENDING}
    assert record.delivery(others[2].id).state is State.PENDING
    assert record.delivery(elsewhere.id).state is State.PENDING


def test_a_claim_never_takes_along_what_is_not_due_yet(record):
    at = NOON + 60 * SECOND
    later, asked = retrying_until(record, at), write_one(record)

    assert [one.id for one in record.claim("main", asked.id, 1, at - SECOND, Load(50))] == [asked.id]
    assert [one.id for one in record.claim("main", asked.id, 1, at, Load(50))] == [later.id]


def test_a_delivery_that_another_job_took_along_is_lost_to_its_own_job(record):
    asked, other = write_one(record), write_one(record)
    record.claim("main", asked.id, 1, NOON, Load(2))

    with pytest.raises(LostRace):
        record.claim("main", other.id, 1, NOON)


@pytest.mark.parametrize(("current", "following"), list(itertools.product(State, State)))
def test_a_step_is_written_exactly_where_the_table_has_it(record, current, following):
    delivery = bring_to(record, current)

    if following in TRANSITIONS[current]:
        record.settle(delivery, following, NOON + SECOND) if following is not State.SENDING else record.claim(
            "main", delivery.id, delivery.turn, NOON
        )
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


def test_settling_for_later_makes_the_next_turn_with_its_job(redis, record):
    sending = bring_to(record, State.SENDING)
    at = NOON + 15 * SECOND
    ticket = record.queues.deliver("main", sending.id, 2, at)

    record.settle(
        sending, State.RETRYING, NOON, attempt=make_attempt(Verdict.THROTTLED), reason="busy", ticket=ticket, next_at=at
    )

    settled = record.delivery(sending.id)
    assert (settled.turn, settled.next_attempt_at, settled.reason) == (2, at, "busy")
    assert redis.zrange("rq:scheduled:portal-main", 0, -1) == [job_id(sending.id, 2).encode()]
    assert record.overdue(at + GRACE - SECOND, 10) == []
    assert record.overdue(at + GRACE, 10) == [settled]


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


def test_an_uncertain_delivery_that_no_job_looks_into_waits_for_a_person(record):
    delivery = bring_to(record, State.UNCERTAIN)

    assert record.overdue(NOON + 3650 * timedelta(days=1), 10) == []
    assert record.counts().imbalances == []
    assert record.delivery(delivery.id).state is State.UNCERTAIN


def test_a_waiting_delivery_that_a_queued_job_carries_needs_no_rescue(redis, record):
    delivery = write_one(record)

    assert not record.rescue(delivery, NOON)
    assert queued(redis) == [job_id(delivery.id, 1)]
    assert record.delivery(delivery.id).turn == 1
    assert record.overdue(NOON + GRACE - SECOND, 10) == []


@pytest.mark.parametrize("state", [State.PENDING, State.RETRYING])
def test_a_waiting_delivery_that_no_job_carries_gets_a_new_one(redis, record, state):
    delivery = bring_to(record, state)
    redis.delete("rq:queue:portal-main", "rq:scheduled:portal-main")

    assert record.rescue(delivery, NOON)

    assert queued(redis) == [job_id(delivery.id, delivery.turn + 1)]
    assert [one.id for one in record.claim("main", delivery.id, delivery.turn + 1, NOON)] == [delivery.id]


def test_two_who_rescue_make_one_job(redis, record):
    delivery = write_one(record)
    redis.delete("rq:queue:portal-main")

    assert [record.rescue(delivery, NOON), record.rescue(delivery, NOON)] == [True, False]
    assert len(queued(redis)) == 1


def test_an_uncertain_delivery_is_looked_into_again_and_not_sent(redis, record):
    delivery = bring_to(record, State.UNCERTAIN)
    redis.delete("rq:queue:portal-main")

    assert record.rescue(delivery, NOON)

    job = Job.fetch(job_id(delivery.id, 2), connection=redis, serializer=JSONSerializer)
    assert (job.func_name, job.args) == (RECONCILE_JOB, [delivery.id, 2])
    assert record.delivery(delivery.id).state is State.UNCERTAIN


@pytest.mark.parametrize("state", [State.SENDING, State.STARTED, State.DEAD])
def test_what_is_not_waiting_is_not_rescued(redis, record, state):
    delivery = bring_to(record, state)
    redis.delete("rq:queue:portal-main")

    assert not record.rescue(delivery, NOON)
    assert record.delivery(delivery.id) == delivery
    assert queued(redis) == []


@pytest.mark.parametrize("state", sorted(FINAL))
def test_a_final_delivery_is_replayed_as_a_new_one_and_never_changes_again(redis, record, state):
    old = bring_to(record, state)
    event = record.event(old.event_id)
    fresh = make_delivery(event.id)

    record.replay(event, old, [fresh])

    assert record.delivery(old.id) == old
    assert record.delivery(fresh.id) == fresh
    assert record.event(event.id).deliveries == (old.id, fresh.id)
    assert queued(redis)[-1] == job_id(fresh.id, 1)
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


def test_the_longest_overdue_come_first_and_not_more_than_asked_for(record):
    deliveries = [write_one(record, NOON + n * SECOND) for n in (2, 0, 1)]

    found = record.overdue(NOON + GRACE + 2 * SECOND, 2)

    assert [one.id for one in found] == [deliveries[1].id, deliveries[2].id]


def test_a_lease_has_one_holder_until_it_ends(redis, record):
    assert record.lease("sweep", "me", timedelta(minutes=1))
    assert not record.lease("sweep", "you", timedelta(minutes=1))
    assert 0 < redis.pttl(keys.LEASE + "sweep") <= 60_000
    assert record.lease("another", "you", timedelta(minutes=1))
