"""From waiting deliveries to recorded outcomes: a slot of the pace, a claim, one call or a batch, a verdict for each.

The order is the promise. Claimed before the call, so that a death in between leaves `sending`, which the sweeper turns
into `uncertain`; settled after it, as often as it takes, for the outcome is known only here.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

from relay.configuration.portals import OwnIds
from relay.core.errors import LostRace, RecordUnavailableError, WorkflowTaken
from relay.core.events import Attempt, Delivery
from relay.core.lifecycle import State, Verdict
from relay.core.telemetry import get_logger
from relay.store.portals.gate import View
from relay.store.portals.learned import Learned
from relay.store.record.record import HARD_DEADLINE, SINGLE, Load, Settlement
from workers.bitrix24 import bizproc
from workers.bitrix24.answers import Answer, Fault
from workers.bitrix24.batch import BATCH, answers_of, batch_parameters
from workers.bitrix24.verdicts import Judgement, Remedy, judge
from workers.delivery.retry import Bury, Done, HoldPortal, Reconcile, RetryAfter, Step, next_step
from workers.portal import gatekeeper
from workers.portal.context import Context
from workers.portal.pace import IGNORED, load_of

SETTLE_PAUSES_S = (0.1, 0.5, 1, 2, 5)
"""Between the tries to write an outcome while Redis is away; the last one again and again, until the time is over."""
SETTLE_MARGIN_S = 15.0
"""The last try begins so long before the hard deadline: one that hangs takes eight seconds (store/redis/)."""

QUICK_MS = 10_000
QUICK_SETTLE = timedelta(seconds=10)
"""A page of a web server that came within ten seconds comes from a portal that has ended with the request, or has never
begun it: whether the workflow runs can be asked soon. But not after a 504 or a proxy's own 52x: behind those PHP may
still be at work, and neither after a connection that broke."""

CUT_LATE_MS = 10_000
"""A connection that breaks sooner says nothing about how long starts take."""

TAKEN = "workflow_of_another"

log = get_logger()


def deliver_next(context: Context) -> bool:
    """Send the oldest that waits and, where more are waiting than the pace carries one by one, others with it.

    Whether anything was claimed.
    """
    if not context.record.due(context.portal.name, context.clock()):
        return False
    free = context.client.wait()
    seen = context.gate.look()
    if not seen.is_open:
        return False
    learned = context.pace.read()
    began = time.monotonic()
    claimed = _claim(context, _load(context, seen, learned, free))
    if not claimed:
        return False
    answer, answers = _call(context, claimed)
    judgements = [_own(context, one, judge(each)) for one, each in zip(claimed, answers, strict=True)]
    settle_all(context, claimed, answers, judgements, began)
    _learn(context, learned, claimed, answers)
    gatekeeper.mind(context, seen, answer, _decisive(answer, judgements), judgements)
    gatekeeper.rest(context)
    return True


def give_back(context: Context) -> None:
    """The answer to a claim was lost: what it took was not sent, and waits again as it did."""
    claimed = context.record.claim(context.portal.name, context.claim.id, context.clock())
    context.record.settle_all([Settlement(one, State.PENDING) for one in claimed], context.clock())
    context.claim.renew()


def settle_all(
    context: Context,
    claimed: Sequence[Delivery],
    answers: Sequence[Answer],
    judgements: Sequence[Judgement],
    began: float,
) -> None:
    """Write what the answers mean for deliveries that were claimed together, each for itself, in one round trip."""
    settlements = [
        _settlement(context, one, answer, judgement, attempt_of(one, answer, judgement, len(claimed)))
        for one, answer, judgement in zip(claimed, answers, judgements, strict=True)
    ]
    results = write_all(context, settlements, began)
    for settlement, answer, judgement, result in zip(settlements, answers, judgements, results, strict=False):
        if isinstance(result, WorkflowTaken) and settlement.attempt:
            # A reconciliation of another delivery has found this workflow and taken it for its own.
            lost = replace(judgement, verdict=Verdict.AMBIGUOUS, reason=TAKEN, workflow_id=None)
            write_all(context, [_settlement(context, settlement.delivery, answer, lost, settlement.attempt)], began)


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


def write_all(context: Context, settlements: Sequence[Settlement], began: float) -> list[LostRace | None]:
    """Settle, patiently: as long as Redis is away, this process is the only one that knows the outcomes.

    began: when they were claimed, by the monotonic clock. After the hard deadline the sweeper decides.
    """
    end, pauses_s = began + HARD_DEADLINE.total_seconds() - SETTLE_MARGIN_S, iter(SETTLE_PAUSES_S)
    while True:
        try:
            results = context.record.settle_all(settlements, context.clock())
        except RecordUnavailableError:
            pause_s = next(pauses_s, SETTLE_PAUSES_S[-1])
            if time.monotonic() + pause_s > end:
                break
            time.sleep(pause_s)
        else:
            for settlement, result in zip(settlements, results, strict=True):
                _log_result(settlement, result)
            return results
    # The sweeper will make them uncertain: the calls were made.
    log.error("deliveries.unsettled", count=len(settlements), deadline_s=HARD_DEADLINE.total_seconds())
    return []


def _log_result(settlement: Settlement, result: LostRace | None) -> None:
    if isinstance(result, WorkflowTaken):
        return
    if result:
        # Either an earlier try was executed and only its answer was lost, or the hard deadline passed and the
        # sweeper has made the delivery uncertain. Both stand.
        state = settlement.state.value
        log.warning("delivery.settled_elsewhere", delivery_id=settlement.delivery.id, state=state)
        return
    _log_attempt(settlement)


def _claim(context: Context, load: Load) -> list[Delivery]:
    context.claim.is_unanswered = True
    claimed = context.record.claim(context.portal.name, context.claim.id, context.clock(), load)
    context.claim.renew()
    return claimed


def _decisive(answer: Answer, judgements: Sequence[Judgement]) -> Judgement:
    """The judgement that the gate hears of: of the whole answer, or of the command that concerns every other."""
    if answer.fault or answer.code is not None:
        return judgements[-1]
    grave = (each for each in judgements if each.verdict is Verdict.HELD or each.remedy is Remedy.WAIT_FOR_BUDGET)
    return next(grave, judgements[-1])


def _load(context: Context, seen: View, learned: Learned, free: int) -> Load:
    """One where the pace can carry all that wait one by one, or the gate is to be proven; else a batch."""
    waiting = context.record.due(context.portal.name, context.clock())
    if waiting - 1 <= free or context.portal.batch == 1 or not seen.is_proven:
        return SINGLE
    return load_of(learned, min(context.portal.batch, waiting), context.clock())


def _call(context: Context, claimed: Sequence[Delivery]) -> tuple[Answer, list[Answer]]:
    """The answer of the portal, and what it answers to each delivery."""
    calls = [bizproc.start_parameters(one.call, own_id(context, one)) for one in claimed]
    if len(claimed) == 1:
        answer = context.client.call(bizproc.START, calls[0])
        return answer, [answer]
    answer = context.client.call(BATCH, batch_parameters(bizproc.START, calls))
    return answer, answers_of(answer, len(claimed))


def own_id(context: Context, delivery: Delivery) -> str | None:
    """The workflow id that we choose, where the portal's configuration says so."""
    return bizproc.own_id_of(delivery.id) if context.portal.own_id is OwnIds.ECHO else None


