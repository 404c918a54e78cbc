"""Charts as numbers and words: bars of boxes, a round axis, a legend. templates/chart.html draws them as SVG.

The boxes of a bar stand on one another, failures at the base. A bar far above all others is cut off, and marked, so
that the others stay readable; failures, at the base, are never what is cut away. Pure.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

WIDTH, HEIGHT = 600, 100
STEPS = 3
"""Lines of a chart's axis above zero."""
ROUND = (1, 1.5, 2, 3, 4, 5, 6, 8, 10)
"""A round step of an axis is one of these, times a power of ten."""
CLIPPED_ABOVE = 8
"""A bar higher than this many times the median is cut off; its title says its height."""
LEAST = 2
"""A count that is not zero is at least this high."""


@dataclass(frozen=True, slots=True)
class Box:
    """One rectangle of a bar. kind: its class."""

    y: float
    height: float
    kind: str


@dataclass(frozen=True, slots=True)
class Column:
    """One bar, from its base up. title: all its figures; query: of the list of its events. cut: it is cut off."""

    x: float
    width: float
    boxes: tuple[Box, ...]
    title: str
    query: Mapping[str, str]
    cut: bool = False


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of a legend. icon: a state's sign; kind: its colour. query: of the list of all that it counts."""

    label: str
    icon: str
    kind: str
    count: str
    query: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Chart:
    """One drawing, with a summary in words for people who cannot see it.

    axis: what stands at its left, from the top down to zero; ticks: below it. peak: the highest bar where it is cut
    off, in words; else empty.
    """

    name: str
    columns: tuple[Column, ...]
    axis: tuple[str, ...]
    ticks: tuple[str, ...]
    legend: tuple[Entry, ...]
    summary: str
    query: Mapping[str, str]
    peak: str = ""


def stack(counts: Sequence[tuple[str, float]], top: float) -> tuple[Box, ...]:
    """The boxes of a bar from its base up. Nothing is higher than the drawing: what is above is cut off."""
    boxes, y = [], float(HEIGHT)
    for kind, count in counts:
        height = min(max(LEAST, count / top * HEIGHT), y) if count else 0
        if height:
            y -= height
            boxes.append(Box(round(y, 1), round(height, 1), kind))
    return tuple(boxes)


def column(
    place: int, places: int, boxes: tuple[Box, ...], title: str, *, since: datetime, until: datetime, cut: bool
) -> Column:
    """The bar at one of so many places. title: its figures; since, until: the time of its events."""
    step = WIDTH / places
    query = {"since": minute_of(since), "until": minute_of(until)}
    return Column(round(place * step + 1, 1), round(step - 2, 1), boxes, title, query, cut)


def round_top(values: Sequence[float], least: float = STEPS) -> float:
    """The value at the top of an axis: three round steps that hold the highest bar.

    A bar far above all others, such as a backlog's, would flatten them, and is cut off instead.
    """
    some = sorted(value for value in values if value > 0)
    highest = min(some[-1], CLIPPED_ABOVE * some[len(some) // 2]) if some else 0
    wanted = max(highest, least) / STEPS
    power = 10.0 ** math.floor(math.log10(wanted))
    step = next(number * power for number in ROUND if number * power >= wanted * (1 - 1e-9))
    return STEPS * (math.ceil(step) if least >= STEPS else step)


def axis_of(top: float) -> tuple[str, ...]:
    """The texts of an axis, from the top down to zero."""
    return tuple(f"{round(top * step / STEPS, 6):,g}" for step in range(STEPS, -1, -1))


def minute_of(moment: datetime) -> str:
    """A time as short as the page of events reads it, whatever the visitor's zone."""
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%MZ}"
