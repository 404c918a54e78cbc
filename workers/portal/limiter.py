"""The pace of a portal, shared by every worker on every host through Redis. Waits; decides nothing else.

Bitrix24 counts requests per portal and source address, whatever calls it (docs: limits.md), so each call draws on it.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from relay.configuration.portals import Portal
from relay.store.portals.portal import PortalRecord

PATIENCE_MS = 30_000
"""The longest wait worth reserving: so many workers at one portal that a slot is further away ask again."""


WITHOUT_LIMIT = 9
"""So many may go one after the other at a portal without limits; what is more than that goes in batches."""


class Limiter:
    """The leaky bucket of one portal. Methods raise RecordUnavailableError."""

    def __init__(self, kept: PortalRecord, portal: Portal, sleep: Callable[[float], None] = time.sleep) -> None:
        self._kept = kept
        self._portal = portal
        self._sleep = sleep

    def wait(self) -> int:
        """Return when a request may go; how many could go at once beside it.

        The slot is reserved before the wait, so that workers queue up instead of racing. A slot that is not used after
        all, because its worker died, costs half a second of pace.
        """
        if self._portal.rate_per_s is None:
            return WITHOUT_LIMIT
        while True:
            reserved, wait_ms, free = self._kept.take_slot(self._portal.rate_per_s, self._portal.burst, PATIENCE_MS)
            if wait_ms:
                self._sleep(wait_ms / 1000)
            if reserved:
                return free

    def slow_down(self) -> float:
        """The portal refused a request as one too many: go slower. It recovers by itself. The pace now, from 0 to 1."""
        if self._portal.rate_per_s is None:
            return 1.0
        return self._kept.slow_down(self._portal.rate_per_s, self._portal.burst)
