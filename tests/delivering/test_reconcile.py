"""The answer was lost. Did it start? Found out where that can be found out, and never started twice by itself."""

from __future__ import annotations

from datetime import timedelta

import pytest

from relay.core.events import Policy
from relay.core.lifecycle import State, Verdict
from relay.core.reasons import explain
from relay.sandbox import bizproc
from relay.sandbox.workflows import Workflow
from relay.store.portals.gate import GateState
from relay.store.record.record import HARD_DEADLINE
from relay.store.redis import keys
from tests.delivering.contexts import (
    LEAD,
    add,
    alerts,
    look_into,
    make_portal,
    methods,
    send,
    started_documents,
    use_app,
    use_webhook,
    work_off,
)
from tests.delivering.plans import fire, planned
from tests.support.making import bring_to, claim_one
from workers.bitrix24.bizproc import own_id_of
from workers.delivery.deliver import deliver_next
from workers.delivery.reconcile import LONGEST_WAIT, LOOKS, RESENDS
from workers.delivery.retry import BUDGET
from workers.maintenance.repair import sweep
from workers.portal.credentials import Address
from workers.portal.gatekeeper import DENIED_IN_A_ROW

LOST = {"kind": "drop_after_start", "method": "bizproc.workflow.start"}
RESEND = Policy(on_uncertain="resend")
NEVER_RAN = {"kind": "drop_before", "method": "bizproc.workflow.start"}
START, INSTANCES = "bizproc.workflow.start", "bizproc.workflow.instances"


@pytest.fixture
def echo(open_context):
    """A context before a portal that honours ids of ours, which has been seen."""
    context = open_context(own_id="echo")
    context.pace.learn_own_id(context.pace.read(), honoured=True)
    return context


def lose(context, portal, fault=LOST, **options):
    """A delivery whose answer is lost."""
    portal.add_faults(fault)
    delivery = send(context, add(context.record, **options))
    assert delivery.state is State.UNCERTAIN
    context.gate.resume(context.clock())
    return delivery


def look_when_due(context, delivery):
    """Look into it when its time has come; how it is then."""
    context.clock.now = max(context.clock.now, delivery.next_attempt_at or context.clock.now)
    return look_into(context, delivery)


def look_until_decided(context, delivery):
    """Look as often as it is scheduled; the delivery, and how often."""
    for count in range(50):
        if delivery.state is not State.UNCERTAIN or delivery.next_attempt_at is None:
            return delivery, count
        delivery = look_when_due(context, delivery)
    raise AssertionError("it never ends")


def begin(portal, **changes):
    """A workflow that somebody has started just now."""
    now = portal.clock()
    values = {
        "id": "wf.1", "template_id": 1, "document": LEAD, "parameters": {}, "started_by": 1, "started_at": now,
        "saved_at": now, "modified_at": now, "waits": True,
    }  # fmt: skip
    workflow = Workflow(**(values | changes))
    portal.remember(workflow)
    return workflow


def test_a_lost_answer_is_looked_into_after_the_portals_time(context, record, portal, clock):
    delivery = lose(context, portal)

    assert delivery.next_attempt_at == clock.now + timedelta(seconds=60)
    assert look_into(context, delivery) == delivery, "not before its time"


@pytest.mark.parametrize("fault", [LOST, NEVER_RAN], ids=["it_ran", "it_never_ran"])
def test_with_an_id_of_ours_the_same_call_again_makes_exactly_one_workflow(echo, portal, fault):
    delivery = look_when_due(echo, lose(echo, portal, fault))

    assert delivery.state is State.STARTED
    assert delivery.workflow_id == own_id_of(delivery.id)
    assert [workflow["id"] for workflow in portal.started()] == [delivery.workflow_id]
    assert [attempt.verdict for attempt in delivery.attempts][:1] == [Verdict.AMBIGUOUS]
    assert len(delivery.attempts) == 2


