"""What a crash left half-way is found and mended; a whole life leaves nothing behind."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest

from relay.core.errors import LostRace
from relay.core.ids import utc_now
from relay.core.lifecycle import State, Verdict
from relay.store import Store
from relay.store.record.record import HARD_DEADLINE, Record
from tests.delivering.contexts import add
from tests.support.leftovers import keys_of
from tests.support.making import DAY, NOON, bring_to, make_attempt, write_one
from tests.support.waiting import until
from workers.delivery.worker import Drains, drain, open_worker
from workers.maintenance import repair
from workers.maintenance.repair import run_sweeper, sweep
from workers.maintenance.retention import prune

SECOND = timedelta(seconds=1)
LATE = NOON + HARD_DEADLINE + DAY + SECOND


def test_a_delivery_is_left_alone_until_its_hard_deadline(record):
    write_one(record)
    bring_to(record, State.SENDING)

    assert sweep(record, NOON + HARD_DEADLINE - SECOND, {}) == {}


def test_a_delivery_that_was_claimed_too_long_ago_may_have_been_started(record):
    delivery = bring_to(record, State.SENDING)

    assert sweep(record, NOON + HARD_DEADLINE, {}) == {"uncertain": 1}

    swept = record.delivery(delivery.id)
    assert (swept.state, swept.reason) == (State.UNCERTAIN, "worker_died")
    assert record.doubtful("main", NOON + HARD_DEADLINE) == 1, "the portal is asked at once: the call is long over"
    assert [(attempt.at, attempt.verdict) for attempt in swept.attempts] == [(NOON, Verdict.AMBIGUOUS)]
    assert record.counts().imbalances == []


@pytest.mark.parametrize("state", sorted(set(State) - {State.STARTED, State.UNCERTAIN, State.SENDING}))
def test_the_worker_that_was_only_slow_finds_that_it_is_too_late(record, state):
    delivery = bring_to(record, State.SENDING)
    sweep(record, LATE, {})

    with pytest.raises(LostRace):
        record.settle(delivery, state, LATE)

    assert record.delivery(delivery.id).reason == "worker_died"


@pytest.mark.parametrize("decided", [None, State.RETRYING, State.DEAD])
def test_an_answer_that_comes_late_proves_that_the_workflow_has_started_whatever_was_decided_meanwhile(record, decided):
    delivery = bring_to(record, State.SENDING)
    sweep(record, LATE, {})
    if decided:
        record.settle(record.delivery(delivery.id), decided, LATE, reason="settled_by_person")

    record.settle(delivery, State.STARTED, LATE, attempt=make_attempt(), workflow_id="wf.1")

    found = record.delivery(delivery.id)
    assert (found.state, found.workflow_id, found.reason, found.next_attempt_at) == (State.STARTED, "wf.1", None, None)
    assert [(one.number, one.verdict) for one in found.attempts] == [(1, Verdict.AMBIGUOUS), (2, Verdict.STARTED)]
    assert (record.due("main", LATE), record.unresolved_uncertain(), record.counts().imbalances) == (0, 0, [])


def test_while_another_call_is_made_for_it_that_call_has_the_last_word(record):
    delivery = bring_to(record, State.SENDING)
    sweep(record, LATE, {})
    record.settle(record.delivery(delivery.id), State.RETRYING, LATE)
    (again,) = record.claim("main", "another", LATE)

    with pytest.raises(LostRace):
        record.settle(delivery, State.STARTED, LATE, workflow_id="wf.1")

    record.settle(again, State.STARTED, LATE, workflow_id="wf.2")
    assert record.delivery(delivery.id).workflow_id == "wf.2"


@pytest.mark.parametrize("state", sorted(set(State) - {State.SENDING}))
def test_what_is_not_being_sent_is_left_alone(record, state):
    delivery = bring_to(record, state)

    assert sweep(record, LATE, {}) == {}
    assert record.delivery(delivery.id) == delivery


def test_a_pass_is_bounded_and_the_next_goes_on(record, monkeypatch):
    monkeypatch.setattr(repair, "PER_PASS", 4)
    for _ in range(10):
        bring_to(record, State.SENDING)

    assert [sum(sweep(record, LATE, {}).values()) for _ in range(4)] == [4, 4, 2, 0]


def test_what_is_swept_by_two_at_once_is_mended_once(record):
    deliveries = [bring_to(record, State.SENDING) for _ in range(20)]
    found = record.lapsed(LATE, 100)
    sweep(record, LATE, {})

    for delivery in found:
        before = record.delivery(delivery.id)
        sweep(record, LATE, {})
        assert record.delivery(delivery.id).attempts == before.attempts
    assert {len(record.delivery(one.id).attempts) for one in deliveries} == {1}


def test_sweepers_share_one_lease_and_stop_when_told(record, monkeypatch):
    monkeypatch.setattr(repair, "INTERVAL_S", 1.05)
    passes = []
    monkeypatch.setattr(repair, "sweep", lambda *_, **__: passes.append(threading.current_thread().name))
    stop = threading.Event()
    threads = [threading.Thread(target=run_sweeper, args=(Store(record.redis), {}, stop)) for _ in range(3)]
    record.redis.set("relay:lease:sweep", "another host")
    for thread in threads:
        thread.start()
    until(lambda: record.redis.exists("relay:lease:sweep"), "the lease")
    assert passes == []

    record.redis.delete("relay:lease:sweep")
    until(lambda: passes, "a pass")
    stop.set()
    for thread in threads:
        thread.join(5)

    assert not any(thread.is_alive() for thread in threads)


def test_a_sweeper_outlives_a_record_that_is_away(own_valkey, monkeypatch):
    monkeypatch.setattr(repair, "INTERVAL_S", 1.01)
    record, stop = Record(own_valkey.redis), threading.Event()
    own_valkey.make_read_only()
    thread = threading.Thread(target=run_sweeper, args=(Store(record.redis), {}, stop))
    thread.start()
    own_valkey.make_fresh()
    delivery = bring_to(record, State.SENDING)

    until(lambda: record.delivery(delivery.id).state is State.UNCERTAIN, "a pass")
    stop.set()
    thread.join(5)
    assert not thread.is_alive()


def test_a_whole_life_leaves_nothing_behind(context, record, sandbox):
    before = keys_of(record)
    deliveries = [add(record, lead=n) for n in (1, 2, 404)]
    worker = open_worker("a-worker", ["main"], Drains(lambda _portal: drain(context)), record.redis)
    worker._install_signal_handlers = lambda: None  # the handlers of this process are pytest's

    assert worker.work(burst=True, logging_level="ERROR")
    assert {one.state for one in record.deliveries(one.id for one in deliveries)} == {State.STARTED, State.DEAD}
    prune(record, utc_now() + DAY)

    # What is left is of the portal, not of an event.
    assert {key.rpartition(":")[0] for key in keys_of(record) - before} <= {"relay:pace", "relay:bucket", "relay:codes"}
    assert record.counts().total == 0
    assert record.counts().imbalances == []
