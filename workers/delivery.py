"""From a job to recorded outcomes: a slot of the pace, a claim, one call or a batch of them, a verdict for each.

The order is the promise. Claimed before the call, so that a death in between leaves `sending`, which the sweeper turns
into `uncertain`; settled after it, as often as it takes, for the outcome is known only here.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

from relay.errors import LostRace, NotFoundError, RecordUnavailableError, WorkflowTaken
from relay.events import Attempt, Delivery
from relay.lifecycle import FINAL, State, Verdict
from relay.store.learnt import Learnt
from relay.store.record import HARD_DEADLINE, SINGLE, Load, Settlement
from relay.telemetry import get_logger
from workers import porter
from workers.bitrix24 import bizproc
from workers.bitrix24.answers import Answer, Fault
from workers.bitrix24.batch import BATCH, answers_of, batch_parameters
from workers.bitrix24.errors import Judgement, Remedy, judge
from workers.desk import Desk
from workers.pace import IGNORED, load_of
from workers.retry import Bury, Done, HoldPortal, Reconcile, RetryAfter, Step, next_step

SETTLE_PAUSES_S = (0.1, 0.5, 1, 2, 5, 5, 10, 10, 10, 10)
"""Between the tries to write an outcome while Redis is away; together shorter than the hard deadline."""

CUT_LATE_MS = 10_000
"""A connection that breaks sooner says nothing about how long starts take."""

log = get_logger()


def deliver(desk: Desk, delivery_id: str, turn: int) -> None:
    """Send one delivery and, where more are waiting than the pace carries one by one, others with it."""
    if not desk.record.is_waiting(delivery_id, turn):
        return  # another job's batch has taken it
    view = desk.gate.look()
    if porter.is_closed(view, desk):
        # The worker takes no job while the gate is closed; this one was on its way already. It goes back as it was.
        desk.record.rescue(desk.record.delivery(delivery_id), desk.clock())
        return
    free = desk.line.wait()
    learnt = desk.pace.read()
    try:
        claimed = desk.record.claim(desk.portal.name, delivery_id, turn, desk.clock(), _load(desk, learnt, free))
    except LostRace:
        return
    answer, answers = _call(desk, claimed)
    judgements = [_own(desk, one, judge(each)) for one, each in zip(claimed, answers, strict=True)]
    settle_all(desk, claimed, answers, judgements)
    _learn(desk, learnt, claimed, answers)
    decisive = next((each for each in judgements if each.verdict is Verdict.HELD), judgements[-1])
    porter.mind(desk, view, answer, decisive, judgements)
    porter.rest(desk)


def settle_all(
    desk: Desk, claimed: Sequence[Delivery], answers: Sequence[Answer], judgements: Sequence[Judgement]
) -> None:
    """Write what the answers mean for deliveries that were claimed together, each for itself, in one round trip."""
    settlements = [
        _settlement(desk, one, judgement, attempt_of(one, answer, judgement, len(claimed)))
        for one, answer, judgement in zip(claimed, answers, judgements, strict=True)
    ]
    results = write_all(desk, settlements)
    for settlement, judgement, result in zip(settlements, judgements, results, strict=False):
        if isinstance(result, WorkflowTaken) and settlement.attempt:
            # A reconciliation of another delivery has found this workflow and taken it for its own.
            lost = replace(judgement, verdict=Verdict.AMBIGUOUS, reason="workflow_of_another", workflow_id=None)
            write_all(desk, [_settlement(desk, settlement.delivery, lost, settlement.attempt)])


def attempt_of(delivery: Delivery, answer: Answer, judgement: Judgement, batch_size: int = 1) -> Attempt:
    """The attempt that an answer ends."""
    return Attempt(
        number=delivery.next_number,
        at=answer.at,
        duration_ms=answer.duration_ms,
        verdict=judgement.verdict,
        status=answer.status,
        code=answer.code,
        description=answer.description,
        batch_size=batch_size,
    )


def write_all(desk: Desk, settlements: Sequence[Settlement]) -> list[str | LostRace | None]:
    """Settle, patiently: as long as Redis is away, this process is the only one that knows the outcomes."""
    for pause_s in (*SETTLE_PAUSES_S, None):
        try:
            results = desk.record.settle_all(settlements, desk.clock())
        except RecordUnavailableError:
            if pause_s is not None:
                time.sleep(pause_s)
        else:
            for settlement, result in zip(settlements, results, strict=True):
                _follow_up(desk, settlement, result)
            return results
    # The sweeper will make them uncertain: the calls were made.
    log.error("deliveries.unsettled", count=len(settlements), deadline_s=HARD_DEADLINE.total_seconds())
    return []


def _follow_up(desk: Desk, settlement: Settlement, result: str | LostRace | None) -> None:
    if isinstance(result, WorkflowTaken):
        return
    if isinstance(result, LostRace):
        # Either an earlier try was executed and only its answer was lost, or the hard deadline passed and the
        # sweeper has made the delivery uncertain. Both stand.
        state = settlement.state.value
        log.warning("delivery.settled_elsewhere", delivery_id=settlement.delivery.id, state=state)
        return
    _log_attempt(settlement)
    if result and settlement.state in FINAL:
        _wake(desk, result)


def _load(desk: Desk, learnt: Learnt, free: int) -> Load:
    """One where the pace can carry all that wait one by one, else a batch."""
    waiting = desk.record.waiting(desk.portal.name, desk.clock())
    if waiting - 1 <= free or desk.portal.batch == 1:
        return SINGLE
    return load_of(learnt, min(desk.portal.batch, waiting), desk.clock())


def _call(desk: Desk, claimed: Sequence[Delivery]) -> tuple[Answer, list[Answer]]:
    """The answer of the portal, and what it answers to each delivery."""
    calls = [bizproc.start_parameters(one.call, own_id(desk, one)) for one in claimed]
    if len(claimed) == 1:
        answer = desk.line.call(bizproc.START, calls[0])
        return answer, [answer]
    answer = desk.line.call(BATCH, batch_parameters(bizproc.START, calls))
    return answer, answers_of(answer, len(claimed))


def own_id(desk: Desk, delivery: Delivery) -> str | None:
    """The workflow id that we choose, where the portal's configuration says so."""
    return bizproc.own_id_of(delivery.id) if desk.portal.own_id == "echo" else None


