"""Who is not proven: a 401 that says nothing; the reason is in the record only, and no body is kept."""

from __future__ import annotations

import pytest

from relay.core.lifecycle import EventState
from relay.store.record.search import Filter, list_events
from tests.support.folders import SECRETS
from tests.support.senders import JSON, SEED, dump, github, stamped, website

BODY = dump(SEED)
TYPE = {"Content-Type": JSON}
STAMPED = stamped(BODY)

UNPROVEN = [
    ("website", TYPE, "token_missing"),
    ("website", {**TYPE, "X-Relay-Token": ""}, "token_missing"),
    ("website", {**TYPE, "X-Relay-Token": "wrong"}, "token_mismatch"),
    ("website", {**TYPE, "X-Relay-Token": SECRETS["SOURCE_WEBSITE_TOKEN"] + "x"}, "token_mismatch"),
    ("website", {**TYPE, "X-Relay-Token": SECRETS["SOURCE_GITHUB_SECRET"]}, "token_mismatch"),
    ("website", {**TYPE, "X-Relay-Token": "\xff\xfe"}, "token_mismatch"),
    ("in-query", TYPE, "token_missing"),
    ("github", TYPE, "signature_missing"),
    ("github", {**github(b"other", "push")}, "signature_mismatch"),
    ("github", {**github(BODY, "push"), "X-Hub-Signature-256": "sha256=00"}, "signature_mismatch"),
    ("github", {**github(BODY, "push"), "X-Hub-Signature-256": "sha1=00"}, "signature_missing"),
    ("stamped", {**TYPE, "X-Time": "1"}, "signature_missing"),
    ("stamped", {**STAMPED, "X-Time": ""}, "timestamp_missing"),
    ("stamped", {**STAMPED, "X-Time": "yesterday"}, "timestamp_unreadable"),
    ("stamped", {**STAMPED, "X-Time": "9" * 400}, "timestamp_unreadable"),
    ("stamped", stamped(BODY, age_s=3600), "timestamp_stale"),
    ("stamped", stamped(BODY, age_s=-3600), "timestamp_future"),
    ("stamped", {**STAMPED, "X-Time": str(int(STAMPED["X-Time"]) + 1)}, "signature_mismatch"),
]


@pytest.fixture
def client(app):
    return app.test_client()


@pytest.mark.parametrize(("source", "headers", "reason"), UNPROVEN)
def test_an_unproven_sender_learns_nothing_and_we_learn_why(client, record, source, headers, reason):
    answer = client.post(f"/hooks/{source}?id=secret-id", data=BODY, headers=headers)

    assert answer.status_code == 401
    assert answer.content_type == "application/problem+json"
    assert answer.get_json() == {
        "type": "about:blank",
        "title": "Unauthorized",
        "status": 401,
        "detail": "not verified",
    }
    (row,) = list_events(record, Filter()).rows
    assert (row.event.state, row.event.reason, row.event.source) == (EventState.REFUSED, reason, source)
    assert (row.event.body, row.event.headers, row.event.query) == (b"", {}, "")


def test_every_refusal_answers_alike(client):
    answers = {client.post(f"/hooks/{source}", data=BODY, headers=headers).data for source, headers, _ in UNPROVEN}

    assert len(answers) == 1


def test_proof_comes_before_reading(client):
    answer = client.post("/hooks/website", data=b"{broken", headers=TYPE)

    assert answer.status_code == 401


def test_who_is_proven_in_time_gets_in(client):
    assert client.post("/hooks/stamped", data=BODY, headers=stamped(BODY, age_s=250)).status_code == 200
    assert client.post("/hooks/stamped", data=BODY, headers=stamped(BODY, age_s=-250)).status_code == 200


def test_a_refused_sender_claims_no_dedup_key(client):
    body = dump({**SEED, "submission_id": "s"})
    client.post("/hooks/website", data=body, headers=TYPE)

    assert client.post("/hooks/website", data=body, headers=website()).get_json()["duplicate"] is False


def test_a_refusal_needs_no_record(client, valkey, record):
    valkey.make_read_only()

    assert client.post("/hooks/website", data=BODY, headers=TYPE).status_code == 401
