"""Clock, sweeper and a watch on the servers: due work is notified, and what a crash left half done is repaired.

The clock notifies a worker wherever something is due: a retry, an uncertain delivery, a closed gate, a lost job. It
also notes workflows that should have ended by now. It may run on any number of hosts.

The sweeper runs in the one process that holds its lease. A worker that dies during a call leaves a delivery `sending`.
When its claim has lapsed, the delivery becomes `uncertain`; a document is looked for before it is made again; a
question is asked again. Waiting deliveries need no repair: the record itself says what is due.

The watch on the record's servers looks every minute whether a failover would forget anything, and logs what is new. It
repairs nothing: the servers are the operator's.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from relay.configuration.portals import Portal
from relay.core.errors import LostRace, RecordUnavailableError
from relay.core.events import Attempt, Delivery
from relay.core.ids import to_ms, utc_now
from relay.core.lifecycle import FINAL, State, Verdict
from relay.core.otel import note_attempt
from relay.core.plan import StepKind
from relay.core.telemetry import get_logger
from relay.health.assessment import say_topology_warning
from relay.store import Store
from relay.store.record.record import HARD_DEADLINE, Record
from relay.store.record.servers import LOOK_EVERY_S, TopologyWarning
from workers.bitrix24.verdicts import MADE_UNKNOWN, UNANSWERED
from workers.portal.claims import LAPSES_IN
from workers.portal.client import SEND_WITHIN_S

TICK_S = 1.0

log = get_logger()


def run_clock(store: Store, portals: Sequence[str], stop: threading.Event) -> None:
    """Look every second, until `stop` is set."""
    while not stop.is_set():
        try:
            store.record.notify(portals, utc_now())
            for delivery_id in store.endings.note_overdue(utc_now()):
                log.warning("delivery.overdue", delivery_id=delivery_id)
        except RecordUnavailableError as error:
            log.warning("clock.postponed", reason=str(error))
        stop.wait(TICK_S)


INTERVAL_S = 2.0
LEASE = timedelta(seconds=60)
PER_PASS = 500
"""Overdue deliveries that one pass looks at: a bound on its use of Redis and of the lease."""


def run_sweeper(store: Store, portals: Mapping[str, Portal], stop: threading.Event) -> None:
    """Sweep at once and then every INTERVAL_S, until `stop` is set."""
    holder = secrets.token_hex(8)
    reached_since = time.monotonic()
    while not stop.is_set():
        now = time.monotonic()
        try:
            with store.lease("sweep", holder, LEASE) as is_ours:
                if is_ours:
                    # While the record was away, no worker could renew its claims.
                    is_early = now - reached_since > LAPSES_IN.total_seconds()
                    sweep(store.record, utc_now(), portals, is_early=is_early)
        except RecordUnavailableError as error:
            log.warning("sweep.postponed", reason=str(error))
            reached_since = time.monotonic()
        stop.wait(INTERVAL_S)


def sweep(record: Record, now: datetime, portals: Mapping[str, Portal], *, is_early: bool = True) -> Counter[str]:
    """One pass. Returns the number of repaired deliveries, by their new state.

    portals: those that this process serves, by name. A claim says how long its call may still be running; for a claim
    of an earlier version, only the portal's settings can. is_early: repair before the hard deadline, too, where a
    worker has not renewed its claim.
    """
    done: Counter[str] = Counter()
    for delivery in record.lapsed(now, PER_PASS):
        if delivery.state in FINAL:  # settled by an earlier version, which did not know this claim
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
    """Settle a delivery whose process is gone, or gave up writing: the call may have been made. Raises LostRace.

    Returns its new state.
    """
    claimed_at = delivery.updated_at  # reconcile.py recognises a started workflow by this time
    took_ms, step = to_ms(now) - to_ms(claimed_at), delivery.next_step
    verdict, name = Verdict.AMBIGUOUS, step.name if step else ""
    # Wait while the call may still be running. If it was sent, that was before its claim lapsed (portal/claims.py).
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
    note_attempt(delivery, state, reason, attempt)
    return state


def watch_servers(store: Store, stop: threading.Event) -> None:
    """Look at once and then every minute, until `stop` is set."""
    known: set[TopologyWarning] = set()
    while not stop.is_set():
        try:
            found = store.servers.warnings()
        except RecordUnavailableError as error:
            log.warning("servers.unseen", reason=str(error))
        else:
            for warning in found:
                if warning not in known:
                    log.warning(
                        "record.misfit", code=warning.code, server=warning.server, reason=say_topology_warning(warning)
                    )
            if known and not found:
                log.info("record.fits")
            known = set(found)
        stop.wait(LOOK_EVERY_S)
