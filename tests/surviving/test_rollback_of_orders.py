"""What a person had ordered does not go on by itself when the record has gone back in time, and is told to a person."""

from __future__ import annotations

from datetime import timedelta

import pytest

from relay.core.ids import utc_now
from relay.core.lifecycle import BulkAct, State
from relay.health.assessment import DEFAULT, IssueCode, assess, take_snapshot
from relay.operations import bulk_replay
from relay.operations.bulk_replay import BulkReplays
from relay.operations.operator_acts import OperatorActs, RefusedError
from relay.operations.replay import Replayer
from relay.rules import RuleBook
from relay.store.operators.bulk_replays import BulkState
from relay.store.portals.rollback import hold
from relay.store.record.search import Filter
from tests.delivering.contexts import add, started_documents, work_off
from tests.support.making import claim_one
from tests.support.setbacks import go_back_to, size_of

STEP = 2


@pytest.fixture
def worker(open_worker, monkeypatch):
    monkeypatch.setattr(bulk_replay, "STEP", STEP)
    return open_worker(None)


def bulk_of(store):
    return BulkReplays(store, OperatorActs(store, Replayer(store.record, {}, RuleBook([], ""), None)))


def bury(worker, count):
    """So many deliveries that the portal has refused, and that nobody has dealt with."""
    found = [add(worker.record, lead=number) for number in range(1, count + 1)]
    for one in found:
        worker.record.settle(claim_one(worker.record, one, one.created_at), State.DEAD, one.created_at, reason="gone")
    return found


def send_all(worker):
    worker.clock.now = max(worker.clock.now, utc_now()) + timedelta(seconds=61)
    work_off(worker)


def go_back(worker, server, to):
    """The server comes back as it was at this size of its file; somebody looks, and it is noticed."""
    go_back_to(server, to)
    assert worker.store.reached(worker.clock()) is None


def needs(store):
    return [one for one in assess(take_snapshot(store, ["main"], [], utc_now()), DEFAULT, utc_now()) if one.count]


@pytest.fixture
def ordered(open_worker, monkeypatch, own_valkey, sandbox):
    monkeypatch.setattr(bulk_replay, "STEP", STEP)
    worker = open_worker(None)
    bury(worker, 3 * STEP)
    bulk = bulk_of(worker.store)
    order = bulk.begin(Filter(State.DEAD), "original", "olga")
    bulk.step(order.id)
    worker.store.reached(worker.clock())
    before = size_of(own_valkey)
    while bulk.step(order.id).state is BulkState.RUNNING:
        pass
    send_all(worker)
    assert len(started_documents(sandbox.portal)) == 3 * STEP
    go_back(worker, own_valkey, before)
    return worker, bulk, order.id


def test_an_order_does_not_go_on_by_itself_and_starts_nothing_twice(ordered, sandbox, clock):
    worker, bulk, order = ordered

    for _ in range(5):
        bulk.step_all("web-1")
    worker.gate.resume(clock())
    send_all(worker)

    documents = started_documents(sandbox.portal)
    assert sorted(set(documents)) == sorted(documents)
    assert bulk.read(order).state is BulkState.HELD
    assert (bulk.bulks.running(), bulk.bulks.held()) == ([], [order])
    (need,) = [one for one in needs(worker.store) if one.code is IssueCode.ORDER]
    assert (need.count, need.details) == (1, (order,))


def test_a_step_that_is_under_way_when_the_record_goes_back_is_the_last(ordered):
    _, bulk, order = ordered
    running = bulk.read(order)
    bulk.bulks.keep(running)  # as who was in the middle of a step keeps it at its end

    assert bulk.step(order).state is BulkState.HELD


