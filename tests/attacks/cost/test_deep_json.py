"""JSON that is too deep and numbers that are too long are mistakes of who sends them, never errors of ours."""

from __future__ import annotations

import json

import pytest

from tests.support.folders import WEB_SECRETS
from tests.watching.conftest import enter

DEEP = "[" * 100_000 + "]" * 100_000
DEEP_MAP = '{"a":' * 100_000 + "1" + "}" * 100_000
LONG = "9" * 5_000
JSON = {"Authorization": f"Bearer {WEB_SECRETS['RELAY_API_TOKEN']}", "Content-Type": "application/json"}


def endpoints(app, method):
    """Every address of the API for this method, with something in the place of each argument."""
    for rule in app.url_map.iter_rules():
        if rule.rule.startswith("/api/v1/") and method in rule.methods:
            path = rule.rule
            for argument in rule.arguments:
                path = path.replace(f"<{argument}>", {"name": "main"}.get(argument, "dlv_x"))
            yield path


@pytest.mark.parametrize(
    "text",
    [
        DEEP,
        DEEP_MAP,
        f'{{"source": "website", "body": {DEEP}}}',
        f'{{"filter": {DEEP_MAP}}}',
        f'{{"rules": {LONG}}}',
        f'{{"source": "website", "body": {LONG}}}',
        f'{{"source": "website", "body": {{"lead": {{"id": {"9" * 4300}}}, "user": 1}}}}',
        f'{{"source": "website", "body": {{"document": "lead", "id": {"9" * 4000}, "x": 1e999}}}}',
        f'{{"filter": {{"template_id": {LONG}}}, "dry_run": true}}',
        f'{{"filter": {{"template_id": {"9" * 4000}}}, "dry_run": true}}',
        f'{{"filter": {{"template_id": "{LONG}"}}, "dry_run": true}}',
        f'{{"as": "dead", "note": {LONG}}}',
        '{"source": "website", "body": NaN}',
        json.dumps({"source": "website", "body": DEEP}),
        json.dumps({"source": "website", "body": LONG}),
        json.dumps({"source": "website", "body": f'{{"lead": {{"id": {LONG}}}, "user": 1}}'}),
    ],
    ids=range(16),
)
@pytest.mark.parametrize("key", [{}, {"Idempotency-Key": "1"}])
def test_no_body_makes_an_error_of_ours(app, text, key):
    for path in endpoints(app, "POST"):
        answer = app.test_client().post(path, data=text, headers=JSON | key)

        assert answer.status_code < 500, (path, answer.text)
        assert answer.content_type in {"application/json", "application/problem+json"}
        if text in {DEEP, DEEP_MAP} and answer.status_code != 404:
            assert answer.status_code in {400, 422} or "/portals/" in path or "/workflows/" in path, (path, answer.text)


@pytest.mark.parametrize("value", [LONG, f"-{LONG}", "9" * 4_300, "1e999", "٣", "0x10", DEEP[:5000]])
@pytest.mark.parametrize(
    "name", ["limit", "template_id", "cursor", "since", "until", "q", "state", "document_id", "code"]
)
def test_no_value_of_a_query_makes_an_error_of_ours(app, name, value):
    for path in ("/api/v1/events", "/api/v1/deliveries"):
        answer = app.test_client().get(path, query_string={name: value}, headers=JSON)
        assert answer.status_code in {200, 422}, (path, answer.text)
    client = enter(app, WEB_SECRETS["RELAY_DASHBOARD_PASSWORD"])
    for path in ("/events", "/deliveries", "/events.csv", "/find", "/bulk", "/"):
        answer = client.get(path, query_string={name: value}, headers={"Accept": "text/html"})
        assert answer.status_code < 500, (path, answer.text)
