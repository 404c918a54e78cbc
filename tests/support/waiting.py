"""Waiting for a condition, never for a duration."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

POLL_S = 0.02
T = TypeVar("T")


def until(condition: Callable[[], T | None], what: str, timeout_s: float = 40.0) -> T:
    """The first true value of the condition. AssertionError with `what` where it does not come in time."""
    deadline = time.monotonic() + timeout_s
    while not (found := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {timeout_s:.0f} s in vain: {what}")
        time.sleep(POLL_S)
    return found
