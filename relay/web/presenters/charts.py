"""Bars for the charts of the first page, as numbers for SVG. Geometry and words: colours are the stylesheet's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from relay.core.lifecycle import EventState, State
from relay.store.record.statistics import Bar, Series
from relay.web.language import N_, _, say
from relay.web.zone import local

WIDTH, HEIGHT = 600, 120
CLIPPED_ABOVE = 8
"""Times the middle bar: what is higher is cut off, and its title says how high it is."""
DAYS = (N_("Mon"), N_("Tue"), N_("Wed"), N_("Thu"), N_("Fri"), N_("Sat"), N_("Sun"))
SPANS = {"hour": N_("in the last hour"), "day": N_("in the last day"), "week": N_("in the last week")}
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
    """One drawing, and the same in words for those who do not see it. page: the list that it leads to.

    cut: where bars are cut off, in words; empty: none is.
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
    summary = f"{name} {_(SPANS[series.span.name])}: " + ", ".join(f"{count} {label}" for label, _, count in totals)
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
    summary = f"{_('From the event to its workflow')} {_(SPANS[series.span.name])}: {words}"
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
    """The value of a whole bar: the highest, unless that would flatten all others, as a backlog does."""
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
    """span: where it begins and how high it is."""
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
