"""How one day went, by rule, source, portal or template: how many, what share died, how long it took. Reads the record.

It looks at the newest events of the day, so many at most, and says how far it looked: a page costs the same on any day.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from relay.core.events import Delivery, Event
from relay.core.lifecycle import FINAL, State
from relay.store.record.record import Record
from relay.store.record.search import Filter, Row, list_events
from relay.web.language import _

LOOKED_AT = 500
PAGE = 100
GROUPS: Mapping[str, Callable[[Event, Delivery], str]] = {
    "rule": lambda _event, delivery: delivery.rule,
    "source": lambda event, _delivery: event.source,
    "portal": lambda _event, delivery: delivery.call.portal,
    "template": lambda _event, delivery: f"{delivery.call.portal} · {delivery.call.template_id or _('a trigger')}",
}


@dataclass(frozen=True, slots=True)
class Numbers:
    """One group. rate_per_h: over the time that was looked at. dead_share: of what came to an end; None: nothing did.

    p50, p95, p99: milliseconds from the delivery to the answer of its last call; None where none has started.
    """

    name: str
    deliveries: int
    rate_per_h: float
    dead_share: float | None
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None


@dataclass(frozen=True, slots=True)
class Day:
    """A day. looked_since: where looking ended, before the day's beginning was reached; None: all of it was seen."""

    groups: Sequence[Numbers]
    events: int
    looked_since: datetime | None = None


@dataclass(slots=True)
class _Group:
    states: list[State] = field(default_factory=list)
    took_ms: list[float] = field(default_factory=list)


def numbers_of(record: Record, by: str, since: datetime, now: datetime) -> Day:
    """The day that begins at `since`, by one of GROUPS. Raises RecordUnavailableError."""
    # On the clocks of its zone a day may have 23 or 25 hours.
    since, until = since.astimezone(UTC), (since + timedelta(days=1)).astimezone(UTC)
    rows, is_whole = _rows(record, Filter(since=since, until=until))
    begins = since if is_whole or not rows else rows[-1].event.received_at
    hours = max((min(now, until) - begins).total_seconds() / 3600, 1 / 60)
    groups: dict[str, _Group] = defaultdict(_Group)
    for row in rows:
        for delivery in row.deliveries:
            group = groups[GROUPS[by](row.event, delivery)]
            group.states.append(delivery.state)
            if (took := _took_ms(delivery)) is not None:
                group.took_ms.append(took)
    found = [_numbers(name, group, hours) for name, group in groups.items()]
    return Day(
        sorted(found, key=lambda one: (-one.deliveries, one.name)), len(rows), None if is_whole or not rows else begins
    )


def _rows(record: Record, wanted: Filter) -> tuple[list[Row], bool]:
    """The newest events, and whether these are all."""
    rows: list[Row] = []
    cursor: str | None = None
    while len(rows) < LOOKED_AT:
        page = list_events(record, wanted, cursor, PAGE)
        rows += page.rows
        cursor = page.cursor
        if cursor is None:
            return rows, True
    return rows, False


def _took_ms(delivery: Delivery) -> float | None:
    if delivery.state is not State.STARTED or not delivery.attempts:
        return None
    last = delivery.attempts[-1]
    return max(0.0, (last.at - delivery.created_at).total_seconds() * 1000 + last.duration_ms)


def _numbers(name: str, group: _Group, hours: float) -> Numbers:
    ended = [state for state in group.states if state in FINAL]
    took = sorted(group.took_ms)
    return Numbers(
        name=name,
        deliveries=len(group.states),
        rate_per_h=len(group.states) / hours,
        dead_share=ended.count(State.DEAD) / len(ended) if ended else None,
        p50_ms=percentile(took, 0.50),
        p95_ms=percentile(took, 0.95),
        p99_ms=percentile(took, 0.99),
    )


def percentile(ordered: Sequence[float], share: float) -> float | None:
    """The smallest value that this share of the ordered values does not exceed; None where there are none."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else None


def days_of(names: Iterable[str], now: datetime) -> list[tuple[str, datetime]]:
    """The days named `today` and `yesterday`, as their beginnings. now: in the zone whose days are meant."""
    today = now.replace(hour=0, minute=0, second=0, microsecond=0)
    known = {"today": today, "yesterday": today - timedelta(days=1)}
    return [(name, known[name]) for name in names]
