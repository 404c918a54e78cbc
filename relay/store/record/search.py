"""The record as lists, newest first: events with what became of them, or deliveries. For pages, terminal and API alike.

A list walks the smallest index that one of its filters has (indexes.py); the server compares, and looks at a bounded
number of ids: a page costs the same whatever the record holds. It may be short, or empty, and still have a next one.
The cursor is the id where a page ended, and says by its kind what was walked: events or deliveries.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from functools import partial
from typing import Generic, TypeVar

from relay.core.events import Delivery, Event
from relay.core.ids import DELIVERY_PREFIX, EVENT_PREFIX, earliest_id
from relay.core.lifecycle import EventState, State
from relay.core.watching import WatchState
from relay.store.record.indexes import AT_ONCE, Conditions, Indexes, count_between, looks, plan_walk, stands, walk
from relay.store.record.record import Record
from relay.store.redis import keys

LOOKED_AT = 10_000
"""How many ids a page may look at where filters are combined and none of their indexes is small."""

COUNTED_AMONG = 50_000
"""How many ids a count looks at."""

WAITING_FOR_A_PERSON: dict[State | EventState, str] = {
    State.DEAD: keys.BURIED,
    State.UNCERTAIN: keys.UNDECIDED,
    EventState.REJECTED: keys.UNMENDED,
}
"""By their states, the indexes of what nobody has dealt with."""

T = TypeVar("T")
Bounds = tuple[str | None, str | None]
"""Below the first and not below the second; None: no bound."""


@dataclass(frozen=True, slots=True)
class Filter:
    """What to list; all that is given must hold.

    state: of an event, or of a delivery. code: the portal's error code or our reason, in lower case.
    document_id: the third member, such as LEAD_12. person_key: the key of a value that rules extracted (persons.py).
    template_id: 0 is that of triggers, which have none.
    watch: overdue is the only state of an end that is listed. fault: what is wrong with a rejected event (core/faults).
    needs: of dead, uncertain and rejected ones, only those that wait for a person. bulk: what this bulk act has made.
    people: the keys of which an event must carry one, where person_key names them all together.
    since, until: received at this time or later, before this time; of deliveries, and wherever something of deliveries
    is asked, created.
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
    person_key: str | None = None
    watch: WatchState | None = None
    fault: str | None = None
    needs: bool = False
    bulk: str | None = None
    people: frozenset[str] = frozenset()

    @property
    def is_of_deliveries(self) -> bool:
        """Whether something is asked that only deliveries have."""
        about = (self.rule, self.portal, self.code, self.template_id, self.document_id, self.watch, self.bulk)
        return isinstance(self.state, State) or any(value is not None for value in about)

    def wants_event(self, event: Event) -> bool:
        """Whether the filters of events hold."""
        state = self.state if isinstance(self.state, EventState) else None
        return (
            self.source in {None, event.source}
            and state in {None, event.state}
            and self.fault in {None, event.fault}
            and (self.person_key is None or bool(self._people & set(event.person_keys)))
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
            and self.watch in {None, delivery.watched.state if delivery.watched else None}
        )

    @property
    def _people(self) -> frozenset[str]:
        return self.people or frozenset([self.person_key or ""])

    def to_query(self) -> dict[str, str]:
        """The filter as the query of a URL; without the person's key, which only a search makes."""
        given = {one.name: getattr(self, one.name) for one in fields(self) if one.name not in {"person_key", "people"}}
        given["needs"] = "1" if self.needs else None
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
    if not wanted.is_of_deliveries:
        indexes, read = indexes_of_events(record, wanted), partial(_rows_of_events, record, wanted)
        return _scan(record, indexes, bounds_of(wanted, indexes, cursor), limit, read)
    if not _walks_deliveries(record, wanted, cursor):
        return _by_their_events(record, wanted, cursor, limit)
    indexes, read = _indexes_of_deliveries(record, wanted), partial(_rows_of_deliveries, record, wanted)
    return _scan(record, indexes, bounds_of(wanted, indexes, cursor), limit, read)


