"""A method that is used up or refused waits by itself: what calls another goes on, and no attempt is spent."""

from __future__ import annotations

from datetime import timedelta

import pytest

from relay.core.lifecycle import State
from relay.store.portals.gate import GateState
from tests.delivering.contexts import BATCHING, add, alerts, batch_sizes, look_into, methods, send, work_off
from tests.delivering.plans import CLIENT, planned

START = "bizproc.workflow.start"
BLOCKED = {"kind": "error", "code": "OPERATION_TIME_LIMIT", "method": START}


def state_of(context, method=START):
    """What is known of a method."""
    return context.pace.read().methods[method]


def waits_until(context, method=START):
    """Until when it is not called."""
    learned = context.pace.read()
    return learned.methods[method].waits_until(context.clock(), learned.granted_s)


def reset_at(context, method=START):
    """When the oldest of its operating time is forgotten."""
    return state_of(context, method).reading(context.clock()).reset_at


def test_a_spent_time_budget_costs_no_attempt_and_is_tried_again_within_a_minute(context, record, portal, clock):
    portal.configure(call_cost_s=10)
    send(context, add(record))
    portal.add_faults({**BLOCKED, "times": 100})
    delivery = add(record, lead=2)

    pauses = []
    for _ in range(8):
        work_off(context)
        pauses.append((waits_until(context) - clock()).total_seconds())
        clock.now = waits_until(context)

    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60]
    assert context.gate.look().state is GateState.OPEN
    assert (record.delivery(delivery.id).state, record.delivery(delivery.id).attempts) == (State.PENDING, ())
    assert record.delivery(delivery.id).reason == "operation_time_limit"
    assert alerts(record) == []


def test_a_spent_time_budget_is_tried_again_no_later_than_the_portal_has_named(context, record, portal, clock):
    portal.configure(call_cost_s=10)
    send(context, add(record))
    until = reset_at(context)
    clock.now = until - timedelta(seconds=0.4)
    portal.add_faults(BLOCKED)

    send(context, add(record, lead=2))

    assert waits_until(context) == until


def test_a_refusal_that_was_none_of_the_budgets_teaches_no_lower_budget(context, record, portal, clock):
    portal.configure(call_cost_s=2)
    send(context, add(record))
    portal.add_faults(BLOCKED)
    send(context, add(record, lead=2))
    assert context.pace.read().operating_limit_s == 7

    clock.now = waits_until(context)
    work_off(context)

    assert context.pace.read().operating_limit_s == 480
    assert state_of(context).block is None


def test_what_waits_for_a_method_says_until_when_and_is_not_claimed_again_and_again(context, record, portal, clock):
    portal.add_faults(BLOCKED)
    deliveries = [add(record, lead=n) for n in range(1, 6)]

    work_off(context)

    waiting = record.deliveries([one.id for one in deliveries])
    assert methods(portal) == {START: 1}
    assert {one.next_attempt_at for one in waiting} == {clock.now + timedelta(seconds=1)}
    assert [one.turn for one in waiting] == [2, 1, 1, 1, 1], "the others were not even claimed"
    assert (record.due("main", clock.now), record.counts().imbalances) == (0, [])


def test_however_many_wait_for_a_method_all_make_room(context, record, portal):
    portal.add_faults({**BLOCKED, "times": 1_000})
    for number in range(1, 2_500):
        add(record, lead=number)

    work_off(context)

    assert record.due("main", context.clock()) == 0
    assert methods(portal) == {START: 1}


def test_one_that_tries_a_method_again_goes_alone_and_then_batches_go_on(open_context, record, portal, clock):
    context = open_context(**BATCHING)
    context.pace.learn_took(context.pace.read(), "1", 1)
    context.pace.block(context.pace.read(), START, "operation_time_limit", clock(), for_long=False)
    deliveries = [add(record, lead=n) for n in range(1, 7)]
    work_off(context)
    assert methods(portal) == {}
    clock.now = waits_until(context)

    work_off(context)

    tried = record.deliveries([one.id for one in deliveries])
    assert {one.state for one in tried} == {State.STARTED}
    assert sorted(one.attempts[-1].batch_size for one in tried) == [1, 5, 5, 5, 5, 5]


