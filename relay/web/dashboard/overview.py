"""The first page: what waits for a person now, and how it has been going, in charts.

Nothing is done here. Charts are numbers and words for SVG; the stylesheet has the colours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from flask import g, redirect, render_template, request, url_for

from relay.core.ids import utc_now
from relay.core.lifecycle import EventState, State
from relay.store.record.statistics import SPANS, Bar, Series
from relay.web.dashboard.frame import blueprint
from relay.web.dashboard.live import OVERVIEW
from relay.web.dashboard.needs import rows_now
from relay.web.language import N_, _, say
from relay.web.presenters.masking import masking_of
from relay.web.presenters.portals import portal_views
from relay.web.services import services
from relay.web.zone import local

DEAD_WORKER = timedelta(minutes=8)
"""RQ's workers beat at least every 420 s while they wait."""
FIRST = 8
"""Rows of what waits for a person; the others are on their own page."""
WIDTH, HEIGHT = 600, 120
CLIPPED_ABOVE = 8
"""A bar higher than this many times the median is cut off; its title says its height."""
DAYS = (N_("Mon"), N_("Tue"), N_("Wed"), N_("Thu"), N_("Fri"), N_("Sat"), N_("Sun"))
SPAN_NAMES = {"hour": N_("in the last hour"), "day": N_("in the last day"), "week": N_("in the last week")}
Part = tuple[str, str, str]
"""A count, its name for people, its class."""
EVENTS: tuple[Part, ...] = (
    ("event:accepted", EventState.ACCEPTED, "good"),
    ("event:ignored", EventState.IGNORED, "calm"),
    ("event:duplicate", N_("duplicates"), "faint"),
    ("event:rejected", EventState.REJECTED, "doubt"),
    ("event:refused", EventState.REFUSED, "bad"),
)
OUTCOMES: tuple[Part, ...] = (
    ("delivery:started", State.STARTED, "good"),
    ("delivery:uncertain", State.UNCERTAIN, "doubt"),
    ("delivery:dead", State.DEAD, "bad"),
)


@blueprint.get("/")
def index() -> Any:
    """The first page: open issues, charts, gauges, workers."""
    if older := {name: text for name, text in request.args.items() if name in {"state", "source", "cursor"}}:
        # The list of events was here before it had a page of its own.
        return redirect(f"{url_for('dashboard.events')}?{urlencode(older)}", 303)
    store, now = services().store, utc_now()
    rows = rows_now(masking_of(services().rules.all()))
    chosen = request.args.get("span", "hour")
    chosen = chosen if chosen in {span.name for span in SPANS} else "hour"
    series = store.statistics.series(now)
    last = [at for at in g.snapshot.last_events.values() if at]
    return render_template(
        "front.html",
        fresh=OVERVIEW,
        needs=rows[:FIRST],
        more=len(rows[FIRST:]),
        ledger=g.snapshot.ledger,
        last_event=max(last, default=None),
        states=list(State),
        views=portal_views(),
        workers=[
            (worker, worker.heartbeat is None or now - worker.heartbeat > DEAD_WORKER) for worker in store.workers()
        ],
        spans=SPANS,
        series=series[chosen],
        chart=chart(series[chosen]),
        sources=sorted(services().sources),
    )


@dataclass(frozen=True, slots=True)
class Box:
    """One rectangle. kind: its class."""

    x: float
    y: float
    width: float
    height: float
    kind: str
    title: str


@dataclass(frozen=True, slots=True)
class Chart:
    """One drawing, with a summary in words for people who cannot see it. page: the list that it leads to.

    cut: the height at which bars are cut off, in words; empty: none is.
    """

    name: str
    boxes: tuple[Box, ...]
    top: str
    ticks: tuple[tuple[float, str], ...]
    legend: tuple[tuple[str, str, str], ...]
    summary: str
    page: str
    cut: str = ""

    @property
    def is_clipped(self) -> bool:
        """Whether some bars are higher than the drawing."""
        return bool(self.cut)


