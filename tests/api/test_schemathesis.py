"""The API keeps to its own document: whatever is sent, no 500, no answer and no body that the document does not know.

A small budget, the same examples each time, so that the suite stays fast. To look longer:

    RELAY_EXAMPLES=500 .venv/bin/pytest tests/api/test_schemathesis.py
"""

from __future__ import annotations

import contextlib
import os

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings, strategies
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    ignored_auth,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from relay.core.lifecycle import EventState, State
from relay.store.record.search import Filter
from tests.support.folders import WEB_SECRETS
from tests.support.making import NOON, bring_to, make_entry, write

EXAMPLES = int(os.environ.get("RELAY_EXAMPLES", "8"))
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    unsupported_method,
    ignored_auth,
]


@pytest.fixture
def known(app, record):
    """What is on record by the name of a parameter: chance alone would meet nothing but 404."""
    house = app.extensions["services"]
    deliveries = [bring_to(record, state) for state in (*State, *State)]
    rejected = [
        make_entry([], state=EventState.REJECTED, body=b'{"form": "demo", "lead": {"id": 7}}') for _ in range(3)
    ]
    for entry in rejected:
        write(record, entry)
    return {
        "delivery_id": [one.id for one in deliveries],
        "event_id": [one.event.id for one in rejected] + [deliveries[0].event_id],
        "workflow_id": [one.workflow_id for one in deliveries if one.workflow_id],
        "name": ["main"],
        "source": ["website", "github", "open-form"],
        "replays_id": [house.bulk.begin(Filter(state=State.DEAD), "original", "test").id],
        "question_id": [house.questions.ask("main", "kill", "wf-1", NOON).id],
    }


@pytest.mark.parametrize("mode", list(GenerationMode), ids=str)
def test_every_answer_is_one_that_the_document_knows(app, known, mode, monkeypatch):
    # It tries many wrong tokens, and is to see what each is answered; not that it tries many.
    monkeypatch.setattr(app.extensions["services"].guard.guesses, "count", lambda _counters: None)
    operations = [found.ok() for found in schemathesis.openapi.from_wsgi("/api/openapi.json", app).get_all_operations()]

    assert len(operations) > 15
    for operation in operations:
        ask(operation, mode, known)


def ask(operation, mode, known):
    """Ask one operation so many different things; half of the time about something that is there."""
    headers = {"Authorization": f"Bearer {WEB_SECRETS['RELAY_API_TOKEN']}"}

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode), chosen=strategies.integers(0, 99))
    def check(case, chosen):
        given_by_chance = case.path_parameters, case.body if isinstance(case.body, dict) else {}
        for place in given_by_chance if chosen % 2 else ():
            for name in place.keys() & known.keys():
                place[name] = known[name][chosen // 2 % len(known[name])]
        case.call_and_validate(headers=headers, checks=CHECKS)

    # What cannot be made wrong (an address without parameters) has nothing to try in that mode.
    with contextlib.suppress(Unsatisfiable):
        check()
