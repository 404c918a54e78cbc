"""Reconciliation: after a lost answer, ask the portal whether the workflow started, and decide or leave it to a person.

With an own id that the portal honours, the same call is sent again under the same id: it starts now, or the portal says
that it exists already; never twice. Without one, the running workflows are searched. A match means started; no match
proves nothing, for an ended workflow is in no list (docs: api-reference/bizproc/bizproc-workflow-instances.md).
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from relay.configuration.portals import OwnIds
from relay.core.errors import WorkflowTaken
from relay.core.events import Delivery, OnUncertain
from relay.core.labels import GIVEN_UP, NOT_VISIBLE, RESENT
from relay.core.lifecycle import State, Verdict
from relay.core.telemetry import get_logger
from relay.store.portals.gate import View
from relay.store.portals.learned import Learned
from relay.store.record.entries import Settlement
from workers.bitrix24 import bizproc
from workers.bitrix24.bizproc import Instance
from workers.bitrix24.client import Answer, Fault
from workers.bitrix24.verdicts import FIRED_UNKNOWN, Concern, Judgement, Remedy, judge
from workers.delivery.deliver import (
    ASK_WITHIN_S,
    QUICK_SETTLE,
    TAKEN,
    CallAttempt,
    NextCall,
    own_id,
    settles_in,
    write_all,
)
from workers.delivery.retry import BUDGET
from workers.portal import gatekeeper
from workers.portal.claims import KEEPER, LAPSES_IN, Lease
from workers.portal.client import SEND_WITHIN_S
from workers.portal.context import Context
from workers.portal.pace import HONOURED, IGNORED

LOOKS = 3
"""Searches of the running workflows before the rule's `on_uncertain` decides."""
RESENDS = 12
"""Questions, or calls under the same id, while the portal does not answer clearly."""
PROFILE = "profile"
PAGES = 20
"""Pages of fifty workflows that are read, newest first. A document with more of them is left to a person."""
NEIGHBOURS = 200
"""Other deliveries of the same document whose own ids are compared."""
LOOKED = Judgement(Verdict.STARTED, "looked")
LONGEST_WAIT = timedelta(hours=6)

log = get_logger()


@dataclass(frozen=True, slots=True)
class Case:
    """One uncertain delivery that this worker has claimed. began: time of the claim, by the monotonic clock."""

    context: Context
    delivery: Delivery
    began: float
    lease: Lease

    @property
    def called_at(self) -> datetime:
        """Time of the call whose answer was lost."""
        return self.delivery.attempts[-1].at if self.delivery.attempts else self.delivery.updated_at

    def judge(self, answer: Answer) -> Judgement:
        """The judgement of an answer; a harmless question resolves an unclear concern."""

        def not_after() -> float:
            return min(self.lease.not_after(), self.began + ASK_WITHIN_S)

        return gatekeeper.resolve(self.context, [judge(answer)], not_after)[0]

    def write(self, state: State, reason: str = "", **what: object) -> None:
        """Settle it. Raises WorkflowTaken where another delivery has this workflow on record."""
        settlement = Settlement(self.delivery, state, reason, **what)  # type: ignore[arg-type] # by name
        for result in write_all(self.context, [settlement], self.began):
            if isinstance(result, WorkflowTaken):
                raise result


def reconcile_next(context: Context) -> bool:
    """Look into the next due uncertain delivery, if the gate is open. Returns whether there was one."""
    if not context.record.doubtful(context.portal.name, context.clock()):
        return False
    learned = context.pace.read()
    context.client.wait()
    seen = context.gate.look()
    if not seen.is_open:
        return False
    began = time.monotonic()
    delivery = context.record.look(context.portal.name, context.clock(), lapses_in=LAPSES_IN)
    if delivery is None:
        return False
    lease = Lease(context.record, context.clock, [delivery], began, SEND_WITHIN_S, is_doubt=True)
    with KEEPER.holding(lease):
        _look_into(Case(context, delivery, began, lease), learned, seen)
    return True


def _look_into(case: Case, learned: Learned, seen: View) -> None:
    context, delivery = case.context, case.delivery
    if delivery.next_step:
        # The portal cannot tell whether a trigger was fired (docs: crm-automation-trigger.md).
        _decide(case, FIRED_UNKNOWN)
        return
    sends_again = may_send_again(context, delivery, learned)
    start = learned.methods.get(bizproc.START)
    if sends_again and start and (until := start.waits_until(context.clock(), learned.granted_s)):
        case.write(State.UNCERTAIN, delivery.reason or "", next_at=until, looks=delivery.looks)
        return
    judgement = _send_again(case, learned) if sends_again else _look(case, learned)
    gatekeeper.mind(context, seen, judgement)