def chart(series: Series) -> list[Chart]:
    """The drawings of one span: events, outcomes, latency."""
    return [
        _stacked(_("Events"), series, EVENTS),
        _stacked(_("Outcomes"), series, OUTCOMES),
        _latency(series),
    ]


def _stacked(name: str, series: Series, parts: Sequence[Part]) -> Chart:
    sums = [sum(bar.count(field) for field, _, _ in parts) for bar in series.bars]
    top, most = _ceiling(sums), max([*sums, 1])
    boxes = []
    for place, bar in enumerate(series.bars):
        y = float(HEIGHT)
        for field, label, kind in parts:
            count = bar.count(field)
            if count:
                height = min(count / top * HEIGHT, y)
                y -= height
                boxes.append(_box(series, place, (y, height), kind, f"{_at(series, bar.since)}: {count} {say(label)}"))
    totals = [(say(label), kind, str(series.total(field))) for field, label, kind in parts]
    summary = f"{name} {_(SPAN_NAMES[series.span.name])}: " + ", ".join(
        f"{count} {label}" for label, _, count in totals
    )
    page = "deliveries" if parts is OUTCOMES else "events"
    cut = f"{top:.0f}" if most > top else ""
    return Chart(name, tuple(boxes), str(most), _ticks(series), tuple(totals), summary, page, cut)


def _latency(series: Series) -> Chart:
    means = [_mean(bar) for bar in series.bars]
    known = [mean for mean in means if mean is not None]
    top, most_ms = _ceiling(known), max([*known, 1.0])
    boxes = []
    for place, (bar, mean) in enumerate(zip(series.bars, means, strict=True)):
        if mean is not None:
            height = min(HEIGHT, max(1.0, mean / top * HEIGHT))
            title = f"{_at(series, bar.since)}: {_on_average(mean)}"
            boxes.append(_box(series, place, (HEIGHT - height, height), "busy", title))
    mean, most = series.mean_latency_ms, series.within_ms(0.95)
    words = _("nothing was started")
    if mean is not None:
        within = _("95 %% within %(seconds)s s", seconds=most // 1000) if most else ""
        words = ", ".join(part for part in (_on_average(mean), within) if part)
    what = _("From the event to its workflow")
    summary = f"{what} {_(SPAN_NAMES[series.span.name])}: {words}"
    return Chart(
        _("Time to workflow"),
        tuple(boxes),
        _duration(most_ms),
        _ticks(series),
        ((_("latency"), "busy", words),),
        summary,
        "deliveries",
        _duration(top) if most_ms > top else "",
    )


def _ceiling(values: Sequence[float]) -> float:
    """The value of a full bar: the highest, unless that would flatten all others, as a backlog does."""
    some = sorted(value for value in values if value > 0)
    if not some:
        return 1
    return max(1, min(some[-1], CLIPPED_ABOVE * some[len(some) // 2]))


def _duration(milliseconds: float) -> str:
    if milliseconds < 1000:
        return _("%(count)s ms", count=f"{milliseconds:.0f}")
    return _("%(count)s s", count=f"{milliseconds / 1000:.1f}")


def _on_average(milliseconds: float) -> str:
    return _("%(time)s on average", time=_duration(milliseconds))


def _mean(bar: Bar) -> float | None:
    return bar.count("latency:ms") / bar.timed if bar.timed else None


def _box(series: Series, place: int, span: tuple[float, float], kind: str, title: str) -> Box:
    """A bar. span: its top and its height."""
    step = WIDTH / len(series.bars)
    return Box(round(place * step + 1, 2), round(span[0], 2), round(step - 2, 2), round(span[1], 2), kind, title)


def _ticks(series: Series) -> tuple[tuple[float, str], ...]:
    step = WIDTH / len(series.bars)
    every = len(series.bars) // 4
    return tuple(
        (round(place * step, 2), _at(series, series.bars[place].since)) for place in range(0, len(series.bars), every)
    )[:4]


def _at(series: Series, moment: datetime) -> str:
    at = local(moment)
    return f"{_(DAYS[at.weekday()])} {at:%H:%M}" if series.span.name == "week" else f"{at:%H:%M}"
