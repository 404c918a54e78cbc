"""From waiting deliveries to recorded outcomes: a slot of the pace, a claim, one call or a batch, a verdict for each.

What is called for a delivery is the next step of its plan, or the start of its workflow (next_call.py). The order is
the promise. Claimed before the call, so that a death in between leaves `sending`, which the sweeper finds; sent soon
after the claim or not at all, so that whoever comes later is alone; settled after it, as often as it takes, for the
outcome is known only here.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from relay.configuration.portals import OwnIds
from relay.core.errors import RecordUnavailableError
from relay.core.lifecycle import State, Verdict
from relay.store.portals.survey import Survey
from relay.store.record.record import Load, Settlement
from workers.bitrix24.answers import Answer, Fault
from workers.bitrix24.batch import BATCH, answers_of, batch_parameters
from workers.bitrix24.verdicts import Judgement, Remedy
from workers.delivery.learning import learn
from workers.delivery.next_call import NextCall, own_id, prepare
from workers.delivery.settling import Tried, settlement_of_start, write_all, write_answered
from workers.delivery.steps import remember, settlement_of_step
from workers.delivery.weighing import ASK_WITHIN_S, decisive, weigh
from workers.portal import gatekeeper
from workers.portal.client import SEND_WITHIN_S
from workers.portal.context import Context
from workers.portal.holding import KEEPER, LEASE, Held
from workers.portal.pace import BATCH_BUDGET_MS, UNLIMITED_BUDGET_MS, load_of


def deliver_next(context: Context, portal: Survey) -> bool:
    """Send the oldest that waits and, where more are waiting than the pace carries one by one, others with it.

    portal: as it is now. Whether anything was to be done.
    """
    if not portal.due:
        return False
    free = context.client.wait()
    if context.portal.rate_per_s is not None:
        portal = context.survey()  # it may have taken a while
    seen, learned = portal.gate, portal.learned
    if not seen.is_open:
        return False
    if context.portal.own_id is OwnIds.OFF:
        context.pace.forget_honoured(learned)
    began, calls = _claim_calls(context, _load(context, portal, free))
    if not calls:
        return context.gate.look().is_open and bool(context.record.due(context.portal.name, context.clock()))
    held = Held(context.record, context.clock, [call.delivery for call in calls], began, SEND_WITHIN_S)
    with KEEPER.holding(held):
        answer, tried = _try(context, calls, held.not_after)
        tried = weigh(context, portal, answer, tried, lambda: min(held.not_after(), began + ASK_WITHIN_S))
        settle_all(context, tried, began)
    learn(context, learned, answer, tried)
    gatekeeper.mind(context, seen, decisive([one.judgement for one in tried]))
    return True


def give_back(context: Context) -> None:
    """The answer to a claim was lost, or too few replicas had it: what it took was not sent, and waits as it did."""
    now = context.clock()
    claimed = context.record.claim(context.portal.name, context.claim.id, now, to_send=False, lapses_in=LEASE)
    context.record.settle_all([Settlement(one, State.PENDING) for one in claimed], context.clock())
    context.claim.renew()


def settle_all(context: Context, tried: Sequence[Tried], began: float) -> None:
    """Write what the answers mean for deliveries that were claimed together, each for itself, in one round trip.

    began: when they were claimed, by the monotonic clock.
    """
    write_answered(context, [_settlement(context, one) for one in tried], began)
    for one in tried:
        remember(context, one)


def _claim_calls(context: Context, load: Load) -> tuple[float, list[NextCall]]:
    """Claim, and settle at once what needs no call; when, by the monotonic clock, and the calls to be made."""
    while True:
        reached = context.store.reached(context.clock())
        if reached is None:
            return time.monotonic(), []
        began = time.monotonic()
        # Until it is known what is called, what was taken is this process's to give back.
        context.claim.is_unanswered = True
        name, manner = context.portal.name, context.manner
        claimed = context.record.claim(name, context.claim.id, context.clock(), load, manner, lapses_in=LEASE)
        if claimed:
            context.store.high_water.note_promise_after(reached)
        calls, settled = prepare(context, claimed)
        context.claim.renew()
        if settled:
            write_all(context, settled, began)
        if calls or not claimed:
            return began, calls


def _load(context: Context, portal: Survey, free: int) -> Load:
    """One where the pace can carry all that wait one by one, or the gate is to be proven; else a batch."""
    now, learned = context.clock(), portal.learned
    most = min(context.portal.batch, learned.batch_limit or context.portal.batch)
    batch = learned.methods.get(BATCH)
    is_refused = batch is not None and batch.waits_until(now, learned.granted_s) is not None
    is_single = portal.due - 1 <= free or most == 1 or is_refused or not portal.gate.is_proven
    limit = 1 if is_single else min(most, portal.due)
    budget_ms = UNLIMITED_BUDGET_MS if context.portal.rate_per_s is None else BATCH_BUDGET_MS
    return load_of(learned, limit, now, budget_ms)


def _try(context: Context, calls: Sequence[NextCall], not_after: Callable[[], float]) -> tuple[Answer, list[Tried]]:
    """Make the calls, in one request. The answer of the portal, and what became of each call."""
    method, parameters = calls[0].method, calls[0].parameters
    if len(calls) > 1:
        method, parameters = BATCH, batch_parameters([(call.method, call.parameters) for call in calls])
    try:
        answer = context.client.call(method, parameters, not_after)
    except RecordUnavailableError:
        # Before the call was made, or after one that was certainly not executed (portal/client.py).
        answer = Answer(context.clock(), 0, fault=Fault.NOT_SENT)
    answers = answers_of(answer, len(calls)) if len(calls) > 1 else [answer]
    judged = [_own(call, call.judge(each)) for call, each in zip(calls, answers, strict=True)]
    return answer, [Tried(*each, len(calls)) for each in zip(calls, answers, judged, strict=True)]


def _own(call: NextCall, judgement: Judgement) -> Judgement:
    """Our own id exists already: only an earlier attempt of this very delivery can have begun it."""
    chosen = own_id(call.delivery)
    if judgement.remedy is Remedy.OWN_ID_EXISTS and chosen and call.step is None:
        return replace(judgement, verdict=Verdict.STARTED, reason="started_before", workflow_id=chosen)
    return judgement


def _settlement(context: Context, tried: Tried) -> Settlement:
    step = tried.call.step
    return settlement_of_step(context, tried, step) if step else settlement_of_start(context, tried)