def test_an_id_of_ours_that_no_answer_has_confirmed_yet_is_looked_for_and_not_sent(open_context, portal):
    context = open_context(own_id="echo")

    delivery = look_when_due(context, lose(context, portal))

    assert (delivery.state, delivery.workflow_id) == (State.STARTED, own_id_of(delivery.id))
    assert methods(portal) == {START: 1, INSTANCES: 1}
    assert context.pace.read().own_id == "honoured"


def test_without_an_id_of_ours_what_was_started_is_found_among_the_running(context, portal):
    delivery = look_when_due(context, lose(context, portal))

    assert (delivery.state, delivery.reason) == (State.STARTED, "found_running")
    assert [workflow["id"] for workflow in portal.started()] == [delivery.workflow_id]
    assert methods(portal) == {START: 1, INSTANCES: 1}


OTHERS = {
    "a_neighbour_of_the_wildcard": {"document": (*LEAD[:2], "LEADX1")},
    "another_kind_of_document": {"document": ("crm", "CCrmDocumentDeal", "LEAD_1")},
    "another_module": {"document": ("lists", *LEAD[1:])},
    "another_starter": {"started_by": 2},
    "another_template": {"template_id": 2},
    "started_before_the_call": {"saved_at": -6.5},
    "started_long_after_the_call": {"saved_at": 75.0},
}


@pytest.mark.parametrize(("fault", "is_found"), [(LOST, True), (NEVER_RAN, False)], ids=["it_ran", "it_never_ran"])
def test_with_the_tokens_of_an_application_a_workflow_that_somebody_else_has_started_is_none_of_ours(
    open_context, sandbox, portal, fault, is_found
):
    context = open_context(address=use_app(sandbox.url))
    begin(portal, started_by=2)

    delivery, _ = look_until_decided(context, lose(context, portal, fault))

    assert delivery.workflow_id != "wf.1"
    assert (delivery.state is State.STARTED, delivery.state is State.UNCERTAIN) == (is_found, not is_found)


def test_who_cannot_be_told_from_others_takes_none_of_the_running_workflows(open_context, sandbox, portal):
    context = open_context(address=use_app(sandbox.url))
    portal.add_faults({"kind": "error", "code": "INTERNAL_SERVER_ERROR", "method": "profile", "times": 100})
    begin(portal, started_by=2)

    delivery, _ = look_until_decided(context, lose(context, portal, NEVER_RAN))

    assert (delivery.state, delivery.workflow_id) == (State.UNCERTAIN, None)


@pytest.mark.parametrize("is_doubt", [False, True], ids=["to_be_sent", "to_be_looked_into"])
def test_nothing_is_taken_in_hand_once_a_person_has_paused_the_portal(context, record, portal, clock, is_doubt):
    delivery = lose(context, portal) if is_doubt else add(record)
    seen = context.survey()
    context.gate.pause_by_person(clock())
    clock.advance(60)

    assert seen.gate.is_open
    assert not (record.look("main", clock()) if is_doubt else deliver_next(context, seen))
    assert record.delivery(delivery.id) == delivery


@pytest.mark.parametrize("profile", ["a", "b"])
@pytest.mark.parametrize("what", OTHERS)
def test_a_workflow_that_is_none_of_ours_is_not_taken(context, portal, portal_time, profile, what):
    portal.configure(profile=profile)
    changes = dict(OTHERS[what])
    if "saved_at" in changes:
        changes["saved_at"] = changes["started_at"] = portal.clock() + changes["saved_at"]
    begin(portal, **changes)
    delivery = lose(context, portal, NEVER_RAN)
    portal_time.advance(100)

    delivery = look_when_due(context, delivery)

    assert (delivery.state, delivery.reason, delivery.looks) == (State.UNCERTAIN, "not_seen_yet", 1)
    assert delivery.workflow_id is None


def test_of_two_that_could_be_ours_the_one_that_nobody_has_is_taken(context, record, portal):
    first = send(context, add(record))
    delivery = lose(context, portal)

    delivery = look_when_due(context, delivery)

    assert len(portal.started()) == 2
    assert delivery.workflow_id == next(w["id"] for w in portal.started() if w["id"] != first.workflow_id)


