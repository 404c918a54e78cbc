"""Machines whose clocks differ go by one: what one of them leaves, another finds at once."""

from __future__ import annotations

import json
import threading
import time
from datetime import timedelta

import pytest
import requests

from relay.core.ids import clock_ahead_ms, set_shared_clock, time_of, to_ms, utc_now
from relay.core.lifecycle import State
from relay.health.assessment import IssueCode, assess_clock
from relay.health.words import sentence_of, title_of
from relay.store import Store
from relay.store.record.record import Record
from relay.store.redis import keys
from tests.support.making import DAY, bring_to
from tests.support.senders import SEED, website
from tests.support.waiting import until
from workers.maintenance import retention

HOUR = 3600


@pytest.fixture(autouse=True)
def right_clock():
    yield
    set_shared_clock(time.time_ns() // 1_000_000)


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

    assert web.process.wait(90) == 1
    assert "clock is 25 h from the one of the record's server" in web.log()


@pytest.mark.parametrize("ahead_s", [100 * 86_400, 3_600, -3_600])
def test_a_machine_whose_clock_is_set_while_a_process_runs_changes_nothing_and_it_is_said(
    own_valkey, monkeypatch, ahead_s
):
    store, real = Store.open(own_valkey.url), time.time_ns
    store.clock.set(is_start=True)
    monkeypatch.setattr("time.time_ns", lambda: real() + ahead_s * 1_000_000_000)

    assert abs(to_ms(utc_now()) - real() // 1_000_000) < 1_000
    assert abs(clock_ahead_ms() - ahead_s * 1000) < 1_000


def test_the_clock_of_the_records_server_is_followed(own_valkey):
    store, real = Store.open(own_valkey.url), time.time_ns
    for off_s in (7, -3):
        set_shared_clock(real() // 1_000_000 + off_s * 1000)
        store.clock.set(is_start=True)
        assert abs(to_ms(utc_now()) - real() // 1_000_000) < 100


def test_a_wrong_clock_is_a_need_with_words():
    assert list(assess_clock(timedelta(seconds=4))) == []
    (need,) = assess_clock(timedelta(minutes=-3))

    assert need.code == IssueCode.CLOCK
    assert "3 min behind the one of the record's server" in sentence_of(need)
    assert title_of(need) == "This machine's clock is 3 min behind the record's"


def test_nothing_is_forgotten_while_the_records_clock_may_have_been_set(own_valkey, monkeypatch):
    store, stop = Store.open(own_valkey.url), threading.Event()
    monkeypatch.setattr(retention, "INTERVAL_S", 0.02)
    bring_to(store.record, State.STARTED, utc_now() - 100 * DAY)
    store.clock.forgetting_time()
    # As if the clock had stood at yesterday when it was last looked at, which no process can tell from nobody looking.
    own_valkey.redis.hincrby(keys.RETENTION, "at", -86_400_000)

    terms = retention.Terms(90 * DAY)
    task = threading.Thread(target=retention.run_retention, args=(store, terms, stop))
    task.start()
    try:
        until(lambda: own_valkey.redis.hget(keys.RETENTION, "from") > own_valkey.redis.hget(keys.RETENTION, "at"), "it")
        for _ in range(5):
            seen = own_valkey.redis.hget(keys.RETENTION, "at")
            until(lambda seen=seen: own_valkey.redis.hget(keys.RETENTION, "at") != seen, "another look")
        assert store.record.event_count() == 1

        own_valkey.redis.hset(keys.RETENTION, "from", 0)  # an hour has passed
        until(lambda: store.record.event_count() == 0, "it to be forgotten")
    finally:
        stop.set()
        task.join()


@pytest.mark.parametrize(("jump", "waits"), [(timedelta(minutes=59), False), (-DAY, True), (100 * DAY, True)])
def test_a_jump_of_the_records_clock_is_noticed_before_anything_is_forgotten(own_valkey, jump, waits):
    store = Store.open(own_valkey.url)
    assert store.clock.forgetting_time()[1] == timedelta(0)
    own_valkey.redis.hincrby(keys.RETENTION, "at", int(jump / timedelta(milliseconds=-1)))

    now, wait = store.clock.forgetting_time()

    assert abs(now - utc_now()) < timedelta(seconds=5)
    assert (wait > timedelta(minutes=59)) is waits


def test_a_command_on_a_machine_an_hour_off_prints_its_answer_alone(processes, own_valkey):
    web = processes.start("relay", "serve", REDIS_URL=own_valkey.url)
    web.wait_for_url()
    receipt = post(web)

    asked = processes.start(
        *("tests.support.shifted", str(HOUR), "relay", "events", "--json"), REDIS_URL=own_valkey.url
    )

    assert asked.process.wait(60) == 0
    assert [json.loads(line)["id"] for line in asked.printed().splitlines()] == [receipt["event_id"]]
    assert "clock.corrected" in asked.log()
