"""Minds the gate of a portal: which answers close it, who asks whether it may open, and who hears of it.

One portal's trouble stays at its gate: deliveries wait as they are, other portals go on. Before a closed gate one
worker at a time puts a harmless question, so that no delivery pays for finding out whether the portal is well. When it
has opened, a single delivery proves it before batches go on.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from relay.core.lifecycle import Verdict
from relay.core.telemetry import get_logger
from relay.store.portals.gate import GateState, View
from workers.bitrix24 import bizproc
from workers.bitrix24.answers import Answer
from workers.bitrix24.verdicts import Judgement, Remedy, judge
from workers.portal.context import Context
from workers.portal.pace import operating_left_s

DENIED_IN_A_ROW = 5
"""ACCESS_DENIED is of one event, until it is of every event: then the credential is the reason."""
ASKING = timedelta(seconds=20)
"""How long the others wait for the one that asks. Should it take longer, two ask: a list harms nobody."""
OPERATING_TIME = "operating_time"

log = get_logger()


def ask(context: Context) -> bool:
    """Ask a portal whose gate is closed whether it is well again, if it is time to; whether the gate is open now."""
    if not context.gate.look().may_be_asked(context.clock()):
        return False
    with context.kept.lease("ask", context.holder, ASKING) as is_ours:
        seen = context.gate.look()
        if not is_ours or not seen.may_be_asked(context.clock()):
            return seen.is_open
        context.client.wait()
        answer = context.client.call(bizproc.TEMPLATES, {"SELECT": ["ID"]})
        if isinstance(answer.result, list):
            return reopen(context, seen)
        judgement, now = judge(answer), context.clock()
        if judgement.verdict is Verdict.HELD:
            _hold(context, seen, judgement)
        elif seen.state is GateState.HELD:
            context.gate.hold(seen, seen.reason or "", now)
        else:
            context.gate.back_off(seen, _word(judgement), now)
        return False


def reopen(context: Context, seen: View) -> bool:
    """Open the gate: the portal has answered. True."""
    if context.gate.open(seen, context.clock()):
        log.info("portal.opened", portal=context.portal.name)
    return True


def mind(context: Context, seen: View, answer: Answer, judgement: Judgement, batch: Sequence[Judgement] = ()) -> None:
    """Close or prove the gate after an answer. seen: the gate before the call. batch: of each command."""
    now, gate = context.clock(), context.gate
    _count(context, batch or (judgement,))
    if judgement.remedy is Remedy.WAIT_FOR_BUDGET:
        until = context.pace.learn_limit(context.pace.read(), now)
        if gate.back_off(seen, _word(judgement), now, until):
            log.warning("portal.paused", portal=context.portal.name, reason=_word(judgement), until=until.isoformat())
    elif judgement.verdict is Verdict.HELD or context.streak.denied >= DENIED_IN_A_ROW:
        _hold(context, seen, judgement)
    elif _is_trouble(answer, judgement):
        if gate.back_off(seen, judgement.reason, now):
            log.warning("portal.paused", portal=context.portal.name, reason=judgement.reason)
    elif seen.is_open and not seen.is_proven and judgement.verdict in {Verdict.STARTED, Verdict.REJECTED}:
        gate.prove(seen, now)


def rest(context: Context) -> None:
    """Pause short of the operating limit, until the oldest of the portal's buckets leaves."""
    learned, now = context.pace.read(), context.clock()
    if learned.reset_at and learned.reset_at > now and operating_left_s(learned, now) <= 0:
        seen = context.gate.look()
        if seen.is_open and context.gate.rest(seen, OPERATING_TIME, now, learned.reset_at):
            log.warning("portal.paused", portal=context.portal.name, reason=OPERATING_TIME)


def _hold(context: Context, seen: View, judgement: Judgement) -> None:
    if context.gate.hold(seen, judgement.reason, context.clock()):
        context.gate.alert("portal_held", judgement.reason, context.clock())
        log.error("portal.held", portal=context.portal.name, reason=judgement.reason)


def _word(judgement: Judgement) -> str:
    return OPERATING_TIME if judgement.remedy is Remedy.WAIT_FOR_BUDGET else judgement.reason


def _is_trouble(answer: Answer, judgement: Judgement) -> bool:
    """Whether the next call would most likely end the same way, whatever it is."""
    if judgement.verdict is Verdict.AMBIGUOUS:
        return answer.fault is not None
    return judgement.verdict in {Verdict.UNREACHABLE, Verdict.THROTTLED}


def _count(context: Context, batch: Sequence[Judgement]) -> None:
    for each in batch:
        context.streak.denied = context.streak.denied + 1 if each.reason == "access_denied" else 0
