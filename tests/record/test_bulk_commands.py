"""What failed is listed in a terminal, and many are replayed, left or settled there by one command."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from relay.cli.main import main
from relay.core.lifecycle import EventState, State
from tests.support.folders import WEB_SECRETS
from tests.support.making import bring_to, make_entry, write

LEAD = b'{"document": "lead", "id": 7, "email": "ivan@example.com"}'


@pytest.fixture(autouse=True)
def terminal(valkey, monkeypatch, config):
    monkeypatch.setenv("REDIS_URL", valkey.url)
    monkeypatch.setenv("RELAY_CONFIG", str(config))
    monkeypatch.setenv("RELAY_SECRET_KEY", WEB_SECRETS["RELAY_SECRET_KEY"])


def make_rejected(record, body=LEAD):
    entry = make_entry([], state=EventState.REJECTED, body=body)
    write(record, replace(entry, event=replace(entry.event, errors={"id": ["missing"]})))
    return entry.event.id


def test_what_failed_is_listed_in_groups(record, capsys):
    assert main(["needs"]) == 0
    event_id = make_rejected(record)
    bring_to(record, State.DEAD)

    assert main(["needs"]) == 1
    printed = capsys.readouterr().out
    assert "1 event was rejected (website: cannot be filled: id); last 2026-06-01 12:00:00" in printed
    assert event_id in printed
    assert "1 delivery is dead (a-rule → main, template 1: because)" in printed
    assert main(["needs", "--json"]) == 1
    assert json.loads(capsys.readouterr().out.splitlines()[0])["count"] == 1


def test_rejected_ones_are_replayed_and_what_is_skipped_says_why(record, capsys):
    event_id = make_rejected(record)
    make_rejected(record, body=b'{"document": "lead"}')

    assert main(["bulk", "replay", "--state", "rejected", "--needs", "--source", "website", "--yes"]) == 1

    printed = capsys.readouterr().out
    assert "2 found" in printed
    assert "1 skipped: cannot be filled: id" in printed
    assert "finished: 1 done, 1 skipped" in printed
    assert record.event(event_id).state is EventState.ACCEPTED


@pytest.mark.parametrize("options", [["--dry-run"], []])
def test_nothing_is_done_where_it_is_only_counted_or_nobody_agrees(record, capsys, options):
    event_id = make_rejected(record)

    assert main(["bulk", "replay", "--state", "rejected", *options]) == (0 if options else 1)

    assert "1 found" in capsys.readouterr().out
    assert record.event(event_id).state is EventState.REJECTED


def test_a_code_is_found_in_the_terminal_as_on_pages_however_it_is_written(record, capsys):
    bring_to(record, State.DEAD)

    assert main(["bulk", "replay", "--code", "BECAUSE", "--dry-run"]) == 0

    assert "1 found" in capsys.readouterr().out


@pytest.mark.parametrize(("option", "value"), [("--source", "x" * 201), ("--code", "")])
def test_a_filter_that_cannot_be_is_said_in_one_line(capsys, option, value):
    with pytest.raises(SystemExit) as ended:
        main(["bulk", "replay", option, value, "--dry-run"])

    assert ended.value.code == 2
    assert f"error: {option}: " in capsys.readouterr().err


def test_uncertain_ones_are_settled_with_a_note(record, capsys):
    uncertain = bring_to(record, State.UNCERTAIN)
    command = ["bulk", "settle-started", "--state", "uncertain", "--yes"]

    with pytest.raises(SystemExit) as ended:
        main(command)
    assert ended.value.code == 2
    assert "--note: expected with settle-started" in capsys.readouterr().err
    assert main([*command, "--note", "seen on the portal"]) == 0

    assert record.delivery(uncertain.id).state is State.STARTED


@pytest.mark.parametrize(
    "options", [["--state", "nothing"], ["--state", "started", "--needs"], ["--since", "whenever"]]
)
def test_a_filter_that_means_nothing_is_an_error(record, capsys, options):
    with pytest.raises(SystemExit) as ended:
        main(["bulk", "replay", *options])
    assert ended.value.code == 2
    assert "expected" in capsys.readouterr().err
