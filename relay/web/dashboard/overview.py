"""The first page: what waits for a person now, and how it has been going, in charts.

Nothing is done here. Charts are numbers and words for SVG; the stylesheet has the colours.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
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
from relay.web.presenters.charts import Box, Chart, Column, Entry, axis_of, column, minute_of, round_top, stack
from relay.web.presenters.masking import masking_of
from relay.web.presenters.portals import portal_views
from relay.web.services import services
from relay.web.zone import local

DEAD_WORKER = timedelta(minutes=8)
"""RQ's workers beat at least every 420 s while they wait."""
FIRST = 8
"""Rows of what waits for a person; the others are on their own page."""
DAYS = (N_("Mon"), N_("Tue"), N_("Wed"), N_("Thu"), N_("Fri"), N_("Sat"), N_("Sun"))
SPAN_NAMES = {"hour": N_("in the last hour"), "day": N_("in the last day"), "week": N_("in the last week")}


@dataclass(frozen=True, slots=True)
class Part:
    """One colour of the bars. field: of the counts; label: for people; kind: its class; icon, query: of the legend."""

    field: str
    label: Any
    kind: str
    icon: str
    query: Mapping[str, str]


def _of_state(field: str, state: State | EventState, kind: str) -> Part:
    return Part(field, state, kind, state.value, {"state": state.value})


EVENTS: tuple[Part, ...] = (
    _of_state("event:rejected", EventState.REJECTED, "bad"),
    _of_state("event:refused", EventState.REFUSED, "warn"),
    replace(_of_state("event:accepted", EventState.ACCEPTED, "good"), icon="started"),
    _of_state("event:ignored", EventState.IGNORED, "idle"),
    Part("event:duplicate", N_("duplicates"), "faint", "ignored", {}),
)
OUTCOMES: tuple[Part, ...] = (
    _of_state("delivery:dead", State.DEAD, "bad"),
    _of_state("delivery:uncertain", State.UNCERTAIN, "warn"),
    _of_state("delivery:started", State.STARTED, "good"),
)
"""The parts of the bars, from the base up: failures first, so that a cut never hides them."""


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
        standing=[State.PENDING, State.SENDING, State.RETRYING],
        views=portal_views(),
        workers=[
            (worker, worker.heartbeat is None or now - worker.heartbeat > DEAD_WORKER) for worker in store.workers()
        ],
        spans=SPANS,
        series=series[chosen],
        chart=chart(series[chosen]),
        sources=sorted(services().sources),
    )


def chart(series: Series) -> list[Chart]:
    """The drawings of one span: events, outcomes, latency."""
    return [
        _stacked(_("Events"), series, EVENTS),
        _stacked(_("Outcomes"), series, OUTCOMES),
        _latency(series),
    ]


def _stacked(name: str, series: Series, parts: Sequence[Part]) -> Chart:
    sums = [sum(bar.count(part.field) for part in parts) for bar in series.bars]
    top, columns = round_top(sums), []
    for place, bar in enumerate(series.bars):
        counts = [(part.kind, bar.count(part.field)) for part in parts]
        told = [f"{bar.count(part.field):,} {say(part.label)}" for part in parts if bar.count(part.field)]
        if told:
            columns.append(_column(series, place, stack(counts, top), ", ".join(told), cut=sums[place] > top))
    legend = tuple(
        Entry(say(part.label), part.icon, part.kind, f"{series.total(part.field):,}", _span(series) | dict(part.query))
        for part in parts
    )
    totals = ", ".join(f"{one.count} {one.label}" for one in legend)
    return Chart(
        name,
        tuple(columns),
        axis_of(top),
        _ticks(series),
        legend,
        f"{name} {_(SPAN_NAMES[series.span.name])}: {totals}",
        _span(series),
        f"{max(sums):,}" if max(sums, default=0) > top else "",
    )


def _latency(series: Series) -> Chart:
    means = [_mean(bar) for bar in series.bars]
    known = [mean / 1000 for mean in means if mean is not None]
    top, columns = round_top(known, least=0.3), []
    for place, mean in enumerate(means):
        if mean is not None:
            boxes = stack([("idle", mean / 1000)], top)
            columns.append(_column(series, place, boxes, _on_average(mean), cut=mean / 1000 > top))
    mean, most = series.mean_latency_ms, series.within_ms(0.95)
    words = _("nothing was started")
    if mean is not None:
        within = _("95 %% within %(seconds)s s", seconds=most // 1000) if most else ""
        words = ", ".join(part for part in (_on_average(mean), within) if part)
    what = _("From the event to its workflow")
    return Chart(
        _("Time to workflow"),
        tuple(columns),
        tuple(_("%(count)s s", count=text) for text in axis_of(top)),
        _ticks(series),
        (Entry(words, "", "idle", "", {}),),
        f"{what} {_(SPAN_NAMES[series.span.name])}: {words}",
        _span(series) | {"state": State.STARTED.value},
        _duration(max(known) * 1000) if max(known, default=0) > top else "",
    )


def _duration(milliseconds: float) -> str:
    if milliseconds < 1000:
        return _("%(count)s ms", count=f"{milliseconds:.0f}")
    return _("%(count)s s", count=f"{milliseconds / 1000:.1f}")


def _on_average(milliseconds: float) -> str:
    return _("%(time)s on average", time=_duration(milliseconds))


def _mean(bar: Bar) -> float | None:
    return bar.count("latency:ms") / bar.timed if bar.timed else None


def _column(series: Series, place: int, boxes: tuple[Box, ...], told: str, *, cut: bool) -> Column:
    since = series.bars[place].since
    until = since + timedelta(milliseconds=series.span.unit_ms * series.span.units_a_bar)
    title = f"{_at(series, since)}: {told}"
    return column(place, len(series.bars), boxes, title, since=since, until=until, cut=cut)


def _span(series: Series) -> dict[str, str]:
    return {"since": minute_of(series.bars[0].since)}


def _ticks(series: Series) -> tuple[str, ...]:
    """Five times below a drawing, from its beginning to now."""
    last = len(series.bars) - 1
    return tuple(_at(series, series.bars[round(last * part / 4)].since) for part in range(5))


def _at(series: Series, moment: datetime) -> str:
    at = local(moment)
    return f"{_(DAYS[at.weekday()])} {at:%H:%M}" if series.span.name == "week" else f"{at:%H:%M}"
