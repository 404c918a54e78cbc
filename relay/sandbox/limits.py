"""The two limits of the cloud: requests a second for each client, and operating time for each method.

Facts: limits.md for the numbers, rest/lib/engine/access/loadlimiter.php for the operating limiter of both
generations. Keeps counters only; time comes in as an argument (seconds since 1970), and nothing here waits.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from relay.sandbox.settings import Profile

BUCKETS = 10
"""Parts of the operating limiter's window: a minute each of its ten minutes."""
COUNTED_ABOVE_S = 0.1
"""Shorter calls are not counted at all."""
BATCH_WEIGHT = 0.5
"""Generation B bills the outer batch, at half of its time."""


class RequestBuckets:
    """A leaky bucket for each client address: each request adds one, `rate` drain every second."""

    def __init__(self) -> None:
        self._levels: dict[str, tuple[float, float]] = {}

    def take(self, client: str, now: float, rate: float | None, burst: int) -> bool:
        """Whether this request still fits; a refused one adds nothing."""
        if rate is None:
            return True
        level, since = self._levels.get(client, (0.0, now))
        level = max(0.0, level - rate * (now - since))
        fits = level + 1 <= burst
        self._levels[client] = (level + 1 if fits else level, now)
        return fits


@dataclass(slots=True)
class _Meter:
    """Seconds used, in buckets of a minute, and the ban of generation B."""

    buckets: dict[int, float] = field(default_factory=dict)
    first_at: dict[int, float] = field(default_factory=dict)
    banned_until: float = 0.0

    def forget_old(self, now: float, window_s: float) -> None:
        for minute in [minute for minute, at in self.first_at.items() if at + window_s <= now]:
            del self.buckets[minute], self.first_at[minute]

    def add(self, now: float, seconds: float, window_s: float) -> None:
        minute = int(now // (window_s / BUCKETS))
        self.first_at.setdefault(minute, now)
        self.buckets[minute] = self.buckets.get(minute, 0.0) + seconds

    def total(self) -> float:
        return sum(self.buckets.values())


class OperatingLimiter:
    """Operating time by credential and method. Generation A: a sliding window. B: a ban of half a window.

    window_s is ten minutes on a real portal.
    """

    def __init__(self) -> None:
        self._meters: dict[tuple[str, str], _Meter] = {}

    def is_blocked(self, key: tuple[str, str], now: float, limit_s: float, window_s: float, profile: Profile) -> bool:
        """Whether a call must be refused. Asked before it runs; in generation B the question itself sets the ban."""
        meter = self._meter(key, now, window_s)
        if profile == "a":
            return meter.total() > limit_s
        if meter.total() > limit_s:
            meter.banned_until = now + window_s / 2
            meter.buckets.clear()
            meter.first_at.clear()
        return meter.banned_until > now

    def charge(self, key: tuple[str, str], now: float, seconds: float, window_s: float) -> None:
        """Bill a call that has run."""
        if seconds > COUNTED_ABOVE_S:
            self._meter(key, now, window_s).add(now, seconds, window_s)

    def reading(self, key: tuple[str, str], now: float, window_s: float) -> tuple[float, int]:
        """`operating` in seconds and `operating_reset_at` in unix time: when the oldest bucket, or the ban, ends."""
        meter = self._meter(key, now, window_s)
        if meter.banned_until > now:
            return meter.total(), math.ceil(meter.banned_until)
        return meter.total(), math.ceil(min(meter.first_at.values(), default=now) + window_s)

    def _meter(self, key: tuple[str, str], now: float, window_s: float) -> _Meter:
        meter = self._meters.setdefault(key, _Meter())
        meter.forget_old(now, window_s)
        return meter
