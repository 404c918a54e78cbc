"""What the answers of one request mean together: whom a refusal concerns, and what was the fault of the batch.

Judged is each answer by itself (workers/bitrix24/verdicts.py); here they are seen beside each other, beside what was
known of the portal before, and, where that is not enough, beside the answer to a harmless question.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from relay.core.lifecycle import Verdict
from relay.store.portals.survey import Survey
from workers.bitrix24.answers import Answer
from workers.bitrix24.verdicts import Concern, Judgement, Remedy
from workers.delivery.settling import Tried
from workers.portal import gatekeeper
from workers.portal.context import Context

ASK_WITHIN_S = 20.0
"""How soon after the claim a question may be put: it may take a minute, and the outcome is to be written after it."""


def weigh(
    context: Context, portal: Survey, answer: Answer, tried: Sequence[Tried], not_after: Callable[[], float]
) -> list[Tried]:
    """The same tries, with what their answers mean together. portal: as it was before the call.

    not_after: by the monotonic clock, in seconds; later no question is put.
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


def is_whole(answer: Answer, tried: Sequence[Tried]) -> bool:
    """Whether the answer is to a batch as a whole, and not to its commands."""
    return len(tried) > 1 and (answer.fault is not None or answer.code is not None)


def decisive(judgements: Sequence[Judgement]) -> Judgement:
    """The judgement that the gate hears of: of the command that concerns every other, if there is one."""
    of_portal = (each for each in judgements if each.concern is Concern.PORTAL)
    return next(of_portal, judgements[-1])


def _of_batch(judgement: Judgement) -> Judgement:
    """What refuses a whole batch may be the fault of its size, or of one of its calls: they are tried in smaller ones,
    and each alone in the end, before any of them is given up.
    """
    if judgement.verdict is Verdict.REJECTED and judgement.concern is Concern.CALL:
        return replace(judgement, verdict=Verdict.UNREACHABLE, remedy=Remedy.SMALLER)
    return judgement


def _alone(judgement: Judgement) -> Judgement:
    """There is nothing smaller than one call."""
    return replace(judgement, remedy=Remedy.NONE) if judgement.remedy is Remedy.SMALLER else judgement


def _is_trial(portal: Survey, one: Tried, judgement: Judgement) -> bool:
    """Whether it was to prove a gate or a method that was closed before, and was refused as well."""
    if judgement.verdict is not Verdict.HELD:
        return False
    state = portal.learned.methods.get(one.call.method)
    was_blocked = state is not None and state.block is not None
    return was_blocked if judgement.concern is Concern.METHOD else not portal.gate.is_proven
