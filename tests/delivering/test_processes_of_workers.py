"""`python -m workers`, as it really runs: it stops without cutting a call, and goes on after a kill."""

from __future__ import annotations

import pytest

from relay.core.lifecycle import State
from relay.store.portals.gate import Gate, GateState
from tests.delivering.contexts import SECRET, add
from tests.support.processes import kill
from tests.support.waiting import until

BROKEN = {"kind": "error", "code": "INVALID_CREDENTIALS", "times": 1000}


@pytest.fixture
def start(processes, valkey, sandbox, portal_time):
    """Starts `python -m workers` before the pretend portal."""
    portal_time.is_real = True

    def run(*arguments):
        return processes.start(
            "workers", *arguments, REDIS_URL=valkey.url, PORTAL_MAIN_WEBHOOK_URL=f"{sandbox.url}/rest/1/{SECRET}/"
        )

    return run


def wait_for(record, deliveries, state=State.STARTED):
    ids = [one.id for one in deliveries]
    until(lambda: {one.state for one in record.deliveries(ids)} == {state}, f"all to be {state}")


def workers_of(running):
    """The processes that call the portal."""
    return [pid for pid, command in running.family().items() if "spawn_main" in command]


def test_a_call_in_flight_is_finished_before_it_ends(start, record, portal):
    portal.add_faults({"kind": "slow", "seconds": 1.5})
    delivery, left = add(record), add(record, lead=2)
    running = start()
    until(lambda: portal.log.counters()["total"], "the call")

    assert running.stop() == 0

    assert record.delivery(delivery.id).state is State.STARTED
    assert record.delivery(left.id).state is State.PENDING
    assert len(portal.started()) == 1
    running.wait_until_gone()
    assert "process.killed" not in running.log()


def test_a_worker_that_was_killed_is_started_again_and_the_work_goes_on(start, record, portal):
    running = start()
    wait_for(record, [add(record)])
    (before,) = workers_of(running)

    kill(before)
    # What is pushed to a worker that is just dying waits for the sweeper: here it is dead.
    until(lambda: set(workers_of(running)) - {before}, "another worker")
    wait_for(record, [add(record, lead=2)])

    assert before not in workers_of(running)
    assert [line["name"] for line in running.lines("process.died")] == ["worker-main"]
    assert len(portal.started()) == 2
    assert running.stop() == 0


def test_a_worker_killed_in_mid_call_leaves_its_delivery_to_the_sweeper_and_never_calls_twice(start, record, portal):
    portal.add_faults({"kind": "slow", "seconds": 30})
    delivery = add(record)
    running = start()
    until(lambda: portal.log.counters()["total"], "the call")

    kill(*workers_of(running))
    wait_for(record, [add(record, lead=2)])

    assert record.delivery(delivery.id).state is State.SENDING
    assert [each["document"][2] for each in portal.started()] == ["LEAD_2", "LEAD_1"]


def test_burst_works_off_what_is_queued_and_ends_with_0(start, record, portal):
    deliveries = [add(record, lead=n) for n in range(1, 21)]
    running = start("--burst")

    assert running.process.wait(90) == 0

    wait_for(record, deliveries)
    assert len(portal.started()) == 20
    running.wait_until_gone()


def test_burst_before_a_held_portal_asks_it_once_and_the_next_serves_it_once_its_probe_is_answered(
    start, record, portal
):
    portal.add_faults(BROKEN)
    deliveries = [add(record, lead=n) for n in range(1, 6)]

    assert start("--burst").process.wait(90) == 0

    wait_for(record, deliveries, State.PENDING)
    assert Gate(record.redis, "main").look().state is GateState.HELD
    assert portal.started() == []

    portal.faults.clear()
    record.redis.hset("relay:gate:main", "until", 0)  # as if its minute were over

    assert start("--burst").process.wait(90) == 0

    wait_for(record, deliveries)
    assert len(portal.started()) == 5


def test_only_the_named_portal_is_served_and_another_is_refused(start):
    running = start("--portal", "second")

    assert running.process.wait(90) == 1
    assert "expected one of main" in running.log()


def test_no_line_of_its_log_holds_the_address_of_the_portal(start, record, portal):
    portal.add_faults([{"kind": "html_502"}, {"kind": "drop_before"}])
    for number in range(1, 4):
        add(record, lead=number)

    running = start("--burst")
    running.process.wait(90)

    assert running.lines("delivery.attempted")
    assert f"/rest/1/{SECRET}" not in running.log() + running.printed()
