"""The record in a terminal: it reads well, a wrong question is said to be one, a closed pipe is no accident."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from dataclasses import replace

import pytest

from relay.cli import events
from relay.cli.main import main
from relay.core.lifecycle import EventState, State
from relay.core.plan import Call
from relay.store.record.persons import PersonIndex
from relay.store.record.search import Filter, list_events
from tests.support.folders import REPOSITORY, WEB_SECRETS
from tests.support.making import NOON, bring_to, claim_one, make_attempt, make_entry, write, write_one
from tests.support.waiting import until

EMAIL = "ada@example.com"


@pytest.fixture
def terminal(valkey, config, monkeypatch, capsys):
    """Runs a command; its status and what it printed, on stdout and stderr."""
    for name, value in environment(valkey, config).items():
        monkeypatch.setenv(name, value)

    def run(*arguments):
        status = main(arguments)
        printed = capsys.readouterr()
        return status, printed.out, printed.err

    return run


def environment(valkey, config):
    return {
        "REDIS_URL": valkey.url,
        "RELAY_CONFIG": str(config),
        "RELAY_SECRET_KEY": WEB_SECRETS["RELAY_SECRET_KEY"],
    }


@pytest.fixture
def begin(valkey, config):
    """Starts a command as a process."""
    started = []

    def start(*arguments, **options):
        command = [sys.executable, "-m", "relay", *arguments]
        process = subprocess.Popen(
            command, cwd=REPOSITORY, env={**os.environ, **environment(valkey, config), "TERM": "xterm"}, **options
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
        for stream in (process.stdout, process.stderr):
            if stream:
                stream.close()


def test_an_event_is_shown_as_a_person_reads_it(terminal, record):
    delivery = write_one(record)
    claimed = claim_one(record, delivery)
    attempt = replace(make_attempt(), code="ACCESS_DENIED", status=403)
    record.settle(claimed, State.DEAD, delivery.created_at, reason="access_denied", attempt=attempt)

    status, out, _ = terminal("show", delivery.event_id)

    assert status == 0
    assert out.startswith(f"event {delivery.event_id}  accepted\n")
    assert f"delivery {delivery.id}  a-rule → main  dead\n" in out
    assert "Use an administrator's credential." in out
    assert "  document    crm · CCrmDocumentLead · LEAD_1\n" in out
    assert "HTTP 403, ACCESS_DENIED" in out
    assert '    "id": 1\n' in out


def test_what_could_not_be_filled_is_shown_with_its_fields(terminal, record):
    entry = make_entry([], state=EventState.REJECTED)
    event = replace(entry.event, reason="rule_not_filled", errors={"a-rule.lead": ["expected a number."]})
    write(record, replace(entry, event=event))

    _, out, _ = terminal("show", event.id)

    assert "  a-rule.lead: expected a number.\n" in out
    assert "No call was made from it." in out


def test_as_json_it_is_one_line_with_everything(terminal, record):
    delivery = write_one(record)

    _, out, _ = terminal("show", delivery.event_id, "--json")

    assert json.loads(out)["deliveries"] == [delivery.to_wire()]
    assert len(out.splitlines()) == 1


def test_events_are_found_by_rule_portal_and_person(terminal, record):
    entry = make_entry(["b-rule"], portal="other")
    key = PersonIndex(WEB_SECRETS["RELAY_SECRET_KEY"]).key_of(EMAIL)
    event = replace(entry.event, person_keys=(key,))
    write(record, replace(entry, event=event))
    write_one(record)

    for arguments in (("--rule", "b-rule"), ("--portal", "other"), ("--person", EMAIL.upper())):
        status, out, _ = terminal("events", *arguments)
        assert status == 0
        assert [line.split()[3] for line in out.splitlines()] == [event.id], arguments


@pytest.mark.parametrize("kind", ["source", "rule", "portal"])
def test_a_name_that_nobody_knows_is_an_error_and_not_an_empty_list(terminal, record, kind):
    known = {"source": "website", "rule": "seed-example", "portal": "main"}[kind]

    assert terminal("events", f"--{kind}", f"{known}x") == (
        1,
        "",
        f"no {kind} '{known}x'; did you mean {known!r}?\n",
    )
    assert terminal("events", f"--{kind}", known) == (0, "", "no such event\n")


def test_a_name_that_is_configured_no_more_is_known_while_it_is_on_record(terminal, record):
    write_one(record, rules=["gone"], source="gone", portal="gone")

    for kind in ("source", "rule", "portal"):
        assert terminal("events", f"--{kind}", "gone", "--state", "dead") == (0, "", "no such event\n")


def test_rules_are_tried_on_an_event_as_it_came(terminal, record):
    entry = make_entry([], body=b'{"lead": {"id": 5}, "user": 1}')
    write(record, entry)

    status, out, _ = terminal("rules", "try", "seed-example", "--event", entry.event.id)
    _, of_all, _ = terminal("rules", "try", "--event", entry.event.id)

    assert status == 0
    assert json.loads(out)["DOCUMENT_ID"] == ["crm", "CCrmDocumentLead", "LEAD_5"]
    assert out in of_all
    assert record.event(entry.event.id).deliveries == ()


def test_a_rule_of_another_source_is_not_tried_on_it(terminal, record):
    entry = make_entry([], source="github")
    write(record, entry)

    status, _, err = terminal("rules", "try", "seed-example", "--event", entry.event.id)

    assert status == 1
    assert "is for the source website" in err


@pytest.mark.parametrize("arguments", [(), ("seed-example",), ("seed-example", "-", "--event", "evt_1")])
def test_a_trial_of_neither_or_both_is_bad_usage(terminal, arguments):
    with pytest.raises(SystemExit) as ended:
        terminal("rules", "try", *arguments)
    assert ended.value.code == 2


def test_a_reader_that_goes_away_early_leaves_no_traceback(begin, record):
    for _ in range(20):
        bring_to(record, State.STARTED)
    reading, writing = os.pipe()
    os.close(reading)

    process = begin("events", stdout=writing, stderr=subprocess.PIPE)
    os.close(writing)
    _, said = process.communicate(timeout=60)

    assert (process.returncode, said) == (141, b"")


def test_a_state_has_its_colour_in_a_terminal_and_none_where_it_is_not_wanted(begin, record, monkeypatch):
    bring_to(record, State.DEAD)

    assert "\x1b[1;31mdead" in in_terminal(begin)
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b" not in in_terminal(begin)


def in_terminal(begin):
    """What `events` writes into a terminal."""
    ours, its = pty.openpty()
    process = begin("events", stdout=its)
    os.close(its)
    read = b""
    try:
        while part := os.read(ours, 4096):
            read += part
    except OSError:  # so Linux says that the other side is closed
        pass
    os.close(ours)
    assert process.wait() == 0
    return read.decode()


def test_who_follows_sees_what_comes_and_how_it_ends(begin, record, tmp_path):
    before = write_one(record)
    log = tmp_path / "followed"
    with log.open("wb") as out:
        begin("events", "--follow", stdout=out, stderr=subprocess.STDOUT)
    until(lambda: "following" in log.read_text("utf-8"), "it to follow")

    delivery = write_one(record)
    until(lambda: f"{delivery.event_id}  website  a-rule: pending" in log.read_text("utf-8"), "the event to be shown")
    claimed = claim_one(record, delivery)
    record.settle(claimed, State.STARTED, delivery.created_at, workflow_id="wf-1")

    until(lambda: f"{delivery.event_id}  a-rule: started wf-1" in log.read_text("utf-8"), "its end to be shown")
    assert before.event_id not in log.read_text("utf-8")


def test_who_follows_a_state_sees_each_delivery_of_an_event_that_comes_to_it(record):
    wanted, entry = Filter(State.DEAD), make_entry(["one", "two"])
    write(record, entry)
    known, seen = set(), []
    for delivery in entry.deliveries:
        record.settle(claim_one(record, delivery), State.DEAD, NOON, reason="because")
        rows = list_events(record, wanted).rows
        seen.append([one.id for row in events._fresh(rows, known, wanted) for one in row.deliveries])
        known = events._ids(rows, wanted)

    assert seen == [[one.id] for one in entry.deliveries]
    assert events._fresh(rows, known, wanted) == []


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_as_many_are_listed_as_were_asked_for_and_what_is_left_out_is_said(terminal, record, monkeypatch, options):
    monkeypatch.setattr(events, "MOST_AT_ONCE", 3)
    for _ in range(8):
        write(record, make_entry([]))

    def listed(limit):
        _, said, beside = terminal("events", "--limit", str(limit), *options)
        return len(said.splitlines()), beside

    assert listed(7) == (7, "... and older ones: --limit above 7 shows more\n")
    assert listed(8) == (8, "")
    assert listed(5000) == (8, "")


def test_a_rule_that_could_not_be_filled_beside_another_is_shown_with_its_fields(terminal, record):
    entry = make_entry(["seed-example", "callback"])
    call = Call("main", 12, ("", "", ""), {})
    unfilled = replace(
        entry.deliveries[1], state=State.DEAD, reason="rule_not_filled", call=call, errors={"phone": ["missing"]}
    )
    write(record, replace(entry, deliveries=[entry.deliveries[0], unfilled]))

    _, said, _ = terminal("show", entry.event.id)

    assert "callback → main" in said
    assert "values missing or wrong" in said
    assert "phone: missing" in said
    assert said.count("document") == 1
