"""One clock for all processes: that of the record's server. What waits is written by one machine and read by another.

Each process measures how far its own machine's clock is from it and corrects by that (core/ids.py). Changes no clock.
"""

from __future__ import annotations

import time
from typing import Any

from redis import Redis

from relay.core.errors import ConfigError, Mistake
from relay.core.ids import clock_ahead_ms, correct_clock
from relay.core.telemetry import get_logger
from relay.store.redis.guard import guarded

SET_EVERY_S = 10.0
TOLERATED_MS = 100
"""Less than that is not corrected: ids that one process makes stay in their order."""
SLOWEST_MS = 1_000
"""An answer that took longer says too little."""
DAY_MS = 86_400_000

log = get_logger()


@guarded
def set_clock(redis: Redis, *, is_start: bool = False) -> None:
    """Measure and correct. Raises ConfigError at the start of a process whose clock is wrong by a day."""
    asked = time.time_ns() // 1_000_000
    seconds, micros = _answer(redis)
    took = time.time_ns() // 1_000_000 - asked
    ahead = asked + took // 2 - (seconds * 1000 + micros // 1000)
    if is_start and abs(ahead) > DAY_MS:
        text = f"this machine's clock is {ahead / 3_600_000:.0f} h from the one of the record's server"
        raise ConfigError([Mistake("environment", 0, f"{text}: set the wrong one right")])
    if not 0 <= took <= SLOWEST_MS or abs(ahead - clock_ahead_ms()) < TOLERATED_MS:
        return
    ahead = ahead if abs(ahead) >= TOLERATED_MS else 0
    log.warning("clock.corrected", ahead_ms=ahead, before_ms=clock_ahead_ms())
    correct_clock(ahead)


def _answer(redis: Redis) -> tuple[int, int]:
    answer: Any = redis.time()
    return int(answer[0]), int(answer[1])
