"""The command line towards people: mistakes in one line, times as they are typed, progress where somebody looks."""

from __future__ import annotations

import io
import os
import pty
import re
import shlex
import socket
import subprocess
import sys
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from relay import __version__
from relay.cli import events
from relay.cli.main import main
from relay.core.lifecycle import State
from tests.support.folders import REPOSITORY, WEB_SECRETS
from tests.support.making import NOON, bring_to, claim_one, make_attempt, write_one

NOW = datetime.fromisoformat("2026-11-30T01:30:00+00:00")
MOMENT = r"20\d\d-\d\d-\d\d \d\d:\d\d:\d\d UTC"
MISTAKES = {
    "a time that is none": (["events", "--since", "whenever"], "--since: 'whenever': expected an age such as 90m"),
    "a time to come": (
        ["events", "--since", "tomorrow"],
        "--since: 'tomorrow' is 2026-12-01 00:00:00 UTC, which is still",
    ),
    "an age before the calendar": (["events", "--since", "999999d"], "--since: '999999d': expected"),
    "a state that is none": (["events", "--state", "strated"], "no state 'strated'; did you mean 'started'?"),
    "no state at all": (["events", "--state", "x"], "no state 'x'"),
    "a list of nothing": (["events", "--limit", "0"], "--limit: '0': expected a number from 1 on"),
    "an empty name": (["events", "--source", ""], "--source: "),
    "a port that is none": (["sandbox", "--port", "99999"], "--port: '99999': expected a number up to 65535"),
    "an act without its note": (["bulk", "leave", "--state", "dead"], "--note: expected with leave: why, for the log"),
    "an act on a wrong state": (["bulk", "leave", "--state", "started", "--note", "why"], "leave"),
    "needs of what needs nobody": (
        ["bulk", "replay", "--state", "started", "--needs"],
        "--needs: expected with --state",
    ),
    "half a header": (["rules", "try", "a", "b", "--header", "x"], "--header: 'x': expected a name and a value"),
    "no address": (["mcp", "--url", "relay.example.com"], "--url 'relay.example.com': expected an address such as"),
}


@pytest.fixture
def terminal(valkey, config, tmp_path, monkeypatch, capsys):
    """Runs a command at a known time; its status, and what it printed on stdout and stderr."""
    monkeypatch.setattr(events, "utc_now", lambda: NOW)
    monkeypatch.chdir(tmp_path)
    for name, value in environment(valkey, config).items():
        monkeypatch.setenv(name, value)

    def run(*arguments):
        try:
            status = main(arguments)
        except SystemExit as ended:
            status = ended.code
        printed = capsys.readouterr()
        return status, printed.out, printed.err

    return run


def environment(valkey, config):
    return {
        "REDIS_URL": valkey.url,
        "RELAY_CONFIG": str(config),
        "RELAY_SECRET_KEY": WEB_SECRETS["RELAY_SECRET_KEY"],
        "TERM": "xterm",
    }


@pytest.mark.parametrize(("arguments", "words"), MISTAKES.values(), ids=list(MISTAKES))
def test_a_mistake_in_usage_is_said_beside_the_usage_and_is_a_2(terminal, arguments, words):
    status, out, err = terminal(*arguments)

    assert (status, out) == (2, "")
    assert err.startswith("usage: python -m relay ")
    assert words in err.splitlines()[-1]


@pytest.mark.parametrize(
    ("typed", "begins"),
    [
        ("yesterday", "2026-11-29T00:00:00"),
        ("yesterday 9:00", "2026-11-29T09:00:00"),
        ("today", "2026-11-30T00:00:00"),
        ("1:15", "2026-11-30T01:15:00"),
        ("26.11.2026 14:00", "2026-11-26T14:00:00"),
        ("2026-11-26T14:00+03:00", "2026-11-26T11:00:00"),
        ("2 hours ago", "2026-11-29T23:30:00"),
        ("90m", "2026-11-30T00:00:00"),
    ],
)
def test_events_since_a_time_as_people_type_it_are_listed(terminal, record, typed, begins):
    first = datetime.fromisoformat(f"{begins}+00:00")
    write_one(record, first - timedelta(seconds=1))
    wanted = write_one(record, first)

    status, out, _ = terminal("events", "--since", typed)

    assert status == 0
    assert [line.split()[3] for line in out.splitlines()] == [wanted.event_id]