def test_where_only_the_time_of_a_batchs_commands_is_used_up_calls_go_directly(open_context, record, portal, clock):
    context = open_context(**BATCHING)
    context.pace.learn_took(context.pace.read(), "1", 1)
    portal.configure(operating_limit_s=0.5, call_cost_s=0.3)
    deliveries = [add(record, lead=n) for n in range(1, 5)]

    work_off(context)

    tried = record.deliveries([one.id for one in deliveries])
    assert {one.state for one in tried} == {State.STARTED}, "a webhook has two counters, of calls and of commands"
    assert batch_sizes(portal) == [4, 1, 1]
    assert (state_of(context).block, state_of(context).nested_block.is_of_budget) == (None, True)
    assert (waits_until(context), context.gate.look().is_open) == (None, True)


def test_commands_of_other_methods_still_go_together_then(open_context, record, portal, clock):
    context = open_context(**BATCHING)
    context.pace.learn_took(context.pace.read(), "1", 1)
    context.pace.block(context.pace.read(), START, "operation_time_limit", clock(), for_long=False, in_batch=True)
    starting = [add(record, lead=n) for n in (1, 2)]
    finding = [planned(record, CLIENT, lead=n) for n in (3, 4, 5)]

    work_off(context)

    sizes = [
        [one.attempts[0].batch_size for one in record.deliveries(o.id for o in each)] for each in (starting, finding)
    ]
    assert sizes == [[1, 1], [3, 3, 3]]


def test_a_batch_whose_own_time_is_used_up_makes_room_for_plain_calls(open_context, record, portal, clock):
    context = open_context(**BATCHING)
    context.pace.learn_took(context.pace.read(), "1", 1)
    portal.add_faults({**BLOCKED, "method": "batch"})
    deliveries = [add(record, lead=n) for n in range(1, 5)]

    work_off(context)

    assert {one.state for one in record.deliveries([one.id for one in deliveries])} == {State.STARTED}
    assert batch_sizes(portal) == [4, 1, 1, 1, 1]
    assert (state_of(context, "batch").block.is_of_budget, state_of(context).block) == (True, None)
    clock.now = waits_until(context, "batch")
    for number in range(5, 9):
        add(record, lead=number)
    work_off(context)
    assert (batch_sizes(portal)[5:], state_of(context, "batch").block) == ([4], None)


def test_while_nothing_may_be_started_uncertain_ones_are_still_looked_into(context, record, portal, clock):
    portal.add_faults({"kind": "drop_after_start", "method": START})
    lost = send(context, add(record))
    clock.now = lost.next_attempt_at
    context.gate.resume(clock())
    context.pace.block(context.pace.read(), START, "operation_time_limit", clock(), for_long=True)

    assert look_into(context, lost).state is State.STARTED


def test_while_nothing_may_be_started_none_is_sent_again_under_its_own_id(open_context, record, portal, clock):
    context = open_context(own_id="echo")
    context.pace.learn_own_id(context.pace.read(), honoured=True)
    portal.add_faults({"kind": "drop_after_start", "method": START})
    lost = send(context, add(record))
    clock.now = lost.next_attempt_at
    context.gate.resume(clock())
    context.pace.block(context.pace.read(), START, "operation_time_limit", clock(), for_long=True)

    assert look_into(context, lost).state is State.UNCERTAIN
    clock.advance(60)
    assert look_into(context, lost).state is State.STARTED


def test_a_time_budget_that_is_spent_within_a_batch_leaves_the_rest_of_it_waiting(open_context, record, portal):
    context = open_context(**BATCHING)
    context.pace.learn_took(context.pace.read(), "1", 1)
    portal.configure(operating_limit_s=0.5, call_cost_s=0.3)
    deliveries = [add(record, lead=n) for n in range(1, 6)]

    send(context, deliveries[0])

    states = [one.state for one in record.deliveries(one.id for one in deliveries)]
    assert states == [State.STARTED] * 2 + [State.PENDING] * 3
    assert state_of(context).nested_block.reason == "operation_time_limit"