def list_deliveries(record: Record, wanted: Filter, cursor: str | None = None, limit: int = 50) -> Page[Delivery]:
    """A page of deliveries; it may be longer where one event has several. Raises RecordUnavailableError."""
    if not _walks_deliveries(record, wanted, cursor):
        page = _by_their_events(record, wanted, cursor, limit)
        return Page(tuple(one for row in page.rows for one in row.deliveries), page.cursor)

    def read(ids: Sequence[str]) -> list[Delivery]:
        return [one for one in record.deliveries(ids) if wanted.wants_delivery(one)]

    indexes = _indexes_of_deliveries(record, wanted)
    return _scan(record, indexes, bounds_of(wanted, indexes, cursor), limit, read)


def ids_of_deliveries(record: Record, wanted: Filter, most: int) -> list[str]:
    """The ids only, newest first, of so many at most; where filters have little in common it does not look for ever."""
    return _ids(record, wanted, _indexes_of_deliveries(record, wanted), most)


def ids_of_events(record: Record, wanted: Filter, most: int) -> list[str]:
    """The same of events."""
    return _ids(record, wanted, indexes_of_events(record, wanted), most)


def _by_their_events(record: Record, wanted: Filter, cursor: str | None, limit: int) -> Page[Row]:
    """Deliveries, each event's in a row. An event may be older than a delivery of it, which is a replay then."""
    indexes = indexes_of_events(record, wanted)
    before, _ = bounds_of(wanted, indexes, cursor)
    first, last = (earliest_id(DELIVERY_PREFIX, at) if at else None for at in (wanted.since, wanted.until))

    def fits(one: Delivery) -> bool:
        return wanted.wants_delivery(one) and (first or "") <= one.id < (last or "~")

    def read(ids: Sequence[str]) -> list[Row]:
        rows = [Row(row.event, tuple(filter(fits, row.deliveries))) for row in _rows_of_events(record, wanted, ids)]
        return [row for row in rows if row.deliveries]

    return _scan(record, indexes, (before, None), limit, read)


def _ids(record: Record, wanted: Filter, indexes: Indexes, most: int) -> list[str]:
    before, since = bounds_of(wanted, indexes, None)
    ids: list[str] = []
    looked_at = 0
    while len(ids) < most and looked_at < COUNTED_AMONG:
        found = walk(record.redis, indexes, before=before, since=since, limit=min(most - len(ids), AT_ONCE))
        ids += found.ids
        looked_at += found.looked_at
        before = found.end
        if before is None:
            break
    return ids


def is_listed(record: Record, wanted: Filter, event_id: str, delivery_id: str | None = None) -> bool:
    """Whether these stand in every index of ids that the filter asks for: what they say of themselves is no part of it.

    Raises RecordUnavailableError.
    """
    places = [(index, event_id) for index in _of_event(wanted).ids]
    if delivery_id:
        places += [(index, delivery_id) for index in _of_delivery(wanted).ids]
    return stands(record.redis, places)


def row_of(record: Record, event: Event) -> Row:
    """An event with its deliveries."""
    return Row(event, tuple(record.deliveries(event.deliveries)))


def _scan(
    record: Record, indexes: Indexes, bounds: Bounds, limit: int, read: Callable[[Sequence[str]], list[T]]
) -> Page[T]:
    """Walk until the page is full, the index ends, or enough was looked at."""
    rows: list[T] = []
    looked_at = 0
    before: str | None = bounds[0]
    while len(rows) < limit and looked_at < LOOKED_AT:
        found = walk(record.redis, indexes, before=before, since=bounds[1], limit=limit - len(rows))
        looked_at += found.looked_at
        rows += read(found.ids)
        before = found.end
        if before is None:
            break
    return Page(tuple(rows), before)


def bounds_of(wanted: Filter, indexes: Indexes, cursor: str | None) -> Bounds:
    """Between which ids a walk under this filter goes."""
    prefix = DELIVERY_PREFIX if indexes.are_of_deliveries else EVENT_PREFIX
    since = earliest_id(prefix, wanted.since) if wanted.since else None
    if wanted.until:
        cursor = min(cursor or "~", earliest_id(prefix, wanted.until))
    return cursor, since


