"""The record as lists, newest first: events with what became of them, or deliveries. For pages, terminal and API alike.

A list reads the smallest index that one of its filters has, checks the others row by row, and looks at a bounded number
of ids: a page costs the same whatever the record holds. It may be short, or empty, and still have a next one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Generic, TypeVar

from relay.events import Delivery, Event
from relay.ids import DELIVERY_PREFIX, EVENT_PREFIX, earliest_id
from relay.lifecycle import EventState, State
from relay.store import keys
from relay.store.record import Record

LOOKED_AT = 2_000
"""How many ids a page may look at where filters are combined and the rare one is not the index."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Filter:
    """What to list; all that is given must hold.

    state: of an event, or of a delivery. code: the portal's error code or our reason, in lower case.
    document_id: the third member, such as LEAD_12. mark: of a value that rules extracted (relay/marks.py).
    since, until: received or created at this time or later, before this time.
    """

    state: EventState | State | None = None
    source: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    rule: str | None = None
    portal: str | None = None
    code: str | None = None
    template_id: int | None = None
    document_id: str | None = None
    mark: str | None = None

    @property
    def is_of_deliveries(self) -> bool:
        """Whether something is asked that only deliveries have."""
        about = (self.rule, self.portal, self.code, self.template_id, self.document_id)
        return isinstance(self.state, State) or any(value is not None for value in about)

    def wants_event(self, event: Event) -> bool:
        """Whether the filters of events hold."""
        state = self.state if isinstance(self.state, EventState) else None
        return (
            self.source in {None, event.source}
            and state in {None, event.state}
            and (self.mark is None or self.mark in event.marks)
        )

    def wants_delivery(self, delivery: Delivery) -> bool:
        """Whether the filters of deliveries hold."""
        call, state = delivery.call, self.state if isinstance(self.state, State) else None
        return (
            state in {None, delivery.state}
            and self.rule in {None, delivery.rule}
            and self.portal in {None, call.portal}
            and self.code in {None, delivery.reason}
            and self.template_id in {None, call.template_id}
            and self.document_id in {None, call.document_id[2]}
        )

    def to_query(self) -> dict[str, str]:
        """The filter as the query of a URL; without the mark, which only a search makes."""
        given = {one.name: getattr(self, one.name) for one in fields(self) if one.name != "mark"}
        return {
            name: value.isoformat() if isinstance(value, datetime) else str(value)
            for name, value in given.items()
            if value is not None
        }


@dataclass(frozen=True, slots=True)
class Row:
    """One event and its deliveries."""

    event: Event
    deliveries: tuple[Delivery, ...]


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """Rows, newest first. cursor: where the next page begins, None at the end."""

    rows: tuple[T, ...]
    cursor: str | None


def parse_state(text: str) -> EventState | State | None:
    """The state of this name, of either kind; None where there is none."""
    for kind in (State, EventState):
        if text in set(kind):
            return kind(text)
    return None


def list_events(record: Record, wanted: Filter, cursor: str | None = None, limit: int = 50) -> Page[Row]:
    """A page of events; a filter of deliveries gives each delivery a row. Raises RecordUnavailableError."""
    if wanted.is_of_deliveries and wanted.mark is None:
        return _scan(record, wanted, cursor, limit, lambda ids: _rows_of_deliveries(record, wanted, ids))
    return _scan(record, wanted, cursor, limit, lambda ids: _rows_of_events(record, wanted, ids))


def list_deliveries(record: Record, wanted: Filter, cursor: str | None = None, limit: int = 50) -> Page[Delivery]:
    """A page of deliveries. Raises RecordUnavailableError."""

    def read(ids: Sequence[str]) -> list[tuple[str, Delivery]]:
        found = [one for one in record.deliveries(ids) if wanted.wants_delivery(one)]
        if wanted.source is not None:
            events = {event.id: event for event in record.events({one.event_id for one in found})}
            found = [one for one in found if one.event_id in events and wanted.wants_event(events[one.event_id])]
        return [(one.id, one) for one in found]

    index = smallest_index(record, wanted) or keys.DELIVERIES
    return _scan(record, wanted, cursor, limit, read, index=index)


