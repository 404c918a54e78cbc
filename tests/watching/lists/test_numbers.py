"""The page of numbers: a day by rule, source, portal or template, as the record has counted it by the hour."""

from __future__ import annotations

import csv
import io
from datetime import datetime, timedelta, timezone
from urllib.parse import unquote

import pytest

from relay.core.ids import utc_now
from relay.core.lifecycle import State
from relay.store import Store
from relay.store.portals.portal import PortalRecord
from relay.store.record.ledger import BUCKETS, histograms_in, percentile
from relay.store.record.statistics import Statistics
from relay.web.dashboard.numbers import numbers_of
from tests.support.making import DAY, bring_to, claim_one, count_in_hour, make_attempt, make_delivery, write_one
from tests.support.pages import Page
from tests.support.senders import SEED, dump, website
from tests.watching.conftest import SAME

HOUR = timedelta(hours=1)


@pytest.fixture
def now() -> datetime:
    return utc_now()


def midnight_of(now):
    return now.replace(hour=0, minute=0, second=0, microsecond=0)


def start(record, now, took_ms):
    claimed = claim_one(record, write_one(record, now), now)
    ended = now + timedelta(milliseconds=took_ms)
    record.settle(claimed, State.STARTED, ended, attempt=make_attempt(), workflow_id=f"wf-{claimed.id}")
    return claimed


def day_with(record, now):
    return numbers_of(Statistics(record.redis), "rule", now - DAY + HOUR, now)


@pytest.mark.parametrize("settled_as", [State.STARTED, State.RETRYING])
def test_how_long_it_took_says_nothing_of_what_a_person_has_settled(record, now, settled_as):
    for took_ms in (80, 80):
        start(record, now, took_ms)
    uncertain = bring_to(record, State.UNCERTAIN, now - 2 * DAY)
    record.settle(uncertain, settled_as, now, reason="settled_by_person")
    if settled_as is State.RETRYING:
        claimed = claim_one(record, uncertain, now)
        record.settle(claimed, State.STARTED, now, attempt=make_attempt(), workflow_id="wf-again")

    series = Store(record.redis).statistics.series(now)["hour"]

    assert series.total("delivery:started") == 3
    assert (series.mean_latency_ms, series.within_ms(0.95)) == (80, 1000)
    (group,) = day_with(record, now).groups
    assert (group.dead_share, group.p99_ms < 100) == (0, True)
    histogram = histograms_in(record.counts().since_start, ["main"])["main"]
    assert (histogram.within()[-1], histogram.sum_ms) == (2, 160)


def test_a_day_says_how_many_what_share_died_and_about_how_long_it_took(record, now):
    for took_ms in (150, 180, 200, 900):
        start(record, now, took_ms)
    bring_to(record, State.DEAD, now)
    bring_to(record, State.PENDING, now)
    bring_to(record, State.DEAD, now, rules=["other"])

    groups = day_with(record, now).groups

    assert [(one.name, one.deliveries, one.dead_share) for one in groups] == [("a-rule", 6, 0.2), ("other", 1, 1)]
    assert groups[0].p50_ms == 100 + 150 * 2 / 3
    assert groups[0].p99_ms == pytest.approx(980)
    assert groups[1].p50_ms is None


@pytest.mark.parametrize(
    ("by", "names"), [("source", ["website"]), ("portal", ["main"]), ("template", ["main · 1"]), ("rule", ["a-rule"])]
)
def test_it_is_told_by_each_grouping(operator, record, now, by, names):
    start(record, now, 10)

    assert [one.name for one in numbers_of(Statistics(record.redis), by, midnight_of(now), now).groups] == names
    text = operator.get(f"/numbers?by={by}&day={now:%Y-%m-%d}", headers=SAME).text
    assert names[0] in text
    assert "half took at most about p50" in text


def test_a_replay_is_counted_when_it_is_made_and_what_is_forgotten_stays_counted(record, now):
    dead = bring_to(record, State.DEAD, now)
    record.replay(record.event(dead.event_id), dead, [make_delivery(dead.event_id, at=now)])
    assert record.prune(bring_to(record, State.DEAD, now).event_id)

    (group,) = day_with(record, now).groups

    assert (group.deliveries, group.dead_share) == (3, 1)


def test_each_whole_hour_of_a_day_counts_and_none_of_the_days_beside_it(record, now):
    begin = midnight_of(now) - DAY
    for place in range(-1, 25):
        count_in_hour(record, begin + place * HOUR, made=1)

    (group,) = numbers_of(Statistics(record.redis), "rule", begin, now).groups

    assert (group.deliveries, group.rate_per_h) == (24, 1)


@pytest.mark.parametrize(("offset", "begins"), [(3, -3), (-5, 5), (5.5, -5), (5.75, -6)])
def test_a_day_of_any_zone_is_counted_by_the_whole_hours_nearest(record, now, offset, begins):
    midnight = midnight_of(now) - 3 * DAY
    since = midnight.replace(tzinfo=timezone(offset * HOUR))

    day = numbers_of(Statistics(record.redis), "rule", since, now)

    assert day.since == midnight + begins * HOUR
    assert day.until == day.since + DAY


