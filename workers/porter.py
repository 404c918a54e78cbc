"""Minds the gate of a portal: which answers close it, which open it, and who hears of it.

One portal's trouble stays at its gate: deliveries wait as `pending`, no attempt is spent, other portals go on.
"""

from __future__ import annotations

from collections.abc import Sequence

from relay.lifecycle import Verdict
from relay.store.gate import GateState, View
from relay.telemetry import get_logger
from workers.bitrix24.answers import Answer, Fault
from workers.bitrix24.errors import Judgement, Remedy
from workers.desk import Desk
from workers.pace import operating_left_s

DENIED_IN_A_ROW = 5
"""ACCESS_DENIED is of one event, until it is of every event: then the credential is the reason."""
TROUBLES_IN_A_ROW = 3
"""Cut or unreadable answers: one is bad luck; of three in a row the next would be the fourth uncertain delivery."""

log = get_logger()


def is_closed(view: View, desk: Desk) -> bool:
    """Whether a call must wait. When a pause's clock has passed, the worker that has the trial may call."""
    if view.state is GateState.OPEN:
        return False
    return view.state is GateState.HELD or view.until is None or view.until > desk.clock()


def mind(desk: Desk, view: View, answer: Answer, judgement: Judgement, batch: Sequence[Judgement] = ()) -> None:
    """Close or open the gate after an answer. view: how the gate stood before the call. batch: of each command."""
    now, gate = desk.clock(), desk.gate
    _count(desk, answer, judgement, batch or (judgement,))
    if judgement.remedy is Remedy.WAIT_FOR_BUDGET:
        until = desk.pace.learn_limit(desk.pace.read(), now)
        if gate.pause("operating_time", judgement.advice, now, until):
            log.warning("portal.paused", portal=desk.portal.name, reason="operating_time", until=until.isoformat())
    elif judgement.verdict is Verdict.HELD or desk.streak.denied >= DENIED_IN_A_ROW:
        if gate.hold(judgement.reason, judgement.advice, now):
            gate.alert("portal_held", judgement.advice, now)
            log.error("portal.held", portal=desk.portal.name, reason=judgement.reason, advice=judgement.advice)
    elif judgement.verdict is Verdict.UNREACHABLE or desk.streak.troubles >= TROUBLES_IN_A_ROW:
        if gate.back_off(judgement.reason, judgement.advice, now):
            log.warning("portal.unreachable", portal=desk.portal.name, reason=judgement.reason)
    elif view.state is not GateState.OPEN and not view.by_person and not answer.fault:
        reopen(desk)
    gate.end_trial()


def reopen(desk: Desk) -> None:
    """Open the gate: the portal has answered."""
    if desk.gate.open(desk.clock()):
        log.info("portal.opened", portal=desk.portal.name)


def rest(desk: Desk) -> None:
    """Pause short of the operating limit, until the oldest of the portal's buckets leaves."""
    learnt, now = desk.pace.read(), desk.clock()
    if learnt.reset_at and learnt.reset_at > now and operating_left_s(learnt, now) <= 0:
        advice = "The method's time budget is nearly used up; sending goes on when the portal has forgotten some of it."
        if desk.gate.pause("operating_time", advice, now, learnt.reset_at):
            log.warning("portal.paused", portal=desk.portal.name, reason="operating_time")


def _count(desk: Desk, answer: Answer, judgement: Judgement, batch: Sequence[Judgement]) -> None:
    streak = desk.streak
    for each in batch:
        streak.denied = streak.denied + 1 if each.reason == "access_denied" else 0
    trouble = judgement.verdict is Verdict.AMBIGUOUS and answer.fault in {Fault.TIMED_OUT, Fault.CUT, Fault.UNREADABLE}
    streak.troubles = streak.troubles + 1 if trouble else 0
