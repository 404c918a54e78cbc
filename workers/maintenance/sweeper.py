"""Finds what a crash left half-way, and mends it. Runs beside the workers, in whichever process holds the lease.

A worker that dies over a call leaves a delivery `sending`. When its claim has lapsed it is made `uncertain`; or, where
the call was to make a document, that is looked for before it is made; or, where it only asked, it asks again. What
waits needs no mending: the record itself says what is due, and the clock wakes a worker for it (clock.py).
"""

from __future__ import annotations

import secrets
import threading
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta

from relay.configuration.portals import Portal
from relay.core.errors import LostRace, RecordUnavailableError
from relay.core.events import Attempt, Delivery
from relay.core.ids import to_ms, utc_now
from relay.core.lifecycle import FINAL, State, Verdict
from relay.core.plan import StepKind
from relay.core.telemetry import get_logger
from relay.store import Store
from relay.store.record.record import HARD_DEADLINE, Record
from workers.bitrix24.step_verdicts import MADE_UNKNOWN, UNANSWERED
from workers.portal.client import SEND_WITHIN_S
from workers.portal.holding import LEASE as HOLDS_FOR

INTERVAL_S = 2.0
LEASE = timedelta(seconds=60)
PER_PASS = 500
"""How many overdue deliveries one pass looks at: a bound on how long it keeps Redis and its lease."""

log = get_logger()


def run_sweeper(store: Store, portals: Mapping[str, Portal], stop: threading.Event) -> None:
    """Sweep at once and then every INTERVAL_S, until told to stop."""
    holder = secrets.token_hex(8)
    reached_since = time.monotonic()
    while not stop.is_set():
        now = time.monotonic()
        try:
            with store.lease("sweep", holder, LEASE) as is_ours:
                if is_ours:
                    # While the record was away, no worker could say that it lives.
                    is_early = now - reached_since > HOLDS_FOR.total_seconds()
                    sweep(store.record, utc_now(), portals, is_early=is_early)
        except RecordUnavailableError as error:
            log.warning("sweep.postponed", reason=str(error))
            reached_since = time.monotonic()
        stop.wait(INTERVAL_S)


def sweep(record: Record, now: datetime, portals: Mapping[str, Portal], *, is_early: bool = True) -> Counter[str]:
    """One pass; returns how many deliveries were mended, by what they are now.

    portals: those that this process serves, by name. How long a call may still be running, its claim says; where a
    process of an earlier version has claimed it, only they can. is_early: those too whose hard deadline is to come, but
    whose worker has said nothing for a while.
    """
    done: Counter[str] = Counter()
    for delivery in record.lapsed(now, PER_PASS):
        if delivery.state in FINAL:  # a process of an earlier version knew nothing of this claim
            record.forget_claim(delivery.id)
            continue
        if not is_early and delivery.updated_at + HARD_DEADLINE > now:
            continue
        try:
            done[_mend(record, delivery, portals.get(delivery.call.portal), now)] += 1
        except LostRace:
            done["moved_on"] += 1
    if done:
        log.info("sweep.finished", **done)
    return done


def _mend(record: Record, delivery: Delivery, portal: Portal | None, now: datetime) -> State:
    """The process that claimed it is gone, or has given up writing: the call may have been made. Raises LostRace.

    The state it is in then.
    """
    claimed_at = delivery.updated_at  # by which a workflow that it started is recognised (reconcile.py)
    took_ms, step = to_ms(now) - to_ms(claimed_at), delivery.next_step
    verdict, name = Verdict.AMBIGUOUS, step.name if step else ""
    # Not while the call may still be running: it was sent before its claim lapsed (portal/holding.py), if it was.
    sent_by = min(now, claimed_at + timedelta(seconds=SEND_WITHIN_S))
    settle_s = max(delivery.settle_s, portal.settle_after_s if portal else 0.0)
    settled_at = max(now, sent_by + timedelta(seconds=settle_s))
    state, reason, next_at, after = State.UNCERTAIN, "worker_died", settled_at, None
    if step and step.kind is StepKind.MAKE and not delivery.is_looked_for:
        state, reason = State.RETRYING, MADE_UNKNOWN
        after = replace(delivery, unsure=(*delivery.unsure, step.name))
    elif step and step.kind is not StepKind.TRIGGER:
        verdict, state, reason, next_at = Verdict.UNREACHABLE, State.RETRYING, UNANSWERED, now
    attempt = Attempt(delivery.next_number, claimed_at, took_ms, verdict, description="worker died", step=name)
    record.settle(delivery, state, now, attempt=attempt, reason=reason, next_at=next_at, after=after)
    return state
