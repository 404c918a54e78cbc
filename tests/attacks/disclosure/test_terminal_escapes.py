"""What a sender wrote does not steer the terminal of whoever looks at it."""

from __future__ import annotations

import json
import unicodedata
from contextlib import suppress
from dataclasses import replace

import pytest

from relay.cli.main import main
from relay.core.lifecycle import EventState, State
from relay.core.printing import harmless
from tests.support.making import bring_to, make_entry, write

STEERING = "".join(map(chr, [*range(0x20), *range(0x7F, 0xA0), 0x61C, *range(0x200E, 0x2010), *range(0x2028, 0x202F)]))
STEERING += "".join(map(chr, range(0x2066, 0x206A))) + "\u200b\ufeff\U000e0041"
FREE = "\n\t"
GOOD = 'Zoë, Ёлка, 世界, 👩\u200d🚀, क्\u200cष, a\u00a0b — «» \\ " \ufffd'


@pytest.fixture
def terminal(valkey, config, monkeypatch, capsys):
    """Runs a command; what it printed, in both streams."""
    monkeypatch.setenv("REDIS_URL", valkey.url)
    monkeypatch.setenv("RELAY_CONFIG", str(config))

    def run(*arguments):
        with suppress(SystemExit):  # a mistake of usage
            main(arguments)
        printed = capsys.readouterr()
        return printed.out + printed.err

    return run


def is_harmless(text):
    return not [one for one in text if unicodedata.category(one) in {"Cc", "Zl", "Zp", "Cs"} and one not in FREE] and (
        not set(text) & set(STEERING) - set(FREE)
    )


def test_no_command_prints_what_steers_a_terminal(terminal, record):
    entry = make_entry([], state=EventState.REJECTED, body=f"body{STEERING}".encode())
    event = replace(entry.event, headers={"x-a": STEERING}, query=STEERING, reason=f"r{STEERING}")
    write(record, replace(entry, event=event))
    dead = bring_to(record, State.DEAD)

    for arguments in (
        *(("show", event.id, *more) for more in ((), ("--json",))),
        *(("events", *more) for more in ((), ("--json",), ("--state", STEERING), ("--since", STEERING))),
        ("show", dead.id),
        ("show", f"dlv_{STEERING}"),
        ("replay", f"evt_{STEERING}"),
        ("replay", event.id),
    ):
        printed = terminal(*arguments)
        assert printed
        assert is_harmless(printed), arguments


def test_what_is_printed_as_json_stays_json(terminal, record):
    entry = make_entry([], body=f"{STEERING}{GOOD}".encode())
    write(record, entry)

    wire = json.loads(terminal("show", entry.event.id, "--json"))

    assert wire["body"] == STEERING + GOOD


def test_what_people_write_is_left_as_it_is():
    assert harmless(GOOD) == GOOD
    assert harmless("a\x9b31mb\x1b[0m\u202ec") == "a\\u009b31mb\\u001b[0m\\u202ec"
