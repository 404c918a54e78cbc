"""From waiting deliveries to recorded outcomes: a slot of the pace, a claim, a call, verdicts, settlements.

The order is the promise. The claim comes before the call, so that a death in between leaves `sending`, which the
sweeper finds. The call follows the claim soon or not at all, so that a later process is alone. The settlement comes
last and is tried until it is written: only this process knows the outcome.

A delivery's next call is the next step of its plan, or the start of its workflow. The record alone decides it, so any
process can go on with any delivery. A document is never made twice: after a call that may have made it, the delivery
looks for it by our own id, and makes it only where the portal does not know that id.

The functions stand in the order in which they are needed: deliver, prepare the call, weigh the answers, settle a start,
settle a step, learn.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

from relay.configuration.portals import OwnIds
from relay.core.errors import LostRace, RecordUnavailableError, WorkflowTaken
from relay.core.events import Attempt, Delivery, OnUncertain, finish_step, lacks
from relay.core.lifecycle import State, Verdict
from relay.core.otel import note_attempt
from relay.core.plan import LIST, STOP, How, Many, Step, StepKind
from relay.core.telemetry import get_logger
from relay.store.portals.gate import LONGEST_PAUSE
from relay.store.portals.learned import Learned
from relay.store.portals.portal import Survey
from relay.store.record.entries import Load, Settlement
from relay.store.record.record import HARD_DEADLINE
from workers.bitrix24 import bizproc, crm
from workers.bitrix24.client import BATCH, Answer, Fault, answers_of, batch_parameters
from workers.bitrix24.verdicts import MADE_UNKNOWN, Concern, Judgement, Remedy, judge, judge_step
from workers.delivery.retry import (
    BUDGET,
    Bury,
    Done,
    FollowUp,
    HoldPortal,
    Reconcile,
    RetryAfter,
    delay_after,
    follow_up,
)
from workers.portal import gatekeeper
from workers.portal.claims import KEEPER, LAPSES_IN, Lease
from workers.portal.client import SEND_WITHIN_S
from workers.portal.context import Context
from workers.portal.pace import BATCH_BUDGET_MS, IGNORED, UNLIMITED_BUDGET_MS, load_of


def deliver_next(context: Context, portal: Survey) -> bool:
    """Send the oldest waiting delivery. Where more wait than the pace carries one by one, send others with it.

    portal: its present state. Returns whether there was anything to do.
    """
    if not portal.due:
        return False
    free = context.client.wait()
    if context.portal.rate_per_s is not None:
        portal = context.survey()  # the wait may have been long
    seen, learned = portal.gate, portal.learned
    if not seen.is_open:
        return False
    if context.portal.own_id is OwnIds.OFF:
        context.pace.forget_honoured(learned)
    began, calls = _claim_calls(context, _load(context, portal, free))
    if not calls:
        return context.gate.look().is_open and bool(context.record.due(context.portal.name, context.clock()))
    lease = Lease(context.record, context.clock, [call.delivery for call in calls], began, SEND_WITHIN_S)
    with KEEPER.holding(lease):
        answer, tried = _try(context, calls, lease.not_after)
        tried = weigh(context, portal, answer, tried, lambda: min(lease.not_after(), began + ASK_WITHIN_S))
        settle_all(context, tried, began)
    learn(context, learned, answer, tried)
    gatekeeper.mind(context, seen, decisive([one.judgement for one in tried]))
    return True


def give_back(context: Context) -> None:
    """Give back a claim whose answer was lost, or that too few replicas had: nothing of it was sent."""
    now = context.clock()
    claimed = context.record.claim(context.portal.name, context.claim.id, now, to_send=False, lapses_in=LAPSES_IN)
    context.record.settle_all([Settlement(one, State.PENDING) for one in claimed], context.clock())
    context.claim.renew()


def settle_all(context: Context, tried: Sequence[CallAttempt], began: float) -> None:
    """Settle deliveries that were claimed together, in one round trip.

    began: time of the claim, by the monotonic clock.
    """
    write_answered(context, [_settlement(context, one) for one in tried], began)
    for one in tried:
        remember(context, one)


def _claim_calls(context: Context, load: Load) -> tuple[float, list[NextCall]]:
    """Claim, and settle at once what needs no call. Returns the time of the claim (monotonic) and the calls to make."""
    while True:
        reached = context.store.reached(context.clock())
        if reached is None:
            return time.monotonic(), []
        began = time.monotonic()
        # Until the calls are known, this process must give back what it claimed.
        context.claim.is_unanswered = True
        name, manner = context.portal.name, context.manner
        claimed = context.record.claim(name, context.claim.id, context.clock(), load, manner, lapses_in=LAPSES_IN)
        if claimed:
            context.store.high_water.note_promise_after(reached)
        calls, settled = prepare(context, claimed)
        context.claim.renew()
        if settled:
            write_all(context, settled, began)
        if calls or not claimed:
            return began, calls


def _load(context: Context, portal: Survey, free: int) -> Load:
    """One delivery where the pace carries all that wait one by one, or the gate is to be proven; else a batch."""
    now, learned = context.clock(), portal.learned
    most = most_at_once(context, learned)
    is_single = portal.due - 1 <= free or most == 1 or not portal.gate.is_proven
    limit = 1 if is_single else min(most, portal.due)
    budget_ms = UNLIMITED_BUDGET_MS if context.portal.rate_per_s is None else BATCH_BUDGET_MS
    return load_of(learned, limit, now, budget_ms)


def most_at_once(context: Context, learned: Learned) -> int:
    """How many calls this portal takes in one request now."""
    batch = learned.methods.get(BATCH)
    if batch is not None and batch.waits_until(context.clock(), learned.granted_s) is not None:
        return 1
    return min(context.portal.batch, learned.batch_limit or context.portal.batch)


def _try(
    context: Context, calls: Sequence[NextCall], not_after: Callable[[], float]
) -> tuple[Answer, list[CallAttempt]]:
    """Make the calls, in one request. Returns the portal's answer, and each call with its own."""
    method, parameters = calls[0].method, calls[0].parameters
    if len(calls) > 1:
        method, parameters = BATCH, batch_parameters([(call.method, call.parameters) for call in calls])
    try:
        answer = context.client.call(method, parameters, not_after)
    except RecordUnavailableError:
        # The record failed before the call, or after one that was certainly not executed (portal/client.py).
        answer = Answer(context.clock(), 0, fault=Fault.NOT_SENT)
    answers = answers_of(answer, len(calls)) if len(calls) > 1 else [answer]
    judged = [_own(call, call.judge(each)) for call, each in zip(calls, answers, strict=True)]
    return answer, [CallAttempt(*each, len(calls)) for each in zip(calls, answers, judged, strict=True)]


