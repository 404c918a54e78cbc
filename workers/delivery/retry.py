"""The retry policy: from a verdict and the number of attempts to the follow-up. Pure: time and chance are arguments."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from relay.core.lifecycle import Verdict

BUDGET = 12
"""Number of attempts. With the delays below they spread over about a day."""
FIRST_DELAY_S = 15.0
FACTOR = 2.5
LONGEST_DELAY_S = 6 * 3600.0
JITTER = 0.2
"""Up to a fifth is added at random, so that calls that failed together do not return together."""


@dataclass(frozen=True, slots=True)
class Done:
    """The workflow has started, or the step is done."""


@dataclass(frozen=True, slots=True)
class RetryAfter:
    """Certainly not executed: the same call again after this time."""

    delay: timedelta


@dataclass(frozen=True, slots=True)
class Reconcile:
    """It may have been executed: not repeated before reconciliation."""


@dataclass(frozen=True, slots=True)
class Bury:
    """Given up; `reason` is a code."""

    reason: str


@dataclass(frozen=True, slots=True)
class HoldPortal:
    """No such call to this portal can succeed now. The delivery waits, and no attempt is spent."""


FollowUp = Done | RetryAfter | Reconcile | Bury | HoldPortal


def follow_up(verdict: Verdict, number: int, reason: str, chance: float, *, may_pass: bool = False) -> FollowUp:
    """The follow-up of attempt `number`, counted from 1.

    chance: from 0 up to 1, evenly distributed; decides the jitter. may_pass: a refused call may pass another time,
    for it was not the portal that refused it.
    """
    if verdict in {Verdict.STARTED, Verdict.DONE}:
        return Done()
    if verdict is Verdict.AMBIGUOUS:
        return Reconcile()
    if verdict is Verdict.HELD:
        return HoldPortal()
    if verdict is Verdict.REJECTED and (number >= BUDGET or not may_pass):
        return Bury(reason)
    if number >= BUDGET:
        return Bury("budget_spent")
    return RetryAfter(delay_after(number, chance))


def delay_after(number: int, chance: float) -> timedelta:
    """The pause after attempt `number`: exponential, bounded, with jitter."""
    seconds = min(FIRST_DELAY_S * FACTOR ** (number - 1), LONGEST_DELAY_S)
    return timedelta(seconds=seconds * (1 + JITTER * chance))
