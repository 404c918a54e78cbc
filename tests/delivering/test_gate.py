"""A portal in trouble waits at its gate: deliveries stay as they were, there is one alarm, and it opens again."""

from __future__ import annotations

from datetime import timedelta

import pytest

from relay.core.lifecycle import State
from relay.store.portals.gate import FIRST_PAUSE, Gate, GateState
from tests.delivering.desks import BATCHING, QUEUE, add, alerts, batch_sizes, methods, send, work_off
from tests.support.processes import refusing_address
from tests.support.waiting import until
from workers.delivery.shift import step
from workers.portal import gatekeeper
from workers.portal.gatekeeper import DENIED_IN_A_ROW

BROKEN = {"kind": "error", "code": "INVALID_CREDENTIALS", "times": 1000}
START, TEMPLATES = "bizproc.workflow.start", "bizproc.workflow.template.list"


def test_a_portal_is_held_once_and_said_once_and_its_deliveries_wait_as_they_were(desk, record, portal):
    portal.add_faults(BROKEN)
    deliveries = [add(record, lead=n) for n in range(1, 6)]

    settled = [send(desk, one) for one in deliveries]

    view = desk.gate.look()
    assert (view.state, view.reason) == (GateState.HELD, "invalid_credentials")
    assert "webhook" in view.advice
    assert alerts(record) == ["portal_held"]
    assert {one.state for one in settled} == {State.PENDING}
    assert not any(one.attempts for one in settled)
    assert methods(portal) == {"bizproc.workflow.start": 1}
    assert [one.turn for one in settled] == [2, 1, 1, 1, 1], "the others were not even claimed"
    assert record.counts().imbalances == []


def test_every_waiting_one_goes_on_when_the_gate_opens(desk, record, portal, clock):
    portal.add_faults(BROKEN)
    deliveries = [send(desk, add(record, lead=n)) for n in range(1, 6)]
    portal.faults.clear()

    assert desk.gate.resume(clock())
    work_off(desk)

    assert {one.state for one in record.deliveries(one.id for one in deliveries)} == {State.STARTED}
    assert len(portal.started()) == 5


def test_a_held_portal_is_asked_once_a_minute_by_one_worker_and_opens_when_it_is_well(open_desk, record, portal, clock):
    portal.add_faults({**BROKEN, "method": START})
    one, other = open_desk(), open_desk()
    send(one, add(record))
    held_at = clock()
    portal.add_faults({**BROKEN, "method": TEMPLATES})

    assert [step(one), step(other)] == [False, False]
    assert TEMPLATES not in methods(portal)
    clock.advance(60)
    assert [step(one), step(other)] == [False, False]
    assert methods(portal)[TEMPLATES] == 1
    assert (one.gate.look().since, one.gate.look().until) == (held_at, held_at + timedelta(seconds=120))

    portal.faults.clear()
    clock.advance(60)
    assert step(other)
    assert one.gate.look().is_open
    assert (methods(portal)[TEMPLATES], len(portal.started())) == (2, 0)
    assert alerts(record) == ["portal_held"]


def test_while_one_worker_asks_a_portal_the_others_wait(open_desk, record, portal, clock):
    one, other = open_desk(), open_desk()
    one.gate.hold(one.gate.look(), "because", "advice", clock())
    clock.advance(60)
    asked = []
    one.line.call = lambda *call: asked.append(step(other)) or type(one.line).call(one.line, *call)

    assert step(one)

    assert asked == [False]
    assert methods(portal)[TEMPLATES] == 1
    assert record.redis.keys("relay:lease:*") == []


def test_a_worker_that_died_while_it_asked_holds_the_others_up_for_less_than_a_minute(desk, record, portal, clock):
    assert gatekeeper.ASKING.total_seconds() < 60
    desk.gate.hold(desk.gate.look(), "because", "advice", clock())
    clock.advance(60)
    record.redis.set("relay:lease:ask:main", "who has died", px=200)

    assert not step(desk)
    assert methods(portal) == {}
    until(lambda: step(desk), "the end of the dead worker's lease")

    assert desk.gate.look().is_open


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "html_502"},
        {"kind": "drop_before"},
        {"kind": "not_json"},
        {"kind": "redirect"},
        {"kind": "error", "code": "BRAND_NEW"},
        {"kind": "error", "code": "ERROR_CORE"},
        {"kind": "error", "code": "QUERY_LIMIT_EXCEEDED"},
        {"kind": "error", "code": "PAYMENT_REQUIRED"},
    ],
    ids=lambda fault: fault.get("code", fault["kind"]),
)
def test_a_question_that_gets_no_list_opens_nothing(desk, portal, clock, fault):
    desk.gate.hold(desk.gate.look(), "because", "advice", clock())
    clock.advance(60)
    portal.add_faults(fault)

    assert not step(desk)
    assert desk.gate.look().state is GateState.HELD
    assert desk.gate.look().until == clock() + timedelta(seconds=60)


