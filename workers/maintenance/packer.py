"""Packs what has been final for some minutes, so that it takes as little memory as it can (store/record/packing.py).

Two places move along the record, oldest first. The front follows what comes; what was not final then, or was replayed
since, is found by the round, which begins again at its end. Runs in whichever process holds the lease.
"""

from __future__ import annotations

import secrets
import threading
from dataclasses import dataclass
from datetime import datetime, timedelta

from relay.core.errors import RecordUnavailableError
from relay.core.ids import utc_now
from relay.core.telemetry import get_logger
from relay.store import Store
from relay.store.record.compaction import Compaction

INTERVAL_S = 15.0
LEASE = timedelta(seconds=60)
UNCHANGED = timedelta(minutes=5)
"""For so long nothing of an event may have changed: what people look at just now, and do again, is left alone."""
AT_ONCE = 100
"""Events that are packed in one go: a bound on how long others wait for the server."""
PER_PASS = 5_000
"""Events that the front passes: more than a record can take in, in the long run. A bound on the lease."""
PER_ROUND = 500
BREATH_S = 0.01

log = get_logger()


@dataclass(slots=True)
class Places:
    """Up to which event the record was looked through: by the front, and by the round."""

    front: str | None = None
    round: str | None = None


def run_packer(store: Store, stop: threading.Event) -> None:
    """Pack at once and then every INTERVAL_S, until told to stop."""
    holder, places = secrets.token_hex(8), Places()
    while not stop.is_set():
        try:
            with store.lease("pack", holder, LEASE) as is_ours:
                if is_ours:
                    pack(store.compaction, places, utc_now(), stop)
        except RecordUnavailableError as error:
            log.warning("pack.postponed", reason=str(error))
        stop.wait(INTERVAL_S)


def pack(compaction: Compaction, places: Places, now: datetime, stop: threading.Event) -> int:
    """One pass, which moves the places on; how many events and deliveries were packed."""
    packed = 0
    for _ in range(PER_PASS // AT_ONCE):
        found = compaction.packable(now - UNCHANGED, places.front, AT_ONCE)
        places.front = found.last
        packed += compaction.pack(found.keys)
        if found.is_end or stop.wait(BREATH_S):
            break
    found = compaction.packable(now - UNCHANGED, places.round, PER_ROUND)
    places.round = None if found.is_end else found.last
    packed += compaction.pack(found.keys)
    if packed:
        log.info("record.packed", count=packed)
    return packed