def _own(call: NextCall, judgement: Judgement) -> Judgement:
    """If our own id exists already, an earlier attempt of this delivery has started it."""
    chosen = own_id(call.delivery)
    if judgement.remedy is Remedy.OWN_ID_EXISTS and chosen and call.step is None:
        return replace(judgement, verdict=Verdict.STARTED, reason="started_before", workflow_id=chosen)
    return judgement


def _settlement(context: Context, tried: CallAttempt) -> Settlement:
    step = tried.call.step
    return settlement_of_step(context, tried, step) if step else settlement_of_start(context, tried)


@dataclass(frozen=True, slots=True)
class NextCall:
    """A call to be made for a delivery.

    step: None for the start. memory: digest under which its answer is remembered; empty: it is not.
    """

    delivery: Delivery
    method: str
    parameters: Mapping[str, Any] = field(repr=False)
    step: Step | None = None
    memory: str = ""

    @property
    def timed_as(self) -> str:
        """The key of its duration: the template that it starts, or its method."""
        return self.method if self.step else str(self.delivery.call.template_id)

    @property
    def is_look(self) -> bool:
        """Whether it looks for a document that an earlier call may have made."""
        return self.step is not None and self.step.kind is StepKind.MAKE and self.method != self.step.method

    @property
    def failures(self) -> int:
        """Number of failed attempts at the same step or start."""
        return self.delivery.failures_of(self.step.name if self.step else "")

    def judge(self, answer: Answer) -> Judgement:
        """The verdict on an answer to it."""
        return judge_step(self.step, self.method, answer) if self.step else judge(answer)


def prepare(context: Context, claimed: Sequence[Delivery]) -> tuple[list[NextCall], list[Settlement]]:
    """The next call of each claimed delivery, and the settlements of those that need no call now."""
    prepared = [_next_of(context, delivery) for delivery in claimed]
    calls = [one for one in prepared if isinstance(one, NextCall)]
    settled = [one for one in prepared if isinstance(one, Settlement)]
    kept = [call for call in calls if call.memory]
    found = context.kept.found_before([call.memory for call in kept])
    remembered = [(call, value) for call, value in zip(kept, found, strict=True) if value is not None]
    settled += [finished(context, call.delivery, How.KEPT, value) for call, value in remembered]
    spared = {call.delivery.id for call, _ in remembered}
    return [call for call in calls if call.delivery.id not in spared], settled


