"""What the answer to a step means for a delivery: what was found, or made, or fired, and what follows where it was not.

A document is never made twice: a call that may have made it leaves the delivery with the word that it is to be looked
for by our own id, and only where the portal does not know that id is it made. A find is asked again without a doubt.
"""

from __future__ import annotations

from dataclasses import replace

from relay.core.events import Delivery
from relay.core.lifecycle import State
from relay.core.plan import How, Many, Step, StepKind
from relay.store.record.record import Settlement
from workers.delivery.next_call import NextCall, finished, found_nothing, questions_of
from workers.delivery.retry import BUDGET, Bury, Done, HoldPortal, Reconcile, RetryAfter, delay_after
from workers.delivery.settling import Tried, given_up, settles_in, waiting_again, what_follows
from workers.portal.context import Context


def settlement_of_step(context: Context, tried: Tried, step: Step) -> Settlement:
    """What has become of a delivery whose step was tried."""
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
            # Not before the call can no longer be running: what is not there yet is not found.
            delay = max(settles_in(context, tried.answer), delay_after(tried.call.failures + 1, context.chance()))
            after = replace(delivery, unsure=(*delivery.unsure, step.name))
            return Settlement(delivery, State.RETRYING, reason, attempt, next_at=now + delay, after=after)
        case Reconcile():
            at = now + settles_in(context, tried.answer)
            return Settlement(delivery, State.UNCERTAIN, reason, attempt, next_at=at)


def remember(context: Context, tried: Tried) -> None:
    """Remember what a find has found, where the rule says so. Nothing found is not remembered: it may come."""
    call, ids = tried.call, tried.judgement.ids
    if call.step and call.memory and ids and not _is_too_many(call.step, ids):
        context.kept.remember_found(call.memory, _chosen(call.step, ids), call.step.keep_s)


def _done(context: Context, tried: Tried, step: Step) -> Settlement:
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
