"""Times are in the zone of who looks, and read in it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from flask.testing import FlaskClient

from relay.core.lifecycle import State
from relay.web.dashboard.numbers import midnight_of
from relay.web.presenters.typed_times import read_time
from tests.support.making import bring_to
from tests.support.pages import SAME, Page, ask

NOW = datetime(2026, 11, 26, 4, 30, 12, tzinfo=UTC)
MOSCOW = ZoneInfo("Europe/Moscow")


def times_on(client: FlaskClient, path: str) -> list[tuple[str, str]]:
    found = Page(ask(client, path)).root.iter("time")
    return [(one.attrib["title"], one.text or "") for one in found]


def test_times_are_on_the_clock_of_who_looks_with_utc_for_who_points_at_them(operator: FlaskClient, record) -> None:
    delivery = bring_to(record, State.DEAD)
    path = f"/events/{delivery.event_id}"
    for title, shown in times_on(operator, path):
        assert title.endswith(f"{shown.rpartition(', ')[2]} UTC")

    operator.set_cookie("zone", "Europe/Moscow")
    for title, shown in times_on(operator, path):
        at = datetime.strptime(title, "%Y-%m-%d %H:%M:%S UTC").replace(tzinfo=UTC).astimezone(MOSCOW)
        assert shown.startswith(f"{at.day} {at:%B}")
        assert shown.endswith(f", {at:%H:%M:%S}")
    assert "Times: Europe/Moscow" in ask(operator, path)


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/localtime", "Europe", "Nowhere/Land"])
def test_a_zone_that_is_none_is_utc(operator: FlaskClient, name: str) -> None:
    operator.set_cookie("zone", name)
    assert "Times: UTC" in ask(operator, "/log")


def test_every_page_asks_the_browser_for_its_zone(app) -> None:
    assert "zone.js" in app.test_client().get("/login", headers=SAME).text


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("26.11.2026 14:00", "2026-11-26T11:00:00"),
        ("26.11", "2026-11-25T21:00:00"),
        ("2026-11-26", "2026-11-25T21:00:00"),
        ("2026-11-26 14:00:05", "2026-11-26T11:00:05"),
        ("2026-06-01T12:00:00+00:00", "2026-06-01T12:00:00"),
        ("yesterday 9:00", "2026-11-25T06:00:00"),
        ("завтра в 9:00", "2026-11-27T06:00:00"),
        ("Yesterday at 9:00", "2026-11-25T06:00:00"),
        ("вчера", "2026-11-24T21:00:00"),
        ("вчера в 9:00", "2026-11-25T06:00:00"),
        ("сегодня 7:05", "2026-11-26T04:05:00"),
        ("14:30", "2026-11-26T11:30:00"),
        ("2 hours ago", "2026-11-26T02:30:12"),
        ("2 часа назад", "2026-11-26T02:30:12"),
        ("30 мин назад", "2026-11-26T04:00:12"),
        ("3d ago", "2026-11-23T04:30:12"),
        ("now", "2026-11-26T04:30:12"),
    ],
)
def test_a_time_is_read_as_people_type_it_in_their_zone(text: str, meant: str) -> None:
    assert read_time(text, NOW, MOSCOW) == datetime.fromisoformat(meant).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "is_ahead", "meant"),
    [
        ("31.12", False, "2026-12-30T21:00:00"),
        ("31.12", True, "2027-12-30T21:00:00"),
        ("05.01 9:00", False, "2026-01-05T06:00:00"),
        ("05.01 9:00", True, "2027-01-05T06:00:00"),
        ("02.01", False, "2027-01-01T21:00:00"),
        ("02.01", True, "2027-01-01T21:00:00"),
    ],
)
def test_a_day_without_its_year_is_the_last_or_the_next_one(text: str, is_ahead, meant: str) -> None:
    for_now = datetime(2027, 1, 2, 7, tzinfo=UTC)
    assert read_time(text, for_now, MOSCOW, is_ahead=is_ahead) == datetime.fromisoformat(meant).replace(tzinfo=UTC)


def test_of_an_hour_that_comes_twice_the_first_is_meant_and_a_day_begins_with_it() -> None:
    berlin, havana = ZoneInfo("Europe/Berlin"), ZoneInfo("America/Havana")
    for minutes in (0, 60):
        now = datetime(2026, 10, 25, 0, 45, tzinfo=UTC) + timedelta(minutes=minutes)
        assert read_time("2:30", now, berlin) == datetime(2026, 10, 25, 0, 30, tzinfo=UTC)
    for hour in (4, 5, 9):
        now = datetime(2026, 11, 1, hour, 30, tzinfo=UTC).astimezone(havana)
        assert midnight_of(now).astimezone(UTC) == datetime(2026, 11, 1, 4, tzinfo=UTC)


@pytest.mark.parametrize(
    "text",
    ["", "banana", "12", "31.02.2026", "25:00", "26.11.2026 later", "ago", "2 ago", "9999999 hours ago", "2 moons ago"],
)
def test_what_is_no_time_is_not_guessed_at(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - any: it says nothing
        read_time(text, NOW, MOSCOW)


def test_a_time_that_cannot_be_read_is_told_with_what_was_expected(operator: FlaskClient) -> None:
    operator.set_cookie("language", "ru")
    answer = operator.get("/events?since=позавчера", headers=SAME)
    assert answer.status_code == 400
    assert ": ожидается время, например «26.11.2026 14:00»" in answer.text


def test_a_filter_shows_the_time_again_as_it_was_typed(operator: FlaskClient) -> None:
    operator.set_cookie("zone", "Europe/Moscow")
    page = Page(ask(operator, "/bulk?state=dead&since=26.11.2026 14:00"))
    assert page.at(".//input[@name='since']").attrib["value"] == "2026-11-26 14:00"


def test_days_begin_at_midnight_where_somebody_looks() -> None:
    late = datetime(2026, 11, 26, 22, 0, tzinfo=UTC).astimezone(MOSCOW)
    assert f"{midnight_of(late):%d.%m %H:%M %z}" == "27.11 00:00 +0300"
