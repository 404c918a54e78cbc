"""Old events: packed after some minutes, without their bodies after some days, archived and forgotten in the end.

The packer makes final events as small as it can (store/record/codec.py). Its front follows what comes; a second
cursor goes round the record, for what was not final then or was replayed since.

An event is forgotten when it is old, all of its deliveries are final, and the youngest of them is old too: a recent
replay keeps it. Its age is measured by the clock of the record's server, and not while that has just jumped. Each
task runs in the one process that holds its lease.
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
from relay.core.ids import DELIVERY_PREFIX, EVENT_PREFIX, earliest_id, utc_now
from relay.core.lifecycle import FINAL
from relay.core.telemetry import get_logger
from relay.store import Store
from relay.store.archive.archive import CURRENT, Archive, KnownArchive
from relay.store.record.compaction import Compaction
from relay.store.record.record import Record
from relay.store.record.search import Row

PACK_INTERVAL_S = 15.0
PACK_LEASE = timedelta(seconds=60)
UNCHANGED = timedelta(minutes=5)
"""An event is packed when it has not changed for this long: people may be working on a newer one."""
AT_ONCE = 100
"""Events packed in one go: a bound on how long others wait for the server."""
PACKED_PER_PASS = 5_000
"""Events that the front passes in one pass: more than a record can take in, in the long run."""
PER_ROUND = 500
BREATH_S = 0.01

log = get_logger()


@dataclass(slots=True)
class PackCursors:
    """The last events that the packer has seen: by its front, and by its round."""

    front: str | None = None
    round: str | None = None


def run_packer(store: Store, stop: threading.Event) -> None:
    """Pack at once and then every PACK_INTERVAL_S, until `stop` is set."""
    holder, places = secrets.token_hex(8), PackCursors()
    while not stop.is_set():
        try:
            with store.lease("pack", holder, PACK_LEASE) as is_ours:
                if is_ours:
                    pack(store.compaction, places, utc_now(), stop)
        except RecordUnavailableError as error:
            log.warning("pack.postponed", reason=str(error))
        stop.wait(PACK_INTERVAL_S)


def pack(compaction: Compaction, places: PackCursors, now: datetime, stop: threading.Event) -> int:
    """One pass, which advances the cursors. Returns the number of events and deliveries packed."""
    packed = 0
    for _ in range(PACKED_PER_PASS // AT_ONCE):
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


INTERVAL_S = 15.0
LEASE = timedelta(seconds=60)
ABANDONED = timedelta(days=7)
"""An archive that was not reported for this long is no longer in use."""
PER_PASS, PASSES = 500, 10
"""Events looked at in one go, and times in a row: bounds on the use of Redis and of the lease."""


@dataclass(frozen=True, slots=True)
class Terms:
    """Retention times of events, and of their bodies (None: the same). archive: for events that are forgotten."""

    events: timedelta
    bodies: timedelta | None = None
    archive: Archive | None = None


@dataclass(slots=True)
class Cursors:
    """The last events that retention has seen, and its state.

    pruned begins again at the end, for events that waited for a person. So does stripped_again, for restored events;
    stripped goes on, so that a body is removed on time. told: the archive's state as last reported. waits: whether
    nothing is forgotten, because the record's clock may be wrong. left_to: archives of other hosts, whose workers do
    the forgetting.
    """

    pruned: str | None = None
    stripped: str | None = None
    stripped_again: str | None = None
    told: KnownArchive | None = None
    waits: bool = False
    left_to: Sequence[str] = ()


def run_retention(store: Store, terms: Terms, stop: threading.Event) -> None:
    """Run a pass at once and then every INTERVAL_S, until `stop` is set."""
    holder, places = secrets.token_hex(8), Cursors()
    while not stop.is_set():
        try:
            with store.lease("retention", holder, LEASE) as is_ours:
                if is_ours and (now := _time_to_forget_by(store, places)):
                    keep(store, terms, places, now)
        except RecordUnavailableError as error:
            log.warning("retention.postponed", reason=str(error))
        stop.wait(INTERVAL_S)


def _time_to_forget_by(store: Store, places: Cursors) -> datetime | None:
    """The record's time, to measure ages by; None while its clock may be wrong."""
    now, waits = store.clock.forgetting_time()
    if bool(waits) != places.waits:
        log.warning("retention.clock", waits_s=int(waits.total_seconds()), now=now.isoformat())
        places.waits = bool(waits)
    return None if waits else now


