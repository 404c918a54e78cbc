"""The gatekeeper of a portal: which answers close its gate or one of its methods, and when they open again.

The rules, kept here and in the concern of each verdict (workers/bitrix24/verdicts.py):

- Only an answer about the portal closes its gate: about the credential, the plan, or no answer at all. Any other answer
  proves that the portal is well.
- An answer about a method blocks that method. An answer about one call concerns its delivery only, which spends its
  attempts and holds up no other.
- Where the concern is unclear, one harmless question decides first. A refusal of the question for lack of rights is an
  answer, too.
- A delivery that fails to prove a closed gate or method steps back, so that another one proves it next.

One portal's trouble stays at its gate: its deliveries wait as they are, other portals go on. At a closed gate, one
worker at a time asks the question, so that no delivery is spent on it. When the gate has opened, a single delivery
proves it before batches go on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

from relay.core.errors import RecordUnavailableError
from relay.core.lifecycle import Verdict
from relay.core.telemetry import get_logger
from relay.store.portals.gate import GateState, View
from relay.store.portals.learned import Learned
from workers.bitrix24 import bizproc
from workers.bitrix24.client import Fault
from workers.bitrix24.verdicts import Concern, Judgement, Remedy, judge
from workers.portal.client import NOTHING_TO_CALL
from workers.portal.context import Context

DENIED = "access_denied"
DENIED_IN_A_ROW = 5
"""After this many denials in a row of a method, the method waits, and calls try it one by one."""
ASKING = timedelta(seconds=20)
"""The others wait this long for the worker that asks. After that two may ask, which is harmless."""
QUESTIONS: tuple[tuple[str, Mapping[str, Any]], ...] = ((bizproc.TEMPLATES, {"SELECT": ["ID"]}), ("scope", {}))
"""Harmless questions. The second is asked where the answer to the first is unclear, too."""

log = get_logger()


def ask(context: Context) -> bool:
    """Ask a portal with a closed gate whether it is well again, if it is time. Returns whether the gate is open now."""
    if not context.gate.look().may_be_asked(context.clock()):
        return False
    with context.kept.lease("ask", context.holder, ASKING) as is_ours:
        seen = context.gate.look()
        if not is_ours or not seen.may_be_asked(context.clock()):
            return seen.is_open
        trouble = find_trouble(context)
        if trouble is None:
            return reopen(context, seen)
        if trouble.verdict is Verdict.HELD:
            _hold(context, seen, trouble)
        elif seen.state is GateState.HELD:
            context.gate.hold(seen, seen.reason or "", context.clock())
        else:
            context.gate.back_off(seen, trouble.reason, context.clock())
        return False


def ask_now(context: Context) -> None:
    """Ask the portal whether it is well, whatever the time, and move its gate by the answer."""
    seen = context.gate.look()
    trouble = find_trouble(context)
    if trouble is None:
        reopen(context, seen)
    elif trouble.verdict is Verdict.HELD:
        _hold(context, seen, trouble)


def begin(context: Context) -> None:
    """Hold a portal by application that is not connected yet, before a delivery has to find out."""
    if context.address.is_by_installation and context.installed and not context.installed.pairs():
        _hold(context, context.gate.look(), judge(NOTHING_TO_CALL))


def find_trouble(context: Context, not_after: Callable[[], float] | None = None) -> Judgement | None:
    """The trouble of the portal as a whole, found by a harmless question; None: it is well.

    not_after: deadline for the question, by the monotonic clock, in seconds. After it the answer is TOO_LATE.
    """
    judgement = None
    for method, parameters in QUESTIONS:
        context.client.wait()
        answer = context.client.call(method, parameters, not_after)
        judgement = judge(answer)
        if answer.fault is Fault.TOO_LATE:
            return judgement
        if judgement.concern in {Concern.CALL, Concern.METHOD}:
            return None
        if judgement.concern is Concern.PORTAL:
            break
    return judgement


def resolve(
    context: Context, judgements: Sequence[Judgement], not_after: Callable[[], float] | None = None
) -> list[Judgement]:
    """The same judgements, with unclear concerns resolved. not_after: see find_trouble."""
    if not any(each.concern is Concern.UNCLEAR for each in judgements):
        return list(judgements)
    try:
        trouble = find_trouble(context, not_after)
    except RecordUnavailableError:
        trouble = Judgement(Verdict.UNREACHABLE, Fault.NOT_SENT)
    return [_resolved(each, trouble) if each.concern is Concern.UNCLEAR else each for each in judgements]


def reopen(context: Context, seen: View) -> bool:
    """Open the gate: the portal has answered. True."""
    if context.address.is_by_installation:
        context.store.applications.open(context.portal.name)
    if context.gate.open(seen, context.clock()):
        log.info("portal.opened", portal=context.portal.name)
    return True


def mind(context: Context, seen: View, judgement: Judgement) -> None:
    """Close or prove the gate after an answer. seen: the gate before the call."""
    now, gate = context.clock(), context.gate
    if judgement.concern is not Concern.PORTAL:
        if seen.is_open and not seen.is_proven:
            gate.prove(seen, now)
    elif judgement.verdict is Verdict.HELD:
        _hold(context, seen, judgement)
    elif gate.back_off(seen, judgement.reason, now):
        log.warning("portal.paused", portal=context.portal.name, reason=judgement.reason)


def count_denials(context: Context, known: Learned, called: Sequence[tuple[str, Judgement]]) -> list[Judgement]:
    """The same judgements, but a denial after many in a row becomes a block of the method, so that nothing is given up.

    called: methods with their judgements, in the order of the calls.
    """
    denied, counted = context.streak.denied, []
    for method, judgement in called:
        if judgement.reason != DENIED:
            denied[method] = 0
            counted.append(judgement)
            continue
        state = known.methods.get(method)
        is_blocked = state is not None and state.block is not None and state.block.reason == DENIED
        denied[method] = denied.get(method, 0) + 1
        is_of_all = is_blocked or denied[method] > DENIED_IN_A_ROW
        of_method = replace(judgement, verdict=Verdict.HELD, concern=Concern.METHOD)
        counted.append(of_method if is_of_all else judgement)
    return counted


def mind_method(
    context: Context, known: Learned, method: str, judgements: Sequence[Judgement], *, in_batch: bool = False
) -> None:
    """Block a method after an answer that refuses it, and unblock it after one that does not.

    known: what was known of the portal before the call. Deliveries that need the method wait; others go on.
    """
    now = context.clock()
    refused = next((each for each in judgements if each.concern is Concern.METHOD), None)
    if refused is None and context.streak.denied.get(method, 0) >= DENIED_IN_A_ROW:
        refused = Judgement(Verdict.HELD, DENIED, concern=Concern.METHOD)
    if refused is None:
        if any(each.concern is Concern.CALL for each in judgements) and context.pace.unblock(
            known, method, in_batch=in_batch
        ):
            log.info("method.opened", portal=context.portal.name, method=method)
        return
    is_of_budget = refused.remedy is Remedy.WAIT_FOR_BUDGET
    if is_of_budget:
        context.pace.learn_limit(known, method, now)
    # Perhaps only calls of one kind are denied, so let others try soon.
    is_for_long = not is_of_budget and refused.reason != DENIED
    block = context.pace.block(
        known, method, refused.reason, now, for_long=is_for_long, in_batch=in_batch and is_of_budget
    )
    if block.refusals == 1:
        log.warning("method.blocked", portal=context.portal.name, method=method, reason=block.reason)
        if not is_of_budget:
            context.gate.alert("method_held", now, method=method, reason=block.reason)


def _resolved(judgement: Judgement, trouble: Judgement | None) -> Judgement:
    if trouble is None:
        return replace(judgement, verdict=Verdict.REJECTED, remedy=Remedy.AGAIN, concern=Concern.CALL)
    if trouble.verdict is not Verdict.HELD:
        return replace(judgement, verdict=Verdict.UNREACHABLE, concern=Concern.PORTAL)
    reason = trouble.reason if trouble.concern is Concern.PORTAL else judgement.reason
    return replace(judgement, reason=reason, concern=Concern.PORTAL)


def _hold(context: Context, seen: View, judgement: Judgement) -> None:
    if context.address.is_by_installation:
        context.store.applications.close(context.portal.name, judgement.reason)
    if context.gate.hold(seen, judgement.reason, context.clock()):
        context.gate.alert("portal_held", context.clock(), reason=judgement.reason)
        log.error("portal.held", portal=context.portal.name, reason=judgement.reason)
