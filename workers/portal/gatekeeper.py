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
from relay.store.portals.learned import Learned
from workers.bitrix24 import bizproc
from workers.bitrix24.answers import Answer, Fault
from workers.bitrix24.verdicts import Judgement, Remedy, judge
from workers.portal.context import Context

DENIED_IN_A_ROW = 5
"""ACCESS_DENIED is of one event, until it is of every event: then the credential is the reason."""
ASKING = timedelta(seconds=20)
"""How long the others wait for the one that asks. Should it take longer, two ask: a list harms nobody."""
OF_METHOD = {Remedy.WAIT_FOR_BUDGET, Remedy.HOLD_METHOD}
"""What these answers say is true of one method: the gate does not hear of it."""
ANSWERED = {Verdict.STARTED, Verdict.DONE, Verdict.REJECTED}
"""The portal does what it is asked, or says why not."""
FORBIDDEN = "insufficient_scope"

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
        judgement, now = judge(answer), context.clock()
        # Who may not list templates may still make documents and fire triggers: of the rest, the portal is well.
        is_forbidden = judgement.reason == FORBIDDEN != seen.reason
        if isinstance(answer.result, list) or is_forbidden:
            return reopen(context, seen)
        if judgement.verdict is Verdict.HELD:
            _hold(context, seen, judgement)
        elif seen.state is GateState.HELD:
            context.gate.hold(seen, seen.reason or "", now)
        else:
            context.gate.back_off(seen, judgement.reason, now)
        return False


def reopen(context: Context, seen: View) -> bool:
    """Open the gate: the portal has answered. True."""
    if context.gate.open(seen, context.clock()):
        log.info("portal.opened", portal=context.portal.name)
    return True


def mind(context: Context, seen: View, answer: Answer, judgement: Judgement) -> None:
    """Close or prove the gate after an answer. seen: the gate before the call."""
    now, gate = context.clock(), context.gate
    if judgement.remedy in OF_METHOD:
        return
    if judgement.verdict is Verdict.HELD or context.streak.denied.get(bizproc.START, 0) >= DENIED_IN_A_ROW:
        _hold(context, seen, judgement)
    elif _is_trouble(answer, judgement):
        if gate.back_off(seen, judgement.reason, now):
            log.warning("portal.paused", portal=context.portal.name, reason=judgement.reason)
    elif seen.is_open and not seen.is_proven and judgement.verdict in ANSWERED:
        gate.prove(seen, now)


def mind_method(context: Context, known: Learned, method: str, judgements: Sequence[Judgement]) -> None:
    """Block a method after answers that refuse it, whatever the delivery; open it after one that does not.

    known: what was known of the portal before the call. What waits for the method stays as it is, and others go on.
    """
    now, denied = context.clock(), context.streak.denied
    for each in judgements:
        denied[method] = denied.get(method, 0) + 1 if each.reason == "access_denied" else 0
    refused = next((each for each in judgements if each.remedy in OF_METHOD), None)
    if refused is None and method != bizproc.START and denied.get(method, 0) >= DENIED_IN_A_ROW:
        refused = Judgement(Verdict.HELD, "access_denied", Remedy.HOLD_METHOD)
    before = known.methods[method].block if method in known.methods else None
    if refused is None:
        if before and any(each.verdict in ANSWERED for each in judgements):
            context.pace.unblock(method)
            log.info("method.opened", portal=context.portal.name, method=method)
        return
    is_held = refused.remedy is Remedy.HOLD_METHOD
    if not is_held:
        context.pace.learn_limit(known, method, now)
    block = context.pace.block(known, method, refused.reason, now, for_long=is_held)
    if block.refusals == 1:
        log.warning("method.blocked", portal=context.portal.name, method=method, reason=block.reason)
        if is_held:
            context.gate.alert("method_held", f"{method}: {block.reason}", now)


def _hold(context: Context, seen: View, judgement: Judgement) -> None:
    if context.gate.hold(seen, judgement.reason, context.clock()):
        context.gate.alert("portal_held", judgement.reason, context.clock())
        log.error("portal.held", portal=context.portal.name, reason=judgement.reason)


def _is_trouble(answer: Answer, judgement: Judgement) -> bool:
    """Whether the next call would most likely end the same way, whatever it is."""
    if answer.fault is Fault.TOO_LATE:
        return False
    if judgement.verdict is Verdict.AMBIGUOUS:
        return answer.fault is not None
    return judgement.verdict in {Verdict.UNREACHABLE, Verdict.THROTTLED}
