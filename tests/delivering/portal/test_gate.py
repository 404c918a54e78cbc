"""A portal in trouble waits at its gate: deliveries stay as they were, there is one alarm, and it opens again."""

from __future__ import annotations

from datetime import timedelta

import pytest

from relay.core.lifecycle import State
from relay.store.portals.gate import FIRST_PAUSE, Gate, GateState
from tests.delivering.contexts import BATCHING, QUEUE, add, alerts, batch_sizes, methods, send, work_off
from tests.support.processes import refusing_address
from tests.support.waiting import until
from workers.delivery.worker import step
from workers.portal import gatekeeper
from workers.portal.gatekeeper import DENIED_IN_A_ROW

BROKEN = {"kind": "error", "code": "INVALID_CREDENTIALS", "times": 1000}
START, TEMPLATES = "bizproc.workflow.start", "bizproc.workflow.template.list"


def test_a_portal_is_held_once_and_said_once_and_its_deliveries_wait_as_they_were(context, record, portal):
    portal.add_faults(BROKEN)
    deliveries = [add(record, lead=n) for n in range(1, 6)]

    settled = [send(context, one) for one in deliveries]

    view = context.gate.look()
    assert (view.state, view.reason) == (GateState.HELD, "invalid_credentials")
    assert "webhook" in view.advice
    assert alerts(record) == ["portal_held"]
    assert {one.state for one in settled} == {State.PENDING}
    assert not any(one.attempts for one in settled)
    assert methods(portal) == {"bizproc.workflow.start": 1}
    assert [one.turn for one in settled] == [2, 1, 1, 1, 1], "the others were not even claimed"
    assert record.counts().imbalances == []


def test_every_waiting_one_goes_on_when_the_gate_opens(context, record, portal, clock):
    portal.add_faults(BROKEN)
    deliveries = [send(context, add(record, lead=n)) for n in range(1, 6)]
    portal.faults.clear()

    assert context.gate.resume(clock())
    work_off(context)

    assert {one.state for one in record.deliveries(one.id for one in deliveries)} == {State.STARTED}
    assert len(portal.started()) == 5


def test_a_held_portal_is_asked_once_a_minute_by_one_worker_and_opens_when_it_is_well(
    open_context, record, portal, clock
):
    portal.add_faults({**BROKEN, "method": START})
    one, other = open_context(), open_context()
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


def test_while_one_worker_asks_a_portal_the_others_wait(open_context, record, portal, clock):
    one, other = open_context(), open_context()
    one.gate.hold(one.gate.look(), "because", clock())
    clock.advance(60)
    asked = []
    one.client.call = lambda *call: asked.append(step(other)) or type(one.client).call(one.client, *call)

    assert step(one)

    assert asked == [False]
    assert methods(portal)[TEMPLATES] == 1
    assert record.redis.keys("relay:lease:*") == []


def test_a_worker_that_died_while_it_asked_holds_the_others_up_for_less_than_a_minute(context, record, portal, clock):
    assert gatekeeper.ASKING.total_seconds() < 60
    context.gate.hold(context.gate.look(), "because", clock())
    clock.advance(60)
    record.redis.set("relay:lease:ask:main", "who has died")

    assert not step(context)
    assert methods(portal) == {}
    record.redis.pexpire("relay:lease:ask:main", 1)
    until(lambda: step(context), "the end of the dead worker's lease")

    assert context.gate.look().is_open


OF_THE_PORTAL = [
    {"kind": "html_502"},
    {"kind": "drop_before"},
    {"kind": "not_json"},
    {"kind": "redirect"},
    {"kind": "error", "code": "BRAND_NEW", "status": 403},
    {"kind": "error", "code": "QUERY_LIMIT_EXCEEDED"},
    {"kind": "error", "code": "PAYMENT_REQUIRED"},
]
OF_LESS = [
    {"kind": "error", "code": "ACCESS_DENIED"},
    {"kind": "error", "code": "insufficient_scope"},
    {"kind": "error", "code": "METHOD_CONFIRM_WAITING"},
    {"kind": "error", "code": "OPERATION_TIME_LIMIT"},
    {"kind": "error", "code": "BRAND_NEW"},
    {"kind": "error", "code": "ERROR_CORE"},
]


