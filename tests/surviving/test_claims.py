"""What a worker had claimed when it died is found within seconds; one that was only frozen sends nothing late."""

from __future__ import annotations

import os
import signal
import threading
import time
from datetime import timedelta

import pytest

from relay.core.ids import utc_now
from relay.core.lifecycle import State
from relay.store import Store
from relay.store.record.record import HARD_DEADLINE, Record
from tests.delivering.contexts import add, send, started_documents
from tests.support.waiting import until
from workers.maintenance import repair
from workers.maintenance.repair import run_sweeper, sweep
from workers.portal import claims
from workers.portal.claims import HOLD_S, LAPSES_IN, Keeper, Lease

SECOND = timedelta(seconds=1)


@pytest.fixture
def worker(open_worker):
    return open_worker(None)


@pytest.fixture
def claimed(worker, clock):
    add(worker.record)
    (delivery,) = worker.record.claim("main", "c", clock(), lapses_in=LAPSES_IN)
    return delivery


@pytest.fixture
def held(worker, claimed):
    return Lease(worker.record, worker.clock, [claimed], time.monotonic(), 50.0)


def test_what_a_dead_worker_had_claimed_is_found_when_its_claim_has_lapsed(worker, claimed, clock):
    assert sweep(worker.record, clock() + LAPSES_IN - SECOND, {}) == {}
    assert sweep(worker.record, clock() + LAPSES_IN, {"main": worker.portal}) == {"uncertain": 1}

    swept = worker.record.delivery(claimed.id)
    assert swept.next_attempt_at == clock() + LAPSES_IN + timedelta(seconds=worker.portal.settle_after_s)
    assert worker.record.doubtful("main", clock() + LAPSES_IN) == 0, "the call may still be running"


def test_a_claim_that_its_worker_speaks_for_does_not_lapse(worker, claimed, held, clock):
    for _ in range(5):
        clock.advance(10)
        held.renew()
        assert sweep(worker.record, clock() + SECOND, {}) == {}

    assert sweep(worker.record, clock() + LAPSES_IN, {}) == {"uncertain": 1}


def test_who_has_lost_a_claim_sends_nothing_of_it(worker, held, clock):
    held.renew()
    assert held.not_after() > time.monotonic()
    sweep(worker.record, clock() + LAPSES_IN, {})

    held.renew()
    assert held.not_after() < time.monotonic()


def test_a_claim_that_another_has_taken_since_is_not_kept_for_the_first(worker, claimed, held, clock):
    sweep(worker.record, clock() + LAPSES_IN, {})
    worker.record.settle(worker.record.delivery(claimed.id), State.RETRYING, clock())
    (again,) = worker.record.claim("main", "d", clock(), lapses_in=LAPSES_IN)
    assert again.id == claimed.id

    held.renew()

    assert held.not_after() < time.monotonic()
    assert sweep(worker.record, clock() + LAPSES_IN, {}) == {"uncertain": 1}, "the other one's claim is not kept by it"


def test_while_the_record_is_away_a_claim_is_ours_for_a_known_time_and_no_longer(held, own_valkey):
    own_valkey.kill()
    until_before = held.until

    held.renew()

    assert held.until == until_before == held.began + HOLD_S
    assert LAPSES_IN.total_seconds() - 1 > HOLD_S


def test_a_thread_speaks_for_what_is_held_and_for_nothing_else(worker, held, monkeypatch):
    monkeypatch.setattr(claims, "RENEW_S", 0.01)
    keeper, said = Keeper(), []

    def say(one):
        said.append(one)

    monkeypatch.setattr(Lease, "renew", say)

    with keeper.holding(held):
        until(lambda: said, "a word")
    count = len(said)
    late = Lease(worker.record, worker.clock, [], time.monotonic() - HARD_DEADLINE.total_seconds(), 50.0)
    other = Lease(worker.record, worker.clock, [], time.monotonic(), 50.0)
    with keeper.holding(late), keeper.holding(other):
        until(lambda: other in said, "a word for the other")
    assert all(one is other for one in said[count + 1 :]), "after the hard deadline others decide"


def test_a_delivery_that_died_in_the_looking_is_looked_into_again_soon(worker, clock):
    delivery = add(worker.record)
    (claimed,) = worker.record.claim("main", "c", clock())
    worker.record.settle(claimed, State.UNCERTAIN, clock(), reason="cut", next_at=clock())
    looked = worker.record.look("main", clock(), lapses_in=LAPSES_IN)
    held = Lease(worker.record, worker.clock, [looked], time.monotonic(), 50.0, is_doubt=True)
    clock.advance(10)
    held.renew()

    assert worker.record.look("main", clock() + LAPSES_IN - SECOND) is None
    assert worker.record.look("main", clock() + LAPSES_IN).id == delivery.id
    held.renew()
    assert held.not_after() < time.monotonic()


def test_after_the_record_was_away_workers_have_time_to_say_that_they_live(own_valkey, monkeypatch):
    monkeypatch.setattr(repair, "INTERVAL_S", 0.05)
    monkeypatch.setattr(repair, "LAPSES_IN", timedelta(seconds=1.5))
    record, stop = Record(own_valkey.redis), threading.Event()
    store = Store.open(own_valkey.url)
    thread = threading.Thread(target=run_sweeper, args=(store, {}, stop))
    delivery = add(record)
    record.claim("main", "c", utc_now(), lapses_in=timedelta(0))
    began = time.monotonic()
    thread.start()
    until(lambda: record.delivery(delivery.id).state is State.UNCERTAIN, "it to be swept")
    assert time.monotonic() - began > 1.5
    stop.set()
    thread.join()


def test_a_worker_that_is_killed_in_mid_call_is_made_good_within_twenty_seconds(processes, own_valkey, sandbox, config):
    record = Record(own_valkey.redis)
    sandbox.portal.configure(latency_ms=60_000)
    delivery = add(record)
    environ = {"REDIS_URL": own_valkey.url, "PORTAL_MAIN_WEBHOOK_URL": f"{sandbox.url}/rest/1/sandbox/"}
    workers = processes.start("workers", **environ)
    until(lambda: record.delivery(delivery.id).state is State.SENDING, workers.log())
    (child,) = (pid for pid, line in workers.family().items() if "spawn_main" in line)
    os.kill(child, signal.SIGKILL)

    until(lambda: record.delivery(delivery.id).state is State.UNCERTAIN, workers.log(), timeout_s=20)


def test_a_worker_that_was_frozen_before_its_call_does_not_make_it(worker, sandbox, clock, monkeypatch):
    delivery = add(worker.record)
    call, real = worker.client.call, time.monotonic

    def freeze(_self, method, parameters, not_after=None):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("workers.bitrix24.client.time.monotonic", lambda: real() + HOLD_S + 0.1)
            return call(method, parameters, not_after)

    monkeypatch.setattr(type(worker.client), "call", freeze)

    assert send(worker, delivery).reason == "too_late"
    assert started_documents(sandbox.portal) == []
