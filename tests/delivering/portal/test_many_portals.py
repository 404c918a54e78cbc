"""A few processes serve many portals: each keeps to itself, and what one process leaves is made good."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter

import pytest
from rq.exceptions import StopRequested
from rq.timeouts import JobTimeoutException

from relay.configuration.portals import load_portals
from relay.core.ids import utc_now
from relay.core.lifecycle import State
from relay.queue.jobs import queue_key
from relay.sandbox.server import SandboxServer
from relay.store import Store
from relay.store.portals.portal import PortalRecord
from relay.store.record.record import HARD_DEADLINE
from relay.store.redis.connection import connect
from tests.delivering.contexts import SECRET, add
from tests.delivering.wire import Wire
from tests.support.folders import REPOSITORY
from tests.support.processes import kill
from tests.support.waiting import until
from workers.__main__ import share_out
from workers.delivery.worker import Drains, open_worker
from workers.maintenance.repair import sweep

PORTALS = ["one", "two", "three", "four"]
SHARED = ["one", "three"]
"""These two are served by the same process, beside another one for the rest."""


@pytest.fixture
def folder(tmp_path):
    """The configuration of the workers: four portals."""
    lines = "".join(f"  {name}: {{plan: self_hosted, own_id: echo, settle_after: 1s}}\n" for name in PORTALS)
    (tmp_path / "many").mkdir()
    (tmp_path / "many" / "portals.yaml").write_text(f"portals:\n{lines}", "utf-8")
    return tmp_path / "many"


@pytest.fixture
def slow():
    """The pretend portal behind the name of one."""
    with SandboxServer(settings={"rate": None}) as server:
        yield server


@pytest.fixture
def credentials(sandbox, slow, portal_time):
    """Of the four portals: `one` leads to the slow sandbox."""
    portal_time.is_real = True
    urls = dict.fromkeys(PORTALS, sandbox.url) | {"one": slow.url}
    return {f"PORTAL_{name.upper()}_WEBHOOK_URL": f"{url}/rest/1/{SECRET}/" for name, url in urls.items()}


@pytest.fixture
def start(processes, valkey, folder, credentials):
    """Starts `python -m workers` for four portals."""

    def run(*arguments):
        return processes.start("workers", *arguments, REDIS_URL=valkey.url, RELAY_CONFIG=str(folder), **credentials)

    return run


@pytest.fixture
def open_own_worker(valkey):
    """Makes workers in this process, without its handlers of signals."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    opened = []

    def make(portals, drains):
        opened.append(connect(valkey.url))
        return open_worker("a-worker", portals, drains, opened[-1])

    yield make
    for number, handler in before.items():
        signal.signal(number, handler)
    for redis in opened:
        redis.close()


def wait_for(record, deliveries, state=State.STARTED):
    ids = [one.id for one in deliveries]
    until(lambda: {one.state for one in record.deliveries(ids)} == {state}, f"all to be {state}")


def served_by(record):
    """The portals of each worker process."""
    return sorted(worker.portals for worker in Store(record.redis).workers())


def pid_of(record, portal):
    (name,) = [worker.name for worker in Store(record.redis).workers() if portal in worker.portals]
    return int(name.rpartition(".")[2])


def wake(record, *portals):
    """A job for each of these, as the record makes it where something is to be done."""
    for portal in portals:
        record.redis.rpush(f"relay:questions:{portal}", "ask_nothing")
    record.notify(portals, utc_now())


@pytest.mark.parametrize(
    ("portals", "cores", "sizes"),
    [
        (1, 8, [1]),
        (2, 1, [1, 1]),
        (3, 8, [1, 1, 1]),
        (10, 1, [5, 5]),
        (10, 64, [3, 3, 2, 2]),
        (100, 2, [50, 50]),
        (101, 2, [34, 34, 33]),
    ],
)
def test_a_few_processes_serve_all_portals_each_portal_by_one(portals, cores, sizes):
    names = [f"p{number}" for number in range(portals)]

    shares = share_out(names, cores)

    assert [len(own) for own in shares.values()] == sizes
    assert Counter(name for own in shares.values() for name in own) == Counter(names)


def test_a_portal_that_hangs_delays_no_other_of_its_process_and_its_call_is_finished_before_the_end(
    start, record, slow
):
    slow.portal.add_faults({"kind": "slow", "seconds": 6})
    hanging = add(record, portal="one")
    running = start()
    until(lambda: slow.portal.log.counters()["total"], "the call that hangs")

    others = [add(record, portal=name, lead=n) for n, name in enumerate(PORTALS[1:] * 5, 1)]
    wait_for(record, others)
    left = add(record, portal="one", lead=99)

    assert record.delivery(hanging.id).state is State.SENDING
    assert [portals for portals in served_by(record) if "one" in portals] == [("one", "three")]
    assert running.stop() == 0
    assert record.delivery(hanging.id).state is State.STARTED
    assert record.delivery(left.id).state is State.PENDING


