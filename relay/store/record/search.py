"""The record as lists, newest first: events with their deliveries, or deliveries. For pages, terminal and API alike.

A list walks the smallest index among its filters; the server compares, and looks at a bounded number of ids, so a page
costs the same whatever the record holds. A page may be short, or empty, and still have a next one. The cursor is the id
where a page ended; its prefix says whether events or deliveries were walked.

A rare value has an index of ids. A common value has an index of periods, half a minute each, in which there are such
ids: a walk goes through the periods that satisfy all conditions, and reads the fields of the ids that it finds.

There is no index of words: a search for words reads bodies, newest first, up to a number of events and bytes. It
returns how far back it came, and the next one goes on from there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from functools import partial
from typing import Any, Generic, TypeVar

from redis import Redis

from relay.core.events import CallbackState, Delivery, Event
from relay.core.ids import DELIVERY_PREFIX, EVENT_PREFIX, earliest_id, ms_of, time_of
from relay.core.lifecycle import EventState, State
from relay.core.spellings import forms_of
from relay.store.record.record import Record
from relay.store.redis import keys
from relay.store.redis.scripts import Argument, Script, ScriptCall, guarded, run

WALK = Script.load("walk")
AT_ONCE = 2_500
"""Ids that one script looks at: a bound on how long others wait for the server."""
PERIOD_MS = 32**3
"""An id's time has ten digits in base 32; a period is named by the first seven."""


@dataclass(frozen=True, slots=True)
class Conditions:
    """Conditions on one kind of id, events or deliveries.

    ids: indexes that must hold it. periods: indexes that must hold its period. fields: of its hash, with their required
    values, including those of `periods`.
    """

    ids: tuple[str, ...] = ()
    periods: tuple[str, ...] = ()
    fields: tuple[tuple[str, str], ...] = ()

    def __bool__(self) -> bool:
        return bool(self.ids or self.fields)


@dataclass(frozen=True, slots=True)
class Indexes:
    """The plan of a walk.

    walked: an index of ids, of events or deliveries. own: conditions on an id. beside: conditions on the delivery's
    event, or on one of the event's deliveries.
    """

    walked: str
    own: Conditions = Conditions()
    beside: Conditions = Conditions()

    @property
    def are_of_deliveries(self) -> bool:
        """Whether the ids are of deliveries, else of events."""
        return self.walked.startswith((keys.DELIVERIES, keys.OVERDUE, keys.BURIED, keys.UNDECIDED, keys.MADE))


@dataclass(frozen=True, slots=True)
class Walk:
    """The result of a walk, newest first. end: the id where it ended; None at the end of the index."""

    ids: tuple[str, ...]
    end: str | None
    looked_at: int


@guarded
def walk(redis: Redis, indexes: Indexes, *, before: str | None, since: str | None, limit: int) -> Walk:
    """The next ids below `before` and not below `since`. It may find none and still not be at the end."""
    return walk_from(run(redis, walk_call(indexes, before=before, since=since, limit=limit)))


def walk_call(
    indexes: Indexes, *, before: str | None = None, since: str | None = None, limit: int = 1, most: int | None = None
) -> ScriptCall:
    """The call of a walk, for several in one round trip. most: ids that it may look at."""
    own, beside = indexes.own, indexes.beside
    newest, oldest = _bounds(before, since)
    argv: list[Argument] = [newest, oldest, limit, max(most or AT_ONCE, limit)]
    argv += ["deliveries" if indexes.are_of_deliveries else "events", len(own.ids), len(own.periods), len(own.fields)]
    for field in (*own.fields, *beside.fields):
        argv += field
    return ScriptCall(WALK, [indexes.walked, *own.ids, *own.periods, *beside.ids], argv)


def walk_from(answer: Any) -> Walk:
    """The result in a script's answer."""
    end, looked_at, *found = answer
    return Walk(tuple(one.decode() for one in found), end.decode() or None, looked_at)


@guarded
def plan_walk(redis: Redis, everything: str, own: Conditions, beside: Conditions) -> Indexes:
    """The plan: along the smallest index of ids, and through periods only where they are fewer than its ids."""
    sizes = _sizes(redis, [everything, *own.ids, *own.periods])
    by_size = sorted(own.ids, key=lambda index: sizes[index])
    walked = by_size[0] if by_size else everything
    periods = tuple(index for index in own.periods if sizes[index] < sizes[walked])
    return Indexes(walked, Conditions(tuple(by_size[1:]), periods, own.fields), beside)


@guarded
def count_between(redis: Redis, index: str, *, before: str | None, since: str | None) -> int:
    """Number of ids of an index below `before` and not below `since`."""
    newest, oldest = _bounds(before, since)
    found: Any = redis.zlexcount(index, oldest, newest)
    return int(found)


@guarded
def stands(redis: Redis, places: Sequence[tuple[str, str]]) -> bool:
    """Whether each id is in its index; True for none. places: index and id."""
    with redis.pipeline(transaction=False) as pipeline:
        for index, one in places:
            pipeline.zscore(index, one)
        return None not in pipeline.execute()


@guarded
def looks(redis: Redis, everything: str, conditions: Conditions) -> float:
    """Estimated number of ids that a walk under these conditions looks at, to the end."""
    sizes = _sizes(redis, [everything, *conditions.ids, *conditions.periods])
    a_period = _ids_a_period(redis, everything, sizes[everything]) if conditions.periods else 1.0
    through = [sizes[index] * a_period for index in conditions.periods]
    return min([sizes[everything], *(sizes[index] for index in conditions.ids), *through])