def may_send_again(context: Context, delivery: Delivery, learned: Learned) -> bool:
    """Whether the same call under the same id is safe, because it cannot start a second workflow.

    The lost call itself must have carried the id to this address: the configuration and the portal may have changed.
    """
    mark = context.address.mark
    is_wanted = context.portal.own_id is OwnIds.ECHO
    return is_wanted and delivery.own_id_at == mark and learned.echo_at(mark) is HONOURED


def _send_again(case: Case, learned: Learned) -> Judgement:
    context, delivery = case.context, case.delivery
    chosen = bizproc.own_id_of(delivery.id)
    call = NextCall(delivery, bizproc.START, bizproc.start_parameters(delivery.call_as_sent, chosen))
    answer = context.client.call(call.method, call.parameters, case.lease.not_after)
    judgement = case.judge(answer)
    attempt = CallAttempt(call, answer, judgement).attempt
    gatekeeper.mind_method(context, learned, bizproc.START, [judgement])
    if judgement.verdict is Verdict.STARTED:
        if judgement.workflow_id != chosen:
            # The portal no longer honours our ids and may have started this one twice: alert, and never resend again.
            context.pace.learn_own_id(context.pace.read(), honoured=False)
            context.gate.alert("own_id_ignored", context.clock(), delivery=delivery.id)
        _started(case, "", judgement.workflow_id, attempt=attempt)
    elif judgement.remedy is Remedy.OWN_ID_EXISTS:
        _started(case, "started_before", chosen, attempt=attempt)
    elif judgement.verdict is Verdict.REJECTED:
        # A refusal now says nothing about the first call: the document may have gone since.
        _decide(case, judgement.reason)
    else:
        _ask_again(case, answer, judgement)
    return judgement


def _look(case: Case, learned: Learned) -> Judgement:
    """Look for the workflow with our own id, then for one that can only be this delivery's.

    A workflow with our own id also proves that the portal honours own ids.
    """
    context, delivery = case.context, case.delivery
    patience = timedelta(seconds=context.portal.settle_after_s)
    chosen = own_id(delivery)
    if chosen and context.pace.read().echo_at(context.address.mark) is not IGNORED:
        answer = context.client.call(bizproc.INSTANCES, bizproc.instance_parameters(chosen))
        if any(one.id == chosen for one in bizproc.instances_of(answer.result)):
            context.pace.learn_own_id(context.pace.read(), honoured=True)
            _started(case, "found_running", chosen)
            return _looked(case, learned)
        if not isinstance(answer.result, list):
            return _unanswered(case, learned, answer)
        context.client.wait()
    found, is_whole, answer = _find(case)
    if found:
        try:
            case.write(State.STARTED, "found_running", workflow_id=found.id)
        except WorkflowTaken:
            _later(case, "not_seen_yet", delivery.looks, patience)  # another delivery got there first
        return _looked(case, learned)
    if not isinstance(answer.result, list):
        return _unanswered(case, learned, answer)
    if not is_whole:
        _leave(case, "too_many_running")
    elif delivery.looks + 1 >= LOOKS:
        _decide(case, "not_seen_running")
    else:
        _later(case, "not_seen_yet", delivery.looks + 1, patience)
    return _looked(case, learned)


def _find(case: Case) -> tuple[Instance | None, bool, Answer]:
    """A running workflow that can only be this delivery's; whether all were seen; the last answer.

    Of several, the first after the call: a later call on the same document has one of its own.
    """
    context, delivery, start = case.context, case.delivery, 0
    user_id = context.address.user_id
    if user_id is None:  # an application's tokens do not name their user
        answer = context.client.call(PROFILE, {})
        user_id = _user_of(answer)
        if user_id is None:
            return None, False, answer
        context.client.wait()
    free: list[Instance] = []
    others = _own_ids_of_others(case)
    for _ in range(PAGES):
        parameters = bizproc.instances_parameters(delivery.call, case.called_at, start)
        answer = context.client.call(bizproc.INSTANCES, parameters)
        for instance in bizproc.instances_of(answer.result):
            if instance.id in others:
                # It has the id that we chose for another delivery, so the portal honours our ids.
                context.pace.learn_own_id(context.pace.read(), honoured=True)
            elif _is_free(case, instance, user_id):
                free.append(instance)
        following = answer.payload.get("next")
        if not isinstance(following, int) or following <= start:
            return _first_after_call(case, free), True, answer
        start = following
        context.client.wait()
    return _first_after_call(case, free), False, answer


