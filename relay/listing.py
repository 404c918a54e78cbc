"""The record as lists: events with what became of them, newest first. For the dashboard and the terminal alike.

Reads one index and looks at a bounded number of ids, so a page costs the same whatever the record holds.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from relay.events import Delivery, Event
from relay.ids import DELIVERY_PREFIX, EVENT_PREFIX, earliest_id
from relay.lifecycle import EventState, State
from relay.store import keys
from relay.store.record import Record

LOOKED_AT = 2_000
"""How many ids a page may look at where two filters are combined and one of them has no index."""


@dataclass(frozen=True, slots=True)
class Filter:
    """What to list. state: of an event, or of a delivery. since: received at this time or later."""

    state: EventState | State | None = None
    source: str | None = None
    since: datetime | None = None

    @property
    def is_of_deliveries(self) -> bool:
        """Whether the state is one that deliveries have."""
        return isinstance(self.state, State)


@dataclass(frozen=True, slots=True)
class Row:
    """One event and its deliveries."""

    event: Event
    deliveries: tuple[Delivery, ...]


@dataclass(frozen=True, slots=True)
class Page:
    """Rows, newest first. cursor: where the next page begins, None at the end."""

    rows: tuple[Row, ...]
    cursor: str | None


def parse_state(text: str) -> EventState | State | None:
    """The state of this name, of either kind; None where there is none."""
    for kind in (State, EventState):
        if text in set(kind):
            return kind(text)
    return None


def list_events(record: Record, wanted: Filter, cursor: str | None = None, limit: int = 50) -> Page:
    """A page of events. Raises RecordUnavailableError."""
    index, prefix = _index(wanted)
    since = earliest_id(prefix, wanted.since) if wanted.since else None
    rows: list[Row] = []
    looked_at = 0
    while len(rows) < limit and looked_at < LOOKED_AT:
        ids = record.page(index, before=cursor, since=since, limit=limit)
        looked_at += len(ids)
        for found in _read(record, ids, wanted):
            if wanted.source not in {None, found.event.source}:
                continue
            if len(rows) == limit:
                return Page(tuple(rows), cursor)
            rows.append(found)
            cursor = _position(found, ids)
        if len(ids) < limit:
            return Page(tuple(rows), None)
        cursor = ids[-1]
    return Page(tuple(rows), cursor)


def row_of(record: Record, event: Event) -> Row:
    """An event with its deliveries."""
    return Row(event, tuple(record.deliveries(event.deliveries)))


def _index(wanted: Filter) -> tuple[str, str]:
    if wanted.is_of_deliveries:
        return f"{keys.DELIVERIES_BY_STATE}{wanted.state}", DELIVERY_PREFIX
    if wanted.state:
        return f"{keys.EVENTS_BY_STATE}{wanted.state}", EVENT_PREFIX
    if wanted.source:
        return f"{keys.EVENTS_BY_SOURCE}{wanted.source}", EVENT_PREFIX
    return keys.EVENTS, EVENT_PREFIX


def _read(record: Record, ids: list[str], wanted: Filter) -> list[Row]:
    if wanted.is_of_deliveries:
        deliveries = record.deliveries(ids)
        events = {event.id: event for event in record.events({one.event_id for one in deliveries})}
        return [Row(events[one.event_id], (one,)) for one in deliveries if one.event_id in events]
    events_read = record.events(ids)
    by_id = {one.id: one for one in record.deliveries(i for event in events_read for i in event.deliveries)}
    return [Row(event, tuple(by_id[i] for i in event.deliveries if i in by_id)) for event in events_read]


def _position(row: Row, ids: list[str]) -> str:
    """The id in the index that this row came from."""
    return row.event.id if row.event.id in ids else row.deliveries[0].id