def test_a_workflow_of_another_delivery_is_not_taken(context, record, portal):
    send(context, add(record))

    delivery = look_when_due(context, lose(context, portal, NEVER_RAN))

    assert (delivery.state, delivery.workflow_id) == (State.UNCERTAIN, None)


def test_of_two_lost_answers_the_one_that_ran_gets_its_workflow_and_the_other_none(context, record, portal):
    one, two = lose(context, portal), lose(context, portal, NEVER_RAN)
    (its_own,) = (workflow["id"] for workflow in portal.started())

    one, two = (look_when_due(context, each) for each in (one, two))  # in the order in which they are due

    assert (one.state, one.workflow_id) == (State.STARTED, its_own)
    assert (two.state, two.workflow_id) == (State.UNCERTAIN, None)
    assert record.delivery_of_workflow(its_own) == one.id
    assert len(portal.started()) == 1


@pytest.mark.parametrize("looked_into", ["in_their_order", "the_later_one_first"])
def test_of_two_lost_answers_that_both_ran_each_gets_the_workflow_of_its_own_time(
    context, portal, portal_time, looked_into, monkeypatch
):
    record = context.record
    monkeypatch.setattr("workers.bitrix24.client.utc_now", context.clock)
    one = lose(context, portal)
    context.clock.advance(5)
    portal_time.advance(5)
    two = lose(context, portal)
    later, earlier = (workflow["id"] for workflow in portal.started())

    if looked_into == "in_their_order":
        one, two = look_when_due(context, one), look_when_due(context, two)
    else:
        record.redis.zadd(keys.DOUBTFUL + "main", {two.id: 0})
        two, one = look_when_due(context, two), look_when_due(context, one)

    assert (one.workflow_id, two.workflow_id) == (earlier, later)
    assert (record.delivery_of_workflow(earlier), record.delivery_of_workflow(later)) == (one.id, two.id)


def test_whoever_looks_with_a_token_cannot_tell_whose_it_is_but_still_compares_the_rest(record, sandbox, open_context):
    address = use_webhook(sandbox.url)
    assert Address(make_portal(), f"{sandbox.url}/rest/").user_id is None
    context = open_context(address=address)
    begin(sandbox.portal, document=(*LEAD[:2], "LEAD_2"))

    assert look_when_due(context, lose(context, sandbox.portal, NEVER_RAN)).state is State.UNCERTAIN


def test_one_that_is_still_in_its_first_leg_is_found_at_a_later_look(context, portal, portal_time, clock):
    portal.add_templates({"id": 20, "document_type": ["crm", "CCrmDocumentLead", "LEAD"], "first_leg_s": 50})
    delivery = lose(context, portal, template=20)

    early = look_when_due(context, delivery)
    portal_time.advance(60)
    clock.now = early.next_attempt_at
    late = look_when_due(context, early)

    assert (early.state, early.reason) == (State.UNCERTAIN, "not_seen_yet")
    assert (late.state, late.reason) == (State.STARTED, "found_running")


@pytest.mark.parametrize("fault", [LOST, NEVER_RAN], ids=["it_ran", "it_never_ran"])
def test_what_cannot_be_found_out_is_left_to_a_person(context, record, portal, clock, fault):
    portal.configure(instances_visible=False)

    delivery, looks = look_until_decided(context, lose(context, portal, fault))

    assert looks == LOOKS
    assert (delivery.state, delivery.reason) == (State.UNCERTAIN, "not_seen_running")
    assert alerts(record) == ["uncertain"]
    assert record.look("main", clock.now + timedelta(days=3650)) is None
    assert record.counts().imbalances == []


def test_a_rule_that_says_so_has_it_sent_again(context, portal):
    portal.configure(instances_visible=False)
    lost = lose(context, portal, policy=Policy(on_uncertain="resend"))

    delivery, looks = look_until_decided(context, lost)
    again = send(context, delivery)

    assert looks == LOOKS
    assert (delivery.state, delivery.reason) == (State.RETRYING, "resent_not_seen_running")
    assert again.state is State.STARTED
    assert started_documents(portal) == ["LEAD_1", "LEAD_1"]