def test_every_time_that_is_printed_says_its_zone(terminal, record):
    delivery = claim_one(record, write_one(record))
    record.settle(delivery, State.DEAD, NOON, reason="access_denied", attempt=make_attempt())
    terminal("rules", "check")

    printed = [terminal(*words)[1] for words in (["events"], ["show", delivery.id], ["needs"], ["sources", "list"])]

    for text in printed:
        assert re.search(MOMENT, text), text
        assert not re.search(r"\d\d:\d\d:\d\d(?! UTC)", text), text


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["backup", "/no/dir/relay.tar"], "/no/dir: No such file or directory"),
        (["backup", "/proc/relay.tar"], "/proc: "),
        (["restore", "/no/relay.tar"], "/no/relay.tar: No such file or directory"),
    ],
)
def test_a_file_or_folder_that_is_not_there_is_named_in_one_line(terminal, arguments, words):
    status, out, err = terminal(*arguments)

    assert (status, out) == (1, "")
    assert err.startswith(words)
    assert len(err.splitlines()) == 1


def test_a_sandbox_whose_port_is_taken_says_which_and_what_else_to_do(processes):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = processes.run("relay", "sandbox", "--port", str(port))

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"port {port}: Address already in use: --port 0 takes a free one\n"


class Screen(io.StringIO):
    """A stream that says that somebody looks at it."""

    def isatty(self) -> bool:
        return True


LONG = {
    "audit": (["audit"], "adding up"),
    "backup": (["backup", "relay.tar"], "bytes saved"),
    "erase": (["erase", "--value", "nobody@example.com"], "1 of 1 events"),
    "bulk": (["bulk", "replay", "--dry-run"], "counting"),
    "export": (["events", "--json"], "1 events"),
    "search": (["events", "--state", "dead"], "searching"),
}


@pytest.mark.parametrize(("arguments", "words"), LONG.values(), ids=list(LONG))
def test_what_may_take_long_shows_that_it_goes_on_to_a_person_and_nothing_to_a_pipe(
    terminal, record, monkeypatch, arguments, words
):
    bring_to(record, State.DEAD)
    plain = terminal(*arguments)
    Path("relay.tar").unlink(missing_ok=True)
    screen = Screen()
    monkeypatch.setattr(sys, "stderr", screen)

    status, out, _ = terminal(*arguments)

    assert words in screen.getvalue()
    assert words not in plain[1] + plain[2]
    assert status == plain[0]
    assert out.splitlines()[-1].partition(":")[0] == plain[1].splitlines()[-1].partition(":")[0]


def test_a_restore_shows_on_a_terminal_how_far_it_is(terminal, record, own_valkey, config, tmp_path):
    write_one(record)
    terminal("backup", "relay.tar")
    ours, its = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "relay", "restore", "relay.tar", "--moved"],
        cwd=tmp_path,
        env={**os.environ, **environment(own_valkey, config), "PYTHONPATH": str(REPOSITORY)},
        stdout=subprocess.PIPE, stderr=its, text=True,
    )  # fmt: skip
    os.close(its)
    shown = b""
    try:
        while part := os.read(ours, 4096):
            shown += part
    except OSError:  # so Linux says that the other side is closed
        pass
    os.close(ours)
    out, _ = process.communicate(timeout=60)

    assert process.returncode == 0, shown
    assert b"keys put back" in shown
    assert out.splitlines()[-1] == "restored; the books balance"


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("", {"events", "rules", "completion"}),
        ("rules ", {"check", "try", "undo"}),
        ("events --si", {"--since"}),
        ("bulk ", {"replay", "leave"}),
        ("completion ", {"bash", "zsh"}),
    ],
)
def test_bash_completes_commands_and_options(script, typed, offered):
    words = f"relay {typed}".split(" ")
    asked = f"COMP_WORDS=({' '.join(map(shlex.quote, words))}); COMP_CWORD={len(words) - 1}; _shtab_relay; "
    text = f'{script}\n{asked} echo "${{COMPREPLY[@]}}"'
    done = subprocess.run(["bash", "-c", text], capture_output=True, text=True, timeout=60, check=True)

    assert set(done.stdout.split()) >= offered


@pytest.fixture
def script(terminal):
    status, out, err = terminal("completion", "bash")
    assert (status, err) == (0, "")
    return out


def test_the_completed_command_is_this_relay_from_any_folder(script, tmp_path):
    done = subprocess.run(
        ["bash", "-c", f"{script}\nrelay --version"],
        cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip

    assert (done.returncode, done.stdout) == (0, f"relay {__version__}\n")


def test_zsh_is_offered_every_command(terminal):
    status, out, _ = terminal("completion", "zsh")

    assert status == 0
    assert "#compdef relay" in out
    for name in ("events", "rules", "completion"):
        assert re.search(rf"^ *{name}:'", out, re.MULTILINE), name
