"""Tries at passwords and tokens, counted in the record so that all web processes count together.

Nobody is locked out: each wrong try makes the next wait for longer, up to a limit. A try that comes too early is not
looked at and not counted, and no process waits for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from redis import Redis

from relay.core.errors import RelayError
from relay.core.ids import to_ms
from relay.store.redis import keys
from relay.store.redis.guard import guarded
from relay.store.redis.scripts import Script, ScriptCall, run

TRY = Script.load("try")
FORGOTTEN = timedelta(hours=1)
"""A counter at which nothing was counted for so long begins anew."""


@dataclass(frozen=True, slots=True)
class Counter:
    """What tries are counted at.

    name: a keyed digest. free: tries without a wait; then `first`, doubling up to `longest`.
    """

    name: str
    free: int
    longest: timedelta
    first: timedelta = timedelta(seconds=1)


class TooManyTriesError(RelayError):
    """The try was not looked at. wait_s: when the next is, in whole seconds."""

    def __init__(self, wait_s: int) -> None:
        super().__init__(f"too many wrong tries: come back in {wait_s} s")
        self.wait_s = wait_s


@guarded
def count_try(redis: Redis, counters: Sequence[Counter], now: datetime) -> None:
    """Count one try, before it is looked at. Raises TooManyTriesError, RecordUnavailableError."""
    argv = [to_ms(now), _ms(FORGOTTEN)]
    for one in counters:
        argv += [one.free, _ms(one.first), _ms(one.longest)]
    wait_ms = int(run(redis, ScriptCall(TRY, [keys.TRIES + one.name for one in counters], argv)))
    if wait_ms > 0:
        raise TooManyTriesError(-(-wait_ms // 1000))


@guarded
def forgive_try(redis: Redis, counters: Sequence[Counter]) -> None:
    """Take a try back that was right. What was wrong before it stays counted. Raises RecordUnavailableError."""
    with redis.pipeline(transaction=True) as pipeline:
        for one in counters:
            pipeline.hincrby(keys.TRIES + one.name, "n", -1)
            pipeline.hdel(keys.TRIES + one.name, "next")
        pipeline.execute()


def _ms(span: timedelta) -> int:
    return span // timedelta(milliseconds=1)
