"""Retries come into their queue when their time has come, and a timekeeper that ends leaves its queues to others."""

from __future__ import annotations

import threading
import time
from datetime import timedelta

import pytest
from rq.scheduler import RQScheduler

from relay.ids import utc_now
from relay.lifecycle import State
from relay.queueing import queue_name
from relay.store.connection import connect
from tests.delivering.desks import QUEUE, SCHEDULE
from tests.support.making import bring_to
from tests.support.waiting import until
from workers import timekeeper
from workers.timekeeper import run_timekeeper

LOCK = RQScheduler.get_locking_key(queue_name("main"))


@pytest.fixture
def run(valkey, monkeypatch):
    """Runs timekeepers in threads; gives what stops one."""
    monkeypatch.setattr(timekeeper, "INTERVAL_S", 0.02)
    monkeypatch.setattr(timekeeper, "TAKEOVER_S", 0.05)
    started = []

    def start(portals=("main",)):
        stop = threading.Event()
        thread = threading.Thread(target=run_timekeeper, args=(valkey.url, portals, stop))
        thread.start()
        started.append((stop, thread))

        def end():
            stop.set()
            thread.join(5)

        return end

    yield start
    for stop, thread in started:
        stop.set()
        thread.join(5)
        assert not thread.is_alive()


def schedule(record, at):
    """A delivery to be tried again at this time; its job."""
    sending = bring_to(record, State.SENDING, utc_now())
    record.redis.delete(QUEUE)
    ticket = record.queues.deliver("main", sending.id, 2, at)
    record.settle(sending, State.RETRYING, utc_now(), ticket=ticket, next_at=at)
    return f"{sending.id}-2".encode()


def test_a_retry_is_enqueued_when_its_time_has_come_and_not_before(record, run):
    due = utc_now() + timedelta(seconds=1)
    soon, later = schedule(record, due), schedule(record, due + timedelta(hours=1))
    run()

    until(lambda: record.redis.llen(QUEUE), "a job")

    assert time.time() >= due.timestamp()
    assert record.redis.lrange(QUEUE, 0, -1) == [soon]
    assert record.redis.zrange(SCHEDULE, 0, -1) == [later]


def test_what_became_due_while_nobody_kept_time_is_enqueued_at_once(record, run):
    job = schedule(record, utc_now() - timedelta(hours=3))

    run()

    until(lambda: record.redis.lrange(QUEUE, 0, -1) == [job], "the job")


def test_the_locks_are_released_at_the_end(record, run):
    end = run(("main", "second"))
    until(lambda: len(record.redis.keys("rq:scheduler-lock:*")) == 2, "both locks")

    end()

    assert record.redis.keys("rq:scheduler-lock:*") == []


def test_of_two_one_keeps_the_time_and_the_other_takes_over_when_it_ends(record, run):
    end = run()
    until(lambda: record.redis.exists(LOCK), "a lock")
    holder = record.redis.get(LOCK)
    run()

    end()

    until(lambda: record.redis.get(LOCK) not in {None, holder}, "another holder")
    job = schedule(record, utc_now() - timedelta(seconds=1))
    until(lambda: record.redis.lrange(QUEUE, 0, -1) == [job], "the job")


def test_a_lock_of_a_host_that_is_gone_is_taken_over_when_it_lapses(record, run):
    record.redis.set(LOCK, "gone", px=200)
    job = schedule(record, utc_now() - timedelta(seconds=1))

    run()

    until(lambda: record.redis.lrange(QUEUE, 0, -1) == [job], "the job")


def test_it_outlives_a_record_that_is_away(own_valkey, monkeypatch):
    monkeypatch.setattr(timekeeper, "INTERVAL_S", 0.02)
    stop = threading.Event()
    own_valkey.make_read_only()
    thread = threading.Thread(target=run_timekeeper, args=(own_valkey.url, ["main"], stop))
    monkeypatch.setattr(timekeeper, "TAKEOVER_S", 0.0)
    thread.start()
    own_valkey.make_fresh()
    redis = connect(own_valkey.url)

    until(lambda: redis.exists(LOCK), "the lock")
    stop.set()
    thread.join(5)

    assert not thread.is_alive()
    redis.close()
