"""`up`: from a webhook over HTTP to a workflow on the portal, and what the command line says of it afterwards."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from relay.core.lifecycle import State
from relay.runtime.embedded import memory_limit
from relay.sandbox.server import SandboxServer
from tests.support.folders import REPOSITORY, SECRETS
from tests.support.machines import start_machine
from tests.support.processes import Processes
from tests.support.senders import SEED, SEED_CALL, github

OWN_SAMPLES = REPOSITORY / "tests" / "samples" / "github"
GIVEN_SAMPLES = REPOSITORY.parent / "shared" / "samples" / "github"
SAMPLES = sorted(OWN_SAMPLES.glob("*.json")) + sorted(GIVEN_SAMPLES.glob("*.json"))

KINDS = {
    "lead": (1, ["crm", "CCrmDocumentLead", "LEAD_7"]),
    "deal": (2, ["crm", "CCrmDocumentDeal", "DEAL_7"]),
    "contact": (3, ["crm", "CCrmDocumentContact", "CONTACT_7"]),
    "company": (4, ["crm", "CCrmDocumentCompany", "COMPANY_7"]),
    "quote": (5, ["crm", "Bitrix\\Crm\\Integration\\BizProc\\Document\\Quote", "QUOTE_7"]),
    "invoice": (6, ["crm", "Bitrix\\Crm\\Integration\\BizProc\\Document\\SmartInvoice", "SMART_INVOICE_7"]),
    "dynamic": (7, ["crm", "Bitrix\\Crm\\Integration\\BizProc\\Document\\Dynamic", "DYNAMIC_147_7"]),
    "feed": (8, ["lists", "BizprocDocument", "7"]),
    "list": (9, ["lists", "Bitrix\\Lists\\BizprocDocumentLists", "7"]),
    "file": (10, ["disk", "Bitrix\\Disk\\BizProcDocument", "7"]),
}


@pytest.fixture(scope="module")
def portal():
    with SandboxServer(settings={"rate": None}) as server:
        yield server.portal, server


@pytest.fixture(scope="module")
def machine(portal, config, tmp_path_factory):
    """One `up` for all tests of this file. It makes its secrets by itself, except those of the senders."""
    starter = Processes(tmp_path_factory.mktemp("up"), config, SECRETS)
    yield start_machine(starter, portal[1])
    starter.clean_up()


@pytest.fixture
def workflow_of(portal):
    """What the portal knows of a workflow."""
    return lambda workflow_id: {one["id"]: one for one in portal[0].started()}[workflow_id]


def test_the_example_of_bitrix24_arrives_to_the_letter(machine, workflow_of):
    receipt = machine.post_website(SEED)

    (delivery,) = machine.wait(receipt["deliveries"])

    workflow = workflow_of(delivery.workflow_id)
    assert workflow["template"] == SEED_CALL["template_id"]
    assert workflow["document"] == SEED_CALL["document_id"]
    assert workflow["parameters"] == {"Parameter1": "user_1"}


def test_each_of_ten_kinds_of_document_starts_a_template_of_its_kind(machine, workflow_of):
    receipts = {
        kind: machine.post_website({"document": kind, "id": 7, "email": f"{kind}@example.com", "note": "ü"})
        for kind in KINDS
    }

    for kind, (template_id, document_id) in KINDS.items():
        (delivery,) = machine.wait(receipts[kind]["deliveries"])
        workflow = workflow_of(delivery.workflow_id)
        assert (workflow["template"], workflow["document"]) == (template_id, document_id)
        assert workflow["parameters"]["Email"] == f"{kind}@example.com"
        assert workflow["parameters"]["Note"] == "ü"
        assert workflow["parameters"]["Parameter1"] == "user_1"


@pytest.mark.parametrize("path", SAMPLES, ids=[f"{path.parents[2].name}-{path.stem}" for path in SAMPLES])
def test_a_signed_event_of_github_is_verified_mapped_and_started(machine, workflow_of, path):
    body, event = path.read_bytes(), path.name.partition(".")[0]

    receipt = machine.post("github", body, github(body, event, f"{path.parents[2].name}-{path.stem}"))

    if event == "ping":
        assert (receipt["state"], receipt["deliveries"]) == ("ignored", [])
        return
    (delivery,) = machine.wait(receipt["deliveries"])
    content = json.loads(body)
    number = {
        "issues": lambda: content["issue"]["number"],
        "pull_request": lambda: content["pull_request"]["number"],
        "push": lambda: content["repository"]["id"],
        "release": lambda: content["release"]["id"],
    }[event]()
    assert workflow_of(delivery.workflow_id)["document"][2].endswith(str(number))


def test_there_are_samples_of_github_wherever_the_tests_run():
    assert {path.name.partition(".")[0] for path in SAMPLES} >= {"issues", "pull_request", "push", "release", "ping"}


def test_a_refusal_of_the_portal_ends_a_delivery_with_its_reason(machine):
    (delivery,) = machine.wait(machine.post_website({"document": "deal", "id": 404})["deliveries"], State.DEAD)

    assert delivery.reason
    assert delivery.attempts[0].verdict == "rejected"
    line = machine.ask("events", "--state", "dead").splitlines()[0]
    assert delivery.event_id in line
    assert f"document-deal: dead {delivery.reason}" in line


def test_events_lists_and_show_shows(machine):
    receipt = machine.post_website({"document": "lead", "id": 9, "note": "to be found"})
    machine.wait(receipt["deliveries"])

    listed = [
        json.loads(line) for line in machine.ask("events", "--since", "1h", "--json", "--limit", "1").splitlines()
    ]
    shown = machine.ask_json("show", receipt["event_id"])

    assert len(listed) == 1
    assert listed[0]["id"] == receipt["event_id"]
    assert shown == listed[0]
    assert json.loads(shown["body"])["note"] == "to be found"
    assert [one["state"] for one in shown["deliveries"]] == ["started"]
    assert machine.ask_json("show", receipt["deliveries"][0])["deliveries"] == shown["deliveries"]
    assert receipt["event_id"] in machine.ask("events", "--state", "started", "--source", "website")
    assert receipt["event_id"] not in machine.ask("events", "--source", "github")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["show", "evt_none"], "no event evt_none"),
        (["show", "none"], "no delivery none"),
        (["replay", "dlv_none"], "no delivery dlv_none"),
        (["rules", "try", "no-such-rule", "-"], "no-such-rule"),
        (["rules", "try", "seed-example", "no-such-file"], "no-such-file"),
    ],
)
def test_what_cannot_be_done_is_one_line_and_a_1(machine, arguments, words):
    run = machine.processes.ask(*arguments)

    assert (run.returncode, run.stdout) == (1, "")
    assert words in run.stderr
    assert len(run.stderr.splitlines()) == 1


def test_a_started_delivery_is_replayed_only_on_purpose_and_only_once(machine):
    receipt = machine.post_website({"document": "contact", "id": 9})
    (old,) = machine.wait(receipt["deliveries"])

    assert "Replaying it starts a second one" in machine.ask("replay", old.id, status=1)
    fresh_id = machine.ask("replay", old.id, "--yes").split()[0]
    again = machine.processes.ask("replay", old.id, "--yes")

    (fresh,) = machine.wait([fresh_id])
    assert (fresh.replay_of, fresh.event_id) == (old.id, old.event_id)
    assert fresh.workflow_id != old.workflow_id
    assert fresh.call == old.call
    assert again.returncode == 1
    assert "has been replayed before" in again.stderr


def test_a_dead_delivery_is_replayed_with_the_rules_of_today(machine):
    (old,) = machine.wait(machine.post_website({"document": "company", "id": 404})["deliveries"], State.DEAD)

    fresh_id = machine.ask("replay", old.id, "--rules", "current").split()[0]

    machine.wait([fresh_id], State.DEAD)
    assert [one["id"] for one in machine.ask_json("show", old.event_id)["deliveries"]] == [old.id, fresh_id]


def test_the_audit_balances(machine):
    machine.wait(machine.post_website(SEED)["deliveries"])

    assert machine.ask("audit").splitlines()[-1] == "the ledger balances"
    ledger = machine.ask_json("audit")
    assert ledger["balanced"] is True
    assert ledger["deliveries"]["total"] == sum(ledger["deliveries"][state.value] for state in State)


def test_trying_a_rule_prints_the_call_and_makes_none(machine, portal):
    before = len(portal[0].started())

    printed = json.loads(machine.ask("rules", "try", "seed-example", "-", given=json.dumps(SEED)))

    assert printed == {
        "TEMPLATE_ID": 1,
        "DOCUMENT_ID": ["crm", "CCrmDocumentLead", "LEAD_1"],
        "PARAMETERS": {"Parameter1": "user_1"},
    }
    wrong = machine.ask("rules", "try", "seed-example", "-", given='{"lead": {"id": "x"}, "user": 1}', status=1)
    assert list(json.loads(wrong)["errors"]) == ["lead_id"]
    assert "does not want this" in machine.ask("rules", "try", "seed-example", "-", given="{}", status=1)
    header = ["--header", "X-GitHub-Event: push"]
    pushed = machine.ask("rules", "try", "github-push", str(OWN_SAMPLES / "push.payload.json"), *header)
    assert json.loads(pushed)["DOCUMENT_ID"][2] == "COMPANY_1296269"
    assert len(portal[0].started()) == before


def test_a_second_up_says_that_the_record_is_in_use_and_ends(machine):
    run = machine.processes.run("relay", "up", "--sandbox")

    assert (run.returncode, run.stdout) == (1, "")
    assert "var is in use: an `up` or a `demo` runs with the record in it" in run.stderr
    assert len(run.stderr.splitlines()) == 1
    assert "record" not in machine.running.log().partition("process.died")[2]
    machine.wait(machine.post_website(SEED | {"note": "after the second"})["deliveries"])


def test_up_keeps_the_secrets_it_made_for_its_owner_and_prints_where(machine):
    secrets = Path(machine.processes.folder / "var" / "secrets.env")

    assert secrets.stat().st_mode & 0o777 == 0o600
    assert "RELAY_DASHBOARD_PASSWORD=" in secrets.read_text()
    assert "var/secrets.env" in machine.running.printed()
    kept = machine.processes.folder / "var" / "kept-secrets"
    assert [one.stat().st_mode & 0o777 for one in (kept, kept / "web", kept / "workers")] == [0o700] * 3
    for line in secrets.read_text().splitlines()[1:]:
        assert line.partition("=")[2] not in machine.running.log() + machine.running.printed()


def test_the_record_of_up_has_a_limit_of_memory(machine):
    record = machine.record
    assert int(record.redis.config_get("maxmemory")["maxmemory"]) == memory_limit()
    record.redis.close()
