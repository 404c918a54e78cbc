"""What an answer means for a delivery whose workflow was to start, and writing down what has become of it.

Written as often as it takes: the outcome is known only to the process that made the call. Where it is never written,
the sweeper finds the claim and does what is safe.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from relay.core.errors import LostRace, RecordUnavailableError, WorkflowTaken
from relay.core.events import Attempt, OnUncertain
from relay.core.lifecycle import State, Verdict
from relay.core.plan import StepKind
from relay.core.telemetry import get_logger
from relay.store.portals.gate import LONGEST_PAUSE
from relay.store.record.record import HARD_DEADLINE, Settlement
from workers.bitrix24.answers import Answer, Fault
from workers.bitrix24.verdicts import Concern, Judgement, Remedy
from workers.delivery.next_call import NextCall
from workers.delivery.retry import Bury, Done, FollowUp, HoldPortal, Reconcile, RetryAfter, follow_up
from workers.portal.context import Context

SETTLE_PAUSES_S = (0.1, 0.5, 1, 2, 5)
"""Between the tries to write an outcome while Redis is away; the last one again and again, until the time is over."""
SETTLE_MARGIN_S = 15.0
"""The last try begins so long before the hard deadline: one that hangs takes eight seconds (store/connection.py)."""

QUICK_MS = 10_000
QUICK_SETTLE = timedelta(seconds=10)
"""A page of a web server that came within ten seconds comes from a portal that has ended with the request, or has never
begun it: whether it was executed can be asked soon. But not after a 504 or a proxy's own 52x: behind those PHP may
still be at work, and neither after a connection that broke."""

TAKEN = "workflow_of_another"
STEP_BACK = LONGEST_PAUSE + timedelta(seconds=1)
"""Who has tried a gate or a method in vain comes after all that wait for the next try."""

log = get_logger()


@dataclass(frozen=True, slots=True)
class Tried:
    """A call that was made, its answer, and what that means.

    steps_back: it was to prove a gate or a method, in vain: another one is to prove it next.
    """

    call: NextCall
    answer: Answer
    judgement: Judgement
    batch_size: int = 1
    steps_back: bool = False

    @property
    def attempt(self) -> Attempt:
        """As it is recorded."""
        return Attempt(
            number=self.call.delivery.next_number,
            at=self.answer.at,
            duration_ms=self.answer.duration_ms,
            verdict=self.judgement.verdict,
            status=self.answer.status,
            code=self.answer.code,
            description=self.answer.description,
            batch_size=self.batch_size,
            step=self.call.step.name if self.call.step else "",
        )


def settlement_of_start(context: Context, tried: Tried) -> Settlement:
    """What has become of a delivery whose workflow was to start."""
    delivery, attempt, reason = tried.call.delivery, tried.attempt, tried.judgement.reason
    match what_follows(context, tried):
        case Done():
            return Settlement(delivery, State.STARTED, attempt=attempt, workflow_id=tried.judgement.workflow_id)
        case Bury(why):
            return given_up(context, tried, why)
        case Reconcile():
            at = context.clock() + settles_in(context, tried.answer)
            return Settlement(delivery, State.UNCERTAIN, reason, attempt, next_at=at)
        case RetryAfter(delay):
            return Settlement(delivery, State.RETRYING, reason, attempt, next_at=context.clock() + delay)
        case HoldPortal():
            return waiting_again(context, tried)


def given_up(context: Context, tried: Tried, why: str) -> Settlement:
    """It is dead. But where its rule has had it sent again, that this call is refused says nothing of the one before,
    which may have been executed: a person decides.
    """
    delivery, attempt, step = tried.call.delivery, tried.attempt, tried.call.step
    is_resent = delivery.policy.on_uncertain == OnUncertain.RESEND and (not step or step.kind is StepKind.TRIGGER)
    if is_resent and any(one.verdict is Verdict.AMBIGUOUS and one.step == attempt.step for one in delivery.attempts):
        context.gate.alert("uncertain", context.clock(), delivery=delivery.id, reason=why)
        return Settlement(delivery, State.UNCERTAIN, why, attempt)
    return Settlement(delivery, State.DEAD, why, attempt)


def waiting_again(context: Context, tried: Tried) -> Settlement:
    """It waits as before. No attempt is spent: nothing is wrong with the delivery.

    The gate or the method, not a timer, says when it goes on.
    """
    delivery, reason = tried.call.delivery, tried.judgement.reason
    next_at = context.clock() + STEP_BACK if tried.steps_back else None
    return Settlement(delivery, State.PENDING, reason, next_at=next_at, steps_back=tried.steps_back)


def what_follows(context: Context, tried: Tried) -> FollowUp:
    """What follows a try. A step and the start have each a budget of their own."""
    judgement, number = tried.judgement, tried.call.failures + 1
    if judgement.concern is Concern.METHOD or judgement.remedy is Remedy.SMALLER:
        return HoldPortal()
    is_again = judgement.remedy is Remedy.AGAIN
    return follow_up(judgement.verdict, number, judgement.reason, context.chance(), may_pass=is_again)


def settles_in(context: Context, answer: Answer) -> timedelta:
    """How long a call with this answer may still be running on the portal."""
    patience = timedelta(seconds=context.portal.settle_after_s)
    is_quick = answer.fault is Fault.UNREADABLE and answer.duration_ms < QUICK_MS
    if is_quick and answer.status is not None and answer.status != 504 and answer.status < 520:
        return min(patience, QUICK_SETTLE)
    return patience


def write_answered(context: Context, settlements: Sequence[Settlement], began: float) -> None:
    """Write what has become of deliveries that were claimed together, each for itself, in one round trip."""
    for settlement, result in zip(settlements, write_all(context, settlements, began), strict=False):
        if isinstance(result, WorkflowTaken) and settlement.attempt:
            # A reconciliation of another delivery has found this workflow and taken it for its own.
            attempt = replace(settlement.attempt, verdict=Verdict.AMBIGUOUS)
            at = context.clock() + timedelta(seconds=context.portal.settle_after_s)
            lost = Settlement(settlement.delivery, State.UNCERTAIN, TAKEN, attempt, next_at=at)
            write_all(context, [lost], began)


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
    # The sweeper will make them uncertain, or look for what was made: the calls were made.
    log.error("deliveries.unsettled", count=len(settlements), deadline_s=HARD_DEADLINE.total_seconds())
    return []


def _log_result(settlement: Settlement, result: LostRace | None) -> None:
    if isinstance(result, WorkflowTaken):
        return
    if result:
        # Either an earlier try was executed and only its answer was lost, or the hard deadline passed and the
        # sweeper has taken the delivery in hand. Both stand.
        state, workflow_id = settlement.state.value, settlement.workflow_id
        log.warning(
            "delivery.settled_elsewhere", delivery_id=settlement.delivery.id, state=state, workflow_id=workflow_id
        )
        return
    _log_attempt(settlement)


def _log_attempt(settlement: Settlement) -> None:
    delivery, attempt = settlement.delivery, settlement.attempt
    log.info(
        "delivery.attempted" if attempt else "delivery.moved",
        delivery_id=delivery.id,
        event_id=delivery.event_id,
        rule=delivery.rule,
        portal=delivery.call.portal,
        template_id=delivery.call.template_id,
        step=attempt.step if attempt else None,
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
