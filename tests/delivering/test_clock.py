"""The clock wakes a worker when there is something to do, whoever has slept, died or been away."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest

from relay.core.ids import utc_now
from relay.core.lifecycle import State
from relay.store import Store
from relay.store.record.record import Record
from tests.delivering.contexts import QUEUE
from tests.support.making import bring_to, write_one
from tests.support.waiting import until
from workers.maintenance import repair
from workers.maintenance.repair import run_clock


@pytest.fixture
def run(record, monkeypatch):
    """Runs a clock in a thread."""
    monkeypatch.setattr(repair, "TICK_S", 0.02)
    stop, threads = threading.Event(), []

    def start(of=record):
        threads.append(threading.Thread(target=run_clock, args=(Store(of.redis), ["main"], stop)))
        threads[-1].start()

    yield start
    stop.set()
    for thread in threads:
        thread.join(5)
        assert not thread.is_alive()


def wait_to(record, at):
    """A delivery to be tried again at this time, and nobody awake."""
    sending = bring_to(record, State.SENDING, utc_now())
    record.settle(sending, State.RETRYING, utc_now(), next_at=at)
    record.redis.delete(QUEUE)


def test_a_worker_is_woken_when_a_retry_is_due_and_not_before(record, run):
    due = utc_now() + timedelta(seconds=1)
    wait_to(record, due)
    run()

    until(lambda: record.redis.llen(QUEUE), "a job")

    assert utc_now() >= due
    assert record.redis.llen(QUEUE) == 1


def test_what_became_due_while_nobody_kept_time_is_done_at_once(record, run):
    wait_to(record, utc_now() - timedelta(hours=3))

    run()

    until(lambda: record.redis.llen(QUEUE), "a job")


def test_a_job_that_was_lost_is_made_again(record, run):
    write_one(record)
    run()
    for _ in range(3):
        record.redis.delete(QUEUE)
        until(lambda: record.redis.llen(QUEUE), "a job")


def test_the_clock_outlives_a_record_that_is_away(own_valkey, run):
    record = Record(own_valkey.redis)
    own_valkey.make_read_only()
    run(record)
    own_valkey.make_fresh()
    wait_to(record, utc_now())

    until(lambda: own_valkey.redis.llen(QUEUE), "a job")
