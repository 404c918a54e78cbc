"""What has been kept long enough goes: first what senders have written, then the whole event, which is archived before,
and the counts of its hour.

An event is forgotten when it is old, all of its deliveries are final, and the youngest of them is old too: what was
replayed lately is still looked at. Runs in whichever process holds the lease. What is old is told
by the clock of the record's server, and not while that has just jumped.
"""

from __future__ import annotations

import secrets
import socket
import threading
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import datetime, timedelta

from relay.core.errors import ArchiveError, RecordUnavailableError
from relay.core.events import Event
from relay.core.ids import DELIVERY_PREFIX, EVENT_PREFIX, earliest_id
from relay.core.lifecycle import FINAL
from relay.core.telemetry import get_logger
from relay.store import Store
from relay.store.archive.archive import Archive
from relay.store.archive.known import CURRENT, KnownArchive
from relay.store.record.record import Record
from relay.store.record.search import Row

INTERVAL_S = 15.0
LEASE = timedelta(seconds=60)
ABANDONED = timedelta(days=7)
"""An archive of which nothing was heard for so long is written no more."""
PER_PASS, PASSES = 500, 10
"""How many events are looked at in one go, and how often in a row: bounds on how long it keeps Redis and its lease."""

log = get_logger()


@dataclass(frozen=True, slots=True)
class Terms:
    """How long events are kept, and what their senders have written (None: as long). archive: for what is forgotten."""

    events: timedelta
    bodies: timedelta | None = None
    archive: Archive | None = None


@dataclass(slots=True)
class Places:
    """Up to which event was looked.

    pruned begins again at the end: what waits for a person then may have gone by now. So does stripped_again, for what
    was restored; stripped goes on, so that a body goes when its time has come. told: when the archive's state was said.
    waits: whether nothing is forgotten now, for the record's clock may be wrong. left_to: archives of other hosts, to
    whose workers the forgetting is left.
    """

    pruned: str | None = None
    stripped: str | None = None
    stripped_again: str | None = None
    told: KnownArchive | None = None
    waits: bool = False
    left_to: Sequence[str] = ()


def run_retention(store: Store, terms: Terms, stop: threading.Event) -> None:
    """Look at once and then every INTERVAL_S, until told to stop."""
    holder, places = secrets.token_hex(8), Places()
    while not stop.is_set():
        try:
            with store.lease("retention", holder, LEASE) as is_ours:
                if is_ours and (now := _time_to_forget_by(store, places)):
                    keep(store, terms, places, now)
        except RecordUnavailableError as error:
            log.warning("retention.postponed", reason=str(error))
        stop.wait(INTERVAL_S)


def _time_to_forget_by(store: Store, places: Places) -> datetime | None:
    """The time by which something is old; None while the record's clock may be wrong."""
    now, waits = store.forgetting_time()
    if bool(waits) != places.waits:
        log.warning("retention.clock", waits_s=int(waits.total_seconds()), now=now.isoformat())
        places.waits = bool(waits)
    return None if waits else now


def keep(store: Store, terms: Terms, places: Places, now: datetime) -> None:
    """One pass of each kind."""
    if terms.bodies:
        before = now - terms.bodies
        for _ in range(PASSES):
            places.stripped, is_end = remove_bodies(store, before, places.stripped, now)
            if is_end:
                break
        again, is_end = remove_bodies(store, before, places.stripped_again, now)
        places.stripped_again = None if is_end else again
    store.forget_counts(now - terms.events)
    if terms.archive is None and (others := _archives_of_others(store, now)):
        if not places.left_to:
            log.warning("retention.left", archives=others, reason="RELAY_ARCHIVE is set there, and not here")
        places.left_to = others
        return
    fault = ""
    try:
        for _ in range(PASSES):
            places.pruned = prune(store.record, now - terms.events, places.pruned, terms.archive)
            if places.pruned is None:
                break
    except ArchiveError as error:
        fault = str(error)
        log.error("archive.failed", reason=fault)  # noqa: TRY400 - the traceback says nothing more
    if terms.archive:
        _tell(store, terms.archive, fault, places, now)


def _archives_of_others(store: Store, now: datetime) -> list[str]:
    """Where events are archived by workers of another host: what is forgotten here would not be."""
    return [f"{one.folder} on {one.host}" for one in store.known_archives() if now - one.at < ABANDONED]


def _tell(store: Store, archive: Archive, fault: str, places: Places, now: datetime) -> None:
    """Say how the archive is, where that has changed, or was not said for a while."""
    known = KnownArchive(str(archive.folder.resolve()), socket.gethostname(), fault, now)
    told = places.told
    if told is None or told.fault != fault or now - told.at > CURRENT / 2:
        store.note_archive(known)
        places.told = known


def remove_bodies(store: Store, before: datetime, after: str | None, now: datetime) -> tuple[str | None, bool]:
    """Take away what the senders of some events received before this time have written.

    Returns the last event that was looked at, and whether none follows it.
    """
    ids = store.record.oldest(earliest_id(EVENT_PREFIX, before), after, PER_PASS)
    removed = 0
    while done := store.compaction.remove_bodies(ids, now):  # again for what has changed meanwhile
        removed += done
    if removed:
        log.info("bodies.removed", count=removed, before=before.isoformat())
    return (ids[-1] if ids else after), len(ids) < PER_PASS


def prune(record: Record, before: datetime, cursor: str | None = None, archive: Archive | None = None) -> str | None:
    """Forget some of the events received before this time whose deliveries are all final and as old.

    archive: where they are written first; what is not on disk there is not forgotten. Raises ArchiveError.
    cursor: where the pass before ended. Returns where this pass ended; None at the end.
    """
    ids = record.oldest(earliest_id(EVENT_PREFIX, before), cursor, PER_PASS)
    # Whoever erases a person waits, so that nothing is archived that is being erased.
    with archive.locked() if archive and ids else nullcontext():
        going = ids if archive is None else _archived(record, archive, ids, before)
        forgotten = sum(record.prune(event_id, before) for event_id in going)
    if forgotten:
        log.info("events.pruned", count=forgotten, before=before.isoformat(), archived=archive is not None)
    return ids[-1] if len(ids) == PER_PASS else None


def _archived(record: Record, archive: Archive, ids: list[str], before: datetime) -> list[str]:
    """The ids of those that can go, with what stands on record of them now on disk."""
    events = record.events(ids)
    rows = [row for row in _rows(record, events) if _may_go(row, before)]
    archive.append(rows)
    gone = set(ids) - {event.id for event in events}  # an index may name what is no more
    return sorted(gone | {row.event.id for row in rows})


def _rows(record: Record, events: list[Event]) -> list[Row]:
    by_id = {one.id: one for one in record.deliveries(i for event in events for i in event.deliveries)}
    return [Row(event, tuple(by_id[i] for i in event.deliveries if i in by_id)) for event in events]


def _may_go(row: Row, before: datetime) -> bool:
    youngest = earliest_id(DELIVERY_PREFIX, before)
    return all(one.state in FINAL and one.id < youngest for one in row.deliveries)
