"""What the answers of one request teach about the portal: how long calls take, what of each method's time is used,
whether our own ids are honoured, which methods are refused.
"""

from __future__ import annotations

from collections.abc import Sequence

from relay.core.lifecycle import Verdict
from relay.store.portals.learned import Learned
from workers.bitrix24.answers import Answer, Fault
from workers.bitrix24.batch import BATCH
from workers.bitrix24.verdicts import Judgement, Remedy
from workers.delivery.next_call import own_id
from workers.delivery.settling import Tried
from workers.delivery.weighing import is_whole
from workers.portal import gatekeeper
from workers.portal.context import Context
from workers.portal.pace import IGNORED

ANSWERED = Judgement(Verdict.DONE, "answered")
"""A batch that was taken apart, whatever became of its commands."""
CUT_LATE_MS = 10_000
"""A connection that breaks sooner says nothing about how long calls take."""


def learn(context: Context, known: Learned, answer: Answer, tried: Sequence[Tried]) -> None:
    """Take in everything. known: what was known before the calls. answer: to the whole request."""
    in_batch = len(tried) > 1
    with context.pace.at_once():
        _learn_times(context, known, tried)
        _learn_echoes(context, known, tried)
        if in_batch:
            _learn_batch(context, known, answer, tried)
        elif known.batch_limit == 1:
            context.pace.learn_batch(known, 1, context.portal.batch, fits=True)
        if is_whole(answer, tried):
            return  # of its commands it says nothing
        for method in dict.fromkeys(one.call.method for one in tried):
            own = [one for one in tried if one.call.method == method]
            timed = [one.answer.time for one in own if one.answer.time]
            if timed:
                context.pace.learn_operating(known, method, timed[-1], context.clock(), in_batch=in_batch)
            gatekeeper.mind_method(context, known, method, [one.judgement for one in own], in_batch=in_batch)


def _learn_batch(context: Context, known: Learned, answer: Answer, tried: Sequence[Tried]) -> None:
    """How many commands go in one request, and whether requests of several may be made at all."""
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


def _learn_times(context: Context, known: Learned, tried: Sequence[Tried]) -> None:
    took: dict[str, list[float]] = {}
    for one in tried:
        answer, what = one.answer, one.call.timed_as
        if answer.fault in {Fault.TIMED_OUT, Fault.CUT, Fault.UNREADABLE} and answer.duration_ms > CUT_LATE_MS:
            # What was cut late took at least its share of the time: the next batch of such calls is smaller.
            context.pace.learn_at_least(known, what, answer.duration_ms / len(tried))
        took_s = answer.time.get("processing", answer.time.get("duration"))
        if not answer.fault and answer.code is None and isinstance(took_s, int | float):
            took.setdefault(what, []).append(float(took_s) * 1000)
    for what, times in took.items():
        context.pace.learn_took(known, what, sum(times) / len(times))


def _learn_echoes(context: Context, known: Learned, tried: Sequence[Tried]) -> None:
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
