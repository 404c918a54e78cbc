"""Waiting for a condition, never for a duration."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

POLL_S = 0.02
PATIENCE_S = 40.0
"""Nothing is waited for less: a machine that is busy may take its time."""
T = TypeVar("T")


def until(condition: Callable[[], T | None], what: str, timeout_s: float = PATIENCE_S) -> T:
    """The first true value of the condition. AssertionError with `what` where it does not come in time."""
    timeout_s = max(timeout_s, PATIENCE_S)
    deadline = time.monotonic() + timeout_s
    while not (found := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {timeout_s:.0f} s in vain: {what}")
        time.sleep(POLL_S)
    return found
