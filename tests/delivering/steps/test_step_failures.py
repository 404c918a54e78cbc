"""How each step fails, by kind: the state, the words for a person, who else waits, and that it goes on after that.

A plan finds a client and an owner, makes a lead, and starts; each failure hits one of its calls.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from relay.core.lifecycle import State, Verdict
from relay.core.plan import STOP, Many, Step
from relay.core.reasons import explain, explain_attempt
from relay.operations.replay import Replayer
from relay.rules import RuleBook
from relay.store.portals.gate import GateState
from tests.delivering.contexts import BATCHING, add, alerts, methods, send, work_off
from tests.delivering.plans import CLIENT, MADE, OWNER, PHONE, find, fire, make, outcomes, planned

FIND, LIST, USERS, ADD = "crm.duplicate.findbycomm", "crm.item.list", "user.get", "crm.item.add"
START, FIRE = "bizproc.workflow.start", "crm.automation.trigger"
DEAD, PENDING, RETRYING, UNCERTAIN = State.DEAD, State.PENDING, State.RETRYING, State.UNCERTAIN


@dataclass(frozen=True)
class Failure:
    """What goes wrong, and what follows. settings, faults: of the portal. blocked: the method that waits.

    verdict: of the attempt; None: none was spent. seeds: documents that were there. is_of_rule: only another rule or
    another document mends it, not the portal.
    """

    state: State
    reason: str
    verdict: Verdict | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    faults: tuple[Mapping[str, Any], ...] = ()
    steps: tuple[Step, ...] = (CLIENT, OWNER, MADE)
    blocked: str | None = None
    gate: GateState = GateState.OPEN
    seeds: tuple[Mapping[str, Any], ...] = ()
    is_of_rule: bool = False


def error(code: str, method: str, **more: Any) -> tuple[Mapping[str, Any], ...]:
    return ({"kind": "error", "code": code, "method": method, **more},)


TWICE = ({"entityTypeId": 3, "fields": {"name": "Ann"}},) * 2
STOPPING = find("client", "contact", {"phone": PHONE}, none=STOP)
ONLY = find("client", "contact", {"name": "Ann"}, many=Many.STOP)
SMART = make("lead", "dynamic")
REQUIRED = ({"entityTypeId": 1, "name": "ufCrmNeed", "isRequired": True},)
WRONG = make("lead", "lead", {"phone": PHONE, "email": "nobody"})
UNKNOWN_FIELD = find("client", "contact", {"ufCrmNone": "1"})
OF_CRM = ("bizproc", "crm")
AWAY = GateState.PAUSED

FAILURES: dict[str, Failure] = {
    # What the rule says of what was found.
    "nothing found": Failure(DEAD, "nothing_found", Verdict.DONE, steps=(STOPPING, MADE)),
    "several found": Failure(DEAD, "several_found", Verdict.DONE, steps=(ONLY, MADE), seeds=TWICE, is_of_rule=True),
    # What the portal refuses of one document.
    "field required": Failure(DEAD, "crm_field_error_required", Verdict.REJECTED, {"crm_fields": REQUIRED}),
    "field refused": Failure(
        DEAD, "crm_field_error_value_not_valid", Verdict.REJECTED, steps=(OWNER, WRONG), is_of_rule=True
    ),
    "field not a list": Failure(DEAD, "100", Verdict.REJECTED, faults=error("100", ADD)),
    "unknown field": Failure(DEAD, "invalid_arg_value", Verdict.REJECTED, steps=(UNKNOWN_FIELD, MADE), is_of_rule=True),
    "no such kind": Failure(DEAD, "not_found", Verdict.REJECTED, steps=(make("lead", "dynamic", type_id=500),)),
    "plan forbids": Failure(
        DEAD, "create_dynamic_item_restricted", Verdict.REJECTED, {"smart_items_allowed": False}, steps=(OWNER, SMART)
    ),
    "not this user": Failure(DEAD, "access_denied", Verdict.REJECTED, {"crm_may_add": False}),
    "not this user, in Russian": Failure(
        DEAD, "access_denied", Verdict.REJECTED, faults=error("ACCESS_DENIED", ADD, description="Доступ запрещен")
    ),
    "not this user, as a code": Failure(
        DEAD, "access_denied", Verdict.REJECTED, faults=error("Access denied", FIND, status=403)
    ),
    "a firewall": Failure(
        RETRYING, "http_403", Verdict.REJECTED, faults=error("BLOCKED_BY_RULE_7", ADD, status=403)
    ),
    "no such target": Failure(
        DEAD, "target_is_not_found", Verdict.REJECTED, steps=(MADE, fire()),
        faults=error("", FIRE, description="Target is not found."),
    ),
    # What the credential or the plan does not allow for one method: that method waits.
    "scope missing": Failure(PENDING, "insufficient_scope", None, {"scope": ("bizproc",)}, blocked=FIND),
    # user_brief shows no e-mail addresses, and passes over a filter by one without a word: it would find anybody.
    "scope of users too small": Failure(
        DEAD, "filter_ignored", Verdict.REJECTED, {"scope": (*OF_CRM, "user_brief")}, steps=(OWNER, MADE)
    ),
    "scope of users missing": Failure(PENDING, "insufficient_scope", None, {"scope": OF_CRM}, blocked=USERS),
    "license": Failure(PENDING, "wrong_license", faults=error("WRONG_LICENSE", ADD), blocked=ADD),
    "only employees": Failure(
        PENDING, "allowed_only_intranet_user", faults=error("allowed_only_intranet_user", ADD), blocked=ADD
    ),
    "time budget": Failure(PENDING, "operation_time_limit", faults=error("OPERATION_TIME_LIMIT", ADD), blocked=ADD),
    # What holds or slows the whole portal.
    "credential": Failure(
        PENDING, "invalid_credentials", faults=error("INVALID_CREDENTIALS", ADD), gate=GateState.HELD
    ),
    "no subscription": Failure(
        PENDING, "access_denied", gate=GateState.HELD,
        faults=error("ACCESS_DENIED", ADD, description="REST is available only by subscription.", status=401),
    ),
    "throttled": Failure(
        RETRYING, "query_limit_exceeded", Verdict.THROTTLED, faults=error("QUERY_LIMIT_EXCEEDED", ADD), gate=AWAY
    ),
    "away": Failure(
        RETRYING, "connection_error", Verdict.UNREACHABLE, faults=error("CONNECTION_ERROR", FIND), gate=AWAY
    ),
    # What nobody has answered.
    "find unanswered": Failure(
        RETRYING, "find_unanswered", Verdict.UNREACHABLE, faults=({"kind": "drop_before", "method": FIND},), gate=AWAY
    ),
    "find in trouble": Failure(
        RETRYING, "find_unanswered", Verdict.UNREACHABLE, faults=error("ERROR_CORE", USERS)
    ),
    "make unanswered": Failure(
        RETRYING, "made_unknown", Verdict.AMBIGUOUS, faults=({"kind": "drop_after_start", "method": ADD},), gate=AWAY
    ),
    "make in trouble": Failure(RETRYING, "made_unknown", Verdict.AMBIGUOUS, faults=error("ERROR_CORE", ADD)),
    "make with an unknown word": Failure(RETRYING, "made_unknown", Verdict.AMBIGUOUS, faults=error("BRAND_NEW", ADD)),
    "trigger unanswered": Failure(
        UNCERTAIN, "fired_unknown", Verdict.AMBIGUOUS, steps=(MADE, fire()), gate=AWAY,
        faults=({"kind": "drop_after_start", "method": FIRE},),
    ),
    # What hits the start, when the document is made.
    "start refused": Failure(
        DEAD, "error_wrong_workflow_id", Verdict.REJECTED, faults=error("ERROR_WRONG_WORKFLOW_ID", START)
    ),
    "start denied": Failure(DEAD, "access_denied", Verdict.REJECTED, faults=error("ACCESS_DENIED", START)),
}  # fmt: skip


def fail(context, portal, failure):
    """A delivery at the moment of its failure."""
    portal.configure(**failure.settings)
    portal.add_documents(list(failure.seeds))
    portal.add_faults(list(failure.faults))
    delivery = planned(context.record, *failure.steps)
    for _ in range(8):
        delivery = send(context, delivery)
        if delivery.reason:
            return delivery
    raise AssertionError("it does not fail")


@pytest.mark.parametrize("failure", FAILURES.values(), ids=FAILURES)
def test_a_failure_leads_to_its_state_with_words_and_lets_others_go_on(open_context, record, portal, failure):
    context = open_context(rate_per_s=1000.0, burst=100)

    delivery = fail(context, portal, failure)

    assert (delivery.state, delivery.reason) == (failure.state, failure.reason)
    last = delivery.attempts[-1] if delivery.attempts else None
    spent = last.verdict if last and last.verdict is not Verdict.DONE else Verdict.DONE
    assert spent is (failure.verdict or Verdict.DONE)
    assert explain(delivery.reason), "no words for a person"
    kinds = {step.name: step.kind for step in failure.steps}
    failed = [attempt for attempt in delivery.attempts if attempt.verdict is not Verdict.DONE]
    assert all(explain_attempt(attempt, kinds.get(attempt.step)) for attempt in failed)
    blocks = [name for name, method in context.pace.read().methods.items() if method.block]
    assert (blocks, context.gate.look().state) == ([failure.blocked] if failure.blocked else [], failure.gate)
    assert record.counts().imbalances == []
    if failure.gate is GateState.OPEN:
        portal.faults.clear()
        assert send(context, add(record, lead=7, at=delivery.created_at)).state is State.STARTED


MENDED = {name: failure for name, failure in FAILURES.items() if not failure.is_of_rule}


@pytest.mark.parametrize("failure", MENDED.values(), ids=MENDED)
def test_once_it_is_mended_it_goes_on_and_nothing_is_made_twice(open_context, record, portal, clock, failure):
    context = open_context()
    delivery = fail(context, portal, failure)
    before = {name: value for name, (how, value) in outcomes(delivery).items() if how == "made"}

    mend(portal, failure)
    for _ in range(12):
        delivery = go_on(context, delivery, clock)
        if delivery.state is State.STARTED:
            break

    assert delivery.state is State.STARTED
    assert {name: value for name, (_, value) in outcomes(delivery).items() if name in before} == before
    assert {item["times_made"] for item in portal.items.to_json()} <= {1}
    assert len(portal.items.to_json()) == len(portal.started()) == 1


def mend(portal, failure):
    """As a person would: what was forbidden is allowed, what was missing is there."""
    portal.faults.clear()
    usual: Mapping[str, Any] = {
        "scope": ("bizproc", "crm", "user"), "crm_may_add": True, "smart_items_allowed": True, "crm_fields": (),
        "smart_processes": (147, 500),
    }  # fmt: skip
    portal.configure(**usual)
    if failure.reason == "nothing_found":
        portal.add_documents([{"entityTypeId": 3, "fields": {"fm": [{"typeId": "PHONE", "value": PHONE}]}}])


def go_on(context, delivery, clock):
    """When its time has come; a dead one is replayed by a person, an uncertain one is sent again."""
    record = context.record
    if delivery.state is State.DEAD:
        (delivery,) = Replayer(record, {}, RuleBook((), ""), None).replay(delivery.id, current_rules=False)
    if delivery.state is State.UNCERTAIN:
        record.settle(delivery, State.RETRYING, clock())
    clock.now = max(clock.advance(61), delivery.next_attempt_at or delivery.created_at)
    context.gate.resume(clock())
    work_off(context)
    return record.delivery(delivery.id)


def test_a_method_that_is_held_is_said_once_and_asked_again_every_minute_by_one(context, record, portal, clock):
    portal.configure(scope=("bizproc",))
    deliveries = [planned(record, OWNER, MADE) for _ in range(5)]

    for _ in range(4):
        work_off(context)
        clock.advance(60)

    assert alerts(record) == ["method_held"]
    assert methods(portal) == {USERS: 4}
    waiting = record.deliveries([one.id for one in deliveries])
    assert {(one.state, one.attempts) for one in waiting} == {(State.PENDING, ())}


def test_one_method_that_is_refused_holds_up_no_other_in_the_same_batch(open_context, record, portal):
    context = open_context(**BATCHING)
    context.pace.learn_took(context.pace.read(), "1", 10)
    portal.configure(scope=("bizproc", "crm"))
    finding = [planned(record, OWNER, MADE) for _ in range(3)]
    making = [planned(record, MADE) for _ in range(3)]
    starting = [add(record, lead=n) for n in (1, 2, 3)]

    work_off(context)

    states = [[one.state for one in record.deliveries(one.id for one in each)] for each in (finding, making, starting)]
    assert states == [[State.PENDING] * 3, [State.STARTED] * 3, [State.STARTED] * 3]


def test_a_user_to_whom_everything_is_denied_holds_the_method_and_not_the_portal(context, record, portal):
    portal.configure(crm_may_add=False)
    for _ in range(7):
        planned(record, MADE)

    work_off(context)

    states = [one.state for one in record.deliveries(record.page("relay:deliveries"))]
    assert (states.count(State.DEAD), states.count(State.PENDING)) == (5, 2)
    assert context.pace.read().methods[ADD].block.reason == "access_denied"
    assert alerts(record) == ["method_held"]
    assert context.gate.look().is_open


def test_a_portal_without_business_processes_is_asked_whether_it_is_well_and_may_still_fire_triggers(
    context, record, portal, clock
):
    portal.configure(scope=("crm",))
    portal.add_faults([{"kind": "drop_before", "method": FIRE}])
    delivery = send(context, planned(record, MADE, fire("LEAD_1"), template=0))
    while delivery.state is not State.UNCERTAIN:
        delivery = send(context, delivery)
    assert context.gate.look().state is GateState.PAUSED

    clock.now = context.gate.look().until
    work_off(context)

    assert context.gate.look().is_open
