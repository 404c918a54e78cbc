"""Finds what a crash left half-way, and mends it. Runs beside the workers, in whichever process holds the lease.

A worker that dies over a call leaves a delivery `sending`; after the hard deadline it is made `uncertain`. What waits
needs no mending: the record itself says what is due, and the clock wakes a worker for it (clock.py).
"""

from __future__ import annotations

import secrets
import threading
from collections import Counter
from datetime import datetime, timedelta

from relay.core.errors import LostRace, RecordUnavailableError
from relay.core.events import Attempt, Delivery
from relay.core.ids import EVENT_PREFIX, earliest_id, to_ms, utc_now
from relay.core.lifecycle import State, Verdict
from relay.core.telemetry import get_logger
from relay.store import Store
from relay.store.record.record import Record

INTERVAL_S = 15.0
LEASE = timedelta(seconds=60)
PER_PASS = 500
"""How many overdue deliveries one pass looks at: a bound on how long it keeps Redis and its lease."""

log = get_logger()


def run_sweeper(store: Store, retention: timedelta, stop: threading.Event) -> None:
    """Sweep at once and then every INTERVAL_S, until told to stop."""
    holder = secrets.token_hex(8)
    cursor: str | None = None
    while not stop.is_set():
        try:
            with store.lease("sweep", holder, LEASE) as is_ours:
                if is_ours:
                    sweep(store.record, utc_now())
                    cursor = prune(store.record, utc_now() - retention, cursor)
        except RecordUnavailableError as error:
            log.warning("sweep.postponed", reason=str(error))
        stop.wait(INTERVAL_S)


def sweep(record: Record, now: datetime) -> Counter[str]:
    """One pass; returns how many deliveries were mended, by what was done."""
    done: Counter[str] = Counter()
    for delivery in record.lapsed(now, PER_PASS):
        try:
            _make_uncertain(record, delivery, now)
            done["made_uncertain"] += 1
        except LostRace:
            done["moved_on"] += 1
    if done:
        log.info("sweep.finished", **done)
    return done


def prune(record: Record, before: datetime, cursor: str | None = None) -> str | None:
    """Forget some of the events received before this time whose deliveries are all final.

    cursor: where the pass before ended, so that old ones that wait for a person do not stop those behind them.
    Returns where this pass ended; None at the end.
    """
    ids = record.oldest(earliest_id(EVENT_PREFIX, before), cursor, PER_PASS)
    forgotten = sum(record.prune(event_id) for event_id in ids)
    if forgotten:
        log.info("events.pruned", count=forgotten, before=before.isoformat())
    return ids[-1] if len(ids) == PER_PASS else None


def _make_uncertain(record: Record, delivery: Delivery, now: datetime) -> None:
    """The process that claimed it is gone, or has given up writing: the call may have been made. Raises LostRace."""
    claimed_at = delivery.updated_at  # by which a workflow that it started is recognised (reconcile.py)
    took_ms = to_ms(now) - to_ms(claimed_at)
    attempt = Attempt(delivery.next_number, claimed_at, took_ms, Verdict.AMBIGUOUS, description="worker died")
    record.settle(delivery, State.UNCERTAIN, now, attempt=attempt, reason="worker_died", next_at=now)
