"""An answer was lost: did the workflow start, was the trigger fired? Ask the portal, decide, or leave it to a person.

With an own id that the portal honours, the same call is sent again under the same id: it starts now, or the portal says
that it was begun before; never twice. Without, running workflows are looked through. Found is started; not found proves
nothing, for a workflow that has ended is in no list (docs: api-reference/bizproc/bizproc-workflow-instances.md).
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
from relay.store.record.record import Settlement
from workers.bitrix24 import bizproc
from workers.bitrix24.answers import Answer, Fault
from workers.bitrix24.bizproc import Instance
from workers.bitrix24.step_verdicts import FIRED_UNKNOWN
from workers.bitrix24.verdicts import Concern, Judgement, Remedy, judge
from workers.delivery.next_call import NextCall, own_id
from workers.delivery.retry import BUDGET
from workers.delivery.settling import QUICK_SETTLE, TAKEN, Tried, settles_in, write_all
from workers.delivery.weighing import ASK_WITHIN_S
from workers.portal import gatekeeper
from workers.portal.client import SEND_WITHIN_S
from workers.portal.context import Context
from workers.portal.holding import KEEPER, LEASE, Held
from workers.portal.pace import HONOURED, IGNORED

LOOKS = 3
"""How often running workflows are looked through before the rule's `on_uncertain` decides."""
RESENDS = 12
"""How often the portal is asked, or the same id is sent again, while it does not answer clearly."""
PROFILE = "profile"
PAGES = 20
"""So many pages of fifty are read, the newest first. A document on which more has begun since is left to a person."""
NEIGHBOURS = 200
"""So many other deliveries of the same document are known by their own ids."""
LOOKED = Judgement(Verdict.STARTED, "looked")
LONGEST_WAIT = timedelta(hours=6)

log = get_logger()


@dataclass(frozen=True, slots=True)
class Case:
    """One uncertain delivery in this worker's hands. began: since when, by the monotonic clock."""

    context: Context
    delivery: Delivery
    began: float
    held: Held

    @property
    def called_at(self) -> datetime:
        """When the call was made whose answer is lost."""
        return self.delivery.attempts[-1].at if self.delivery.attempts else self.delivery.updated_at

    def judge(self, answer: Answer) -> Judgement:
        """What an answer means; where it does not say of what it speaks, a harmless question tells."""

        def not_after() -> float:
            return min(self.held.not_after(), self.began + ASK_WITHIN_S)

        return gatekeeper.resolve(self.context, [judge(answer)], not_after)[0]

    def write(self, state: State, reason: str = "", **what: object) -> None:
        """Settle it. Raises WorkflowTaken where the workflow is on record as another delivery's."""
        settlement = Settlement(self.delivery, state, reason, **what)  # type: ignore[arg-type] # by name
        for result in write_all(self.context, [settlement], self.began):
            if isinstance(result, WorkflowTaken):
                raise result


def reconcile_next(context: Context) -> bool:
    """Find out about the uncertain delivery whose time has come, before an open gate; whether there was one."""
    if not context.record.doubtful(context.portal.name, context.clock()):
        return False
    learned = context.pace.read()
    context.client.wait()
    seen = context.gate.look()
    if not seen.is_open:
        return False
    began = time.monotonic()
    delivery = context.record.look(context.portal.name, context.clock(), lapses_in=LEASE)
    if delivery is None:
        return False
    held = Held(context.record, context.clock, [delivery], began, SEND_WITHIN_S, is_doubt=True)
    with KEEPER.holding(held):
        _look_into(Case(context, delivery, began, held), learned, seen)
    return True


def _look_into(case: Case, learned: Learned, seen: View) -> None:
    context, delivery = case.context, case.delivery
    if delivery.next_step:
        # Whether a trigger was fired, the portal does not tell (docs: crm-automation-trigger.md).
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
    """Whether the same call under the same id can start nothing twice.

    The lost call itself has to have carried the id to this very address: what is configured now, or honoured now, says
    nothing of it.
    """
    mark = context.address.mark
    is_wanted = context.portal.own_id is OwnIds.ECHO
    return is_wanted and delivery.own_id_at == mark and learned.echo_at(mark) is HONOURED