def _name(fault):
    return fault.get("code", fault["kind"])


@pytest.mark.parametrize("fault", OF_THE_PORTAL, ids=_name)
def test_a_question_that_nobody_answers_or_whose_answer_speaks_of_the_portal_opens_nothing(
    context, portal, clock, fault
):
    context.gate.hold(context.gate.look(), "because", clock())
    clock.advance(60)
    portal.add_faults({**fault, "times": 2})

    assert not step(context)
    assert context.gate.look().state is GateState.HELD
    assert context.gate.look().until == clock() + timedelta(seconds=60)


@pytest.mark.parametrize("fault", OF_LESS, ids=_name)
def test_a_question_whose_answer_speaks_of_less_than_the_portal_opens_it(context, portal, clock, fault):
    """Be it that this credential may not ask: whoever says so is well."""
    context.gate.back_off(context.gate.look(), "cut", clock())
    clock.advance(60)
    portal.add_faults({**fault, "times": 100})

    assert step(context)
    assert context.gate.look().is_open
    assert methods(portal) == {TEMPLATES: 1}


def test_where_a_firewall_does_not_let_one_question_pass_another_is_put(context, portal, clock):
    context.gate.back_off(context.gate.look(), "cut", clock())
    clock.advance(60)
    portal.add_faults({"kind": "error", "code": "BLOCKED", "status": 403, "method": TEMPLATES, "times": 100})

    assert step(context)
    assert methods(portal) == {TEMPLATES: 1, "scope": 1}


def test_before_a_closed_gate_nothing_is_claimed(context, record, portal, clock):
    delivery = add(record)
    context.gate.pause_by_person(clock())

    assert not step(context)
    assert record.delivery(delivery.id) == delivery

    context.gate.resume(clock())
    assert record.redis.llen(QUEUE) == 1, "a person who resumes wakes a worker at once"
    assert step(context)
    assert record.delivery(delivery.id).state is State.STARTED


def test_a_gate_that_closes_while_a_worker_waits_for_its_slot_is_closed_for_it_too(open_context, record, portal, clock):
    context = open_context(rate_per_s=1000.0)
    delivery = add(record)
    wait = context.client.wait

    def wait_long():
        context.gate.pause_by_person(clock())
        return wait()

    context.client.wait = wait_long

    assert not step(context)
    assert record.delivery(delivery.id) == delivery
    assert methods(portal) == {}


def test_what_a_person_has_paused_only_a_person_opens(context, record, portal, clock):
    view = context.gate.look()
    context.gate.pause_by_person(clock())
    delivery = add(record)

    # A call that was on its way when the person paused the portal ends well, or badly.
    context.client.call("scope", {})
    judgement = gatekeeper.Judgement(gatekeeper.Verdict.STARTED, "started")
    gatekeeper.mind(context, view, judgement)
    gatekeeper.mind(context, context.gate.look(), judgement)
    gatekeeper.mind(
        context, view, gatekeeper.Judgement(gatekeeper.Verdict.HELD, "held", concern=gatekeeper.Concern.PORTAL)
    )
    gatekeeper.reopen(context, context.gate.look())

    assert context.gate.look().by_person
    assert context.gate.look().reason == "by_person"
    assert send(context, delivery).state is State.PENDING
    assert methods(portal) == {"scope": 1}
    assert context.gate.resume(clock())
    assert not context.gate.resume(clock())