def test_a_process_that_is_killed_leaves_its_calls_in_doubt_and_its_portals_go_on(start, record, sandbox, slow, folder):
    for server in (sandbox, slow):
        server.portal.add_faults({"kind": "slow", "seconds": 30})
    cut = [add(record, portal=name) for name in SHARED]
    start()
    wait_for(record, cut, State.SENDING)
    until(lambda: all(server.portal.log.counters()["total"] for server in (sandbox, slow)), "both calls")

    kill(pid_of(record, "one"))
    wait_for(record, [add(record, portal=name, lead=2) for name in PORTALS])

    assert {one.state for one in record.deliveries(one.id for one in cut)} == {State.SENDING}
    assert sweep(record, utc_now() + HARD_DEADLINE, load_portals(folder / "portals.yaml")) == {State.UNCERTAIN: 2}
    assert record.counts().imbalances == []


def test_burst_works_off_every_portal_and_ends_with_0(start, record):
    deliveries = [add(record, portal=name, lead=n) for n, name in enumerate(PORTALS * 15, 1)]

    assert start("--burst").process.wait(90) == 0

    wait_for(record, deliveries)


def test_the_job_of_a_portal_that_is_being_worked_at_waits_in_its_queue_and_no_other_is_made(open_own_worker, record):
    served, other_is_served, queued = [], threading.Event(), []

    def serve(portal):
        served.append(portal)
        if served == ["main"]:
            wake(record, "main", "other")
            other_is_served.wait(10)
            wake(record, "main")
            queued.append(record.redis.llen(queue_key("main")))
        elif portal == "other":
            other_is_served.set()

    wake(record, "main")
    open_own_worker(["main", "other"], Drains(serve)).work(burst=True, logging_level="ERROR")

    assert (served, queued) == (["main", "other", "main"], [1])


def test_two_threads_are_never_at_one_portal():
    at_work, are_two, may_go = [], [], threading.Event()

    def serve(portal):
        are_two.append(portal in at_work)
        at_work.append(portal)
        may_go.wait(10)
        at_work.remove(portal)

    drains = Drains(serve)
    for portal in ("main", "other", "main", "main"):
        drains.begin(portal)
    may_go.set()
    drains.finish()

    assert are_two == [False, False]


def test_a_shift_that_dies_of_a_mistake_of_ours_is_told_as_a_failed_job_and_the_next_one_goes_on(
    open_own_worker, record
):
    served = []

    def serve(portal):
        served.append(portal)
        if portal == "other":
            until(lambda: PortalRecord(record.redis, "main").jobs().failed, "a failed job")
            wake(record, "main")
        elif served.count("main") == 1:
            wake(record, "main")
            raise KeyError("a value that may be a person's")

    wake(record, "main", "other")
    open_own_worker(["main", "other"], Drains(serve)).work(burst=True, logging_level="CRITICAL")

    jobs = PortalRecord(record.redis, "main").jobs()
    assert (served.count("main"), jobs.failed, jobs.waiting) == (2, 1, 0)
    assert jobs.failures[0].error.startswith("KeyError in portal/test_many_portals.py")


@pytest.mark.parametrize("portals", [["main"], ["main", "other"]])
def test_a_signal_to_stop_that_is_lost_inside_a_library_ends_the_process_within_a_second_all_the_same(
    open_own_worker, portals, monkeypatch
):
    drains = Drains(lambda _portal: None)
    worker = open_own_worker(portals, drains)
    as_before = worker.heartbeat

    def lose_the_signal(*given, **named):
        as_before(*given, **named)
        if not drains.is_stopping:
            with contextlib.suppress(StopRequested):
                signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(worker, "heartbeat", lose_the_signal)
    # The second signal, which RQ ends at once on, is for the case that the test fails.
    again = threading.Timer(10, signal.raise_signal, [signal.SIGTERM])
    again.start()

    worker.work(logging_level="CRITICAL")

    again.cancel()
    assert drains.is_stopping


WAITER = """
import sys, time
from workers.bitrix24.client import Client
from workers.delivery import worker as module

module.JOB_TIMEOUT_S = 1
client = Client(sys.argv[1])
drains = module.Drains(lambda _portal: client.call("scope", {}))
drains.begin("main")
while drains.are_on:
    drains.end_overdue()
    time.sleep(0.05)
try:
    drains.begin("main")
except Exception as death:
    print(type(death).__name__)
"""


def test_a_portal_that_answers_drop_by_drop_does_not_keep_its_thread_for_ever():
    def drip(connection):
        connection.read_request()
        with contextlib.suppress(OSError):
            while True:
                connection.send(b"H")
                time.sleep(0.1)

    with Wire(drip) as wire:
        # A process of its own: in one whose threads are traced, as for coverage, nothing is raised from outside.
        command = [sys.executable, "-c", WAITER, f"{wire.url}/rest/1/{SECRET}/"]
        environ = {"PATH": os.environ["PATH"], "PYTHONPATH": str(REPOSITORY)}
        ended = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=30, check=True)

    assert ended.stdout.splitlines()[-1] == JobTimeoutException.__name__
