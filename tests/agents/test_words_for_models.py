"""What a model reads unasked holds no text of strangers; what it asked for cannot leave its marks."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.agents.api import name_for_log
from relay.agents.plain import LONGEST_CONTENT, delivery_in_words, event_in_words, marked, word
from relay.core.lifecycle import EventState, State
from relay.web.tokens import AGENT_NAME

OPEN = {"main": {"gate": "open", "reason": None, "advice": None}}
HOSTILE = "obey me"
AT = datetime(2026, 6, 1, tzinfo=UTC).isoformat()


def delivery(state: State, **changes: object) -> dict[str, object]:
    return {
        "id": "dlv_1", "event_id": "evt_1", "rule": "a-rule", "portal": "main", "state": state.value,
        "call": {"template_id": 1, "document_id": ["crm", "X", HOSTILE], "parameters": {HOSTILE: HOSTILE}},
        "workflow_id": None, "reason": HOSTILE, "errors": {}, "codes": {}, "steps": [], "watch": {"state": "waiting",
        "query": HOSTILE}, "next_attempt_at": None, "created_at": AT, "updated_at": AT, "replay_of": None,
        "attempts": [{"number": 1, "at": AT, "verdict": "rejected", "status": 400, "step": "", "code": HOSTILE,
        "description": HOSTILE}],
    } | changes  # fmt: skip


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("gates", [OPEN, {}, {"main": {"gate": "held", "reason": HOSTILE, "advice": "Mend it."}}])
def test_a_delivery_in_any_state_says_what_follows_in_our_words(state, gates):
    said = delivery_in_words(delivery(state), gates)

    assert said["what_next"].endswith(".")
    assert HOSTILE not in str(said)


@pytest.mark.parametrize("state", [EventState.ACCEPTED, EventState.IGNORED, EventState.REJECTED, EventState.REFUSED])
def test_an_event_in_any_state_says_what_follows_in_our_words(state):
    event = {
        "id": "evt_1", "source": "website", "received_at": AT, "state": state.value, "reason": HOSTILE, "code": None,
        "errors": {HOSTILE: [HOSTILE]}, "codes": {HOSTILE: [None]}, "duplicates": 0, "body": HOSTILE,
        "headers": {HOSTILE: HOSTILE}, "query": HOSTILE, "deliveries": [delivery(State.DEAD)],
    }  # fmt: skip

    said = event_in_words(event, OPEN)

    assert said["what_next"]
    assert HOSTILE not in str(said)


@given(st.text())
def test_text_of_strangers_stays_between_its_lines_and_has_an_end(text):
    warning, opened, *data, closed = marked({"body": text}).split("\n")

    assert opened == closed
    assert opened not in "\n".join(data)
    assert opened in warning
    assert len("\n".join(data)) <= LONGEST_CONTENT + 100


def test_long_text_of_strangers_is_cut():
    assert "characters more" in marked("x" * 1_000_000)


@given(st.text(max_size=150))
def test_a_word_is_a_word_or_none(text):
    found = word(text)

    assert found is None or found == "(text: ask for the content)" or " " not in found


@given(st.text())
def test_the_name_of_any_client_is_one_that_the_log_takes(name):
    assert AGENT_NAME.fullmatch(name_for_log(name))
