"""The pace of a portal, shared by every worker on every host through Redis. Waits; decides nothing else.

Bitrix24 counts requests per portal and source address, whatever calls it (docs: limits.md), so each call draws on it.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from redis import Redis

from relay.configuration.portals import Portal
from relay.store.redis import keys
from relay.store.redis.guard import guarded
from relay.store.redis.scripts import Script, ScriptCall, run

TAKE, SLOW = Script.load("take"), Script.load("slow")
PATIENCE_MS = 30_000
"""The longest wait worth reserving: so many workers at one portal that a slot is further away ask again."""


class Limiter:
    """The leaky bucket of one portal. Methods raise RecordUnavailableError."""

    def __init__(self, redis: Redis, portal: Portal, sleep: Callable[[float], None] = time.sleep) -> None:
        self._redis = redis
        self._portal = portal
        self._key = keys.BUCKET + portal.name
        self._sleep = sleep

    def wait(self) -> int:
        """Return when a request may go; how many could go at once beside it.

        The slot is reserved before the wait, so that workers queue up instead of racing. A slot that is not used after
        all, because its worker died, costs half a second of pace.
        """
        if self._portal.rate_per_s is None:
            return 1_000_000
        while True:
            reserved, wait_ms, free = self._take(self._portal.rate_per_s)
            if wait_ms:
                self._sleep(wait_ms / 1000)
            if reserved:
                return free

    @guarded
    def slow_down(self) -> float:
        """The portal refused a request as one too many: go slower. It recovers by itself. The pace now, from 0 to 1."""
        if self._portal.rate_per_s is None:
            return 1.0
        call = ScriptCall(SLOW, [self._key], [str(self._portal.rate_per_s), self._portal.burst])
        return int(run(self._redis, call)) / 1000

    @guarded
    def _take(self, rate_per_s: float) -> tuple[bool, int, int]:
        call = ScriptCall(TAKE, [self._key], [str(rate_per_s), self._portal.burst, PATIENCE_MS])
        reserved, wait_ms, free = run(self._redis, call)
        return bool(reserved), int(wait_ms), int(free)
