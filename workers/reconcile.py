"""An answer was lost: did the workflow start? Ask the portal, then decide, or leave it to a person.

With an own id that the portal honours, the same call is sent again under the same id: it starts now, or the portal says
that it was begun before; never twice. Without, running workflows are looked through. Found is started; not found proves
nothing, for a workflow that has ended is in no list (docs: api-reference/bizproc/bizproc-workflow-instances.md).
"""

from __future__ import annotations

from datetime import timedelta

from relay.errors import NotFoundError, WorkflowTaken
from relay.events import Delivery
from relay.lifecycle import State, Verdict
from relay.store.record import Settlement
from relay.telemetry import get_logger
from workers import porter
from workers.bitrix24 import bizproc
from workers.bitrix24.answers import Answer
from workers.bitrix24.errors import Judgement, Remedy, judge
from workers.delivery import attempt_of, own_id, write_all
from workers.desk import Desk
from workers.pace import HONOURED

LOOKS = 3
"""How often running workflows are looked through before the rule's `on_uncertain` decides."""
RESENDS = 12
"""How often the portal is asked, or the same id is sent again, while it does not answer clearly."""
LOOKED = Judgement(Verdict.STARTED, "looked", "The portal has answered.")
LONGEST_WAIT = timedelta(hours=6)

log = get_logger()


def reconcile(desk: Desk, delivery_id: str, turn: int) -> None:
    """Find out about one uncertain delivery, if this turn of it is still ours."""
    try:
        delivery = desk.record.delivery(delivery_id)
    except NotFoundError:
        return
    if delivery.state is not State.UNCERTAIN or delivery.turn != turn:
        return
    view = desk.gate.look()
    if porter.is_closed(view, desk):
        desk.record.rescue(delivery, desk.clock())
        return
    desk.line.wait()
    if own_id(desk, delivery) and desk.pace.read().own_id == HONOURED:
        answer, judgement = _send_again(desk, delivery)
    else:
        answer, judgement = _look(desk, delivery)
    porter.mind(desk, view, answer, judgement)


def _send_again(desk: Desk, delivery: Delivery) -> tuple[Answer, Judgement]:
    chosen = own_id(desk, delivery)
    answer = desk.line.call(bizproc.START, bizproc.start_parameters(delivery.call, chosen))
    judgement = judge(answer)
    attempt = attempt_of(delivery, answer, judgement)
    if judgement.verdict is Verdict.STARTED:
        if judgement.workflow_id != chosen:
            # The portal no longer honours our ids: it may have started this one twice. Say so; never again.
            desk.pace.learn_own_id(desk.pace.read(), honoured=False)
            text = f"{delivery.id}: the portal stopped honouring our own ids; look for a second workflow"
            desk.gate.alert("own_id_ignored", text, desk.clock())
        _write(desk, Settlement(delivery, State.STARTED, "", attempt, judgement.workflow_id))
    elif judgement.remedy is Remedy.OWN_ID_EXISTS:
        _write(desk, Settlement(delivery, State.STARTED, "started_before", attempt, chosen))
    elif judgement.verdict is Verdict.REJECTED:
        # Refused now says nothing of the first time: the document may be gone since.
        _decide(desk, delivery, judgement.reason)
    else:
        _ask_again(desk, delivery, judgement)
    return answer, judgement


def _look(desk: Desk, delivery: Delivery) -> tuple[Answer, Judgement]:
    at = delivery.attempts[-1].at if delivery.attempts else delivery.updated_at
    answer = desk.line.call(bizproc.INSTANCES, bizproc.instances_parameters(delivery.call, at))
    if not isinstance(answer.result, list):
        judgement = judge(answer)
        if judgement.verdict is Verdict.REJECTED:
            # Its owner may start workflows but not list them (only administrators may): nothing can be found out,
            # and that says nothing about the next start.
            _decide(desk, delivery, f"not_visible_{judgement.reason}")
            return answer, LOOKED
        _ask_again(desk, delivery, judgement)
        return answer, judgement
    judgement = LOOKED
    for instance in bizproc.instances_of(answer.result):
        is_own = instance.id == bizproc.own_id_of(delivery.id)
        if not is_own and not bizproc.may_be_ours(instance, delivery.call, desk.address.user_id, at):
            continue
        if desk.record.delivery_of_workflow(instance.id) not in {None, delivery.id}:
            continue
        try:
            _write(desk, Settlement(delivery, State.STARTED, "found_running", workflow_id=instance.id))
        except WorkflowTaken:
            continue
        return answer, judgement
    if delivery.looks + 1 >= LOOKS:
        _decide(desk, delivery, "not_found")
    else:
        _later(desk, delivery, "not_found_yet", looks=delivery.looks + 1)
    return answer, judgement


def _ask_again(desk: Desk, delivery: Delivery, judgement: Judgement) -> None:
    """There was no answer to the question. One that was not put costs nothing; others are bounded."""
    if judgement.verdict in {Verdict.HELD, Verdict.THROTTLED, Verdict.UNREACHABLE}:
        _later(desk, delivery, judgement.reason, looks=delivery.looks)
    elif delivery.looks + 1 >= RESENDS:
        _decide(desk, delivery, judgement.reason)
    else:
        _later(desk, delivery, judgement.reason, looks=delivery.looks + 1)


def _later(desk: Desk, delivery: Delivery, reason: str, *, looks: int) -> None:
    wait = min(timedelta(seconds=desk.portal.settle_after_s) * 2**looks, LONGEST_WAIT)
    at = desk.clock() + wait
    ticket = desk.record.queues.reconcile(delivery.call.portal, delivery.id, delivery.turn + 1, at)
    _write(desk, Settlement(delivery, State.UNCERTAIN, reason, ticket=ticket, next_at=at, looks=looks))


def _decide(desk: Desk, delivery: Delivery, reason: str) -> None:
    """Nobody can find out any more: what the rule says."""
    if delivery.policy.on_uncertain == "resend":
        ticket = desk.record.queues.deliver(delivery.call.portal, delivery.id, delivery.turn + 1)
        _write(desk, Settlement(delivery, State.RETRYING, f"resent_{reason}", ticket=ticket))
    elif delivery.policy.on_uncertain == "give_up":
        _write(desk, Settlement(delivery, State.DEAD, f"given_up_{reason}"))
    else:
        desk.gate.alert("uncertain", f"{delivery.id} is left to a person", desk.clock())
        _write(desk, Settlement(delivery, State.UNCERTAIN, reason, looks=delivery.looks + 1))


def _write(desk: Desk, settlement: Settlement) -> None:
    """Raises WorkflowTaken where the workflow is on record as another delivery's."""
    for result in write_all(desk, [settlement]):
        if isinstance(result, WorkflowTaken):
            raise result