@pytest.mark.parametrize("profile", ["a", "b"])
def test_sending_stops_short_of_the_limit_and_goes_on_after_it(context, record, portal, portal_time, profile):
    portal.configure(profile=profile, call_cost_s=50)
    deliveries = [add(record, lead=n) for n in range(1, 15)]

    work_off(context)

    # Ten starts of fifty seconds would be the tenth too many: 480 s are granted, of which five are kept.
    assert len(portal.started()) == 9
    assert "OPERATION_TIME_LIMIT" not in portal.log.counters()["by_code"]
    until = reset_at(context)
    assert {one.next_attempt_at for one in record.deliveries(one.id for one in deliveries[9:])} == {until}

    portal_time.advance((until - context.clock()).total_seconds() + 1)
    context.clock.now = until + timedelta(seconds=1)
    work_off(context)
    assert {one.state for one in record.deliveries(one.id for one in deliveries)} == {State.STARTED}
    assert "OPERATION_TIME_LIMIT" not in portal.log.counters()["by_code"]


def test_after_a_reset_one_call_tells_how_much_is_still_counted(open_context, record, portal, portal_time, clock):
    context = open_context(**BATCHING)
    portal.configure(call_cost_s=5)
    context.pace.learn_took(context.pace.read(), "1", 5_000)
    deliveries = [add(record, lead=n) for n in range(1, 201)]
    work_off(context)
    begun = len(portal.started())
    assert record.delivery(deliveries[0].id).attempts[0].batch_size == 4

    until = max(state_of(context).direct.reset_at, state_of(context).nested.reset_at)
    portal_time.advance((until - clock.now).total_seconds() + 1)
    clock.now = until + timedelta(seconds=1)
    send(context, deliveries[0])

    assert len(portal.started()) == begun + 1


def test_a_limit_that_is_lower_than_the_known_one_is_learnt(context, record, portal):
    portal.configure(call_cost_s=50, operating_limit_s=120)
    for number in range(1, 5):
        send(context, add(record, lead=number))

    assert portal.log.counters()["by_code"] == {"OPERATION_TIME_LIMIT": 1}
    assert context.pace.read().operating_limit_s == 155


OF_OTHER_CLOCKS = {
    "five hours ahead, as its answer says": (5 * 3600, True),
    "five hours behind, as its answer says": (-5 * 3600, True),
    "five hours ahead": (5 * 3600, False),
    "thirty years ahead": (30 * 365 * 86_400, False),
}


@pytest.mark.parametrize("skew", OF_OTHER_CLOCKS)
def test_no_clock_of_a_portal_makes_a_method_wait_longer_than_the_portal_counts(context, record, clock, skew):
    ahead_s, says = OF_OTHER_CLOCKS[skew]
    told_at = clock().timestamp() + ahead_s
    context.pace.learn_took(context.pace.read(), "1", 1500)
    time = {"operating": 476, "operating_reset_at": int(told_at) + 400} | ({"finish": told_at} if says else {})

    context.pace.learn_operating(context.pace.read(), START, time, clock(), in_batch=False)

    waits_s = (waits_until(context) - clock()).total_seconds()
    assert (399 <= waits_s <= 400) if says else waits_s == 600
    deliveries = [add(record, lead=n) for n in (1, 2)]
    clock.advance(601)
    work_off(context)
    assert {one.state for one in record.deliveries([one.id for one in deliveries])} == {State.STARTED}


@pytest.mark.parametrize(
    "time",
    [
        {"operating": 1, "operating_reset_at": 1e999},
        {"operating": float("nan"), "operating_reset_at": 1},
        {"operating": True, "operating_reset_at": 1},
        {"operating": "1", "operating_reset_at": 1},
        {"operating": 1},
        {},
    ],
)
def test_what_is_no_time_teaches_nothing(context, clock, time):
    context.pace.learn_operating(context.pace.read(), START, time, clock(), in_batch=False)

    assert context.pace.read().methods == {}
