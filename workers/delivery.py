"""From a job to a recorded outcome: claim, call, judge, settle. The order is the promise.

Claimed before the call, so that a death in between leaves `sending`, which the sweeper turns into `uncertain`;
settled after it, as often as it takes, for the outcome is known only here.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from relay.errors import LostRace, RecordUnavailableError
from relay.events import Attempt, Delivery
from relay.ids import utc_now
from relay.lifecycle import State
from relay.queueing import Ticket
from relay.store.record import HARD_DEADLINE, Record
from relay.telemetry import get_logger
from workers.bitrix24 import bizproc
from workers.bitrix24.answers import Answer
from workers.bitrix24.client import Client
from workers.bitrix24.errors import Judgement, judge
from workers.portals import Address
from workers.retry import Bury, Done, HoldPortal, Reconcile, RetryAfter, Step, next_step

HELD_PAUSE = timedelta(seconds=60)
"""How long a delivery rests when its portal accepts no call at all."""
SETTLE_PAUSES_S = (0.1, 0.5, 1, 2, 5, 5, 10, 10, 10, 10)
"""Between the tries to write an outcome while Redis is away; together shorter than the hard deadline."""

log = get_logger()


@dataclass(frozen=True, slots=True)
class Desk:
    """What a worker process has at hand: the record, and one portal with an open connection."""

    record: Record
    address: Address
    client: Client
    clock: Callable[[], datetime] = utc_now
    chance: Callable[[], float] = field(default=random.random)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an attempt comes to, ready to be written."""

    state: State
    reason: str
    attempt: Attempt | None = None
    workflow_id: str | None = None
    ticket: Ticket | None = None
    next_at: datetime | None = None


def deliver(desk: Desk, delivery_id: str, turn: int) -> None:
    """Send one delivery, if this turn of it is still ours."""
    try:
        (delivery,) = desk.record.claim(desk.address.portal.name, delivery_id, turn, desk.clock())
    except LostRace:
        log.info("delivery.passed", delivery_id=delivery_id, turn=turn)
        return
    answer = desk.client.call(bizproc.START, bizproc.start_parameters(delivery.call))
    settle(desk, delivery, answer, judge(answer))


def settle(desk: Desk, delivery: Delivery, answer: Answer, judgement: Judgement) -> None:
    """Write what an answer means for a delivery, and log it in one wide line."""
    number = delivery.next_number
    step = next_step(judgement.verdict, number, judgement.reason, desk.chance())
    attempt = Attempt(
        number=number,
        at=answer.at,
        duration_ms=answer.duration_ms,
        verdict=judgement.verdict,
        status=answer.status,
        code=answer.code,
        description=answer.description,
    )
    outcome = _outcome(desk, delivery, step, judgement, attempt)
    _write(desk, delivery, outcome)
    log.info(
        "delivery.attempted",
        delivery_id=delivery.id,
        event_id=delivery.event_id,
        rule=delivery.rule,
        portal=delivery.call.portal,
        template_id=delivery.call.template_id,
        attempt=number,
        verdict=judgement.verdict.value,
        reason=judgement.reason,
        status=answer.status,
        code=answer.code,
        duration_ms=answer.duration_ms,
        state=outcome.state.value,
        workflow_id=judgement.workflow_id,
    )


def _outcome(desk: Desk, delivery: Delivery, step: Step, judgement: Judgement, attempt: Attempt) -> Outcome:
    queues, portal, turn = desk.record.queues, delivery.call.portal, delivery.turn + 1
    match step:
        case Done():
            return Outcome(State.STARTED, "", attempt, judgement.workflow_id)
        case Bury(reason):
            return Outcome(State.DEAD, reason, attempt)
        case Reconcile():
            return Outcome(State.UNCERTAIN, judgement.reason, attempt)
        case RetryAfter(delay):
            at = desk.clock() + delay
            return Outcome(
                State.RETRYING,
                judgement.reason,
                attempt,
                ticket=queues.deliver(portal, delivery.id, turn, at),
                next_at=at,
            )
        case HoldPortal():
            # No attempt is spent: nothing is wrong with the delivery.
            at = desk.clock() + HELD_PAUSE
            ticket = queues.deliver(portal, delivery.id, turn, at)
            return Outcome(State.PENDING, judgement.reason, ticket=ticket, next_at=at)


def _write(desk: Desk, delivery: Delivery, outcome: Outcome) -> None:
    """Settle, patiently: as long as Redis is away, this process is the only one that knows the outcome."""
    for pause_s in (*SETTLE_PAUSES_S, None):
        try:
            desk.record.settle(
                delivery,
                outcome.state,
                desk.clock(),
                attempt=outcome.attempt,
                workflow_id=outcome.workflow_id,
                reason=outcome.reason,
                ticket=outcome.ticket,
                next_at=outcome.next_at,
            )
        except LostRace:
            # Either an earlier try of this loop was executed and only its answer was lost, or the hard deadline
            # (see HARD_DEADLINE) passed and the sweeper has made the delivery uncertain. Both stand.
            log.warning("delivery.settled_elsewhere", delivery_id=delivery.id, state=outcome.state.value)
            return
        except RecordUnavailableError:
            if pause_s is None:
                deadline_s = HARD_DEADLINE.total_seconds()
                log.error("delivery.unsettled", delivery_id=delivery.id, deadline_s=deadline_s)  # noqa: TRY400
                return
            time.sleep(pause_s)
        else:
            return