def test_a_rule_has_it_sent_again_no_more_often_than_any_call_is_tried_and_then_a_person_decides(context, portal):
    portal.configure(instances_visible=False)
    portal.add_faults({**LOST, "times": 1_000})
    delivery, count = send(context, add(context.record, policy=RESEND)), 1

    for _ in range(3 * BUDGET):
        context.gate.resume(context.clock())
        delivery, _ = look_until_decided(context, delivery)
        if delivery.state is not State.RETRYING:
            break
        delivery, count = send(context, delivery), count + 1

    assert count == BUDGET == len(portal.started()) == len(delivery.attempts)
    assert (delivery.state, delivery.reason, delivery.next_attempt_at) == (State.UNCERTAIN, "resends_spent", None)
    assert "may have started" in explain(delivery.reason)
    assert alerts(context.record) == ["uncertain"]


def test_what_was_sent_again_and_is_refused_now_is_not_given_up_for_the_first_call_may_have_started(context, portal):
    portal.configure(instances_visible=False)
    resent, _ = look_until_decided(context, lose(context, portal, policy=RESEND))
    portal.configure(missing_documents=(1,))

    delivery = send(context, resent)

    assert started_documents(portal) == ["LEAD_1"]
    assert (delivery.state, delivery.reason) == (State.UNCERTAIN, "incorrect_document_type")
    assert [one.verdict for one in delivery.attempts] == [Verdict.AMBIGUOUS, Verdict.REJECTED]
    assert alerts(context.record) == ["uncertain"]
    assert context.record.unresolved_uncertain() == 1


def test_a_trigger_that_was_fired_again_and_is_refused_now_is_not_given_up_either(context, portal):
    portal.add_faults({"kind": "drop_after_start", "method": "crm.automation.trigger"})
    lost = send(context, planned(context.record, fire("LEAD_1"), lead=1, policy=RESEND))
    context.gate.resume(context.clock())
    resent, _ = look_until_decided(context, lost)
    portal.add_faults({"kind": "error", "code": "ERROR_NOT_FOUND", "method": "crm.automation.trigger"})

    delivery = send(context, resent)

    assert len(portal.triggers) == 1
    assert (delivery.state, delivery.reason) == (State.UNCERTAIN, "error_not_found")


def test_what_a_person_has_sent_again_and_is_refused_then_is_dead(context, portal):
    portal.configure(instances_visible=False)
    undecided, _ = look_until_decided(context, lose(context, portal))
    context.record.settle(undecided, State.RETRYING, context.clock(), reason="settled_by_person")
    portal.configure(missing_documents=(1,))

    assert send(context, undecided).state is State.DEAD


def test_a_trigger_is_fired_again_no_more_often_either(context, portal):
    portal.add_faults({"kind": "drop_after_start", "method": "crm.automation.trigger", "times": 1_000})
    delivery = send(context, planned(context.record, fire("LEAD_1"), lead=1, policy=RESEND))

    for _ in range(3 * BUDGET):
        context.gate.resume(context.clock())
        delivery, _ = look_until_decided(context, delivery)
        if delivery.state is not State.RETRYING:
            break
        delivery = send(context, delivery)

    assert len(portal.triggers) == BUDGET
    assert (delivery.state, delivery.reason) == (State.UNCERTAIN, "resends_spent")


def test_a_rule_that_says_so_gives_it_up(context, portal):
    portal.configure(instances_visible=False)

    delivery, _ = look_until_decided(context, lose(context, portal, policy=Policy(on_uncertain="give_up")))

    assert (delivery.state, delivery.reason) == (State.DEAD, "given_up_not_seen_running")
    assert len(portal.started()) == 1


def test_looks_get_rarer_and_end(context, portal, clock):
    delivery, waits = lose(context, portal, NEVER_RAN), []
    while delivery.next_attempt_at:
        waits.append(delivery.next_attempt_at - clock.now)
        clock.now = delivery.next_attempt_at
        delivery = look_when_due(context, delivery)

    assert waits == [timedelta(seconds=seconds) for seconds in (60, 120, 240)]
    assert methods(portal)[INSTANCES] == LOOKS


