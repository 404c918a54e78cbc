"""Events, deliveries and attempts: what they show, and what they keep to themselves."""

from __future__ import annotations

import json
from dataclasses import FrozenInstanceError, replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.core.events import Attempt
from relay.core.ids import from_ms, iso
from relay.core.lifecycle import State, Verdict
from tests.support.making import NOON, make_attempt, make_delivery, make_entry

ATTEMPTS = st.builds(
    Attempt,
    number=st.integers(1, 100),
    at=st.integers(0, 4_000_000_000_000).map(from_ms),
    duration_ms=st.integers(0, 100_000),
    verdict=st.sampled_from(Verdict),
    status=st.none() | st.integers(100, 599),
    code=st.none() | st.text(),
    description=st.none() | st.text(),
    batch_size=st.integers(1, 50),
    step=st.text(max_size=64),
)


@given(ATTEMPTS)
def test_an_attempt_comes_back_from_its_wire_form_as_it_was(attempt):
    assert Attempt.from_wire(json.loads(json.dumps(attempt.to_wire()))) == attempt


def test_an_attempt_that_an_earlier_version_has_written_was_one_to_start():
    wire = make_attempt().to_wire()
    del wire["step"]

    assert Attempt.from_wire(wire) == make_attempt()


def test_a_delivery_shows_its_call_and_its_attempts_in_the_words_of_the_api():
    delivery = replace(
        make_delivery("evt_1"),
        state=State.RETRYING,
        attempts=(make_attempt(Verdict.THROTTLED),),
        next_attempt_at=NOON + timedelta(seconds=15),
    )

    assert json.loads(json.dumps(delivery.to_wire())) == {
        "id": delivery.id,
        "event_id": "evt_1",
        "rule": "a-rule",
        "portal": "main",
        "state": "retrying",
        "call": {
            "template_id": 1,
            "document_id": ["crm", "CCrmDocumentLead", "LEAD_1"],
            "parameters": {"Parameter1": "user_1"},
        },
        "workflow_id": None,
        "reason": None,
        "errors": {},
        "codes": {},
        "steps": [],
        "watch": None,
        "attempts": [
            {
                "number": 1,
                "at": "2026-06-01T12:00:00.000+00:00",
                "duration_ms": 12,
                "verdict": "throttled",
                "status": 200,
                "code": None,
                "description": "täxt",
                "batch_size": 1,
                "step": "",
            }
        ],
        "next_attempt_at": "2026-06-01T12:00:15.000+00:00",
        "created_at": "2026-06-01T12:00:00.000+00:00",
        "updated_at": "2026-06-01T12:00:00.000+00:00",
        "replay_of": None,
        "comment": None,
    }
    assert delivery.next_number == 2


def test_an_event_shows_its_body_as_text_whatever_the_bytes():
    wire = make_entry(body=b"\xff{").event.to_wire()

    assert wire["body"] == "�{"
    assert wire["state"] == "accepted"
    assert json.loads(json.dumps(wire)) == wire


def test_what_a_sender_sent_is_in_no_repr():
    entry = make_entry(body=b"the-body")
    event = replace(entry.event, headers={"x": "the-header"}, query="q=the-query")
    shown = repr((event, entry.deliveries))

    assert event.id in shown
    assert not [word for word in ("the-body", "the-header", "the-query", "user_1") if word in shown]


@pytest.mark.parametrize(
    ("frozen", "name"), [(make_entry().event, "state"), (make_delivery("evt_1"), "state"), (make_attempt(), "number")]
)
def test_nothing_on_record_can_be_changed_in_passing(frozen, name):
    with pytest.raises(FrozenInstanceError):
        setattr(frozen, name, None)


def test_a_time_is_written_with_milliseconds_and_its_offset():
    assert iso(NOON + timedelta(microseconds=1500)) == "2026-06-01T12:00:00.001+00:00"
