"""The end of a workflow, with real processes: its template calls the one-time address, and the relay knows it."""

from __future__ import annotations

import itertools
import json
import shutil

import pytest
import requests

from relay.core.events import CallbackState, CommentState
from relay.core.lifecycle import State
from relay.sandbox.server import SandboxServer
from tests.support.folders import SECRETS, WATCHED_RULE, WEB_SECRETS
from tests.support.machines import start_machine
from tests.support.processes import Processes, free_port
from tests.support.waiting import until

LEAD = ["crm", "CCrmDocumentLead", "LEAD"]
ENDS = {"id": 1, "document_type": LEAD, "webhook_parameter": "RelayCallback", "after_s": 0.2, "query": "s=ok&v=%D0%B4"}
HURRIED_RULE = WATCHED_RULE.replace("watched", "hurried").replace("within: 1h", "within: 1s")
NUMBERS = itertools.count(1)


def form(name="watched"):
    """A form that nobody has sent before."""
    return {"form": name, "id": next(NUMBERS), "email": "ada@example.com"}


@pytest.fixture(scope="module")
def shared_sandbox():
    with SandboxServer(settings={"rate": None}) as server:
        yield server


@pytest.fixture(scope="module")
def watching(shared_sandbox, config, tmp_path_factory):
    """Runs `up` with rules that watch for the end; the same port and folder for each run."""
    work = tmp_path_factory.mktemp("completion")
    folder = shutil.copytree(config, work / "watching")
    (folder / "rules" / "watched.yaml").write_text(WATCHED_RULE)
    (folder / "rules" / "hurried.yaml").write_text(HURRIED_RULE)
    starter, port = Processes(work, config, SECRETS | WEB_SECRETS), free_port()

    def run():
        address = f"http://127.0.0.1:{port}"
        return start_machine(starter, shared_sandbox, port=port, RELAY_CONFIG=str(folder), RELAY_PUBLIC_URL=address)

    yield run
    starter.clean_up()


@pytest.fixture(scope="module")
def machine(watching):
    """One `up` for the tests of this file; the last of them kills it."""
    return watching()


@pytest.fixture
def sandbox(shared_sandbox):
    """The portal, as new."""
    shared_sandbox.portal.reset()
    return shared_sandbox


def wait_for(machine, delivery_id, state):
    record = machine.record

    def found():
        delivery = record.delivery(delivery_id)
        return delivery if delivery.watched.state is state else None

    try:
        return until(found, f"the end of {delivery_id} to be {state}")
    finally:
        record.redis.close()


def lines_of(machine, event, delivery_id):
    """The log lines of one event of a delivery, once there is one."""
    return until(
        lambda: [line for line in machine.running.lines(event) if line["delivery_id"] == delivery_id],
        f"a line {event} of {delivery_id}",
    )


def test_the_template_ends_and_the_relay_knows_it_with_what_came_in_the_query(machine, sandbox):
    sandbox.portal.add_templates(ENDS)
    sent = form()

    (delivery_id,) = machine.post_website(sent)["deliveries"]
    delivery = wait_for(machine, delivery_id, CallbackState.FINISHED)

    (workflow,) = sandbox.portal.started()
    assert (delivery.state, delivery.workflow_id, workflow["state"]) == (State.STARTED, workflow["id"], "completed")
    document_id = (*LEAD[:2], f"LEAD_{sent['id']}")
    assert (delivery.watched.query, delivery.watched.document_id) == ("s=ok&v=%D0%B4", document_id)
    assert workflow["parameters"]["RelayCallback"] == delivery.watched.address
    token = delivery.watched.address.rpartition("/")[2]
    shown = machine.ask("show", delivery_id, "--json")
    assert json.loads(shown)["deliveries"][0]["watch"]["state"] == "finished"
    lines_of(machine, "delivery.finished", delivery_id)
    assert token not in shown + machine.running.log()
    assert "watched: started" in machine.ask("events")


def test_a_comment_stands_in_the_timeline_soon_after_the_start_and_in_no_log(machine, sandbox):
    sent = form()
    (delivery_id,) = machine.post_website(sent)["deliveries"]

    lead = f"LEAD_{sent['id']}"
    (line,) = until(
        lambda: [one for one in sandbox.portal.comments if one.document == lead], "the comment is in the timeline"
    )

    assert (line.kind, line.text) == ("log", "ada@example.com has asked")
    record = machine.record
    until(lambda: record.delivery(delivery_id).comment.state is CommentState.SENT, "it is noted as sent")
    record.redis.close()
    assert "ada@example.com" not in machine.running.log()


def test_an_end_at_once_with_the_answer_lost_is_a_start_and_never_a_second_one(machine, sandbox):
    sandbox.portal.add_templates(ENDS | {"after_s": 0})
    sandbox.portal.add_faults([{"kind": "drop_after_start"}])

    (delivery_id,) = machine.post_website(form())["deliveries"]
    wait_for(machine, delivery_id, CallbackState.FINISHED)
    (delivery,) = machine.wait([delivery_id])

    (workflow,) = sandbox.portal.started()
    # Its end says it, or the portal when it is asked, whichever comes first.
    assert (delivery.reason, delivery.workflow_id) in {("finished", None), (None, workflow["id"])}


def test_what_is_not_heard_of_in_time_is_overdue_and_can_still_end(machine, sandbox):
    (delivery_id,) = machine.post_website(form("hurried"))["deliveries"]

    delivery = wait_for(machine, delivery_id, CallbackState.OVERDUE)

    assert delivery.state is State.STARTED
    lines_of(machine, "delivery.overdue", delivery_id)
    requests.get(delivery.watched.address, timeout=10)
    assert wait_for(machine, delivery_id, CallbackState.FINISHED).state is State.STARTED


def test_after_a_kill_of_everything_the_address_is_still_good(watching, machine, sandbox):
    (delivery_id,) = machine.post_website(form())["deliveries"]
    (delivery,) = machine.wait([delivery_id])
    machine.running.kill()
    until(lambda: len(machine.running.family()) <= 1, "the children to notice, except the record's server")

    second = watching()
    for expected in (True, False):
        assert requests.post(f"{delivery.watched.address}?s=ok", timeout=10).text == "ok\n"
        assert lines_of(second, "delivery.finished", delivery_id)[-1]["first"] is expected

    assert wait_for(second, delivery_id, CallbackState.FINISHED).watched.query == "s=ok"
    second.ask("audit")


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