def test_before_a_closed_gate_nothing_is_claimed(desk, record, portal, clock):
    delivery = add(record)
    desk.gate.pause_by_person(clock())

    assert not step(desk)
    assert record.delivery(delivery.id) == delivery

    desk.gate.resume(clock())
    assert record.redis.llen(QUEUE) == 1, "a person who resumes wakes a worker at once"
    assert step(desk)
    assert record.delivery(delivery.id).state is State.STARTED


def test_a_gate_that_closes_while_a_worker_waits_for_its_slot_is_closed_for_it_too(open_desk, record, portal, clock):
    desk = open_desk()
    delivery = add(record)
    wait = desk.line.wait

    def wait_long():
        desk.gate.pause_by_person(clock())
        return wait()

    desk.line.wait = wait_long

    assert not step(desk)
    assert record.delivery(delivery.id) == delivery
    assert methods(portal) == {}


def test_what_a_person_has_paused_only_a_person_opens(desk, record, portal, clock):
    view = desk.gate.look()
    desk.gate.pause_by_person(clock())
    delivery = add(record)

    # A call that was on its way when the person paused the portal ends well, or badly.
    answer, judgement = desk.line.call("scope", {}), gatekeeper.Judgement(gatekeeper.Verdict.STARTED, "started", "")
    gatekeeper.mind(desk, view, answer, judgement)
    gatekeeper.mind(desk, desk.gate.look(), answer, judgement)
    gatekeeper.mind(desk, view, answer, gatekeeper.Judgement(gatekeeper.Verdict.HELD, "held", ""))
    gatekeeper.reopen(desk, desk.gate.look())

    assert desk.gate.look().by_person
    assert desk.gate.look().reason == "by_person"
    assert send(desk, delivery).state is State.PENDING
    assert methods(portal) == {"scope": 1}
    assert desk.gate.resume(clock())
    assert not desk.gate.resume(clock())


def test_a_person_resumes_a_held_portal(desk, clock):
    desk.gate.hold(desk.gate.look(), "because", "advice", clock())

    assert desk.gate.resume(clock())
    assert desk.gate.look().is_proven


def test_a_pause_never_makes_less_of_a_hold(desk, clock):
    desk.gate.hold(desk.gate.look(), "because", "advice", clock())

    assert not desk.gate.back_off(desk.gate.look(), "not_sent", "", clock())
    assert not desk.gate.rest(desk.gate.look(), "operating_time", "", clock(), clock())
    assert desk.gate.look().reason == "because"


TROUBLES = {
    "away": {"kind": "drop_before"},
    "a_page": {"kind": "html_503"},
    "too_many": {"kind": "error", "code": "QUERY_LIMIT_EXCEEDED"},
    "not_begun": {"kind": "error", "code": "CONNECTION_ERROR"},
    "half_an_answer": {"kind": "truncated"},
}


@pytest.mark.parametrize("trouble", TROUBLES)
def test_trouble_is_met_by_one_call_and_then_by_questions_only(desk, record, portal, clock, trouble):
    portal.add_faults({**TROUBLES[trouble], "times": 1000})
    deliveries = [add(record, lead=n) for n in range(1, 6)]

    pauses = []
    for _ in range(9):
        work_off(desk)
        pauses.append((desk.gate.look().until - clock()).total_seconds())
        clock.now = desk.gate.look().until

    # Half a row of failures later than it could, at most a minute.
    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    attempts = [len(one.attempts) for one in record.deliveries(one.id for one in deliveries)]
    assert attempts == [1, 0, 0, 0, 0]
    assert methods(portal) == {START: 1, TEMPLATES: 8}


