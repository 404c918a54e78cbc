"""How one day went, by rule, source, portal or template: how many, what share died, how long it took. Reads the record.

It adds up what the record has counted by the hour (store/record/statistics.py): a page costs the same on any day.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from relay.store.record.ledger import BUCKETS, percentile
from relay.store.record.statistics import HOUR, Count, Statistics
from relay.web.language import _

GROUPS: Mapping[str, Callable[[Count], str]] = {
    "rule": lambda count: count.rule,
    "source": lambda count: count.source,
    "portal": lambda count: count.portal,
    "template": lambda count: f"{count.portal} · {count.template or _('a trigger')}",
}


@dataclass(frozen=True, slots=True)
class Numbers:
    """One group. deliveries: made. rate_per_h: over the hours of the day that were counted. dead_share: of what came to
    an end; None: nothing did.

    p50, p95, p99: about so many milliseconds from the delivery to its workflow; None where none has started.
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
    """A day. since, until: the whole hours nearest to its borders.

    counted_since: the first hour that was counted at all, or is still on record, if the day began before; else None.
    """

    groups: Sequence[Numbers]
    since: datetime
    until: datetime
    counted_since: datetime | None = None


def numbers_of(statistics: Statistics, by: str, since: datetime, now: datetime) -> Day:
    """The day that begins at `since`, by one of GROUPS. Raises RecordUnavailableError."""
    # On the clocks of its zone a day may have 23 or 25 hours.
    counts = statistics.counts(since.astimezone(UTC), (since + timedelta(days=1)).astimezone(UTC))
    first = counts.first if counts.first and counts.first > counts.since else None
    hours = max((min(now, counts.until) - (first or counts.since)) / HOUR, 1 / 60)
    groups: dict[str, Counter[str]] = defaultdict(Counter)
    for count in counts.found:
        groups[GROUPS[by](count)][count.what] += count.count
    found = [_numbers(name, group, hours) for name, group in groups.items()]
    return Day(sorted(found, key=lambda one: (-one.deliveries, one.name)), counts.since, counts.until, first)


def _numbers(name: str, group: Mapping[str, int], hours: float) -> Numbers:
    took = [group[bucket] for bucket in BUCKETS]
    ended = sum(took) + group["settled"] + group["dead"]
    return Numbers(
        name=name,
        deliveries=group["made"],
        rate_per_h=group["made"] / hours,
        dead_share=group["dead"] / ended if ended else None,
        p50_ms=percentile(took, 0.50),
        p95_ms=percentile(took, 0.95),
        p99_ms=percentile(took, 0.99),
    )


def days_of(names: Iterable[str], now: datetime) -> list[tuple[str, datetime]]:
    """The days named `today` and `yesterday`, as their beginnings. now: in the zone whose days are meant."""
    today = now.replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
    known = {"today": today, "yesterday": today - timedelta(days=1)}
    return [(name, known[name]) for name in names]