def test_a_pause_until_a_time_ends_by_itself_when_the_portal_is_well(context, record, portal, clock):
    context.gate.pause_by_person(clock(), clock() + timedelta(hours=1))
    delivery = add(record)

    clock.advance(3599)
    assert not step(context)
    assert methods(portal) == {}
    clock.advance(1)
    assert step(context)

    assert context.gate.look().is_open
    assert send(context, delivery).state is State.STARTED


def test_a_portal_that_is_not_well_when_its_pause_ends_is_in_trouble_since_then(context, portal, clock):
    context.gate.pause_by_person(clock(), clock() + timedelta(hours=1))
    portal.add_faults({"kind": "html_502"})
    clock.advance(3600)

    assert not step(context)

    gate = context.gate.look()
    assert (gate.state, gate.by_person, gate.since) == (GateState.PAUSED, False, clock())


def test_a_person_resumes_a_held_portal(context, clock):
    context.gate.hold(context.gate.look(), "because", clock())

    assert context.gate.resume(clock())
    assert context.gate.look().is_proven


def test_a_pause_never_makes_less_of_a_hold(context, clock):
    context.gate.hold(context.gate.look(), "because", clock())

    assert not context.gate.back_off(context.gate.look(), "not_sent", clock())
    assert context.gate.look().reason == "because"


TROUBLES = {
    "away": {"kind": "drop_before"},
    "a_page": {"kind": "html_503"},
    "too_many": {"kind": "error", "code": "QUERY_LIMIT_EXCEEDED"},
    "not_begun": {"kind": "error", "code": "CONNECTION_ERROR"},
    "half_an_answer": {"kind": "truncated"},
}


@pytest.mark.parametrize("trouble", TROUBLES)
def test_trouble_is_met_by_one_call_and_then_by_questions_only(context, record, portal, clock, trouble):
    portal.add_faults({**TROUBLES[trouble], "times": 1000})
    deliveries = [add(record, lead=n) for n in range(1, 6)]

    pauses = []
    for _ in range(9):
        work_off(context)
        pauses.append((context.gate.look().until - clock()).total_seconds())
        clock.now = context.gate.look().until

    # Half a row of failures later than it could, at most a minute.
    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    attempts = [len(one.attempts) for one in record.deliveries(one.id for one in deliveries)]
    assert attempts == [1, 0, 0, 0, 0]
    assert methods(portal) == {START: 1, TEMPLATES: 8}


@pytest.mark.parametrize("trouble", TROUBLES)
def test_after_trouble_one_delivery_proves_the_portal_and_then_batches_go_on(
    open_context, record, portal, clock, trouble
):
    context = open_context(**BATCHING)
    context.pace.learn_took(context.pace.read(), "1", 1)
    portal.add_faults(TROUBLES[trouble])
    first = [add(record, lead=n) for n in range(1, 6)]
    work_off(context)
    assert not any(one.state is State.STARTED for one in record.deliveries(one.id for one in first))
    later = [add(record, lead=n) for n in range(6, 11)]

    clock.now = context.gate.look().until
    work_off(context)

    assert batch_sizes(portal) == [5, 1, 4]
    assert {one.state for one in record.deliveries(one.id for one in later)} == {State.STARTED}
    assert context.gate.look().is_proven


def test_a_failure_of_a_call_that_began_before_the_last_one_does_not_count_again(open_context, record, portal, clock):
    seen = open_context().gate.look()
    for context in (open_context(), open_context(), open_context()):
        context.gate.back_off(seen, "not_sent", clock())

    assert context.gate.look().streak == 1
    assert context.gate.look().until == clock() + FIRST_PAUSE


def test_a_late_failure_does_not_close_what_a_person_has_opened_meanwhile(context, clock):
    context.gate.hold(context.gate.look(), "because", clock())
    seen = context.gate.look()
    context.gate.resume(clock())

    assert not context.gate.hold(seen, "because", clock())
    assert context.gate.look().is_open