def finished(context: Context, delivery: Delivery, how: How, value: int | None, tries: int = 0) -> Settlement:
    """The settlement after the delivery's next step has ended. tries: attempts at it that are not on record yet."""
    progress = finish_step(delivery, how, value, context.clock(), tries)
    return Settlement(delivery, progress.state, progress.reason, after=progress.delivery)


def found_nothing(context: Context, delivery: Delivery, step: Step, tries: int = 0) -> Settlement:
    """The settlement of a find that found nothing, as its rule says."""
    if step.none == STOP:
        return Settlement(delivery, State.DEAD, "nothing_found")
    return finished(context, delivery, How.NOTHING, step.none if isinstance(step.none, int) else None, tries)


def own_id(delivery: Delivery) -> str | None:
    """The own id that its start carries; None where it was claimed to be sent without."""
    return bizproc.own_id_of(delivery.id) if delivery.own_id_at else None


def questions_of(delivery: Delivery, step: Step) -> list[dict[str, Any]]:
    """The questions of a find, to be asked in order until one finds something."""
    return crm.questions_of(step, step.filled(delivery.values))


def _next_of(context: Context, delivery: Delivery) -> NextCall | Settlement:
    step = delivery.next_step
    if step is None:
        call = delivery.call_as_sent
        return NextCall(delivery, bizproc.START, bizproc.start_parameters(call, own_id(delivery)))
    if step.kind is StepKind.FIND:
        return _question_of(context, delivery, step)
    if step.kind is StepKind.TRIGGER:
        if lacks(delivery, step.values.get("target")):
            return Settlement(delivery, State.DEAD, "document_missing")
        return NextCall(delivery, step.method, crm.firing_of(step.filled(delivery.values)), step)
    taken = delivery.values.get(step.unless) if step.unless else None
    if taken is not None:
        return finished(context, delivery, How.TAKEN, taken)
    own = crm.own_id_of(delivery.plan.origin if delivery.plan else delivery.id, step.name)
    if delivery.is_looked_for:
        return _look_of(context, delivery, step, own)
    return NextCall(delivery, step.method, crm.making_of(step, step.filled(delivery.values), own), step)


def _look_of(context: Context, delivery: Delivery, step: Step, own: str) -> NextCall | Settlement:
    if not any(attempt.step == step.name for attempt in delivery.attempts):
        # In a replay, the call that may have made it belongs to an earlier delivery and may still be running.
        over_at = delivery.created_at + timedelta(seconds=context.portal.settle_after_s)
        if context.clock() < over_at:
            return Settlement(delivery, State.RETRYING, MADE_UNKNOWN, next_at=over_at)
    return NextCall(delivery, LIST, crm.looking_of(step, own), step)


def _question_of(context: Context, delivery: Delivery, step: Step) -> NextCall | Settlement:
    questions = questions_of(delivery, step)
    if delivery.asked >= len(questions):
        return found_nothing(context, delivery, step)
    question = questions[delivery.asked]
    memory = context.address.digest(json.dumps([step.method, step.many, question])) if step.keep_s else ""
    return NextCall(delivery, step.method, question, step, memory)


ASK_WITHIN_S = 20.0
"""Longest time between claim and question. A question may take a minute, and the outcome is written after it."""


def weigh(
    context: Context, portal: Survey, answer: Answer, tried: Sequence[CallAttempt], not_after: Callable[[], float]
) -> list[CallAttempt]:
    """The same calls, with their answers judged together. portal: its state before the call.

    not_after: deadline for a question, by the monotonic clock, in seconds.
    """
    judgements = gatekeeper.resolve(context, [one.judgement for one in tried], not_after)
    if is_whole(answer, tried):
        judgements = [_of_batch(each) for each in judgements]
    else:
        judgements = [_alone(each) for each in judgements] if len(tried) == 1 else judgements
        methods = [one.call.method for one in tried]
        judgements = gatekeeper.count_denials(context, portal.learned, list(zip(methods, judgements, strict=True)))
    return [
        replace(one, judgement=each, steps_back=_is_trial(portal, one, each))
        for one, each in zip(tried, judgements, strict=True)
    ]


