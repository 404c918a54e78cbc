"""What a bad day leaves behind: all that the ten jobs (test_ten_jobs.py) are about."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta

import requests

from relay.core.ids import utc_now
from relay.core.lifecycle import EventState, State
from relay.store import Store
from relay.store.record.collector import Collector
from tests.support.folders import copy_config
from tests.support.making import DAY, bring_to, count_in_hour, hold, make_entry

WAITING, REJECTED, UNCERTAIN = 1_000, 60, 10
EMAIL, AS_TYPED = "ada@example.com", "8 (912) 345-67-89"
HERS = {"document": "lead", "id": 7, "email": EMAIL, "phone": "+79123456789"}
NEW_SOURCE = "\n  orders:\n    verify: {kind: none}\n"
ORDER = {"order": {"number": "A-17", "deal": {"id": 12}}, "customer": {"email": "grace@example.com"}}


def with_new_source(folder):
    config = copy_config(folder)
    sources = config / "sources.yaml"
    sources.write_text(sources.read_text("utf-8") + NEW_SOURCE, "utf-8")
    return config


def fill_with_a_bad_day(stage):
    """A portal is down and 1,000 wait for it; rejected and uncertain ones; a person; a source without a rule."""
    record, now = stage.record, utc_now()
    hold(stage.valkey.redis, "main", "invalid_credentials", now)
    stage.hers = stage.post(HERS)["event_id"]
    answer = requests.post(f"{stage.url}/hooks/orders", json=ORDER, timeout=10)
    assert answer.json()["state"] == EventState.IGNORED
    for n in range(UNCERTAIN):
        bring_to(record, State.UNCERTAIN, now - timedelta(minutes=n), claimed_at=utc_now(), rules=["document-lead"])
    count_in_hour(record, now - DAY, made=3, dead=1)
    rejected = [make_entry([], state=EventState.REJECTED, at=now, body=body_of(1_000 + n)) for n in range(REJECTED)]
    errors = {"id": ["Must be less than or equal to 10."]}
    told = [replace(one, event=replace(one.event, reason="rule_not_filled", errors=errors)) for one in rejected]
    Collector(record).record_all(told)
    Collector(record).record_all([make_entry(["document-lead"], at=now, body=b"{}") for _ in range(WAITING)])
    Store(stage.valkey.redis).operators.alerts.note_channel("on-call", "webhook", "chat.example.com", now)


def body_of(lead):
    return json.dumps({"document": "lead", "id": lead}).encode()
