"""A backlog: how fast it shrinks, when it is gone, and a chart that it does not flatten."""

from __future__ import annotations

import re

import pytest

from relay.core.ids import from_ms, to_ms, utc_now
from relay.core.lifecycle import State
from relay.store import Store
from relay.store.record.statistics import SPANS, Bar, Series
from relay.store.redis import keys
from relay.web.dashboard.overview import chart
from relay.web.presenters.charts import HEIGHT, round_top
from tests.support.making import bring_to, hold, write_one
from tests.support.pages import Page
from tests.watching.conftest import SAME


def test_the_line_of_a_portal_says_how_fast_it_goes_and_when_it_is_empty(operator, record, redis):
    for _ in range(30):
        write_one(record, utc_now())
    minute = to_ms(utc_now()) // 60_000
    for ago in range(6):
        redis.hset(f"{keys.MINUTE}{minute - ago}", "started:main", 5)

    text = " ".join(operator.get("/portals", headers=SAME).text.split())

    assert "Started a minute</dt><dd>5.0" in text
    assert "empty in about 6 min at this rate" in text
    assert "30 waiting, empty in about 6 min" in operator.get("/", headers=SAME).text


def test_where_nothing_starts_nothing_is_foretold(operator, record):
    write_one(record, utc_now())

    assert "empty in about" not in operator.get("/portals", headers=SAME).text


def test_a_start_is_counted_for_its_portal(record, redis):
    bring_to(record, State.STARTED)

    minute = to_ms(from_ms(int(redis.time()[0]) * 1000 + 60_000))
    assert Store(redis).statistics.started_a_minute(["main", "other"], from_ms(minute)) == {"main": 0.2, "other": 0}


def series(counts):
    bars = [Bar(from_ms(number * 120_000), {"event:accepted": count}) for number, count in enumerate(counts)]
    return Series(SPANS[0], tuple(bars))


def heights(column):
    return {box.kind: box.height for box in column.boxes}


@pytest.mark.parametrize(("counts", "peak", "top"), [([2, 3, 2, 500, 2], "500", "18"), ([2, 3, 2, 9, 2], "", "9")])
def test_a_bar_that_would_flatten_all_others_is_cut_off_and_marked(counts, peak, top):
    events, *_ = chart(series(counts))

    assert (events.peak, events.axis[0], events.axis[-1]) == (peak, top, "0")
    assert [one.cut for one in events.columns] == [bool(peak) and count == 500 for count in counts]
    assert max(one.boxes[-1].height for one in events.columns) == HEIGHT
    assert min(one.boxes[-1].y for one in events.columns) >= 0
    assert min(one.boxes[-1].height for one in events.columns) > HEIGHT / 20


@pytest.mark.parametrize(
    ("values", "top"),
    [
        ([], 3),
        ([1], 3),
        ([4], 6),
        ([98], 120),
        ([91, 120], 120),
        ([121], 150),
        ([1000] * 3, 1200),
        ([3, 3, 3, 3000], 24),
    ],
)
def test_an_axis_ends_at_a_round_number(values, top):
    assert round_top(values) == top


def test_failures_stand_at_the_base_and_are_never_cut_away():
    bars = [{"event:accepted": 10}] * 5 + [{"event:accepted": 5000, "event:rejected": 1}, {"event:rejected": 5000}]
    whole = Series(SPANS[0], tuple(Bar(from_ms(n * 120_000), counts) for n, counts in enumerate(bars)))

    *_, spike, failure = chart(whole)[0].columns

    assert spike.cut
    assert spike.boxes[0].kind == "bad"
    assert spike.boxes[0].y + spike.boxes[0].height == HEIGHT
    assert spike.boxes[0].height >= 2
    assert heights(failure) == {"bad": HEIGHT}


def test_a_bar_tells_its_figures_and_leads_to_its_events(operator, record, redis):
    delivery = bring_to(record, State.DEAD, utc_now())
    page = Page(operator.get("/", headers=SAME).text)

    (bar,) = [one for one in page.root.findall(".//figure//svg/a") if "dead" in "".join(one.itertext())]

    assert re.fullmatch(r"\d\d:\d\d: 1 dead", bar.find("title").text)
    assert delivery.event_id in operator.get(bar.attrib["href"], headers=SAME).text


def test_nothing_is_foretold_while_a_gate_is_closed_or_a_method_waits(operator, record, redis):
    for _ in range(30):
        write_one(record, utc_now())
    minute = to_ms(utc_now()) // 60_000
    for ago in range(6):
        redis.hset(f"{keys.MINUTE}{minute - ago}", "started:main", 5)
    assert "empty in about" in operator.get("/portals", headers=SAME).text

    hold(redis, "main", "invalid_credentials", utc_now())

    assert "empty in about" not in operator.get("/portals", headers=SAME).text
    assert "empty in about" not in operator.get("/", headers=SAME).text


def test_each_chart_leads_to_the_list_of_what_it_draws(operator):
    page = Page(operator.get("/", headers=SAME).text)

    links = [one.attrib["href"].partition("since=")[0] for one in page.root.findall(".//figcaption/a")]
    assert links == ["/events?", "/events?", "/events?"]