def is_whole(answer: Answer, tried: Sequence[CallAttempt]) -> bool:
    """Whether the answer is to a batch as a whole, not to its commands."""
    return len(tried) > 1 and (answer.fault is not None or answer.code is not None)


def decisive(judgements: Sequence[Judgement]) -> Judgement:
    """The judgement for the gate: that of a command about the portal, if there is one."""
    of_portal = (each for each in judgements if each.concern is Concern.PORTAL)
    return next(of_portal, judgements[-1])


def _of_batch(judgement: Judgement) -> Judgement:
    """A refused batch is tried in smaller ones, and each call alone in the end, before any call is given up: the size,
    or one of its calls, may be the reason.
    """
    if judgement.verdict is Verdict.REJECTED and judgement.concern is Concern.CALL:
        return replace(judgement, verdict=Verdict.UNREACHABLE, remedy=Remedy.SMALLER)
    return judgement


def _alone(judgement: Judgement) -> Judgement:
    """A single call cannot be made smaller."""
    return replace(judgement, remedy=Remedy.NONE) if judgement.remedy is Remedy.SMALLER else judgement


def _is_trial(portal: Survey, one: CallAttempt, judgement: Judgement) -> bool:
    """Whether it was to prove a closed gate or method, and was refused as well."""
    if judgement.verdict is not Verdict.HELD:
        return False
    state = portal.learned.methods.get(one.call.method)
    was_blocked = state is not None and state.block is not None
    return was_blocked if judgement.concern is Concern.METHOD else not portal.gate.is_proven


SETTLE_PAUSES_S = (0.1, 0.5, 1, 2, 5)
"""Pauses between tries to write an outcome while Redis is away. The last one repeats until time is up."""
SETTLE_MARGIN_S = 15.0
"""The last try begins this long before the hard deadline: one that hangs takes eight seconds (redis/connection.py)."""

QUICK_MS = 10_000
QUICK_SETTLE = timedelta(seconds=10)
"""A portal whose web server answers with a page within ten seconds has ended the request, or never begun it: one can
soon ask whether it was executed. Not after a 504 or a proxy's 52x, where PHP may still be at work, nor after a
broken connection."""

TAKEN = "workflow_of_another"
STEP_BACK = LONGEST_PAUSE + timedelta(seconds=1)
"""A delivery that tried a gate or a method in vain goes behind all others that wait for the next try."""

log = get_logger()


@dataclass(frozen=True, slots=True)
class CallAttempt:
    """A call that was made, its answer and its judgement.

    steps_back: it failed to prove a gate or a method; another delivery proves it next.
    """

    call: NextCall
    answer: Answer
    judgement: Judgement
    batch_size: int = 1
    steps_back: bool = False

    @property
    def attempt(self) -> Attempt:
        """The attempt as it is recorded."""
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


def settlement_of_start(context: Context, tried: CallAttempt) -> Settlement:
    """The settlement of a delivery whose start was tried."""
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


def given_up(context: Context, tried: CallAttempt, why: str) -> Settlement:
    """The settlement of a refused delivery: dead.

    But where its rule resends after a doubt, the earlier call may have been executed: then a person decides.
    """
    delivery, attempt, step = tried.call.delivery, tried.attempt, tried.call.step
    is_resent = delivery.policy.on_uncertain == OnUncertain.RESEND and (not step or step.kind is StepKind.TRIGGER)
    if is_resent and any(one.verdict is Verdict.AMBIGUOUS and one.step == attempt.step for one in delivery.attempts):
        context.gate.alert("uncertain", context.clock(), delivery=delivery.id, reason=why)
        return Settlement(delivery, State.UNCERTAIN, why, attempt)
    return Settlement(delivery, State.DEAD, why, attempt)


def waiting_again(context: Context, tried: CallAttempt) -> Settlement:
    """The settlement of a delivery that waits for its gate or method. Nothing is wrong with it: no attempt is spent."""
    delivery, reason = tried.call.delivery, tried.judgement.reason
    next_at = context.clock() + STEP_BACK if tried.steps_back else None
    return Settlement(delivery, State.PENDING, reason, next_at=next_at, steps_back=tried.steps_back)