@pytest.mark.parametrize("trouble", TROUBLES)
def test_after_trouble_one_delivery_proves_the_portal_and_then_batches_go_on(open_desk, record, portal, clock, trouble):
    desk = open_desk(**BATCHING)
    desk.pace.learn_start(desk.pace.read(), 1, 1)
    portal.add_faults(TROUBLES[trouble])
    first = [add(record, lead=n) for n in range(1, 6)]
    work_off(desk)
    assert not any(one.state is State.STARTED for one in record.deliveries(one.id for one in first))
    later = [add(record, lead=n) for n in range(6, 11)]

    clock.now = desk.gate.look().until
    work_off(desk)

    assert batch_sizes(portal) == [5, 1, 4]
    assert {one.state for one in record.deliveries(one.id for one in later)} == {State.STARTED}
    assert desk.gate.look().is_proven


def test_a_failure_of_a_call_that_began_before_the_last_one_does_not_count_again(open_desk, record, portal, clock):
    seen = open_desk().gate.look()
    for desk in (open_desk(), open_desk(), open_desk()):
        desk.gate.back_off(seen, "not_sent", "", clock())

    assert desk.gate.look().streak == 1
    assert desk.gate.look().until == clock() + FIRST_PAUSE


def test_a_late_failure_does_not_close_what_a_person_has_opened_meanwhile(desk, clock):
    desk.gate.hold(desk.gate.look(), "because", "advice", clock())
    seen = desk.gate.look()
    desk.gate.resume(clock())

    assert not desk.gate.hold(seen, "because", "advice", clock())
    assert desk.gate.look().is_open


def test_trouble_that_comes_back_before_anything_has_succeeded_began_when_it_began(desk, record, portal, clock):
    began = clock()
    portal.add_faults({"kind": "error", "code": "CONNECTION_ERROR", "times": 3, "method": START})
    add(record)
    for _ in range(3):
        work_off(desk)
        assert desk.gate.look().since == began
        clock.advance(3600)

    work_off(desk)

    assert desk.gate.look().is_proven


def test_a_portal_that_cannot_be_reached_at_all_is_asked_all_the_same(open_desk, record, clock):
    with refusing_address() as address:
        desk = open_desk(f"http://{address}")
        delivery = add(record)
        for _ in range(4):
            work_off(desk)
            clock.now = desk.gate.look().until

    assert desk.gate.look().streak == 4
    assert len(record.delivery(delivery.id).attempts) == 1


def test_a_denial_is_of_one_event_until_it_is_of_every_event(desk, record, portal):
    portal.add_faults({"kind": "error", "code": "ACCESS_DENIED", "times": 100})

    states = [send(desk, add(record, lead=n)).state for n in range(1, 10)]

    assert states == [State.DEAD] * DENIED_IN_A_ROW + [State.PENDING] * (9 - DENIED_IN_A_ROW)
    assert (desk.gate.look().state, desk.gate.look().reason) == (GateState.HELD, "access_denied")
    assert alerts(record) == ["portal_held"]


def test_denials_with_a_success_between_them_hold_nothing(desk, record, portal):
    for number in range(12):
        if number % DENIED_IN_A_ROW:
            portal.add_faults({"kind": "error", "code": "ACCESS_DENIED"})
        send(desk, add(record, lead=number + 1))

    assert desk.gate.look().state is GateState.OPEN


def test_a_batch_of_denials_is_as_many_denials(open_desk, record, portal):
    desk = open_desk(user=2, **BATCHING)
    desk.pace.learn_start(desk.pace.read(), 1, 1)
    deliveries = [add(record, lead=n) for n in range(1, 13)]

    send(desk, deliveries[0])

    states = [one.state for one in record.deliveries(one.id for one in deliveries)]
    assert (states, portal.started()) == ([State.DEAD] * 12, [])
    assert desk.gate.look().state is GateState.HELD


BLOCKED = {"kind": "error", "code": "OPERATION_TIME_LIMIT"}