def test_the_same_id_is_sent_again_only_so_often(echo, portal):
    portal.add_faults({"kind": "html_502", "times": 100})
    delivery = send(echo, add(echo.record))
    assert delivery.next_attempt_at == echo.clock() + timedelta(seconds=10), "its page came at once: it has ended"

    count = 0
    while delivery.next_attempt_at and count < 50:
        echo.clock.now = delivery.next_attempt_at
        wait = delivery.next_attempt_at
        echo.record.redis.delete(keys.GATE + "main")
        delivery = look_when_due(echo, delivery)
        assert delivery.next_attempt_at is None or delivery.next_attempt_at - wait <= LONGEST_WAIT
        count += 1

    assert count == RESENDS
    assert (delivery.state, delivery.reason) == (State.UNCERTAIN, "unreadable")
    assert portal.started() == []


def test_an_owner_who_may_start_but_not_list_leaves_it_to_a_person_and_holds_nothing(context, portal):
    portal.add_faults({"kind": "error", "code": "ACCESS_DENIED", "method": INSTANCES, "times": 100})

    for _ in range(DENIED_IN_A_ROW + 1):
        delivery = lose(context, portal)
        context.clock.now = delivery.next_attempt_at
        delivery = look_when_due(context, delivery)
        assert (delivery.state, delivery.reason) == (State.UNCERTAIN, "not_visible_access_denied")
        assert delivery.next_attempt_at is None

    assert context.gate.look().state is GateState.OPEN


def test_a_portal_that_never_answers_a_look_is_asked_only_so_often(context, portal):
    delivery, count = lose(context, portal), 0
    portal.add_faults({"kind": "html_502", "method": INSTANCES, "times": 100})

    while delivery.next_attempt_at and count < 50:
        context.clock.now = delivery.next_attempt_at
        context.record.redis.delete(keys.GATE + "main")
        delivery, count = look_when_due(context, delivery), count + 1

    assert count == RESENDS
    assert delivery.state is State.UNCERTAIN
    assert methods(portal) == {START: 1, INSTANCES: RESENDS}


def test_a_refusal_now_says_nothing_of_the_first_time(echo, portal):
    delivery = lose(echo, portal)
    portal.configure(missing_documents=[1])

    delivery = look_when_due(echo, delivery)

    assert (delivery.state, delivery.workflow_id) == (State.UNCERTAIN, None)
    assert delivery.next_attempt_at is None


@pytest.mark.parametrize(
    ("code", "gate"),
    [
        ("INVALID_CREDENTIALS", GateState.HELD),
        ("QUERY_LIMIT_EXCEEDED", GateState.PAUSED),
        ("CONNECTION_ERROR", GateState.PAUSED),
    ],
)
@pytest.mark.parametrize("own_id", ["echo", "off"])
def test_a_portal_that_cannot_be_asked_costs_no_look(open_context, portal, code, gate, own_id):
    context = open_context(own_id=own_id)
    context.pace.learn_own_id(context.pace.read(), honoured=own_id == "echo")
    delivery = lose(context, portal)
    portal.add_faults({"kind": "error", "code": code})

    delivery = look_when_due(context, delivery)

    assert (delivery.state, delivery.looks) == (State.UNCERTAIN, 0)
    assert delivery.next_attempt_at is not None
    assert context.gate.look().state is gate


@pytest.mark.parametrize("own_id", ["off", "echo"])
def test_a_method_that_never_has_time_for_a_look_is_asked_only_so_often(open_context, portal, own_id):
    context = open_context(own_id=own_id)
    delivery = lose(context, portal)
    portal.add_faults({"kind": "error", "code": "OPERATION_TIME_LIMIT", "method": INSTANCES, "times": 1_000})

    delivery, count = look_until_decided(context, delivery)

    assert count == RESENDS
    assert (delivery.state, delivery.reason) == (State.UNCERTAIN, "operation_time_limit")
    assert context.gate.look().is_open


