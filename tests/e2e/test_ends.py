"""The end of a workflow, with real processes: its template calls the one-time address, and the relay knows it."""

from __future__ import annotations

import json
import shutil

import pytest
import requests

from relay.core.events import CallbackState
from relay.core.lifecycle import State
from tests.support.folders import WATCHED_RULE
from tests.support.machines import start_machine
from tests.support.processes import free_port
from tests.support.waiting import until

LEAD = ["crm", "CCrmDocumentLead", "LEAD"]
ENDS = {"id": 1, "document_type": LEAD, "webhook_parameter": "RelayCallback", "after_s": 0.2, "query": "s=ok&v=%D0%B4"}
FORM = {"form": "watched", "id": 7, "email": "ada@example.com"}


@pytest.fixture
def watching(processes, sandbox, config, tmp_path):
    """Runs `up` with a rule that watches for the end; the same port for each run."""
    folder = shutil.copytree(config, tmp_path / "watching")
    port = free_port()

    def run(within="1h"):
        (folder / "rules" / "watched.yaml").write_text(WATCHED_RULE.replace("within: 1h", f"within: {within}"))
        address = f"http://127.0.0.1:{port}"
        return start_machine(processes, sandbox, port=port, RELAY_CONFIG=str(folder), RELAY_PUBLIC_URL=address)

    return run


def wait_for(machine, delivery_id, state):
    record = machine.record

    def found():
        delivery = record.delivery(delivery_id)
        return delivery if delivery.watched.state is state else None

    try:
        return until(found, f"the end of {delivery_id} to be {state}")
    finally:
        record.redis.close()


def test_the_template_ends_and_the_relay_knows_it_with_what_came_in_the_query(watching, sandbox):
    sandbox.portal.add_templates(ENDS)
    machine = watching()

    (delivery_id,) = machine.post_website(FORM)["deliveries"]
    delivery = wait_for(machine, delivery_id, CallbackState.FINISHED)

    (workflow,) = sandbox.portal.started()
    assert (delivery.state, delivery.workflow_id, workflow["state"]) == (State.STARTED, workflow["id"], "completed")
    assert (delivery.watched.query, delivery.watched.document_id) == ("s=ok&v=%D0%B4", (*LEAD[:2], "LEAD_7"))
    assert workflow["parameters"]["RelayCallback"] == delivery.watched.address
    token = delivery.watched.address.rpartition("/")[2]
    shown = machine.ask("show", delivery_id, "--json")
    assert json.loads(shown)["deliveries"][0]["watch"]["state"] == "finished"
    assert token not in shown + machine.running.log()
    assert machine.running.wait_for_line("delivery.finished")["delivery_id"] == delivery_id
    assert "watched: started" in machine.ask("events")
    machine.ask("audit")


def test_an_end_at_once_with_the_answer_lost_is_a_start_and_never_a_second_one(watching, sandbox):
    sandbox.portal.add_templates(ENDS | {"after_s": 0})
    sandbox.portal.add_faults([{"kind": "drop_after_start"}])
    machine = watching()

    (delivery_id,) = machine.post_website(FORM)["deliveries"]
    delivery = wait_for(machine, delivery_id, CallbackState.FINISHED)
    (delivery,) = machine.wait([delivery_id])

    (workflow,) = sandbox.portal.started()
    # Its end says it, or the portal when it is asked, whichever comes first.
    assert (delivery.reason, delivery.workflow_id) in {("finished", None), (None, workflow["id"])}
    machine.ask("audit")


def test_after_a_kill_of_everything_the_address_is_still_good(watching, sandbox):
    first = watching()
    (delivery_id,) = first.post_website(FORM)["deliveries"]
    (delivery,) = first.wait([delivery_id])
    first.running.kill()
    until(lambda: len(first.running.family()) <= 1, "the children to notice, except the record's server")

    second = watching()
    for expected in (True, False):
        assert requests.post(f"{delivery.watched.address}?s=ok", timeout=10).text == "ok\n"
        assert second.running.lines("delivery.finished")[-1]["first"] is expected

    assert wait_for(second, delivery_id, CallbackState.FINISHED).watched.query == "s=ok"
    second.ask("audit")


def test_what_is_not_heard_of_in_time_is_overdue_and_can_still_end(watching):
    machine = watching(within="1s")
    (delivery_id,) = machine.post_website(FORM)["deliveries"]

    delivery = wait_for(machine, delivery_id, CallbackState.OVERDUE)

    assert delivery.state is State.STARTED
    assert machine.running.wait_for_line("delivery.overdue")["delivery_id"] == delivery_id
    requests.get(delivery.watched.address, timeout=10)
    assert wait_for(machine, delivery_id, CallbackState.FINISHED).state is State.STARTED
    machine.ask("audit")


def test_without_an_address_of_its_own_the_web_process_does_not_start_and_says_why(processes, config, tmp_path, valkey):
    folder = shutil.copytree(config, tmp_path / "watching")
    (folder / "rules" / "watched.yaml").write_text(WATCHED_RULE)

    run = processes.run("relay", "serve", RELAY_CONFIG=str(folder), REDIS_URL=valkey.url)
    checked = processes.run("relay", "rules", "check", str(folder), RELAY_PUBLIC_URL="http://relay:8080")

    assert run.returncode != 0
    assert "watched.yaml:13: start.watch: RELAY_PUBLIC_URL is not set" in run.stderr
    assert checked.returncode == 1
    assert "watched.yaml:13: start.watch: RELAY_PUBLIC_URL has the host 'relay'" in checked.stdout
    assert processes.run("relay", "rules", "check", str(folder)).returncode == 0
