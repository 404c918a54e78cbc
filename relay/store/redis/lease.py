"""The lease: one holder at a time does a thing. Ends with the `with` that it is taken in, or by itself after a death.

A holder that takes it again keeps it for longer; who ends it ends only its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta

from redis import Redis

from relay.core.errors import RecordUnavailableError
from relay.store.redis import keys
from relay.store.redis.guard import guarded
from relay.store.redis.scripts import Script, ScriptCall, run

LEASE = Script.load("lease")


@contextmanager
def lease(redis: Redis, task: str, holder: str, duration: timedelta) -> Iterator[bool]:
    """Whether this holder may do the task in here. Raises RecordUnavailableError before, never at the end."""
    is_ours = _take(redis, task, holder, duration)
    try:
        yield is_ours
    finally:
        if is_ours:
            with suppress(RecordUnavailableError):  # then it ends by itself, a moment later
                _end(redis, task, holder)


@guarded
def _take(redis: Redis, task: str, holder: str, duration: timedelta) -> bool:
    duration_ms = int(duration.total_seconds() * 1000)
    return bool(run(redis, ScriptCall(LEASE, [keys.LEASE + task], [holder, duration_ms])))


@guarded
def _end(redis: Redis, task: str, holder: str) -> None:
    run(redis, ScriptCall(LEASE, [keys.LEASE + task], [holder, 0]))
