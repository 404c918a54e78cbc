"""The page of alerts: who is told, what they were told, and a test that an operator sends."""

from __future__ import annotations

import pytest

from relay.core.ids import utc_now
from relay.store import Store
from relay.store.operators.alerts import SentAlert
from relay.store.redis import keys
from tests.support.making import DAY
from tests.watching.conftest import SAME


@pytest.fixture
def kept(redis):
    return Store(redis).operators.alerts


def page(client):
    answer = client.get("/alerts", headers=SAME)
    assert answer.status_code == 200
    return answer.text


def test_where_nobody_is_told_the_page_says_how_to_change_that(operator):
    assert "config/alerts.yaml" in page(operator)


def test_a_channel_is_shown_with_its_last_message_and_what_is_wrong_with_it(operator, kept):
    now = utc_now()
    kept.note_channel("on-call", "mail", "ada@example.com", now)
    assert "not tried yet" in page(operator)

    kept.note_sent(SentAlert(now, "on-call", "NEW: portal main is held", is_test=False))
    text = page(operator)
    assert "gets through" in text
    assert "NEW: portal main is held" in text
    assert "ada@example.com" not in text

    kept.note_unsent("on-call", "HTTP 500", now)
    text = page(operator)
    assert "does not get through" in text
    assert "HTTP 500" in text


def test_events_that_wait_for_a_channel_and_those_that_were_given_up_are_shown(operator, kept, redis):
    kept.note_channel("crm", "webhook", "example.com", utc_now())
    redis.zadd(f"{keys.OUTBOX}crm", {"one": 0, "two": 0})
    redis.hset(keys.EVENTS_LOST, "crm", 1)

    text = page(operator)

    assert "2 events wait to be sent" in text
    assert "1 event was given up, because nobody took it" in text


def test_a_channel_that_no_worker_has_had_for_a_day_is_gone(operator, kept):
    kept.note_channel("on-call", "mail", "", utc_now() - DAY * 2)

    assert "on-call" not in page(operator)


def test_a_test_is_asked_for_once_and_logged(operator, kept, redis):
    kept.note_channel("on-call", "webhook", "example.com", utc_now())

    assert operator.post("/alerts/on-call/test", headers=SAME).status_code == 303

    text = page(operator)
    assert "a test is on its way" in text
    assert 'data-fresh-every-s="2"' in text
    assert [(act.who, act.what, act.subject) for act in Store(redis).operators.acts()] == [
        ("operator", "test alert", "on-call")
    ]
    assert [kept.take_test("on-call"), kept.take_test("on-call")] == [True, False]
    assert "a test is on its way" not in page(operator)


def test_a_channel_that_nobody_has_cannot_be_tested(operator, kept):
    assert operator.post("/alerts/nobody/test", headers=SAME).status_code == 404
    assert kept.take_test("nobody") is False


def test_a_viewer_sees_the_channels_and_tests_none(viewer, kept):
    kept.note_channel("on-call", "webhook", "example.com", utc_now())

    text = page(viewer)

    assert "on-call" in text
    assert "Send a test" not in text
