"""The page of numbers: a day by rule, source, portal or template, and how far was looked."""

from __future__ import annotations

from datetime import timedelta

import pytest

from relay.core.lifecycle import State
from relay.web.presenters import numbers as module
from relay.web.presenters.numbers import numbers_of, percentile
from tests.support.making import DAY, NOON, bring_to, claim_one, make_attempt, write_one
from tests.watching.conftest import SAME

MIDNIGHT = NOON - timedelta(hours=12)


def start(record, duration_ms, **options):
    claimed = claim_one(record, write_one(record, **options))
    attempt = make_attempt()
    object.__setattr__(attempt, "duration_ms", duration_ms)
    record.settle(claimed, State.STARTED, NOON, attempt=attempt, workflow_id=f"wf-{claimed.id}")


def test_a_day_says_how_many_what_share_died_and_how_long_it_took(record):
    for duration_ms in (10, 20, 30):
        start(record, duration_ms)
    bring_to(record, State.DEAD)
    bring_to(record, State.DEAD, rules=["other"])
    bring_to(record, State.DEAD, NOON - DAY)

    day = numbers_of(record, "rule", MIDNIGHT, NOON)

    assert (day.events, day.looked_since) == (5, None)
    assert [(one.name, one.deliveries, one.dead_share) for one in day.groups] == [("a-rule", 4, 0.25), ("other", 1, 1)]
    assert (day.groups[0].p50_ms, day.groups[0].p99_ms) == (20, 30)
    assert day.groups[1].p50_ms is None
    assert day.groups[0].rate_per_h == pytest.approx(4 / 12)


@pytest.mark.parametrize(
    ("by", "names"), [("source", ["website"]), ("portal", ["main"]), ("template", ["main · 1"]), ("rule", ["a-rule"])]
)
def test_it_is_told_by_each_grouping(operator, record, by, names):
    start(record, 10)

    assert [one.name for one in numbers_of(record, by, MIDNIGHT, NOON).groups] == names
    text = operator.get(f"/numbers?by={by}&day={NOON:%Y-%m-%d}", headers=SAME).text
    assert names[0] in text
    assert "All 1 event of this day were looked at" in text


def test_of_a_busy_day_the_newest_are_looked_at_and_the_page_says_so(record, monkeypatch):
    monkeypatch.setattr(module, "LOOKED_AT", 2)
    monkeypatch.setattr(module, "PAGE", 1)
    for minutes in range(3):
        bring_to(record, State.DEAD, NOON + timedelta(minutes=minutes))

    day = numbers_of(record, "rule", MIDNIGHT, NOON + DAY)

    assert day.events == 2
    assert day.looked_since == NOON + timedelta(minutes=1)


def test_a_day_without_anything_and_a_day_that_is_none(operator):
    assert "Nothing on this day" in operator.get("/numbers", headers=SAME).text
    assert operator.get("/numbers?day=soon", headers=SAME).status_code == 400
    assert operator.get("/numbers?by=moon", headers=SAME).status_code == 400


def test_percentiles_are_values_that_came():
    assert [percentile([1, 2, 3, 4], share) for share in (0.5, 0.95, 0.99)] == [2, 4, 4]
    assert percentile([], 0.5) is None
