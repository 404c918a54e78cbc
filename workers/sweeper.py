"""Finds what a crash left half-way, and mends it. Runs beside the workers, in whichever process holds the lease.

Looks only at deliveries whose time on the clock has passed, so a pass costs what is overdue, not what is stored.
"""

from __future__ import annotations

import os
import socket
import threading
from collections import Counter
from datetime import datetime, timedelta

from relay.errors import LostRace, RecordUnavailableError
from relay.events import Attempt, Delivery
from relay.ids import EVENT_PREFIX, earliest_id, to_ms, utc_now
from relay.lifecycle import State, Verdict
from relay.store.record import Record
from relay.telemetry import get_logger

INTERVAL_S = 15.0
PER_PASS = 500
"""How many overdue deliveries one pass looks at: a bound on how long it keeps Redis and its lease."""

log = get_logger()


def run_sweeper(record: Record, retention: timedelta, stop: threading.Event) -> None:
    """Sweep at once and then every INTERVAL_S, until told to stop."""
    holder = f"{socket.gethostname()}-{os.getpid()}"
    cursor: str | None = None
    while not stop.is_set():
        try:
            if record.lease("sweep", holder, timedelta(seconds=INTERVAL_S - 1)):
                sweep(record, utc_now())
                cursor = prune(record, utc_now() - retention, cursor)
        except RecordUnavailableError as error:
            log.warning("sweep.postponed", reason=str(error))
        stop.wait(INTERVAL_S)


def sweep(record: Record, now: datetime) -> Counter[str]:
    """One pass; returns how many deliveries were mended, by what was done."""
    done: Counter[str] = Counter()
    for delivery in record.overdue(now, PER_PASS):
        try:
            done[_mend(record, delivery, now)] += 1
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


def _mend(record: Record, delivery: Delivery, now: datetime) -> str:
    if delivery.state is State.SENDING:
        # The process that claimed it is gone, or has given up writing. The call may have been made: at the time of
        # the claim, by which a workflow that it started is recognised (workers/reconcile.py).
        claimed_at = delivery.updated_at
        took_ms = to_ms(now) - to_ms(claimed_at)
        attempt = Attempt(delivery.next_number, claimed_at, took_ms, Verdict.AMBIGUOUS, description="worker died")
        ticket = record.queues.reconcile(delivery.call.portal, delivery.id, delivery.turn + 1)
        record.settle(delivery, State.UNCERTAIN, now, attempt=attempt, reason="worker_died", ticket=ticket)
        return "made_uncertain"
    return "enqueued_again" if record.rescue(delivery, now) else "carried"