def test_a_spent_time_budget_costs_no_attempt_and_is_tried_again_within_a_minute(desk, record, portal, clock):
    portal.configure(call_cost_s=10)
    send(desk, add(record))
    portal.add_faults({**BLOCKED, "method": START, "times": 100})
    delivery = add(record, lead=2)

    pauses = []
    for _ in range(8):
        work_off(desk)
        pauses.append((desk.gate.look().until - clock()).total_seconds())
        clock.now = desk.gate.look().until

    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60]
    assert desk.gate.look().reason == "operating_time"
    assert (record.delivery(delivery.id).state, record.delivery(delivery.id).attempts) == (State.PENDING, ())
    assert alerts(record) == []


def test_a_spent_time_budget_is_tried_again_no_later_than_the_portal_has_named(desk, record, portal, clock):
    portal.configure(call_cost_s=10)
    send(desk, add(record))
    clock.now = desk.pace.read().reset_at - timedelta(seconds=0.4)
    portal.add_faults(BLOCKED)

    send(desk, add(record, lead=2))

    assert desk.gate.look().until == desk.pace.read().reset_at


def test_a_refusal_that_was_none_of_the_budgets_teaches_no_lower_budget(desk, record, portal, clock):
    portal.configure(call_cost_s=2)
    send(desk, add(record))
    portal.add_faults(BLOCKED)
    send(desk, add(record, lead=2))
    assert desk.pace.read().operating_limit_s == 7

    clock.now = desk.gate.look().until
    work_off(desk)

    assert desk.pace.read().operating_limit_s == 480
    assert desk.gate.look().is_proven


def test_while_nothing_may_be_started_uncertain_ones_are_still_looked_into(desk, record, portal, clock):
    portal.add_faults({"kind": "drop_after_start", "method": START})
    lost = send(desk, add(record))
    clock.now = lost.next_attempt_at
    seen = desk.gate.look()
    desk.gate.open(seen, clock())
    desk.gate.rest(desk.gate.look(), "operating_time", "", clock(), clock() + timedelta(seconds=500))

    assert step(desk)

    assert record.delivery(lost.id).state is State.STARTED
    assert desk.gate.look().state is GateState.PAUSED


def test_a_time_budget_that_is_spent_within_a_batch_leaves_the_rest_of_it_waiting(open_desk, record, portal):
    desk = open_desk(**BATCHING)
    desk.pace.learn_start(desk.pace.read(), 1, 1)
    portal.configure(operating_limit_s=0.5, call_cost_s=0.3)
    deliveries = [add(record, lead=n) for n in range(1, 6)]

    send(desk, deliveries[0])

    states = [one.state for one in record.deliveries(one.id for one in deliveries)]
    assert states == [State.STARTED] * 2 + [State.PENDING] * 3
    assert desk.gate.look().reason == "operating_time"


@pytest.mark.parametrize("profile", ["a", "b"])
def test_sending_stops_short_of_the_limit_and_goes_on_after_it(desk, record, portal, portal_time, profile):
    portal.configure(profile=profile, call_cost_s=50)
    deliveries = [add(record, lead=n) for n in range(1, 15)]

    work_off_until_closed = 0
    for one in deliveries:
        if desk.gate.look().state is GateState.PAUSED:
            break
        send(desk, one)
        work_off_until_closed += 1

    # Ten starts of fifty seconds would be the tenth too many: 480 s are granted, of which five are kept.
    assert work_off_until_closed == 10
    assert "OPERATION_TIME_LIMIT" not in portal.log.counters()["by_code"]
    assert desk.gate.look().reason == "operating_time"

    until = desk.gate.look().until
    portal_time.advance((until - desk.clock()).total_seconds() + 1)
    desk.clock.now = until + timedelta(seconds=1)
    work_off(desk)
    assert {one.state for one in record.deliveries(one.id for one in deliveries)} == {State.STARTED}
    assert "OPERATION_TIME_LIMIT" not in portal.log.counters()["by_code"]


def test_a_limit_that_is_lower_than_the_known_one_is_learnt(desk, record, portal):
    portal.configure(call_cost_s=50, operating_limit_s=120)
    for number in range(1, 5):
        send(desk, add(record, lead=number))

    assert portal.log.counters()["by_code"] == {"OPERATION_TIME_LIMIT": 1}
    assert desk.pace.read().operating_limit_s == 155


def test_two_portals_have_two_gates(desk, record, clock):
    desk.gate.hold(desk.gate.look(), "because", "advice", clock())

    assert Gate(record.redis, "second").look().state is GateState.OPEN
