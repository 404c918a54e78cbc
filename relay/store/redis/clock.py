"""One clock for all processes: that of the record's server. What waits is written by one machine and read by another.

Each process asks it now and then, and counts on by a clock of its machine that nobody sets (core/ids.py): a machine
whose clock jumps changes nothing. Sets no clock.
"""

from __future__ import annotations

import time
from datetime import datetime, timedelta
from typing import Any

from redis import Redis

from relay.core.errors import ConfigError, Mistake
from relay.core.faults import fault
from relay.core.ids import from_ms, set_shared_clock, steady_ms, to_ms, utc_now
from relay.core.telemetry import get_logger
from relay.store.redis import keys
from relay.store.redis.guard import guarded
from relay.store.redis.scripts import Argument, Script, ScriptCall, run

SET_EVERY_S = 10.0
TOLERATED_MS = 100
"""Less than that is not corrected: ids that one process makes stay in their order."""
SLOWEST_MS = 1_000
"""An answer that took longer says too little."""
DAY_MS = 86_400_000
JUMP = timedelta(hours=1)
"""When the clock has gone on by more between two looks, somebody may have set it."""
WAIT_AFTER_JUMP = timedelta(hours=1)
"""For so long nothing is forgotten then: the first page says that clocks differ, and a person can set them right."""
FORGETTING = Script.load("forgetting")

log = get_logger()


@guarded
def set_clock(redis: Redis, *, is_start: bool = False) -> None:
    """Measure and correct. Raises ConfigError at the start of a process whose machine's clock is wrong by a day."""
    asked = steady_ms()
    seconds, micros = _answer(redis)
    took = steady_ms() - asked
    told = seconds * 1000 + micros // 1000 + took // 2
    ahead = time.time_ns() // 1_000_000 - told
    if is_start and abs(ahead) > DAY_MS:
        raise ConfigError([Mistake("environment", 0, fault("clock_wrong", hours=f"{ahead / 3_600_000:.0f}"))])
    off = to_ms(utc_now()) - told
    if took <= SLOWEST_MS and abs(off) >= TOLERATED_MS:
        log.warning("clock.corrected", ahead_ms=off)
        set_shared_clock(told)


@guarded
def forgetting_time(redis: Redis) -> tuple[datetime, timedelta]:
    """The time by the server, in one script, and for how long nothing may be forgotten: it has jumped, or may have."""
    argv: list[Argument] = [_ms(JUMP), _ms(WAIT_AFTER_JUMP)]
    now, waits = run(redis, ScriptCall(FORGETTING, [keys.RETENTION], argv))
    return from_ms(now), timedelta(milliseconds=waits)


def _ms(duration: timedelta) -> int:
    return duration // timedelta(milliseconds=1)


def _answer(redis: Redis) -> tuple[int, int]:
    answer: Any = redis.time()
    return int(answer[0]), int(answer[1])