def row_of(record: Record, event: Event) -> Row:
    """An event with its deliveries."""
    return Row(event, tuple(record.deliveries(event.deliveries)))


def smallest_index(record: Record, wanted: Filter) -> str | None:
    """The smallest index of deliveries that a filter has; None where it asks nothing of deliveries."""
    facets = {
        "rule": wanted.rule,
        "portal": wanted.portal,
        "reason": wanted.code,
        "template_id": wanted.template_id,
        "document": wanted.document_id,
    }
    indexes = [f"{keys.DELIVERIES_BY}{facet}:{value}" for facet, value in facets.items() if value is not None]
    if isinstance(wanted.state, State):
        indexes.append(keys.DELIVERIES_BY_STATE + wanted.state)
    return min(indexes, key=record.size) if indexes else None


def _scan(
    record: Record,
    wanted: Filter,
    cursor: str | None,
    limit: int,
    read: Callable[[Sequence[str]], list[tuple[str, T]]],
    *,
    index: str | None = None,
) -> Page[T]:
    """Walk an index until the page is full, the index ends, or enough was looked at."""
    index = index or _index_of_events(record, wanted)
    prefix = DELIVERY_PREFIX if index.startswith(keys.DELIVERIES) else EVENT_PREFIX
    since = earliest_id(prefix, wanted.since) if wanted.since else None
    if wanted.until:
        cursor = min(cursor or "~", earliest_id(prefix, wanted.until))
    rows: list[T] = []
    looked_at = 0
    while len(rows) < limit and looked_at < LOOKED_AT:
        ids = record.page(index, before=cursor, since=since, limit=limit)
        looked_at += len(ids)
        found = read(ids)
        room = limit - len(rows)
        rows += [row for _, row in found[:room]]
        if len(found) > room or (len(found) == room and found[-1][0] != ids[-1]):
            return Page(tuple(rows), found[room - 1][0])
        if len(ids) < limit:
            return Page(tuple(rows), None)
        cursor = ids[-1]
    return Page(tuple(rows), cursor)


def _index_of_events(record: Record, wanted: Filter) -> str:
    if wanted.mark is not None:
        return keys.MARKS + wanted.mark
    if wanted.is_of_deliveries:
        return smallest_index(record, wanted) or keys.DELIVERIES
    if wanted.state and wanted.source:
        by_state, by_source = keys.EVENTS_BY_STATE + wanted.state, keys.EVENTS_BY_SOURCE + wanted.source
        return min(by_state, by_source, key=record.size)
    if wanted.state:
        return keys.EVENTS_BY_STATE + wanted.state
    return keys.EVENTS_BY_SOURCE + wanted.source if wanted.source else keys.EVENTS


def _rows_of_deliveries(record: Record, wanted: Filter, ids: Sequence[str]) -> list[tuple[str, Row]]:
    deliveries = [one for one in record.deliveries(ids) if wanted.wants_delivery(one)]
    events = {event.id: event for event in record.events({one.event_id for one in deliveries})}
    rows = [(one.id, Row(events[one.event_id], (one,))) for one in deliveries if one.event_id in events]
    return [(position, row) for position, row in rows if wanted.wants_event(row.event)]


def _rows_of_events(record: Record, wanted: Filter, ids: Sequence[str]) -> list[tuple[str, Row]]:
    events = [event for event in record.events(ids) if wanted.wants_event(event)]
    by_id = {one.id: one for one in record.deliveries(i for event in events for i in event.deliveries)}
    rows = [Row(event, tuple(by_id[i] for i in event.deliveries if i in by_id)) for event in events]
    if wanted.is_of_deliveries:
        rows = [Row(row.event, tuple(filter(wanted.wants_delivery, row.deliveries))) for row in rows]
        rows = [row for row in rows if row.deliveries]
    return [(row.event.id, row) for row in rows]