def _own(desk: Desk, delivery: Delivery, judgement: Judgement) -> Judgement:
    """Our own id exists already: only an earlier attempt of this very delivery can have begun it."""
    chosen = own_id(desk, delivery)
    if judgement.remedy is Remedy.OWN_ID_EXISTS and chosen:
        return replace(judgement, verdict=Verdict.STARTED, reason="started_before", workflow_id=chosen)
    return judgement


def _learn(desk: Desk, learnt: Learnt, claimed: Sequence[Delivery], answers: Sequence[Answer]) -> None:
    """Take from the answers how long starts take, whether our ids are honoured, how much operating time is used."""
    took: dict[int, list[float]] = {}
    echoes: list[bool] = []
    for delivery, answer in zip(claimed, answers, strict=True):
        template_id = delivery.call.template_id
        if answer.fault in {Fault.TIMED_OUT, Fault.CUT, Fault.UNREADABLE} and answer.duration_ms > CUT_LATE_MS:
            # What was cut late took at least its share of the time: the next batch of these templates is smaller.
            desk.pace.learn_at_least(learnt, template_id, answer.duration_ms / len(claimed))
        if answer.fault or answer.code is not None or not isinstance(answer.result, str):
            continue
        took_s = answer.time.get("processing", answer.time.get("duration"))
        if isinstance(took_s, int | float):
            took.setdefault(template_id, []).append(float(took_s) * 1000)
        if chosen := own_id(desk, delivery):
            echoes.append(answer.result == chosen)
    for template_id, times in took.items():
        desk.pace.learn_start(learnt, template_id, sum(times) / len(times))
    if echoes:
        desk.pace.learn_own_id(learnt, honoured=all(echoes))
        if not all(echoes) and learnt.own_id != IGNORED:
            desk.gate.alert("own_id_ignored", "the portal does not honour our own workflow ids", desk.clock())
    timed = [answer.time for answer in answers if answer.time]
    if timed:
        desk.pace.learn_operating(timed[-1])


def _settlement(desk: Desk, delivery: Delivery, judgement: Judgement, attempt: Attempt) -> Settlement:
    queues, portal, turn = desk.record.queues, delivery.call.portal, delivery.turn + 1
    reason = judgement.reason
    match _next_step(desk, judgement, attempt):
        case Done():
            workflow_id = judgement.workflow_id
            return Settlement(delivery, State.STARTED, attempt=attempt, workflow_id=workflow_id)
        case Bury(why):
            return Settlement(delivery, State.DEAD, why, attempt)
        case Reconcile():
            at = desk.clock() + timedelta(seconds=desk.portal.settle_after_s)
            ticket = queues.reconcile(portal, delivery.id, turn, at)
            return Settlement(delivery, State.UNCERTAIN, reason, attempt, ticket=ticket, next_at=at)
        case RetryAfter(delay):
            at = desk.clock() + delay
            ticket = queues.deliver(portal, delivery.id, turn, at)
            return Settlement(delivery, State.RETRYING, reason, attempt, ticket=ticket, next_at=at)
        case HoldPortal():
            # No attempt is spent: nothing is wrong with the delivery. The gate, not a timer, says when it goes on.
            return Settlement(delivery, State.PENDING, reason, ticket=queues.deliver(portal, delivery.id, turn))


def _next_step(desk: Desk, judgement: Judgement, attempt: Attempt) -> Step:
    if judgement.remedy is Remedy.WAIT_FOR_BUDGET:
        return HoldPortal()
    return next_step(judgement.verdict, attempt.number, judgement.reason, desk.chance())


def _wake(desk: Desk, delivery_id: str) -> None:
    """The next delivery of the same document may go now. If this is lost, the sweeper finds it."""
    try:
        desk.record.rescue(desk.record.delivery(delivery_id), desk.clock())
    except (LostRace, NotFoundError, RecordUnavailableError):
        log.warning("delivery.not_woken", delivery_id=delivery_id)


def _log_attempt(settlement: Settlement) -> None:
    delivery, attempt = settlement.delivery, settlement.attempt
    log.info(
        "delivery.attempted" if attempt else "delivery.moved",
        delivery_id=delivery.id,
        event_id=delivery.event_id,
        rule=delivery.rule,
        portal=delivery.call.portal,
        template_id=delivery.call.template_id,
        attempt=attempt.number if attempt else None,
        verdict=attempt.verdict.value if attempt else None,
        status=attempt.status if attempt else None,
        code=attempt.code if attempt else None,
        duration_ms=attempt.duration_ms if attempt else None,
        batch_size=attempt.batch_size if attempt else None,
        state=settlement.state.value,
        reason=settlement.reason,
        workflow_id=settlement.workflow_id,
    )
