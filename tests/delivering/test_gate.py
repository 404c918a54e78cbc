"""A portal in trouble waits at its gate: deliveries stay as they were, there is one alarm, and it opens again."""

from __future__ import annotations

from datetime import timedelta

import pytest
from rq.serializers import JSONSerializer

from relay.lifecycle import State
from relay.queueing import queue_name
from relay.store.gate import FIRST_PAUSE, LONGEST_PAUSE, Gate, GateState
from tests.delivering.desks import BATCHING, QUEUE, add, alerts, methods, send, work_off
from tests.support.processes import refusing_address
from workers import porter
from workers.pace import UNKNOWN_RESET
from workers.porter import DENIED_IN_A_ROW, TROUBLES_IN_A_ROW
from workers.worker import PortalWorker

BROKEN = {"kind": "error", "code": "INVALID_CREDENTIALS", "times": 1000}
TEMPLATES = "bizproc.workflow.template.list"


@pytest.fixture
def make_worker(record):
    """Makes workers that stand before the gate; none of them works."""

    def make(desk, name="w"):
        worker = PortalWorker(
            [queue_name("main")], name=name, connection=record.redis, serializer=JSONSerializer, prepare_for_work=False
        )
        worker.desk = desk
        return worker

    return make


def forget_lease(record, task):
    """As if its time had passed."""
    record.redis.delete(f"relay:lease:{task}:main")


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
    # The first has the job that followed its try; the others have theirs still.
    assert [one.turn for one in settled] == [2, 1, 1, 1, 1]
    assert record.counts().imbalances == []


def test_every_waiting_one_goes_on_when_the_gate_opens(desk, record, portal, clock):
    portal.add_faults(BROKEN)
    deliveries = [send(desk, add(record, lead=n)) for n in range(1, 6)]
    portal.faults.clear()

    assert desk.gate.open(clock(), by_person=True)
    work_off(desk)

    assert {one.state for one in record.deliveries(one.id for one in deliveries)} == {State.STARTED}
    assert len(portal.started()) == 5


def test_a_probe_a_minute_opens_the_gate_once_the_portal_accepts_calls_again(desk, record, portal, make_worker):
    portal.add_faults(BROKEN)
    send(desk, add(record))
    one, other = make_worker(desk, "w1"), make_worker(desk, "w2")

    assert not one._may_pass()
    assert methods(portal)[TEMPLATES] == 1
    portal.faults.clear()
    assert not other._may_pass()
    assert methods(portal)[TEMPLATES] == 1

    assert 0 < record.redis.pttl("relay:lease:probe:main") <= 60_000
    forget_lease(record, "probe")
    assert other._may_pass()
    assert desk.gate.look().state is GateState.OPEN
    assert one._may_pass()
    assert (methods(portal)[TEMPLATES], len(portal.started())) == (2, 0)


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
def test_a_probe_that_gets_no_list_opens_nothing(desk, portal, clock, make_worker, fault):
    desk.gate.hold("because", "advice", clock())
    portal.add_faults(fault)

    assert not make_worker(desk)._may_pass()
    assert desk.gate.look().state is GateState.HELD


def test_a_worker_takes_no_job_while_the_gate_is_closed(desk, record, portal, clock, make_worker):
    delivery = add(record)
    desk.gate.pause("by_person", "", clock(), None, by_person=True)
    worker = make_worker(desk)

    assert worker.dequeue_job_and_maintain_ttl(None) is None
    assert record.redis.llen(QUEUE) == 1

    desk.gate.open(clock(), by_person=True)
    job, _ = worker.dequeue_job_and_maintain_ttl(None)
    assert job.args == [delivery.id, 1]
    assert methods(portal) == {}


def test_without_the_record_no_worker_passes(desk, make_worker, valkey, clock):
    desk.gate.pause("because", "", clock(), clock() - timedelta(seconds=1))
    worker = make_worker(desk)
    valkey.make_read_only()

    assert not worker._may_pass()


def test_what_a_person_has_paused_only_a_person_opens(desk, record, portal, clock):
    view = desk.gate.look()
    desk.gate.pause("by_person", "for repairs", clock(), None, by_person=True)
    delivery = add(record)

    # A call that was on its way when the person paused the portal ends well, or badly.
    answer, judgement = desk.line.call("scope", {}), porter.Judgement(porter.Verdict.STARTED, "started", "")
    porter.mind(desk, view, answer, judgement)
    porter.mind(desk, desk.gate.look(), answer, judgement)
    porter.mind(desk, view, answer, porter.Judgement(porter.Verdict.HELD, "held", ""))
    porter.reopen(desk)

    assert desk.gate.look().by_person
    assert desk.gate.look().reason == "by_person"
    assert send(desk, delivery).state is State.PENDING
    assert methods(portal) == {"scope": 1}
    assert desk.gate.open(clock(), by_person=True)
    assert not desk.gate.open(clock(), by_person=True)