def test_trouble_that_comes_back_before_anything_has_succeeded_began_when_it_began(context, record, portal, clock):
    began = clock()
    portal.add_faults({"kind": "error", "code": "CONNECTION_ERROR", "times": 3, "method": START})
    add(record)
    for _ in range(3):
        work_off(context)
        assert context.gate.look().since == began
        clock.advance(3600)

    work_off(context)

    assert context.gate.look().is_proven


def test_a_portal_that_cannot_be_reached_at_all_is_asked_all_the_same(open_context, record, clock):
    with refusing_address() as address:
        context = open_context(f"http://{address}")
        delivery = add(record)
        for _ in range(4):
            work_off(context)
            clock.now = context.gate.look().until

    assert context.gate.look().streak == 4
    assert len(record.delivery(delivery.id).attempts) == 1


def test_a_denial_is_of_one_event_until_it_is_of_every_event_and_then_of_the_method(context, record, portal, clock):
    portal.add_faults({"kind": "error", "code": "ACCESS_DENIED", "method": START, "times": DENIED_IN_A_ROW + 3})
    deliveries = [add(record, lead=n) for n in range(1, 10)]

    work_off(context)
    states = [one.state for one in record.deliveries(one.id for one in deliveries)]
    assert states == [State.DEAD] * DENIED_IN_A_ROW + [State.PENDING] * (9 - DENIED_IN_A_ROW)
    assert context.gate.look().is_open, "what finds and makes documents goes on"
    assert context.pace.read().methods[START].block.reason == "access_denied"
    assert alerts(record) == ["method_held"]

    for _ in range(8):
        clock.advance(61)
        work_off(context)

    states = [one.state for one in record.deliveries(one.id for one in deliveries)]
    assert states == [State.DEAD] * DENIED_IN_A_ROW + [State.STARTED] * (9 - DENIED_IN_A_ROW)
    assert context.pace.read().methods[START].block is None
    assert alerts(record) == ["method_held"]


def test_those_that_are_denied_hold_up_none_that_is_not(open_context, record, portal, clock):
    """A portal that lets this user start some templates only: each that is denied steps back behind the others."""
    context = open_context()
    portal.configure(missing_documents=[])
    denied = [add(record, lead=n, template=2) for n in range(1, 20)]
    others = [add(record, lead=n) for n in range(21, 41)]
    call = context.client.call

    def deny(method, parameters, *more):
        if parameters.get("TEMPLATE_ID") == 2:
            portal.add_faults({"kind": "error", "code": "ACCESS_DENIED", "method": START})
        return call(method, parameters, *more)

    context.client.call = deny
    for _ in range(30):
        clock.advance(61)
        work_off(context)

    assert {one.state for one in record.deliveries(one.id for one in others)} == {State.STARTED}
    assert State.STARTED not in {one.state for one in record.deliveries(one.id for one in denied)}


def test_denials_with_a_success_between_them_hold_nothing(context, record, portal):
    for number in range(12):
        if number % DENIED_IN_A_ROW:
            portal.add_faults({"kind": "error", "code": "ACCESS_DENIED"})
        send(context, add(record, lead=number + 1))

    assert context.gate.look().state is GateState.OPEN


def test_a_batch_of_denials_is_as_many_denials(open_context, record, portal):
    context = open_context(user=2, **BATCHING)
    context.pace.learn_took(context.pace.read(), "1", 1)
    deliveries = [add(record, lead=n) for n in range(1, 13)]

    send(context, deliveries[0])

    states = [one.state for one in record.deliveries(one.id for one in deliveries)]
    assert (states, portal.started()) == ([State.DEAD] * DENIED_IN_A_ROW + [State.PENDING] * (12 - DENIED_IN_A_ROW), [])
    assert context.pace.read().methods[START].block.reason == "access_denied"


def test_two_portals_have_two_gates(context, record, clock):
    context.gate.hold(context.gate.look(), "because", clock())

    assert Gate(record.redis, "second").look().state is GateState.OPEN
