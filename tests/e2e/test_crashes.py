"""Killed at the worst moment: what was accepted is not lost, and what may have started is not started again."""

from __future__ import annotations

import signal
import socket
from datetime import timedelta
from pathlib import Path

import pytest

from relay.core.ids import utc_now
from relay.core.lifecycle import State
from relay.queue.jobs import queue_name
from relay.runtime.embedded import url_of
from relay.store.record.record import HARD_DEADLINE
from relay.store.redis.connection import connect
from tests.support.machines import start_machine
from tests.support.making import write_one
from tests.support.processes import free_port, kill, refusing_address
from tests.support.waiting import until
from workers.maintenance.repair import sweep


@pytest.fixture
def portal_away():
    """The credential of a portal that refuses every connection."""
    with refusing_address() as address:
        yield f"http://{address}/rest/1/sandbox/"


def make_due(record):
    """Let the time come for everything that is scheduled or held back, without waiting for it."""
    record.redis.delete("relay:gate:main")
    for key in record.redis.keys(f"rq:scheduled:{queue_name('main')}"):
        for job in record.redis.zrange(key, 0, -1):
            record.redis.zadd(key, {job: 1})


def test_what_was_accepted_while_the_portal_was_away_starts_after_a_kill_of_everything(processes, sandbox, portal_away):
    first = start_machine(processes, sandbox, portal_away)
    receipts = [first.post_website({"document": "lead", "id": n, "submission_id": str(n)}) for n in range(1, 6)]
    ids = [delivery_id for receipt in receipts for delivery_id in receipt["deliveries"]]
    until(lambda: first.record.delivery(ids[0]).attempts, "a first try")
    family = set(first.running.family())

    first.running.kill()
    until(lambda: len(first.running.family()) <= 1, "the children to notice, except the record's server")

    assert len(family) > 4
    second = start_machine(processes, sandbox)
    repeated = second.post_website({"document": "lead", "id": 1, "submission_id": "1"})
    assert (repeated["duplicate"], repeated["event_id"]) == (True, receipts[0]["event_id"])
    record = second.record

    def have_all_started():
        make_due(record)
        return {delivery.state for delivery in record.deliveries(ids)} == {State.STARTED}

    until(have_all_started, "all to have started", 40)
    started = [workflow["document"][2] for workflow in sandbox.portal.started()]
    assert sorted(started) == [f"LEAD_{n}" for n in range(1, 6)]
    assert record.counts().imbalances == []
    record.redis.close()
    assert_ends(second, signal.SIGINT)
    first.running.wait_until_gone()


def test_after_a_kill_of_the_servers_too_everything_that_was_answered_is_there(processes, sandbox, portal_away):
    first = start_machine(processes, sandbox, portal_away)
    receipts = [first.post_website({"document": "deal", "id": n}) for n in range(1, 6)]

    for pid in (first.running.pid, *first.running.family()):
        kill(pid)
    first.running.kill()
    until(lambda: not first.running.family(), "everything to be gone")

    second = start_machine(processes, sandbox)
    record = second.record
    assert [event.id for event in record.events(receipt["event_id"] for receipt in receipts)] == [
        receipt["event_id"] for receipt in receipts
    ]
    assert record.counts().imbalances == []
    record.redis.close()
    assert_ends(second, signal.SIGTERM)


def assert_ends(machine, number):
    """`up` ends with 0 when it is told to, leaves no process and no socket, and makes no fuss."""
    assert len(machine.running.family()) > 4

    assert machine.running.stop(number, timeout_s=40) == 0

    machine.running.wait_until_gone()
    assert "Traceback" not in machine.running.log()
    path = Path(url_of(machine.processes.folder / "var" / "record").removeprefix("unix://"))
    assert not path.exists()


def test_up_says_so_when_its_port_is_taken(processes):
    with socket.create_server(("0.0.0.0", 0)) as taken:
        port = taken.getsockname()[1]
        run = processes.run("relay", "up", RELAY_PORT=str(port))

    assert run.returncode == 1
    assert f"port {port} is in use: set RELAY_PORT to a free one" in run.stderr
    assert "Traceback" not in run.stderr


def test_up_says_so_when_its_port_is_taken_while_it_starts(processes):
    port = free_port()
    running = processes.start("relay", "up", "--sandbox", port=port)
    until((processes.folder / "var" / "record").exists, "it to have looked at its port")
    with socket.create_server(("127.0.0.1", port)):
        status = running.process.wait(60)

    assert status == 1
    assert running.log().splitlines()[-1].endswith(f"port {port} is in use: set RELAY_PORT to a free one")
    assert "Traceback" not in running.log()
    assert running.printed() == ""
    running.wait_until_gone()


def test_a_worker_that_is_killed_in_mid_call_leaves_what_a_person_or_the_portal_has_to_decide(
    processes, sandbox, valkey, record
):
    sandbox.portal.add_faults({"kind": "slow", "seconds": 60, "method": "bizproc.workflow.start"})
    delivery = write_one(record, utc_now())
    worker = processes.start("workers", REDIS_URL=valkey.url, PORTAL_MAIN_WEBHOOK_URL=f"{sandbox.url}/rest/1/sandbox/")
    until(lambda: sandbox.portal.log.counters()["by_method"].get("bizproc.workflow.start"), "the call\n" + worker.log())
    for pid in worker.family():
        kill(pid)
    worker.kill()
    assert record.delivery(delivery.id).state is State.SENDING

    now = utc_now()
    sweep(record, now, {})
    assert record.delivery(delivery.id).state is State.SENDING
    sweep(record, now + HARD_DEADLINE + timedelta(seconds=1), {})

    left = record.delivery(delivery.id)
    assert left.state is State.UNCERTAIN
    assert left.reason == "worker_died"
    assert record.counts().imbalances == []
    own = connect(valkey.url)
    assert not [job for job in own.lrange("rq:queue:portal-main", 0, -1) if job.decode() == f"{delivery.id}-1"]
    own.close()
    processes.run("workers", "--burst", REDIS_URL=valkey.url, PORTAL_MAIN_WEBHOOK_URL=f"{sandbox.url}/rest/1/sandbox/")
    assert sandbox.portal.log.counters()["by_method"]["bizproc.workflow.start"] == 1


def test_a_burst_of_workers_ends_when_the_queue_is_empty(processes, sandbox, valkey, record):
    deliveries = [write_one(record, utc_now()) for _ in range(5)]

    run = processes.run(
        "workers", "--burst", REDIS_URL=valkey.url, PORTAL_MAIN_WEBHOOK_URL=f"{sandbox.url}/rest/1/sandbox/"
    )

    assert run.returncode == 0, run.stderr
    assert {record.delivery(one.id).state for one in deliveries} == {State.STARTED}
    assert len(sandbox.portal.started()) == 5
