"""One day in numbers, by rule, source, portal or template: how many came, what became of them, how long it took; beside
the day and the week before, as a page and as CSV.

It adds up what the record counted by the hour (store/record/statistics.py), so that a page costs the same on any day.
"""

from __future__ import annotations

import csv
import io
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from flask import Response, abort, render_template, request

from relay.core.ids import utc_now
from relay.core.lifecycle import EventState
from relay.store.record.ledger import BUCKETS, percentile
from relay.store.record.statistics import HOUR, Count, Statistics
from relay.web.dashboard.frame import blueprint
from relay.web.dashboard.lists import safe_cell
from relay.web.language import N_, _
from relay.web.presenters.charts import Chart, Entry, axis_of, column, round_top, stack
from relay.web.presenters.titles import template_of, weekday_of
from relay.web.services import services
from relay.web.zone import local, zone_now

BETWEEN = " · "
GROUPS: Mapping[str, Callable[[Count], str]] = {
    "rule": lambda count: count.rule,
    "source": lambda count: count.source,
    "portal": lambda count: count.portal,
    "template": lambda count: f"{count.portal}{BETWEEN}{count.template or _('a trigger')}",
}
DAY, WEEK = timedelta(days=1), timedelta(days=7)
STATES = tuple(state.value for state in EventState)
EVENTS = (
    ("received", N_("Received")),
    ("accepted", N_("Accepted")),
    ("rejected", N_("Rejected")),
    ("ignored", N_("Ignored")),
    ("refused", N_("Refused")),
    ("duplicates", N_("Duplicates")),
)
"""The figures of events, which have a source, but neither rule nor portal."""
DELIVERIES = (
    ("deliveries", N_("Deliveries")),
    ("started", N_("Started")),
    ("uncertain", N_("Uncertain")),
    ("dead", N_("Dead")),
)


@blueprint.get("/numbers")
def numbers() -> Any:
    """One day in one grouping; by default today, by rule."""
    by, since = _by(), _day_asked()
    day, before, week_before = _days(by, since)
    return render_template(
        "numbers.html",
        by=by,
        groupings=list(GROUPS),
        since=since,
        name=weekday_of(since.date()),
        today=_today(),
        day_long=DAY,
        day=day,
        chart=_chart(day),
        columns=(EVENTS if by == "source" else ()) + DELIVERIES,
        figures=[*EVENTS, *DELIVERIES],
        totals=[day.total, before.total, week_before.total],
        before={one.name: one for one in before.groups},
        week_before={one.name: one for one in week_before.groups},
        main="received" if by == "source" else "deliveries",
    )


@blueprint.get("/numbers.csv")
def export_numbers() -> Response:
    """The same as a file: a line a group, then all together."""
    by, since = _by(), _day_asked()
    day, before, week_before = _days(by, since)
    names = [field.name for field in fields(Numbers)]
    main = "received" if by == "source" else "deliveries"
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    buffer.write("\ufeff")  # without it, a spreadsheet takes UTF-8 for something else
    writer.writerow([by, *names[1:], f"{main}_day_before", f"{main}_week_before"])
    days = (before, week_before)
    earlier = [{one.name: getattr(one, main) for one in (*other.groups, other.total)} for other in days]
    for one in (*day.groups, day.total):
        cells = [getattr(one, name) for name in names] + [counts.get(one.name, 0) for counts in earlier]
        writer.writerow([safe_cell(round(cell, 4) if isinstance(cell, float) else cell) for cell in cells])
    answer = Response(buffer.getvalue(), content_type="text/csv; charset=utf-8")
    answer.headers["Content-Disposition"] = f'attachment; filename="numbers-{since:%Y-%m-%d}-by-{by}.csv"'
    return answer


def _by() -> str:
    by = request.args.get("by", "rule")
    if by not in GROUPS:
        abort(400, _("by: expected one of %(names)s", names=", ".join(GROUPS)))
    return by


def _day_asked() -> datetime:
    text = request.args.get("day", "")
    if not text:
        return _today()
    try:
        day = datetime.strptime(text[:10], "%Y-%m-%d").replace(tzinfo=zone_now())
        # The page names the days around it and a week before: at the ends of the calendar there are none.
        for distance in (-8, 2):
            (day + timedelta(days=distance)).astimezone(UTC)
    except (ValueError, OverflowError):
        abort(400, _("day: expected a day such as 2026-06-01"))
    return day


def _today() -> datetime:
    return midnight_of(local(utc_now()))


def midnight_of(now: datetime) -> datetime:
    """The beginning of the day of this time, in its zone."""
    return now.replace(hour=0, minute=0, second=0, microsecond=0, fold=0)


def _days(by: str, since: datetime) -> list[Day]:
    """The day, the day before, and the same day a week before."""
    statistics, now = services().store.statistics, utc_now()
    so_far = min(DAY, max(now - since, timedelta()))  # a day that has not ended is compared with as much of the others
    days = [numbers_of(statistics, by, since, now)]
    days += [numbers_of(statistics, by, since - back, now, so_far) for back in (DAY, WEEK)]
    return [replace(day, groups=[_named(one) for one in day.groups]) for day in days] if by == "template" else days


