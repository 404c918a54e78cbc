"""Wakes a worker wherever something can be done now: a retry is due, an uncertain delivery is to be looked into, a
closed gate is to be asked about, a job was lost. And notes which workflows should have ended by now. A thread of the
supervisor; on how many hosts it runs does not matter.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence

from relay.core.errors import RecordUnavailableError
from relay.core.ids import utc_now
from relay.core.telemetry import get_logger
from relay.store import Store

INTERVAL_S = 1.0

log = get_logger()


def run_clock(store: Store, portals: Sequence[str], stop: threading.Event) -> None:
    """Look every second, until told to stop."""
    while not stop.is_set():
        try:
            store.record.wake(portals, utc_now())
            for delivery_id in store.endings.note_overdue(utc_now()):
                log.warning("delivery.overdue", delivery_id=delivery_id)
        except RecordUnavailableError as error:
            log.warning("clock.postponed", reason=str(error))
        stop.wait(INTERVAL_S)