def indexes_of_events(record: Record, wanted: Filter) -> Indexes:
    """How the events under this filter are walked."""
    return plan_walk(record.redis, keys.EVENTS, _of_event(wanted), _of_delivery(wanted))


def _indexes_of_deliveries(record: Record, wanted: Filter) -> Indexes:
    return plan_walk(record.redis, keys.DELIVERIES, _of_delivery(wanted), _of_event(wanted))


def _walks_deliveries(record: Record, wanted: Filter, cursor: str | None) -> bool:
    """Whether deliveries are walked, or the events that they are of: whichever are fewer, and as the cursor began."""
    events = _of_event(wanted)
    if not events:
        return True
    if cursor:
        return cursor.startswith(DELIVERY_PREFIX)
    redis, walked = record.redis, Indexes(keys.DELIVERIES)
    before, since = bounds_of(wanted, walked, None)
    within = count_between(redis, walked.walked, before=before, since=since)
    return min(within, looks(redis, keys.DELIVERIES, _of_delivery(wanted))) <= looks(redis, keys.EVENTS, events)


def _of_delivery(wanted: Filter) -> Conditions:
    """What the filter asks of deliveries."""
    facets = {
        "rule": wanted.rule,
        "portal": wanted.portal,
        "reason": wanted.code,
        "template_id": wanted.template_id,
    }
    # Of a trigger, which has no template, the record has no such field, and no index.
    fields = [(facet, str(value or "")) for facet, value in facets.items() if value is not None]
    periods = [f"{keys.DELIVERIES_BY}{facet}:{value}" for facet, value in fields if value]
    ids = [] if wanted.document_id is None else [keys.DELIVERIES_BY_DOCUMENT + wanted.document_id]
    if wanted.state is State.STARTED:
        fields.append(("state", State.STARTED))
    elif isinstance(wanted.state, State):
        waiting = WAITING_FOR_A_PERSON.get(wanted.state) if wanted.needs else None
        ids.append(waiting or keys.DELIVERIES_BY_STATE + wanted.state)
    if wanted.bulk is not None:
        ids.append(keys.MADE + wanted.bulk)
    if wanted.watch is not None:
        ids.append(keys.OVERDUE)
    return Conditions(tuple(ids), tuple(periods), tuple(fields))


def _of_event(wanted: Filter) -> Conditions:
    """What the filter asks of events."""
    fields: list[tuple[str, str]] = []
    periods: list[str] = []
    ids = [] if wanted.person_key is None else [keys.MARKS + wanted.person_key]
    if wanted.state is EventState.ACCEPTED:
        fields.append(("state", EventState.ACCEPTED.value))
    elif isinstance(wanted.state, EventState):
        waiting = WAITING_FOR_A_PERSON.get(wanted.state) if wanted.needs else None
        ids.append(waiting or keys.EVENTS_BY_STATE + wanted.state)
    if wanted.fault is not None:
        fields.append(("fault", wanted.fault))
    if wanted.source is not None:
        fields.append(("source", wanted.source))
        periods.append(keys.EVENTS_BY_SOURCE + wanted.source)
    return Conditions(tuple(ids), tuple(periods), tuple(fields))


def _rows_of_deliveries(record: Record, wanted: Filter, ids: Sequence[str]) -> list[Row]:
    deliveries = [one for one in record.deliveries(ids) if wanted.wants_delivery(one)]
    events = {event.id: event for event in record.events({one.event_id for one in deliveries})}
    rows = [Row(events[one.event_id], (one,)) for one in deliveries if one.event_id in events]
    return [row for row in rows if wanted.wants_event(row.event)]


def _rows_of_events(record: Record, wanted: Filter, ids: Sequence[str]) -> list[Row]:
    events = [event for event in record.events(ids) if wanted.wants_event(event)]
    by_id = {one.id: one for one in record.deliveries(i for event in events for i in event.deliveries)}
    return [Row(event, tuple(by_id[i] for i in event.deliveries if i in by_id)) for event in events]