REFUSALS = {
    "method_confirm_waiting": {"kind": "error", "code": "METHOD_CONFIRM_WAITING", "status": 401},
    "error_method_not_found": {"kind": "error", "code": "ERROR_METHOD_NOT_FOUND"},
    "insufficient_scope": {"kind": "error", "code": "insufficient_scope"},
    "access_denied": {"kind": "error", "code": "ACCESS_DENIED"},
    "http_403": {"kind": "error", "code": "BLOCKED_BY_RULE_7", "status": 403},
}


@pytest.mark.parametrize("reason", REFUSALS)
def test_a_look_that_is_refused_is_the_business_of_that_method_and_ends_with_a_person(context, record, portal, reason):
    delivery = lose(context, portal)
    portal.add_faults({**REFUSALS[reason], "method": INSTANCES, "times": 10_000})
    others = [add(record, lead=n, at=context.clock()) for n in range(2, 12)]

    context.clock.advance(61)
    work_off(context)

    delivery = record.delivery(delivery.id)
    assert (delivery.state, delivery.reason) == (State.UNCERTAIN, f"not_visible_{reason}")
    assert (delivery.next_attempt_at, record.unresolved_uncertain()) == (None, 1)
    assert {one.state for one in record.deliveries(one.id for one in others)} == {State.STARTED}
    assert (context.gate.look().is_open, methods(portal)[INSTANCES]) == (True, 1)


def test_at_a_closed_gate_nobody_is_asked(context, record, portal, clock):
    delivery = lose(context, portal)
    context.gate.hold(context.gate.look(), "because", clock())

    assert look_when_due(context, delivery) == delivery
    assert methods(portal) == {START: 1}


def test_a_portal_that_stops_honouring_our_ids_may_have_started_it_twice_and_that_is_said(
    echo, record, portal, monkeypatch
):
    delivery = lose(echo, portal)
    monkeypatch.setattr(bizproc, "OWN_ID", "SomethingElse")

    delivery = look_when_due(echo, delivery)

    assert delivery.state is State.STARTED
    assert delivery.workflow_id in {workflow["id"] for workflow in portal.started()}
    assert alerts(record) == ["own_id_ignored"]
    assert echo.pace.read().own_id == "ignored"


def die_in_mid_call(context, portal, clock, *, own_id):
    """A worker claims, calls, and dies before it can write what came of it."""
    delivery = add(context.record)
    claimed = claim_one(context.record, delivery, clock())
    chosen = {"id": own_id_of(delivery.id)} if own_id else {}
    begin(portal, **chosen)
    clock.now += HARD_DEADLINE + timedelta(seconds=20)
    sweep(context.record, clock(), {})
    swept = context.record.delivery(claimed.id)
    assert (swept.state, swept.reason) == (State.UNCERTAIN, "worker_died")
    return swept


@pytest.mark.parametrize("own_id", [False, True])
def test_a_worker_that_died_in_mid_call_is_followed_up(open_context, portal, clock, own_id):
    context = open_context(own_id="echo" if own_id else "off")
    delivery = die_in_mid_call(context, portal, clock, own_id=own_id)

    delivery = look_when_due(context, delivery)

    assert (delivery.state, delivery.reason) == (State.STARTED, "found_running")
    assert len(portal.started()) == 1


def test_a_worker_that_died_after_an_earlier_attempt_is_followed_up_too(context, record, portal, clock, portal_time):
    portal.add_faults({"kind": "error", "code": "QUERY_LIMIT_EXCEEDED"})
    delivery = send(context, add(record))
    context.gate.resume(clock())
    clock.advance(7200)
    portal_time.advance(7200)
    claimed = claim_one(record, delivery, clock())
    begin(portal)
    clock.now += HARD_DEADLINE + timedelta(seconds=1)
    sweep(record, clock(), {})

    delivery = look_when_due(context, record.delivery(claimed.id))

    assert (delivery.state, delivery.workflow_id) == (State.STARTED, "wf.1")


