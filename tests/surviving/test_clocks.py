"""Machines whose clocks differ go by one: what one of them leaves, another finds at once."""

from __future__ import annotations

from datetime import timedelta

import pytest
import requests

from relay.core import ids
from relay.core.ids import clock_ahead_ms, correct_clock, time_of, utc_now
from relay.health.assessment import NeedCode, assess_clock
from relay.health.words import figure_of, label_of, sentence_of
from relay.store import Store
from relay.store.record.record import Record
from tests.support.senders import SEED, website
from tests.support.waiting import until

HOUR = 3600


@pytest.fixture(autouse=True)
def right_clock():
    yield
    correct_clock(0)


def post(running):
    return requests.post(f"{running.url}/hooks/website", json=SEED, headers=website(), timeout=10).json()


@pytest.mark.parametrize("seconds", [HOUR, -HOUR])
def test_what_a_web_machine_an_hour_off_has_received_is_due_at_once(processes, own_valkey, seconds):
    web = processes.start("tests.support.shifted", str(seconds), "relay", "serve", REDIS_URL=own_valkey.url)
    web.wait_for_url()
    receipt = post(web)
    record = Record(own_valkey.redis)

    assert record.due("main", utc_now() + timedelta(seconds=1)) == 1
    event = record.event(receipt["event_id"])
    for moment in (event.received_at, time_of(event.id)):
        assert abs(moment - utc_now()) < timedelta(seconds=30)
    assert record.delivery(event.deliveries[0]).created_at == event.received_at
    (line,) = web.lines("clock.corrected")[:1]
    assert abs(line["ahead_ms"] - seconds * 1000) < 1000


def test_a_worker_machine_an_hour_ahead_carries_on_what_is_not_due_yet_no_sooner(
    processes, own_valkey, sandbox, config
):
    record = Record(own_valkey.redis)
    web = processes.start("relay", "serve", REDIS_URL=own_valkey.url)
    web.wait_for_url()
    receipt = post(web)
    workers = processes.start(
        *("tests.support.shifted", str(HOUR), "workers", "--burst"),
        REDIS_URL=own_valkey.url,
        PORTAL_MAIN_WEBHOOK_URL=f"{sandbox.url}/rest/1/sandbox/",
    )
    until(lambda: record.delivery(receipt["deliveries"][0]).workflow_id, workers.log())

    delivery = record.delivery(receipt["deliveries"][0])
    assert abs(delivery.updated_at - utc_now()) < timedelta(seconds=60)


def test_a_machine_whose_clock_is_a_day_off_does_not_start(processes, own_valkey):
    web = processes.start("tests.support.shifted", str(25 * HOUR), "relay", "serve", REDIS_URL=own_valkey.url)

    assert web.process.wait(30) == 1
    assert "clock is 25 h from the one of the record's server" in web.log()


def test_a_clock_that_is_set_right_later_is_followed(own_valkey, monkeypatch):
    store, real = Store.open(own_valkey.url), ids.time.time_ns
    for ahead_s in (7, -3, 0):
        monkeypatch.setattr("time.time_ns", lambda ahead_s=ahead_s: real() + ahead_s * 1_000_000_000)
        store.set_clock()
        assert abs(clock_ahead_ms() - ahead_s * 1000) < 100
        assert abs(utc_now().timestamp() - real() / 1e9) < 1


def test_a_wrong_clock_is_a_need_with_words():
    assert list(assess_clock(timedelta(seconds=4))) == []
    (need,) = assess_clock(timedelta(minutes=-3))

    assert (need.code, figure_of(need)) == (NeedCode.CLOCK, "3 min")
    assert "3 min behind the one of the record's server" in sentence_of(need)
    assert "clock is behind the record" in label_of(need)