def _bounds(before: str | None, since: str | None) -> tuple[str, str]:
    return f"({before}" if before else "+", f"[{since}" if since else "-"


def _sizes(redis: Redis, indexes: Sequence[str]) -> dict[str, int]:
    with redis.pipeline(transaction=False) as pipeline:
        for index in indexes:
            pipeline.zcard(index)
        return dict(zip(indexes, pipeline.execute(), strict=True))


def _ids_a_period(redis: Redis, everything: str, size: int) -> float:
    with redis.pipeline(transaction=False) as pipeline:
        pipeline.zrange(everything, 0, 0)
        pipeline.zrange(everything, -1, -1)
        oldest, newest = pipeline.execute()
    if not oldest or not newest:
        return 1.0
    periods = (ms_of(newest[0].decode()) - ms_of(oldest[0].decode())) // PERIOD_MS + 1
    return max(1.0, size / periods)


LOOKED_AT = 10_000
"""Ids that a page may look at, where filters are combined and none of their indexes is small."""

COUNTED_AMONG = 50_000
"""Ids that a count looks at."""

WAITING_FOR_A_PERSON: dict[State | EventState, str] = {
    State.DEAD: keys.BURIED,
    State.UNCERTAIN: keys.UNDECIDED,
    EventState.REJECTED: keys.UNMENDED,
}
"""By state, the indexes of unresolved deliveries and events."""

T = TypeVar("T")
Bounds = tuple[str | None, str | None]
"""Below the first and not below the second; None: no bound."""


@dataclass(frozen=True, slots=True)
class Filter:
    """A filter of a list; all given members must hold.

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
    watch: CallbackState | None = None
    fault: str | None = None
    needs: bool = False
    bulk: str | None = None
    people: frozenset[str] = frozenset()

    @property
    def is_of_deliveries(self) -> bool:
        """Whether it has a condition on deliveries."""
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
    """The ids only, newest first, up to `most`. Looks at a bounded number of ids."""
    return _ids(record, wanted, _indexes_of_deliveries(record, wanted), most)


def ids_of_events(record: Record, wanted: Filter, most: int) -> list[str]:
    """The same of events."""
    return _ids(record, wanted, indexes_of_events(record, wanted), most)


def _by_their_events(record: Record, wanted: Filter, cursor: str | None, limit: int) -> Page[Row]:
    """Deliveries, each event's in a row. An event may be older than its delivery, which is a replay then."""
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
    """Whether these are in every index of ids that the filter requires. Their own fields are not checked.

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
    """The bounds of a walk under this filter."""
    prefix = DELIVERY_PREFIX if indexes.are_of_deliveries else EVENT_PREFIX
    since = earliest_id(prefix, wanted.since) if wanted.since else None
    if wanted.until:
        cursor = min(cursor or "~", earliest_id(prefix, wanted.until))
    return cursor, since


def indexes_of_events(record: Record, wanted: Filter) -> Indexes:
    """The plan of a walk of events under this filter."""
    return plan_walk(record.redis, keys.EVENTS, _of_event(wanted), _of_delivery(wanted))


def _indexes_of_deliveries(record: Record, wanted: Filter) -> Indexes:
    return plan_walk(record.redis, keys.DELIVERIES, _of_delivery(wanted), _of_event(wanted))


def _walks_deliveries(record: Record, wanted: Filter, cursor: str | None) -> bool:
    """Whether to walk deliveries, or their events: the fewer, and the same as the cursor."""
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
    """The conditions on deliveries."""
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
    """The conditions on events."""
    fields: list[tuple[str, str]] = []
    periods: list[str] = []
    ids = [] if wanted.person_key is None else [keys.PERSON_INDEX + wanted.person_key]
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


SCANNED, SCANNED_BYTES = 1_000, 2_000_000
SCANNED_AT_ONCE = 100


@dataclass(frozen=True, slots=True)
class Scanned:
    """The extent of a search for words: number of events read, and the time of the oldest."""

    count: int
    back_to: datetime


def scan_bodies(
    record: Record, wanted: Filter, words: str, cursor: str | None, limit: int
) -> tuple[Page[Row], Scanned | None]:
    """The events with these words in body, envelope or query, in any case, and how far back it has looked.

    Raises RecordUnavailableError.
    """
    indexes = indexes_of_events(record, wanted)
    before, since = bounds_of(wanted, indexes, cursor)
    found: list[Event] = []
    looked, size, last = 0, 0, None
    while looked < SCANNED and size < SCANNED_BYTES:
        part = walk(record.redis, indexes, before=before, since=since, limit=SCANNED_AT_ONCE)
        before = part.end
        for event in record.events(part.ids):
            looked, size, last = looked + 1, size + len(event.body), event.id
            if wanted.wants_event(event) and holds(event, words):
                found.append(event)
            if len(found) == limit:
                before = event.id
                break
        if before is None or len(found) == limit:
            break
    rows = tuple(row_of(record, event) for event in found)
    return Page(rows, before), Scanned(looked, time_of(last)) if last else None


def holds(event: Event, words: str) -> bool:
    """Whether the request of an event has these words, as one phrase."""
    wanted = words.casefold()
    texts = (event.body.decode("utf-8", "replace"), event.envelope, event.query)
    return any(wanted in form.casefold() for text in texts if text for form in forms_of(text))