def what_follows(context: Context, tried: CallAttempt) -> FollowUp:
    """The follow-up of a try. Each step, and the start, has a budget of its own."""
    judgement, number = tried.judgement, tried.call.failures + 1
    if judgement.concern is Concern.METHOD or judgement.remedy is Remedy.SMALLER:
        return HoldPortal()
    is_again = judgement.remedy is Remedy.AGAIN
    return follow_up(judgement.verdict, number, judgement.reason, context.chance(), may_pass=is_again)


def settles_in(context: Context, answer: Answer) -> timedelta:
    """The time that a call with this answer may still be running on the portal."""
    patience = timedelta(seconds=context.portal.settle_after_s)
    is_quick = answer.fault is Fault.UNREADABLE and answer.duration_ms < QUICK_MS
    if is_quick and answer.status is not None and answer.status != 504 and answer.status < 520:
        return min(patience, QUICK_SETTLE)
    return patience


def write_answered(context: Context, settlements: Sequence[Settlement], began: float) -> None:
    """Write the settlements of deliveries that were claimed together, in one round trip."""
    for settlement, result in zip(settlements, write_all(context, settlements, began), strict=False):
        if isinstance(result, WorkflowTaken) and settlement.attempt:
            # Reconciliation has found this workflow and recorded it as another delivery's.
            attempt = replace(settlement.attempt, verdict=Verdict.AMBIGUOUS)
            at = context.clock() + timedelta(seconds=context.portal.settle_after_s)
            lost = Settlement(settlement.delivery, State.UNCERTAIN, TAKEN, attempt, next_at=at)
            write_all(context, [lost], began)


