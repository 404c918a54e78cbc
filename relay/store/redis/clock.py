"""One clock for all processes, that of the record's server: one machine writes a time that another one reads.

Each process reads it now and then, and goes on by its machine's monotonic clock (core/ids.py), so a jump of a machine's
clock changes nothing. Sets no system clock.
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
from relay.store.redis.scripts import Argument, Script, ScriptCall, guarded, run

SET_EVERY_S = 10.0
TOLERATED_MS = 100
"""Smaller differences are not corrected, so that the ids of a process keep their order."""
SLOWEST_MS = 1_000
"""A slower answer is too inexact."""
DAY_MS = 86_400_000
JUMP = timedelta(hours=1)
"""A larger step between two looks means that somebody may have set the clock."""
WAIT_AFTER_JUMP = timedelta(hours=1)
"""Time without forgetting after a jump: the first page reports it, and a person can correct the clock."""
FORGETTING = Script.load("forgetting")

log = get_logger()


class Clock:
    """The clock of the record's server. Methods raise RecordUnavailableError."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    @guarded
    def set(self, *, is_start: bool = False) -> None:
        """Measure and correct the difference. Raises ConfigError at a start, if it is more than a day."""
        asked = steady_ms()
        seconds, micros = _answer(self._redis)
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
    def forgetting_time(self) -> tuple[datetime, timedelta]:
        """The server's time, and how long nothing may be forgotten because that time may have jumped."""
        argv: list[Argument] = [_ms(JUMP), _ms(WAIT_AFTER_JUMP)]
        now, waits = run(self._redis, ScriptCall(FORGETTING, [keys.RETENTION], argv))
        return from_ms(now), timedelta(milliseconds=waits)


def _ms(duration: timedelta) -> int:
    return duration // timedelta(milliseconds=1)


def _answer(redis: Redis) -> tuple[int, int]:
    answer: Any = redis.time()
    return int(answer[0]), int(answer[1])