def test_a_day_before_counting_began_says_so(operator, record, now):
    began = midnight_of(now) - 2 * DAY + 10 * HOUR
    count_in_hour(record, began, made=28)

    (group,) = numbers_of(Statistics(record.redis), "rule", midnight_of(began), now).groups

    assert group.rate_per_h == 2
    assert "Counts begin at" in operator.get(f"/numbers?day={began:%Y-%m-%d}", headers=SAME).text
    assert "as far as was counted" in operator.get(f"/numbers?day={began - DAY:%Y-%m-%d}", headers=SAME).text
    assert "Counts begin at" not in operator.get(f"/numbers?day={began + DAY:%Y-%m-%d}", headers=SAME).text


def test_a_day_without_anything_and_a_day_that_is_none(operator):
    assert "Nothing on this day" in operator.get("/numbers", headers=SAME).text
    assert operator.get("/numbers?day=soon", headers=SAME).status_code == 400
    assert operator.get("/numbers?by=moon", headers=SAME).status_code == 400


@pytest.mark.parametrize(
    ("counts", "share", "about"),
    [
        ({}, 0.5, None),
        ({"100": 1}, 0.5, 50),
        ({"100": 10, "250": 10}, 0.5, 100),
        ({"100": 10, "250": 10}, 0.75, 175),
        ({"1000": 2}, 0.5, 750),
        ({"100": 1, "more": 99}, 0.5, 3_600_000),
    ],
)
def test_a_percentile_is_about_where_its_share_ends_between_two_bounds(counts, share, about):
    assert percentile([counts.get(bucket, 0) for bucket in BUCKETS], share) == about


@pytest.mark.parametrize("day", ["9999-12-31", "0001-01-01", "2026-02-30"])
def test_a_day_that_the_calendar_does_not_hold_is_a_mistake(operator, day):
    operator.set_cookie("zone", "Asia/Tokyo")

    assert operator.get(f"/numbers?day={day}", headers=SAME).status_code == 400


def test_events_are_told_by_their_source_and_in_the_totals_of_each_grouping(operator, record, now):
    for content in ({"document": "lead", "id": 7}, {"document": "deal", "id": "x"}, {"nothing": 1}):
        operator.post("/hooks/website", data=dump(content), headers=website())
    operator.post("/hooks/website", data=b"{}")
    bring_to(record, State.UNCERTAIN, now)
    bring_to(record, State.DEAD, now)

    day = numbers_of(Statistics(record.redis), "source", midnight_of(now), now)
    (group,) = day.groups

    told = (group.received, group.accepted, group.rejected, group.ignored, group.refused)
    assert told == (6, 3, 1, 1, 1)
    assert (group.deliveries, group.uncertain, group.dead) == (3, 1, 1)
    by_rule = numbers_of(Statistics(record.redis), "rule", midnight_of(now), now)
    assert (by_rule.total.received, by_rule.total.deliveries) == (6, 3)
    assert {one.name for one in by_rule.groups} == {"a-rule", "document-lead"}


def test_a_repeat_is_counted_as_received_and_as_a_duplicate(operator, record, now):
    for _ in range(3):
        operator.post("/hooks/website", data=dump({**SEED, "submission_id": "s-1"}), headers=website())

    (group,) = numbers_of(Statistics(record.redis), "source", midnight_of(now), now).groups

    assert (group.received, group.duplicates) == (3, 2)


def test_a_day_is_shown_beside_the_day_and_the_week_before(operator, record, now):
    noon = midnight_of(now) - DAY + 12 * HOUR
    for back, made in ((0, 30), (1, 20), (7, 40)):
        count_in_hour(record, noon - back * DAY, made=made)

    page = Page(operator.get(f"/numbers?day={noon:%Y-%m-%d}", headers=SAME).text)

    lines = [[" ".join("".join(cell.itertext()).split()) for cell in line] for line in page.root.findall(".//tr")]
    assert ["Deliveries", "30", "20 +50 %", "40 -25 %"] in lines


def test_numbers_come_as_a_file_with_a_line_a_group_and_their_sum(operator, record, now):
    noon = midnight_of(now) - DAY + 12 * HOUR
    count_in_hour(record, noon, made=30, dead=2)
    count_in_hour(record, noon - 7 * DAY, made=40)

    answer = operator.get(f"/numbers.csv?by=rule&day={noon:%Y-%m-%d}", headers=SAME)

    first, total = csv.DictReader(io.StringIO(answer.text.removeprefix("\ufeff")))
    assert (first["rule"], first["deliveries"], first["dead"], first["deliveries_week_before"]) == (
        "a-rule",
        "30",
        "2",
        "40",
    )
    assert (total["rule"], total["deliveries"]) == ("All", "30")
    assert "numbers-" in answer.headers["Content-Disposition"]


def test_a_template_is_told_by_its_name_as_soon_as_it_is_known(operator, record, now):
    start(record, now, 10)
    PortalRecord(record.redis, "main").keep_template_names({1: "First call"})

    (group,) = Page(operator.get(f"/numbers?by=template&day={now:%Y-%m-%d}", headers=SAME).text).root.findall(
        ".//tbody/tr/th[@data-label='Template']"
    )
    assert group.findtext("bdi") == "main · First call"


def test_the_hours_of_a_day_are_bars_that_lead_to_their_events(operator, record, now):
    noon = midnight_of(now) - DAY + 12 * HOUR
    count_in_hour(record, noon, made=30, dead=2, **{"100": 28})

    page = Page(operator.get(f"/numbers?day={noon:%Y-%m-%d}", headers=SAME).text)

    (bar,) = page.root.findall(".//figure//svg/a")
    assert bar.find("title").text == "12:00: 2 need a person, 28 started"
    assert f"since={noon:%Y-%m-%d}T12:00" in unquote(bar.attrib["href"])
