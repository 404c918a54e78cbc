"""A backlog: how fast it shrinks, when it is gone, and a chart that it does not flatten."""

from __future__ import annotations

import pytest

from relay.core.ids import from_ms, to_ms, utc_now
from relay.core.lifecycle import State
from relay.store import Store
from relay.store.record.statistics import SPANS, Bar, Series
from relay.store.redis import keys
from relay.web.dashboard.overview import HEIGHT, chart
from tests.support.making import bring_to, write_one
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


@pytest.mark.parametrize(("counts", "cut"), [([2, 3, 2, 500, 2], "16"), ([2, 3, 2, 9, 2], "")])
def test_a_bar_that_would_flatten_all_others_is_cut_off_and_the_chart_says_so(counts, cut):
    events, *_ = chart(series(counts))

    assert events.cut == cut
    assert events.top == str(max(counts))
    assert max(box.height for box in events.boxes) == HEIGHT
    assert min(box.y for box in events.boxes) >= 0
    assert min(box.height for box in events.boxes) > HEIGHT / 20


def test_each_chart_leads_to_the_list_of_what_it_draws(operator):
    text = operator.get("/", headers=SAME).text

    assert '<a href="/events?since=' in text
    assert '<a href="/deliveries?since=' in text