def _first_after_call(case: Case, free: list[Instance]) -> Instance | None:
    """The first workflow after the call; where there is none, because two clocks differ, the last one before it."""
    called_at = case.called_at.replace(microsecond=0)  # as the portal writes it
    since = {one: one.started_at - called_at for one in free if one.started_at}
    return min(since, key=lambda one: (since[one] < timedelta(0), abs(since[one])), default=None)


def _user_of(answer: Answer) -> str | None:
    """The user id in an answer of `profile`; None where there is none (docs: api-reference/common/users/profile.md)."""
    found = answer.result.get("ID") if isinstance(answer.result, Mapping) else None
    return str(found) if found else None


def _is_free(case: Case, instance: Instance, user_id: str) -> bool:
    """Whether it matches this delivery, and no other delivery has it on record."""
    context, delivery = case.context, case.delivery
    if not bizproc.may_be_ours(instance, delivery.call, user_id, case.called_at):
        return False
    return context.record.delivery_of_workflow(instance.id) in {None, delivery.id}


def _own_ids_of_others(case: Case) -> set[str]:
    """The ids that we chose for other deliveries of the same document."""
    ids = case.context.record.of_document(case.delivery.call.document_id[2], NEIGHBOURS)
    return {bizproc.own_id_of(one) for one in ids if one != case.delivery.id}


def _looked(case: Case, learned: Learned) -> Judgement:
    """Note that the portal listed its running workflows."""
    gatekeeper.mind_method(case.context, learned, bizproc.INSTANCES, [LOOKED])
    return LOOKED


def _unanswered(case: Case, learned: Learned, answer: Answer) -> Judgement:
    judgement = case.judge(answer)
    gatekeeper.mind_method(case.context, learned, bizproc.INSTANCES, [judgement])
    is_refused = judgement.verdict in {Verdict.REJECTED, Verdict.HELD} and judgement.concern is not Concern.PORTAL
    if is_refused:
        # The credential may start workflows but not list them (only administrators may), or something blocks the
        # question. We cannot find out, and that says nothing about the next start.
        _decide(case, NOT_VISIBLE + judgement.reason)
    else:
        _ask_again(case, answer, judgement)
    return judgement


def _started(case: Case, reason: str, workflow_id: str | None, **what: object) -> None:
    """Settle as started. Where another delivery has this workflow on record, only a person can tell which is right."""
    try:
        case.write(State.STARTED, reason, workflow_id=workflow_id, **what)
    except WorkflowTaken:
        _leave(case, TAKEN)


def _ask_again(case: Case, answer: Answer, judgement: Judgement) -> None:
    """Ask again later, after no clear answer. A question that was not sent costs nothing; the others are limited."""
    looks = case.delivery.looks
    waits_at_gate = judgement.concern is Concern.PORTAL and judgement.verdict is not Verdict.AMBIGUOUS
    if waits_at_gate or answer.fault is Fault.TOO_LATE:
        case.write(State.UNCERTAIN, judgement.reason, next_at=case.context.clock() + QUICK_SETTLE, looks=looks)
    elif looks + 1 >= RESENDS:
        _decide(case, judgement.reason)
    else:
        _later(case, judgement.reason, looks + 1, settles_in(case.context, answer))


def _later(case: Case, reason: str, looks: int, patience: timedelta) -> None:
    wait = min(patience * 2**looks, LONGEST_WAIT)
    case.write(State.UNCERTAIN, reason, next_at=case.context.clock() + wait, looks=looks)


def _decide(case: Case, reason: str) -> None:
    """Follow the rule's `on_uncertain`, for we cannot find out more. Resends are limited: each may start one more."""
    delivery, step = case.delivery, case.delivery.next_step
    may_resend = delivery.failures_of(step.name if step else "") < BUDGET
    match delivery.policy.on_uncertain:
        case OnUncertain.RESEND if may_resend:
            case.write(State.RETRYING, RESENT + reason)
        case OnUncertain.RESEND:
            _leave(case, "resends_spent")
        case OnUncertain.GIVE_UP:
            case.write(State.DEAD, GIVEN_UP + reason)
        case OnUncertain.HOLD:
            _leave(case, reason)


def _leave(case: Case, reason: str) -> None:
    """Leave the decision to a person, with no further date."""
    context, delivery = case.context, case.delivery
    context.gate.alert("uncertain", context.clock(), delivery=delivery.id, reason=reason)
    case.write(State.UNCERTAIN, reason, looks=delivery.looks + 1)