def test_no_step_is_begun_on_a_record_that_nobody_else_has_looked_at_yet(open_worker, own_valkey, monkeypatch):
    monkeypatch.setattr(bulk_replay, "STEP", STEP)
    worker = open_worker(None)
    bury(worker, 3 * STEP)
    bulk = bulk_of(worker.store)
    order = bulk.begin(Filter(State.DEAD), "original", "olga").id
    before = size_of(own_valkey)
    add(worker.record)
    worker.store.reached(worker.clock())
    go_back_to(own_valkey, before)

    bulk.step_all("web-1")

    assert bulk.read(order).replayed == 0
    bulk.step_all("web-1")
    assert bulk.read(order).state is BulkState.HELD


def test_a_person_lets_it_go_on_with_what_has_not_changed_since(ordered, sandbox, clock):
    worker, bulk, order = ordered
    bulk.step_all("web-1")
    left = [one for one in worker.record.deliveries(worker.record.page("relay:buried")) if one.state is State.DEAD]
    by_hand, given_up = left[0], left[1]
    bulk.operator_acts.replay(by_hand.id, "olga", current_rules=False)
    worker.record.settle(given_up, State.STARTED, clock() + timedelta(seconds=5), workflow_id="wf.1")

    running = bulk.go_on(order, "olga")
    with pytest.raises(RefusedError):
        bulk.go_on(order, "olga")
    while bulk.step(order).state is BulkState.RUNNING:
        pass

    assert running.state is BulkState.RUNNING
    done = bulk.read(order)
    assert done.state is BulkState.FINISHED
    assert bulk.bulks.held() == []
    replayed = worker.store.record.replaced([one.id for one in left])
    assert given_up.id not in replayed
    assert [act.what for act in worker.store.operators.acts()][:2] == ["bulk replay finished", "resume bulk replay"]


def test_what_has_changed_since_it_was_held_is_left_alone(worker, clock):
    waiting = add(worker.record, lead=99)
    bury(worker, STEP)
    bulk, store = bulk_of(worker.store), worker.store
    order = bulk.begin(Filter(), "original", "olga").id
    hold(store.record.redis, store.record, store.high_water, store.high_water.read(), clock())
    bulk.step_all("web-1")
    held = worker.record.delivery(waiting.id)
    worker.record.settle(held, State.DEAD, clock.advance(5), reason="settled_by_person")

    bulk.go_on(order, "olga")
    while bulk.step(order).state is BulkState.RUNNING:
        pass

    assert worker.store.record.replaced([waiting.id]) == {}
    assert bulk.read(order).skipped == {"skipped_changed": 1}
    assert bulk.read(order).replayed == STEP


@pytest.mark.parametrize("act", [BulkAct.REPLAY, BulkAct.LEAVE])
def test_a_person_cancels_one_that_is_held(worker, act):
    bury(worker, 3 * STEP)
    bulk, store = bulk_of(worker.store), worker.store
    order = bulk.begin(Filter(State.DEAD), "original", "olga", act=act, note="n").id
    hold(store.record.redis, store.record, store.high_water, store.high_water.read(), worker.clock())
    bulk.step_all("web-1")
    assert bulk.read(order).state is BulkState.HELD

    bulk.cancel(order, "olga")

    assert bulk.read(order).state is BulkState.CANCELLED
    assert (bulk.bulks.held(), bulk.bulks.running()) == ([], [])


@pytest.mark.parametrize("lasts", [timedelta(hours=1), None])
def test_a_pause_that_a_person_had_ordered_ends_not_by_itself_and_is_told_to_who_resumes(worker, clock, lasts):
    until = clock() + lasts if lasts else None
    add(worker.record)
    worker.gate.pause_by_person(clock(), until)
    store = worker.store

    for _ in range(2):
        hold(store.record.redis, store.record, store.high_water, store.high_water.read(), clock())
    clock.advance(7200)
    work_off(worker)

    gate = worker.gate.look()
    assert (gate.reason, gate.is_open, gate.paused_before) == ("went_back", False, True)
    assert gate.paused_until == (until.replace(microsecond=until.microsecond // 1000 * 1000) if until else None)
    worker.gate.resume(clock())
    assert not worker.gate.look().paused_before
    hold(store.record.redis, store.record, store.high_water, store.high_water.read(), clock())
    assert not worker.gate.look().paused_before
