"""`order_by: document`: deliveries of one document go one after the other, in the order in which they came."""

from __future__ import annotations

from datetime import timedelta

import pytest

from relay.core.events import Policy
from relay.core.ids import utc_now
from relay.core.lifecycle import State
from relay.store.portals.rollback import hold
from tests.delivering.contexts import BATCHING, QUEUE, add, batch_sizes, methods, send, started_documents, work_off

START, INSTANCES = "bizproc.workflow.start", "bizproc.workflow.instances"
ORDERED = Policy(is_ordered=True)


def fill(record, leads, policy=ORDERED):
    """Deliveries to these leads, a second apart; each has its number as a parameter."""
    begin = utc_now() - timedelta(seconds=1000)
    return [
        add(record, lead=lead, parameters={"Note": str(n)}, policy=policy, at=begin + timedelta(seconds=n))
        for n, lead in enumerate(leads)
    ]


def notes(portal, lead):
    """The numbers of what was started on a lead, in order."""
    started = reversed(portal.started())
    return [workflow["parameters"]["Note"] for workflow in started if workflow["document"][2] == f"LEAD_{lead}"]


def states(record, deliveries):
    return [one.state for one in record.deliveries(one.id for one in deliveries)]


def test_the_oldest_goes_first(context, record, portal):
    deliveries = fill(record, [1, 1, 1])

    work_off(context)

    assert notes(portal, 1) == ["0", "1", "2"]
    assert states(record, deliveries) == [State.STARTED] * 3
    assert record.redis.keys("relay:order:*") == []


def test_what_has_to_wait_for_another_is_not_in_line_and_costs_nothing(context, record, portal):
    portal.add_faults({"kind": "drop_after_start"})
    fill(record, [1] * 300)
    others = fill(record, [2, 3])
    send(context, others[0])
    context.gate.resume(context.clock())
    assert record.due("main", context.clock()) == 2

    work_off(context)

    assert states(record, others) == [State.STARTED] * 2
    assert methods(portal) == {"bizproc.workflow.start": 3}
    assert record.counts().imbalances == []


def test_an_older_one_that_comes_in_late_goes_before_those_that_wait(context, record, portal):
    begin = utc_now() - timedelta(seconds=1000)
    for seconds in (2, 3, 1):
        add(record, parameters={"Note": str(seconds)}, policy=ORDERED, at=begin + timedelta(seconds=seconds))

    work_off(context)

    assert notes(portal, 1) == ["1", "2", "3"]


@pytest.mark.parametrize("batch", [2, 3, 50])
def test_across_batches_too(open_context, record, portal, batch):
    context = open_context(batch=batch, **BATCHING)
    context.pace.learn_took(context.pace.read(), "1", 1)
    leads = [1, 1, 2, 1, 2, 3, 1, 3, 2, 1] * 3
    deliveries = fill(record, leads)

    work_off(context)

    assert states(record, deliveries) == [State.STARTED] * 30
    assert max(batch_sizes(portal)) > 1
    for lead in (1, 2, 3):
        assert notes(portal, lead) == [str(n) for n, each in enumerate(leads) if each == lead]


def test_a_batch_never_has_two_of_one_document(open_context, record, portal):
    context = open_context(**BATCHING)
    context.pace.learn_took(context.pace.read(), "1", 1)
    deliveries = fill(record, [1, 1, 2, 2, 3])

    send(context, deliveries[0])

    assert started_documents(portal) == ["LEAD_1", "LEAD_2", "LEAD_3"]


def go_back(context):
    """The record has gone back in time, and a person has seen it."""
    store = context.store
    hold(store.record.redis, store.record, store.high_water, store.high_water.read(), context.clock())


TROUBLES = {
    "tried_again_later": ({"kind": "error", "code": "QUERY_LIMIT_EXCEEDED"}, State.RETRYING),
    "uncertain": ({"kind": "drop_after_start"}, State.UNCERTAIN),
}


@pytest.mark.parametrize("trouble", TROUBLES)
def test_while_the_first_is_not_final_the_next_wait_and_others_do_not(context, record, portal, clock, trouble):
    fault, state = TROUBLES[trouble]
    first, second, other = fill(record, [1, 1, 2])
    portal.add_faults(fault)

    assert send(context, first).state is state
    context.gate.resume(clock())
    work_off(context)
    assert states(record, [second, other]) == [State.PENDING, State.STARTED]

    clock.now = record.delivery(first.id).next_attempt_at
    work_off(context)

    assert states(record, [first, second, other]) == [State.STARTED] * 3
    assert notes(portal, 1) == ["0", "1"]