def _send_again(case: Case, learned: Learned) -> Judgement:
    context, delivery = case.context, case.delivery
    chosen = bizproc.own_id_of(delivery.id)
    call = NextCall(delivery, bizproc.START, bizproc.start_parameters(delivery.call_as_sent, chosen))
    answer = context.client.call(call.method, call.parameters, case.held.not_after)
    judgement = case.judge(answer)
    attempt = Tried(call, answer, judgement).attempt
    gatekeeper.mind_method(context, learned, bizproc.START, [judgement])
    if judgement.verdict is Verdict.STARTED:
        if judgement.workflow_id != chosen:
            # The portal no longer honours our ids: it may have started this one twice. Say so; never again.
            context.pace.learn_own_id(context.pace.read(), honoured=False)
            context.gate.alert("own_id_ignored", context.clock(), delivery=delivery.id)
        _started(case, "", judgement.workflow_id, attempt=attempt)
    elif judgement.remedy is Remedy.OWN_ID_EXISTS:
        _started(case, "started_before", chosen, attempt=attempt)
    elif judgement.verdict is Verdict.REJECTED:
        # Refused now says nothing of the first time: the document may be gone since.
        _decide(case, judgement.reason)
    else:
        _ask_again(case, answer, judgement)
    return judgement


def _look(case: Case, learned: Learned) -> Judgement:
    """Look for the workflow of our own id, which tells more than it seems; then for one that can be no other's."""
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
            _later(case, "not_seen_yet", delivery.looks, patience)  # another has taken it since we looked
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
    """A running workflow that can be this delivery's and no other's; whether all were seen; the last answer.

    Of several, the first that began after the call: a later call on the same document has one of its own.
    """
    context, delivery, start = case.context, case.delivery, 0
    user_id = context.address.user_id
    if user_id is None:  # an application's tokens do not tell whose workflows ours are
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
                # It bears the id that we chose for another delivery: the portal honours our ids.
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
    """Where none began after it, because two clocks differ, the last one before."""
    called_at = case.called_at.replace(microsecond=0)  # as the portal writes it
    since = {one: one.started_at - called_at for one in free if one.started_at}
    return min(since, key=lambda one: (since[one] < timedelta(0), abs(since[one])), default=None)


def _user_of(answer: Answer) -> str | None:
    """The user id in an answer of `profile`; None where there is none (docs: api-reference/common/users/profile.md)."""
    found = answer.result.get("ID") if isinstance(answer.result, Mapping) else None
    return str(found) if found else None


def _is_free(case: Case, instance: Instance, user_id: str) -> bool:
    """Whether it fits, and no other delivery has it."""
    context, delivery = case.context, case.delivery
    if not bizproc.may_be_ours(instance, delivery.call, user_id, case.called_at):
        return False
    return context.record.delivery_of_workflow(instance.id) in {None, delivery.id}


def _own_ids_of_others(case: Case) -> set[str]:
    """The ids that we chose for other deliveries of the same document."""
    ids = case.context.record.of_document(case.delivery.call.document_id[2], NEIGHBOURS)
    return {bizproc.own_id_of(one) for one in ids if one != case.delivery.id}


def _looked(case: Case, learned: Learned) -> Judgement:
    """The portal has shown its running workflows."""
    gatekeeper.mind_method(case.context, learned, bizproc.INSTANCES, [LOOKED])
    return LOOKED


def _unanswered(case: Case, learned: Learned, answer: Answer) -> Judgement:
    judgement = case.judge(answer)
    gatekeeper.mind_method(case.context, learned, bizproc.INSTANCES, [judgement])
    is_refused = judgement.verdict in {Verdict.REJECTED, Verdict.HELD} and judgement.concern is not Concern.PORTAL
    if is_refused:
        # Its owner may start workflows but not list them (only administrators may), or something does not let the
        # question pass: nothing can be found out, and that says nothing about the next start.
        _decide(case, NOT_VISIBLE + judgement.reason)
    else:
        _ask_again(case, answer, judgement)
    return judgement


def _started(case: Case, reason: str, workflow_id: str | None, **what: object) -> None:
    """The portal has told its workflow. Where that is on record as another's, only a person can say which is right."""
    try:
        case.write(State.STARTED, reason, workflow_id=workflow_id, **what)
    except WorkflowTaken:
        _leave(case, TAKEN)


def _ask_again(case: Case, answer: Answer, judgement: Judgement) -> None:
    """There was no answer to the question. One that was not put costs nothing: the gate waits; others are bounded."""
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
    """Nobody can find out any more: what the rule says. Each call that is sent again may start one more: they end."""
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
    """Only a person can decide it; no clock brings it up again."""
    context, delivery = case.context, case.delivery
    context.gate.alert("uncertain", context.clock(), delivery=delivery.id, reason=reason)
    case.write(State.UNCERTAIN, reason, looks=delivery.looks + 1)