def _own(context: Context, delivery: Delivery, judgement: Judgement) -> Judgement:
    """Our own id exists already: only an earlier attempt of this very delivery can have begun it."""
    chosen = own_id(context, delivery)
    if judgement.remedy is Remedy.OWN_ID_EXISTS and chosen:
        return replace(judgement, verdict=Verdict.STARTED, reason="started_before", workflow_id=chosen)
    return judgement


def _learn(context: Context, learned: Learned, claimed: Sequence[Delivery], answers: Sequence[Answer]) -> None:
    """Take from the answers how long starts take, whether our ids are honoured, how much operating time is used."""
    took: dict[int, list[float]] = {}
    echoes: list[bool] = []
    for delivery, answer in zip(claimed, answers, strict=True):
        template_id = delivery.call.template_id
        if answer.fault in {Fault.TIMED_OUT, Fault.CUT, Fault.UNREADABLE} and answer.duration_ms > CUT_LATE_MS:
            # What was cut late took at least its share of the time: the next batch of these templates is smaller.
            context.pace.learn_at_least(learned, template_id, answer.duration_ms / len(claimed))
        if answer.fault or answer.code is not None or not isinstance(answer.result, str):
            continue
        took_s = answer.time.get("processing", answer.time.get("duration"))
        if isinstance(took_s, int | float):
            took.setdefault(template_id, []).append(float(took_s) * 1000)
        if chosen := own_id(context, delivery):
            echoes.append(answer.result == chosen)
    for template_id, times in took.items():
        context.pace.learn_start(learned, template_id, sum(times) / len(times))
    if echoes:
        context.pace.learn_own_id(learned, honoured=all(echoes))
        if not all(echoes) and learned.own_id != IGNORED:
            context.gate.alert("own_id_ignored", "", context.clock())
    timed = [answer.time for answer in answers if answer.time]
    if timed:
        context.pace.learn_operating(learned, timed[-1])


def _settlement(
    context: Context, delivery: Delivery, answer: Answer, judgement: Judgement, attempt: Attempt
) -> Settlement:
    reason = judgement.reason
    match _next_step(context, judgement, attempt):
        case Done():
            return Settlement(delivery, State.STARTED, attempt=attempt, workflow_id=judgement.workflow_id)
        case Bury(why):
            return Settlement(delivery, State.DEAD, why, attempt)
        case Reconcile():
            at = context.clock() + settles_in(context, answer)
            return Settlement(delivery, State.UNCERTAIN, reason, attempt, next_at=at)
        case RetryAfter(delay):
            return Settlement(delivery, State.RETRYING, reason, attempt, next_at=context.clock() + delay)
        case HoldPortal():
            # No attempt is spent: nothing is wrong with the delivery. The gate, not a timer, says when it goes on.
            return Settlement(delivery, State.PENDING, reason)


def settles_in(context: Context, answer: Answer) -> timedelta:
    """How long a call with this answer may still be running on the portal."""
    patience = timedelta(seconds=context.portal.settle_after_s)
    is_quick = answer.fault is Fault.UNREADABLE and answer.duration_ms < QUICK_MS
    if is_quick and answer.status is not None and answer.status != 504 and answer.status < 520:
        return min(patience, QUICK_SETTLE)
    return patience


def _next_step(context: Context, judgement: Judgement, attempt: Attempt) -> Step:
    if judgement.remedy is Remedy.WAIT_FOR_BUDGET:
        return HoldPortal()
    return next_step(judgement.verdict, attempt.number, judgement.reason, context.chance())


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