def test_one_that_died_stands_in_nobodys_way(context, record, portal):
    portal.configure(missing_documents=[1])
    deliveries = fill(record, [1, 1])

    send(context, deliveries[0])
    portal.configure(missing_documents=[])
    work_off(context)

    assert states(record, deliveries) == [State.DEAD, State.STARTED]


@pytest.mark.parametrize("ends", [State.STARTED, State.DEAD])
def test_the_next_is_woken_when_the_one_before_it_ends(context, record, portal, clock, ends):
    portal.add_faults({"kind": "error", "code": "QUERY_LIMIT_EXCEEDED"})
    first, second = fill(record, [1, 1])
    work_off(context)
    context.gate.resume(clock())
    assert states(record, [first, second]) == [State.RETRYING, State.PENDING]

    portal.configure(missing_documents=[1] if ends is State.DEAD else [])
    clock.now = record.delivery(first.id).next_attempt_at
    record.redis.delete(QUEUE)
    assert send(context, first).state is ends
    assert record.redis.llen(QUEUE) == 1

    assert record.due("main", clock()) == 1
    portal.configure(missing_documents=[])
    work_off(context)
    assert record.delivery(second.id).state is State.STARTED


def test_another_document_is_not_delayed(context, record, portal):
    portal.add_faults({"kind": "drop_after_start"})
    deliveries = fill(record, [1, 1, 1, 2, 3, 4])

    work_off(context)
    context.gate.resume(context.clock())
    work_off(context)

    assert states(record, deliveries) == [State.UNCERTAIN, *[State.PENDING] * 2, *[State.STARTED] * 3]


@pytest.mark.parametrize("trouble", ["", "html_503", "drop_after_start", "drop_before"])
def test_after_the_record_has_gone_back_the_order_holds_while_each_is_looked_into(
    open_context, record, portal, clock, trouble
):
    """Where ids of ours are honoured, to look is to send."""
    context = open_context(own_id="echo")
    context.pace.learn_own_id(context.pace.read(), honoured=True)
    deliveries = fill(record, [1, 1, 1, 2])
    go_back(context)
    portal.add_faults([{"kind": trouble, "method": START}] if trouble else [])

    for _ in range(20):
        clock.advance(15)
        context.gate.resume(clock())
        work_off(context)
        assert record.counts().imbalances == []

    assert states(record, deliveries) == [State.STARTED] * 4
    assert (notes(portal, 1), notes(portal, 2)) == (["0", "1", "2"], ["3"])


def test_while_an_older_one_is_left_to_a_person_no_later_one_of_its_order_is_looked_into(
    context, record, portal, clock
):
    deliveries = fill(record, [1, 1])
    go_back(context)
    for _ in range(30):
        clock.advance(3600)
        context.gate.resume(clock())
        work_off(context)
    first, second = record.deliveries(one.id for one in deliveries)
    assert (first.reason, first.next_attempt_at) == ("not_seen_running", None)
    assert (second.reason, second.looks) == ("went_back", 0)
    assert (record.unresolved_uncertain(), record.doubtful("main", clock())) == (1, 0)
    asked = methods(portal)[INSTANCES]

    record.settle(first, State.DEAD, clock())
    work_off(context)

    assert methods(portal)[INSTANCES] > asked
    assert record.delivery(second.id).reason == "not_seen_yet"


def test_an_older_one_that_comes_in_late_goes_before_one_that_is_to_be_looked_into(context, record, portal, clock):
    begin = clock() - timedelta(seconds=1000)
    portal.add_faults({"kind": "drop_after_start", "method": START})
    later = send(context, add(record, policy=ORDERED, at=begin + timedelta(seconds=2)))
    older = add(record, policy=ORDERED, at=begin + timedelta(seconds=1))
    context.gate.resume(clock())
    portal.add_faults({"kind": "error", "code": "QUERY_LIMIT_EXCEEDED", "method": START})
    assert send(context, older).state is State.RETRYING
    context.gate.resume(clock())

    clock.now = later.next_attempt_at
    record.redis.zadd("relay:waiting:main", {older.id: (clock() + timedelta(hours=1)).timestamp() * 1000})
    work_off(context)
    assert states(record, [older, later]) == [State.RETRYING, State.UNCERTAIN]
    assert INSTANCES not in methods(portal)

    clock.advance(3600)
    work_off(context)
    assert states(record, [older, later]) == [State.STARTED] * 2


def test_without_it_nobody_waits_for_anybody(context, record, portal):
    portal.add_faults({"kind": "drop_after_start"})
    deliveries = fill(record, [1, 1, 1], Policy())

    work_off(context)
    context.gate.resume(context.clock())
    work_off(context)

    assert states(record, deliveries) == [State.UNCERTAIN, State.STARTED, State.STARTED]