def _named(group: Numbers) -> Numbers:
    """A group of a template with the name of the template, where it is known."""
    portal, _between, number = group.name.partition(BETWEEN)
    return replace(group, name=f"{portal}{BETWEEN}{template_of(portal, number)}") if number.isdecimal() else group


@dataclass(frozen=True, slots=True)
class Numbers:
    """One group. received: events and duplicates; of a rule, a portal or a template no events are counted, so 0.

    deliveries: how many were made. rate_per_h: per counted hour of the day. dead_share: of the deliveries that ended;
    None: none did. p50, p95, p99: approximate milliseconds from the delivery to its workflow; None if none has started.
    """

    name: str
    received: int
    accepted: int
    rejected: int
    ignored: int
    refused: int
    duplicates: int
    deliveries: int
    started: int
    uncertain: int
    dead: int
    rate_per_h: float
    dead_share: float | None
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None


@dataclass(frozen=True, slots=True)
class Day:
    """A day. since, until: the whole hours nearest to its borders. total: of all groups together, with all events.

    counted_since: the first hour that was counted at all, or is still on record, if the day began before; else None.
    hours: the counts of each hour.
    """

    groups: Sequence[Numbers]
    total: Numbers
    since: datetime
    until: datetime
    counted_since: datetime | None = None
    hours: Sequence[Mapping[str, int]] = ()


def numbers_of(statistics: Statistics, by: str, since: datetime, now: datetime, length: timedelta = DAY) -> Day:
    """The day that begins at `since`, or so much of it, by one of GROUPS. Raises RecordUnavailableError."""
    # On the clocks of its zone a day may have 23 or 25 hours.
    counts = statistics.counts(since.astimezone(UTC), (since + length).astimezone(UTC))
    first = counts.first if counts.first and counts.first > counts.since else None
    hours = max((min(now, counts.until) - (first or counts.since)) / HOUR, 1 / 60)
    groups: dict[str, Counter[str]] = defaultdict(Counter)
    total: Counter[str] = Counter()
    for count in counts.found:
        total[count.what] += count.count
        if count.rule or by == "source":
            groups[GROUPS[by](count)][count.what] += count.count
    found = [_numbers(name, group, hours) for name, group in groups.items()]
    found.sort(key=lambda one: (-one.received, -one.deliveries, one.name))
    return Day(found, _numbers(_("All"), total, hours), counts.since, counts.until, first, counts.hours)


def _numbers(name: str, group: Mapping[str, int], hours: float) -> Numbers:
    took = [group[bucket] for bucket in BUCKETS]
    started = sum(took) + group["settled"]
    ended = started + group["dead"]
    return Numbers(
        name=name,
        received=sum(group[state] for state in STATES) + group["duplicate"],
        accepted=group[EventState.ACCEPTED],
        rejected=group[EventState.REJECTED],
        ignored=group[EventState.IGNORED],
        refused=group[EventState.REFUSED],
        duplicates=group["duplicate"],
        deliveries=group["made"],
        started=started,
        uncertain=group["uncertain"],
        dead=group["dead"],
        rate_per_h=group["made"] / hours,
        dead_share=group["dead"] / ended if ended else None,
        p50_ms=percentile(took, 0.50),
        p95_ms=percentile(took, 0.95),
        p99_ms=percentile(took, 0.99),
    )


def _chart(day: Day) -> Chart:
    """Each hour of the day: what failed, at the base, and what was started."""
    failed = (EventState.REJECTED.value, "dead", "uncertain")
    parts = (("bad", _("need a person"), failed), ("good", _("started"), (*BUCKETS, "settled")))
    hours = [[sum(hour.get(what, 0) for what in whats) for _kind, _label, whats in parts] for hour in day.hours]
    top, columns = round_top([sum(counts) for counts in hours]), []
    for place, counts in enumerate(hours):
        if any(counts):
            since = day.since + place * HOUR
            found = [(kind, label, count) for (kind, label, _whats), count in zip(parts, counts, strict=True) if count]
            title = f"{local(since):%H:%M}: " + ", ".join(f"{count:,} {label}" for _kind, label, count in found)
            boxes = stack([(kind, count) for kind, _label, count in found], top)
            cut = sum(counts) > top
            columns.append(column(place, len(hours), boxes, title, since=since, until=since + HOUR, cut=cut))
    totals = [sum(counts[place] for counts in hours) for place in range(len(parts))]
    legend = [Entry(label, "", kind, f"{one:,}", {}) for (kind, label, _whats), one in zip(parts, totals, strict=True)]
    peak = max((sum(counts) for counts in hours), default=0)
    return Chart(
        name=_("By the hour"),
        columns=tuple(columns),
        axis=axis_of(top),
        ticks=tuple(f"{local(day.since + (day.until - day.since) * part / 4):%H:%M}" for part in range(5)),
        legend=tuple(legend),
        summary=f"{_('By the hour')}: " + ", ".join(f"{one.count} {one.label}" for one in legend),
        query={"since": day.since.isoformat(), "until": day.until.isoformat()},
        peak=f"{peak:,}" if peak > top else "",
    )
