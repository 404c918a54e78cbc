"""What a person does in a terminal does not stay out of the audit log: who, what, when, as of every other act."""

from __future__ import annotations

import os
import pwd

import pytest

import relay.cli.main
import workers.__main__
from relay.core.lifecycle import State
from relay.store.operators import audit_log
from relay.store.operators.audit_log import read_acts, who_in_terminal
from tests.support.making import bring_to

WHO = f"terminal ({pwd.getpwuid(os.getuid()).pw_name})"


@pytest.fixture(autouse=True)
def environment(valkey, config, monkeypatch):
    monkeypatch.setenv("REDIS_URL", valkey.url)
    monkeypatch.setenv("RELAY_CONFIG", str(config))
    monkeypatch.setenv("PORTAL_MAIN_WEBHOOK_URL", "http://127.0.0.1:9/rest/1/secret-of-the-test/")
    monkeypatch.setenv("USER", "somebody-else")
    monkeypatch.setenv("LOGNAME", "somebody-else")


def told(redis):
    return [(act.who, act.what, act.subject) for act in read_acts(redis)]


def test_a_replay_in_a_terminal_does_not_bypass_the_audit_log(record, redis):
    dead = bring_to(record, State.DEAD)

    assert relay.cli.main.main(["replay", dead.id]) == 0

    assert told(redis) == [(WHO, "replay", dead.id)]
    (made,) = [one for one in record.deliveries(record.event(dead.event_id).deliveries) if one.replay_of]
    assert made.id in read_acts(redis)[0].said


def test_a_replay_that_is_refused_is_none(record, redis):
    pending = bring_to(record, State.PENDING)

    assert relay.cli.main.main(["replay", pending.id]) == 1

    assert told(redis) == []


def test_pausing_and_resuming_a_portal_in_a_terminal_does_not_bypass_the_audit_log(redis):
    assert workers.__main__.main(["pause", "main"]) == 0
    assert workers.__main__.main(["resume", "main"]) == 0

    assert told(redis) == [(WHO, "resume", "main"), (WHO, "pause", "main")]
    assert "secret-of-the-test" not in str(read_acts(redis))


def test_starting_a_workflow_to_probe_a_portal_does_not_bypass_the_audit_log(redis):
    arguments = ["probe", "main", "--template", "1", "--document"]

    assert workers.__main__.main([*arguments, "nonsense"]) == 2
    assert told(redis) == []
    assert workers.__main__.main([*arguments, "crm,CCrmDocumentLead,LEAD_1"]) == 1
    assert told(redis) == [(WHO, "probe", "main")]


def test_a_user_without_a_name_is_told_by_number(monkeypatch):
    monkeypatch.setattr(audit_log.os, "getuid", lambda: 4_000_000_001)

    assert who_in_terminal() == "terminal (user 4000000001)"
