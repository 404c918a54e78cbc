"""One day in numbers, by rule, source, portal or template: how many, what share died, how long it took.

It adds up what the record counted by the hour (store/record/statistics.py), so that a page costs the same on any day.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from flask import abort, render_template, request

from relay.core.ids import utc_now
from relay.store.record.ledger import BUCKETS, percentile
from relay.store.record.statistics import HOUR, Count, Statistics
from relay.web.dashboard.frame import blueprint
from relay.web.language import _
from relay.web.services import services
from relay.web.zone import local, zone_now

GROUPS: Mapping[str, Callable[[Count], str]] = {
    "rule": lambda count: count.rule,
    "source": lambda count: count.source,
    "portal": lambda count: count.portal,
    "template": lambda count: f"{count.portal} · {count.template or _('a trigger')}",
}


@blueprint.get("/numbers")
def numbers() -> Any:
    """One day in one grouping; by default today, by rule."""
    now, by = utc_now(), request.args.get("by", "rule")
    if by not in GROUPS:
        abort(400, _("by: expected one of %(names)s", names=", ".join(GROUPS)))
    named = days_of(("today", "yesterday"), local(now))
    since = _day(request.args.get("day", ""), named[0][1])
    return render_template(
        "numbers.html",
        by=by,
        groupings=list(GROUPS),
        since=since,
        named=named,
        day_long=timedelta(days=1),
        day=numbers_of(services().store.statistics, by, since, now),
    )


def _day(text: str, today: datetime) -> datetime:
    if not text:
        return today
    try:
        day = datetime.strptime(text[:10], "%Y-%m-%d").replace(tzinfo=zone_now())
        # The page names the day before and the one after: at the ends of the calendar there is none.
        for distance in (-1, 2):
            (day + timedelta(days=distance)).astimezone(UTC)
    except (ValueError, OverflowError):
        abort(400, _("day: expected a day such as 2026-06-01"))
    return day


@dataclass(frozen=True, slots=True)
class Numbers:
    """One group. deliveries: how many were made. rate_per_h: per counted hour of the day. dead_share: of the deliveries
    that ended; None: none did.

    p50, p95, p99: approximate milliseconds from the delivery to its workflow; None if none has started.
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
    """The beginnings of the days named `today` and `yesterday`. now: in the zone of these days."""
    today = now.replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
    known = {"today": today, "yesterday": today - timedelta(days=1)}
    return [(name, known[name]) for name in names]
