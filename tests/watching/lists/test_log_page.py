"""The log of people's acts: by who, what and since when."""

from __future__ import annotations

from datetime import timedelta

import pytest

from relay.core.ids import utc_now
from relay.store import Store
from relay.store.operators import audit_log
from relay.store.operators.audit_log import Act, read_acts
from tests.support.pages import Page, ask
from tests.watching.conftest import SAME


@pytest.fixture
def acts(redis):
    log = Store(redis).operators.log
    for who, what, subject in (
        ("operator", "ping", "one"),
        ("Ann", "leave", "two"),
        ("terminal (ann)", "ping", "three"),
    ):
        log(Act(utc_now(), who, what, subject, ""))


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", ["three", "two", "one"]),
        ("who=ann", ["three", "two"]),
        ("who=operator", ["one"]),
        ("act=ping", ["three", "one"]),
        ("who=ann&act=ping", ["three"]),
        ("since=1+hour+ago", ["three", "two", "one"]),
        ("who=nobody", []),
    ],
)
def test_the_log_is_narrowed_by_who_what_and_since(viewer, acts, query, expected):
    page = Page(ask(viewer, f"/log?{query}"))

    assert [one.text for one in page.root.findall(".//td[@data-label='To what']/span")] == expected
    if not expected:
        assert "Nothing found" in page.text(".//section")


def test_what_was_done_before_is_left_out(redis, acts):
    assert read_acts(redis, since=utc_now() + timedelta(minutes=1)) == []


def test_an_old_act_is_found_below_many_others(redis, acts, monkeypatch):
    monkeypatch.setattr(audit_log, "READ_AT_ONCE", 2)

    assert [act.subject for act in read_acts(redis, who="operator")] == ["one"]


def test_a_time_that_makes_no_sense_is_a_400(viewer):
    assert viewer.get("/log?since=soon", headers=SAME).status_code == 400