def test_a_person_resumes_a_held_portal(desk, clock):
    desk.gate.hold("because", "advice", clock())

    assert desk.gate.open(clock(), by_person=True)
    assert desk.gate.look().state is GateState.OPEN


def test_a_pause_never_makes_less_of_a_hold(desk, clock):
    desk.gate.hold("because", "advice", clock())

    assert not desk.gate.back_off("not_sent", "", clock())
    assert not desk.gate.pause("operating_time", "", clock(), clock())
    assert desk.gate.look().reason == "because"


def test_a_portal_that_cannot_be_reached_is_left_alone_for_longer_each_time(open_desk, record, clock):
    pauses = []
    with refusing_address() as address:
        desk = open_desk(f"http://{address}")
        for number in range(1, 10):
            send(desk, add(record, lead=number))
            pauses.append(desk.gate.look().until - clock())
            clock.now = desk.gate.look().until

    assert pauses == [min(FIRST_PAUSE * 2**n, LONGEST_PAUSE) for n in range(9)]
    assert desk.gate.look().streak == 9


def test_one_success_ends_the_row_of_failures(desk, record, portal, clock):
    portal.add_faults({"kind": "error", "code": "CONNECTION_ERROR", "times": 3})
    for number in range(1, 4):
        send(desk, add(record, lead=number))
        clock.now = desk.gate.look().until

    assert send(desk, add(record)).state is State.STARTED
    assert desk.gate.look() == Gate(record.redis, "elsewhere").look()


def test_when_a_pause_is_over_one_worker_tries_and_the_others_wait(open_desk, record, portal, clock, make_worker):
    desk, other = open_desk(), open_desk()
    one, two = make_worker(desk, "w1"), make_worker(other, "w2")
    portal.add_faults({"kind": "error", "code": "CONNECTION_ERROR", "times": 2})
    send(desk, add(record))
    assert not one._may_pass()

    clock.now = desk.gate.look().until
    assert [one._may_pass(), two._may_pass(), one._may_pass()] == [True, False, False]

    send(desk, add(record, lead=2))
    assert not two._may_pass()
    clock.now = desk.gate.look().until
    assert two._may_pass()
    assert send(other, add(record, lead=3)).state is State.STARTED
    assert [one._may_pass(), two._may_pass()] == [True, True]


@pytest.mark.parametrize("fault", [{"kind": "html_502"}, {"kind": "drop_after_start"}, {"kind": "not_json"}], ids=str)
def test_a_row_of_unreadable_answers_pauses_before_there_are_many_uncertain(desk, record, portal, fault):
    portal.add_faults({**fault, "times": 100})

    states = [send(desk, add(record, lead=n)).state for n in range(1, 10)]

    assert states.count(State.UNCERTAIN) == TROUBLES_IN_A_ROW
    assert desk.gate.look().state is GateState.PAUSED


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


def test_a_spent_time_budget_pauses_until_the_time_that_the_portal_has_named(desk, record, portal):
    portal.configure(call_cost_s=10)
    send(desk, add(record))
    reset_at = desk.pace.read().reset_at
    portal.add_faults(BLOCKED)

    delivery = send(desk, add(record, lead=2))

    view = desk.gate.look()
    assert (delivery.state, delivery.attempts) == (State.PENDING, ())
    assert (view.state, view.reason, view.until) == (GateState.PAUSED, "operating_time", reset_at)
    assert desk.clock() + timedelta(seconds=500) < reset_at <= desk.clock() + timedelta(seconds=620)
    assert alerts(record) == []


def test_or_for_five_minutes_where_it_has_named_none(desk, record, portal, clock):
    portal.configure(operating_limit_s=None)
    send(desk, add(record))
    portal.add_faults(BLOCKED)

    send(desk, add(record, lead=2))

    assert desk.gate.look().until == clock() + UNKNOWN_RESET == clock() + timedelta(seconds=300)


def test_in_a_batch_too(open_desk, record, portal):
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
    left = record.delivery(deliveries[11].id)
    assert send(desk, left).state is State.STARTED
    assert "OPERATION_TIME_LIMIT" not in portal.log.counters()["by_code"]


def test_a_limit_that_is_lower_than_the_known_one_is_learnt(desk, record, portal):
    portal.configure(call_cost_s=50, operating_limit_s=120)
    for number in range(1, 5):
        send(desk, add(record, lead=number))

    assert portal.log.counters()["by_code"] == {"OPERATION_TIME_LIMIT": 1}
    assert desk.pace.read().operating_limit_s == 155


def test_two_portals_have_two_gates(desk, record, clock):
    desk.gate.hold("because", "advice", clock())

    assert Gate(record.redis, "second").look().state is GateState.OPEN