def test_what_a_dead_worker_did_not_start_is_sent_under_our_id_once(echo, portal, clock):
    delivery = add(echo.record)
    claim_one(echo.record, delivery, clock(), echo.manner)
    clock.now += HARD_DEADLINE + timedelta(seconds=1)
    sweep(echo.record, clock(), {})

    work_off(echo)

    assert echo.record.delivery(delivery.id).state is State.STARTED
    assert len(portal.started()) == 1


@pytest.mark.parametrize("state", sorted(set(State) - {State.UNCERTAIN}))
def test_one_that_is_not_uncertain_is_not_looked_into(context, record, portal, state):
    delivery = bring_to(record, state)
    record.redis.zadd(keys.DOUBTFUL + "main", {delivery.id: 0})

    assert look_into(context, delivery) == delivery
    assert methods(portal) == {}


def test_on_a_busy_document_ours_is_found_behind_fifty_others(context, portal, portal_time):
    delivery = lose(context, portal)
    for number in range(120):
        begin(portal, id=f"wf.{number}", started_by=2, saved_at=portal.clock() + 5)
    portal_time.advance(10)

    delivery = look_when_due(context, delivery)

    assert (delivery.state, delivery.reason) == (State.STARTED, "found_running")
    assert delivery.workflow_id not in {f"wf.{number}" for number in range(120)}
    assert methods(portal)[INSTANCES] > 1


def test_where_not_all_can_be_seen_nothing_is_sent_again(context, portal, monkeypatch):
    monkeypatch.setattr("workers.delivery.reconcile.PAGES", 2)
    delivery = lose(context, portal, NEVER_RAN, policy=Policy(on_uncertain="resend"))
    for number in range(120):
        begin(portal, id=f"wf.{number}", started_by=2)

    delivery = look_when_due(context, delivery)

    assert (delivery.state, delivery.reason) == (State.UNCERTAIN, "too_many_running")
    assert delivery.next_attempt_at is None
    assert methods(portal) == {START: 1, INSTANCES: 2}


def test_with_an_unconfirmed_own_id_two_lost_ones_of_a_document_each_get_their_own(open_context, record, portal):
    """A has started, B has not: whoever looks first, B must not take A's."""
    context = open_context(own_id="echo")
    a = lose(context, portal)
    b = lose(context, portal, NEVER_RAN)
    record.redis.zadd(keys.DOUBTFUL + "main", {b.id: 0})

    b = look_when_due(context, b)
    assert (b.state, b.workflow_id) == (State.UNCERTAIN, None)
    assert context.pace.read().own_id == "honoured", "A's id among the running ones proves it"
    a = look_when_due(context, a)
    b = look_when_due(context, b)

    assert (a.state, a.workflow_id) == (State.STARTED, own_id_of(a.id))
    assert (b.state, b.workflow_id) == (State.STARTED, own_id_of(b.id))
    assert len(portal.started()) == 2


def test_a_workflow_that_is_on_record_as_anothers_leaves_it_to_a_person_once(echo, record, portal):
    delivery = lose(echo, portal)
    record.redis.hset(keys.WORKFLOWS, own_id_of(delivery.id), "dlv_another")

    delivery = look_when_due(echo, delivery)

    assert (delivery.state, delivery.reason, delivery.next_attempt_at) == (State.UNCERTAIN, "workflow_of_another", None)
    assert alerts(record) == ["uncertain"]
    assert record.counts().imbalances == []


@pytest.mark.parametrize(
    ("kind", "seconds"),
    [("html_502", 10), ("html_503", 10), ("not_json", 10), ("html_504", 60), ("drop_before", 60), ("cut", 60)],
)
def test_a_page_that_came_at_once_is_asked_about_soon_and_what_may_still_run_is_not(
    context, portal, clock, kind, seconds
):
    delivery = lose(context, portal, {"kind": kind, "method": START})

    assert delivery.next_attempt_at == clock() + timedelta(seconds=seconds)