def write_all(context: Context, settlements: Sequence[Settlement], began: float) -> list[LostRace | None]:
    """Settle, patiently: while Redis is away, only this process knows the outcomes.

    began: time of the claim, by the monotonic clock. After the hard deadline the sweeper decides.
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
        # sweeper has dealt with the delivery. Both stand.
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
    note_attempt(delivery, settlement.state, settlement.reason, attempt, settlement.workflow_id)


def settlement_of_step(context: Context, tried: CallAttempt, step: Step) -> Settlement:
    """The settlement of a delivery whose step was tried."""
    delivery, attempt, reason = tried.call.delivery, tried.attempt, tried.judgement.reason
    now = context.clock()
    match what_follows(context, tried):
        case Done():
            return replace(_done(context, tried, step), attempt=attempt)
        case Bury(why):
            return given_up(context, tried, why)
        case RetryAfter(delay):
            return Settlement(delivery, State.RETRYING, reason, attempt, next_at=now + delay)
        case HoldPortal():
            return waiting_again(context, tried)
        case Reconcile() if step.kind is StepKind.MAKE:
            # Look only when the call can no longer be running, or the document may not be there yet.
            delay = max(settles_in(context, tried.answer), delay_after(tried.call.failures + 1, context.chance()))
            after = replace(delivery, unsure=(*delivery.unsure, step.name))
            return Settlement(delivery, State.RETRYING, reason, attempt, next_at=now + delay, after=after)
        case Reconcile():
            at = now + settles_in(context, tried.answer)
            return Settlement(delivery, State.UNCERTAIN, reason, attempt, next_at=at)


def remember(context: Context, tried: CallAttempt) -> None:
    """Remember what a find has found, where the rule says so. An empty result is not remembered: it may change."""
    call, ids = tried.call, tried.judgement.ids
    if call.step and call.memory and ids and not _is_too_many(call.step, ids):
        context.kept.remember_found(call.memory, _chosen(call.step, ids), call.step.keep_s)


def _done(context: Context, tried: CallAttempt, step: Step) -> Settlement:
    delivery, ids = tried.call.delivery, tried.judgement.ids
    if tried.call.is_look:
        return _looked(context, tried.call, step, ids)
    if step.kind is StepKind.FIND:
        return _asked(context, delivery, step, ids)
    if step.kind is StepKind.MAKE:
        return finished(context, delivery, How.MADE, ids[0], tries=1)
    return finished(context, delivery, How.FIRED, None, tries=1)


def _looked(context: Context, call: NextCall, step: Step, ids: tuple[int, ...]) -> Settlement:
    delivery = call.delivery
    if ids:
        return finished(context, delivery, How.FOUND_AGAIN, min(ids), tries=1)
    after = replace(delivery, unsure=tuple(name for name in delivery.unsure if name != step.name))
    if call.failures >= BUDGET:
        return Settlement(delivery, State.DEAD, "budget_spent", after=after)
    return Settlement(delivery, State.PENDING, after=after)


def _asked(context: Context, delivery: Delivery, step: Step, ids: tuple[int, ...]) -> Settlement:
    if _is_too_many(step, ids):
        return Settlement(delivery, State.DEAD, "several_found")
    if ids:
        how = How.SEVERAL if len(ids) > 1 else How.FOUND
        return finished(context, delivery, how, _chosen(step, ids), tries=1)
    if delivery.asked + 1 < len(questions_of(delivery, step)):
        return Settlement(delivery, State.PENDING, after=replace(delivery, asked=delivery.asked + 1))
    return found_nothing(context, delivery, step, tries=1)


def _is_too_many(step: Step, ids: tuple[int, ...]) -> bool:
    return len(ids) > 1 and step.many is Many.STOP


def _chosen(step: Step, ids: tuple[int, ...]) -> int:
    return min(ids) if step.many is Many.OLDEST else max(ids)


ANSWERED = Judgement(Verdict.DONE, "answered")
"""The judgement of a batch as a method, whatever the answers to its commands."""
CUT_LATE_MS = 10_000
"""A connection that breaks sooner says nothing about the duration of calls."""


def learn(context: Context, known: Learned, answer: Answer, tried: Sequence[CallAttempt]) -> None:
    """Learn from the answers. known: what was known before the calls. answer: to the whole request."""
    in_batch = len(tried) > 1
    with context.pace.at_once():
        _learn_times(context, known, tried)
        _learn_echoes(context, known, tried)
        if in_batch:
            _learn_batch(context, known, answer, tried)
        elif known.batch_limit == 1:
            context.pace.learn_batch(known, 1, context.portal.batch, fits=True)
        if is_whole(answer, tried):
            return  # it says nothing about the commands
        for method in dict.fromkeys(one.call.method for one in tried):
            own = [one for one in tried if one.call.method == method]
            timed = [one.answer.time for one in own if one.answer.time]
            if timed:
                context.pace.learn_operating(known, method, timed[-1], context.clock(), in_batch=in_batch)
            gatekeeper.mind_method(context, known, method, [one.judgement for one in own], in_batch=in_batch)


def _learn_batch(context: Context, known: Learned, answer: Answer, tried: Sequence[CallAttempt]) -> None:
    """Learn how many commands fit in one request, and whether the portal takes batches."""
    size, judgements = len(tried), [one.judgement for one in tried]
    is_of_all = is_whole(answer, tried)
    if answer.time:
        context.pace.learn_operating(known, BATCH, answer.time, context.clock(), in_batch=False)
    if is_of_all or not answer.fault:
        gatekeeper.mind_method(context, known, BATCH, judgements[:1] if is_of_all else [ANSWERED])
    if any(each.remedy is Remedy.SMALLER for each in judgements):
        context.pace.learn_batch(known, size, context.portal.batch, fits=False)
    elif not is_of_all:
        context.pace.learn_batch(known, size, context.portal.batch, fits=True)


def _learn_times(context: Context, known: Learned, tried: Sequence[CallAttempt]) -> None:
    took: dict[str, list[float]] = {}
    for one in tried:
        answer, what = one.answer, one.call.timed_as
        if answer.fault in {Fault.TIMED_OUT, Fault.CUT, Fault.UNREADABLE} and answer.duration_ms > CUT_LATE_MS:
            # A call that was cut late took at least its share of the time, so the next batch gets smaller.
            context.pace.learn_at_least(known, what, answer.duration_ms / len(tried))
        took_s = answer.time.get("processing", answer.time.get("duration"))
        if not answer.fault and answer.code is None and isinstance(took_s, int | float):
            took.setdefault(what, []).append(float(took_s) * 1000)
    for what, times in took.items():
        context.pace.learn_took(known, what, sum(times) / len(times))


def _learn_echoes(context: Context, known: Learned, tried: Sequence[CallAttempt]) -> None:
    echoes = [
        one.answer.result == chosen
        for one in tried
        if one.call.step is None and isinstance(one.answer.result, str) and (chosen := own_id(one.call.delivery))
    ]
    if not echoes:
        return
    context.pace.learn_own_id(known, honoured=all(echoes))
    if not all(echoes) and known.echo_at(context.address.mark) is not IGNORED:
        context.gate.alert("own_id_ignored", context.clock())