def keep(store: Store, terms: Terms, places: Cursors, now: datetime) -> None:
    """One pass of each kind."""
    if terms.bodies:
        before = now - terms.bodies
        for _ in range(PASSES):
            places.stripped, is_end = remove_bodies(store, before, places.stripped, now)
            if is_end:
                break
        again, is_end = remove_bodies(store, before, places.stripped_again, now)
        places.stripped_again = None if is_end else again
    store.statistics.forget_counts(now - terms.events)
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
    """Archives of workers on other hosts: events that are forgotten here would be missing there."""
    return [f"{one.folder} on {one.host}" for one in store.archives.all() if now - one.at < ABANDONED]


def _tell(store: Store, archive: Archive, fault: str, places: Cursors, now: datetime) -> None:
    """Report the archive's state, where it has changed or the last report is old."""
    known = KnownArchive(str(archive.folder.resolve()), socket.gethostname(), fault, now)
    told = places.told
    if told is None or told.fault != fault or now - told.at > CURRENT / 2:
        store.archives.note(known)
        places.told = known


def remove_bodies(store: Store, before: datetime, after: str | None, now: datetime) -> tuple[str | None, bool]:
    """Remove the bodies of some events received before this time.

    Returns the last event looked at, and whether it was the last one.
    """
    ids = store.record.oldest(earliest_id(EVENT_PREFIX, before), after, PER_PASS)
    removed = 0
    while done := store.compaction.remove_bodies(ids, now):  # again for events that changed meanwhile
        removed += done
    if removed:
        log.info("bodies.removed", count=removed, before=before.isoformat())
    return (ids[-1] if ids else after), len(ids) < PER_PASS


def prune(record: Record, before: datetime, cursor: str | None = None, archive: Archive | None = None) -> str | None:
    """Forget some of the events received before this time whose deliveries are all final and as old.

    archive: they are written there first, and forgotten once they are on disk. Raises ArchiveError.
    cursor: end of the pass before. Returns the end of this pass; None at the end of the record.
    """
    ids = record.oldest(earliest_id(EVENT_PREFIX, before), cursor, PER_PASS)
    # The lock makes an erasure wait, so that nothing is archived that is being erased.
    with archive.locked() if archive and ids else nullcontext():
        going = ids if archive is None else _archived(record, archive, ids, before)
        forgotten = sum(record.prune(event_id, before) for event_id in going)
    if forgotten:
        log.info("events.pruned", count=forgotten, before=before.isoformat(), archived=archive is not None)
    return ids[-1] if len(ids) == PER_PASS else None


def _archived(record: Record, archive: Archive, ids: list[str], before: datetime) -> list[str]:
    """The ids of the events that can go, after writing them to the archive."""
    events = record.events(ids)
    rows = [row for row in _rows(record, events) if _may_go(row, before)]
    archive.append(rows)
    gone = set(ids) - {event.id for event in events}  # an index may name events that are gone
    return sorted(gone | {row.event.id for row in rows})


def _rows(record: Record, events: list[Event]) -> list[Row]:
    by_id = {one.id: one for one in record.deliveries(i for event in events for i in event.deliveries)}
    return [Row(event, tuple(by_id[i] for i in event.deliveries if i in by_id)) for event in events]


def _may_go(row: Row, before: datetime) -> bool:
    youngest = earliest_id(DELIVERY_PREFIX, before)
    return all(one.state in FINAL and one.id < youngest for one in row.deliveries)
