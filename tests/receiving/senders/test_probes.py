"""What senders ask to see whether somebody is there: answered as they want it, counted, and never an event."""

from __future__ import annotations

import hashlib
import hmac
import json

import pytest

from relay.core.lifecycle import EventState
from relay.store.record.search import Filter, list_events
from relay.store.store import Store
from tests.support.configs import rule_of
from tests.support.folders import WEB_SECRETS
from tests.support.senders import JSON

KEY = "the-secret-of-the-test"
SECRETS = {"KEY": KEY, "VERIFY": "the-verify-token", "CODE": "a1b2c3"}
SIGNED = {"kind": "hmac", "header": "X-Sign", "secrets": ["KEY"]}


def signed(body: bytes) -> dict[str, str]:
    return {"Content-Type": JSON, "X-Sign": hmac.new(KEY.encode(), body, hashlib.sha256).hexdigest()}


META = {
    "verify": SIGNED,
    "methods": ["GET", "POST"],
    "verify_token": "VERIFY",
    "probes": [
        {
            "when": "method == 'GET'",
            "open": True,
            "secret": "verify_token",
            "given": 'query."hub.verify_token"',
            "answer": {"body": '{query."hub.challenge"}'},
        }
    ],
}
ZOOM = {
    "verify": SIGNED,
    "probes": [
        {
            "when": "body.event == 'endpoint.url_validation'",
            "answer": {"body": {"plainToken": "{body.plain}", "encryptedToken": "{hmac:body.plain}"}},
        }
    ],
}
VK = {
    "verify": {"kind": "token", "field": "secret", "secrets": ["KEY"]},
    "confirmation": "CODE",
    "probes": [{"when": "body.type == 'confirmation'", "open": True, "answer": {"body": "{secret:confirmation}"}}],
    "answer": {"body": "ok"},
}
TRELLO = {
    "verify": SIGNED,
    "methods": ["HEAD", "OPTIONS", "POST"],
    "probes": [
        {"when": "method == 'HEAD'", "open": True, "answer": {}},
        {
            "when": "method == 'OPTIONS'",
            "open": True,
            "answer": {"status": 204, "headers": {"WebHook-Allowed-Origin": '{headers."webhook-request-origin"}'}},
        },
    ],
}
GET = "?hub.mode=subscribe&hub.challenge=1158201444&hub.verify_token="


@pytest.fixture
def client(relay):
    sources = {"meta": META, "zoom": ZOOM, "vk": VK, "trello": TRELLO}
    return relay(sources, [rule_of("vk", kind="body.type")], SECRETS)


def test_a_challenge_is_answered_to_who_knows_the_verify_token(client, record):
    answer = client.get(f"/hooks/meta{GET}the-verify-token")

    assert (answer.status_code, answer.text) == (200, "1158201444")
    assert answer.content_type == "text/plain; charset=utf-8"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert record.counts().total_events == 0


@pytest.mark.parametrize(("token", "reason"), [("another", "token_mismatch"), ("", "token_missing")])
def test_a_challenge_without_the_right_token_is_refused_and_on_record(client, record, token, reason):
    answer = client.get(f"/hooks/meta{GET}{token}")

    assert (answer.status_code, answer.get_json()["detail"]) == (401, "not verified")
    (row,) = list_events(record, Filter()).rows
    assert (row.event.state, row.event.reason, row.event.query) == (EventState.REFUSED, reason, "")


def test_a_signed_probe_is_answered_with_a_digest_and_a_wrong_one_is_refused(client, record):
    body = b'{"event": "endpoint.url_validation", "plain": "qgg8vlvZRS6UYooatFL8Aw"}'

    answer = client.post("/hooks/zoom", data=body, headers=signed(body))
    wrong = client.post("/hooks/zoom", data=body, headers=signed(body + b" "))

    # printf %s qgg8vlvZRS6UYooatFL8Aw | openssl dgst -sha256 -hmac the-secret-of-the-test
    digest = "f123cc50246f7cbb1f6ed81ebad0b60a4677d6208d529643f420f7aac5815373"
    assert answer.get_json() == {"plainToken": "qgg8vlvZRS6UYooatFL8Aw", "encryptedToken": digest}
    assert (answer.content_type, wrong.status_code) == (JSON, 401)
    assert record.counts().total_events == 1, "only the refused one"


def test_a_probe_is_no_event_and_an_event_is_no_probe(client, record):
    probe = client.post("/hooks/vk", json={"type": "confirmation", "group_id": 1})
    event = client.post("/hooks/vk", json={"type": "message_new", "secret": KEY})
    stranger = client.post("/hooks/vk", json={"type": "message_new"})

    assert (probe.status_code, probe.text) == (200, "a1b2c3")
    assert (event.status_code, event.text, event.content_type) == (200, "ok", "text/plain; charset=utf-8")
    assert stranger.status_code == 401
    states = [row.event.state for row in list_events(record, Filter()).rows]
    assert sorted(states) == [EventState.ACCEPTED, EventState.REFUSED]


def test_a_token_in_the_body_is_not_kept(client, record):
    client.post("/hooks/vk", json={"type": "message_new", "secret": KEY, "text": "hello"})

    (row,) = list_events(record, Filter()).rows
    assert json.loads(row.event.body) == {"type": "message_new", "secret": "***", "text": "hello"}


def test_head_and_options_are_answered_where_the_source_names_them(client, record):
    head = client.head("/hooks/trello")
    options = client.options("/hooks/trello", headers={"WebHook-Request-Origin": "events.example.com"})

    assert (head.status_code, head.data) == (200, b"")
    assert (options.status_code, options.headers["WebHook-Allowed-Origin"]) == (204, "events.example.com")
    assert client.head("/hooks/zoom").status_code == 405
    assert record.counts().total_events == 0


def test_probes_are_counted_by_source_where_people_and_machines_look(client, valkey, record):
    for _ in range(3):
        client.head("/hooks/trello")

    with_probes = Store.open(valkey.url).senders.probes(["trello", "zoom"])
    assert (with_probes["trello"].count, with_probes["zoom"].count) == (3, 0)
    assert with_probes["trello"].last_at is not None
    assert record.counts().since_start["event:probe"] == 3
    metrics = client.get("/metrics", environ_base={"REMOTE_ADDR": "127.0.0.1"}).text
    assert 'relay_probes_total{source="trello"} 3.0' in metrics


def test_the_page_of_sources_shows_profile_probes_and_what_is_kept(client):
    client.head("/hooks/trello")
    client.post(
        "/login", data={"password": WEB_SECRETS["RELAY_DASHBOARD_PASSWORD"]}, headers={"Origin": "http://localhost"}
    )

    page = client.get("/sources?open=trello").text

    assert "1 answered, last " in page


def test_nothing_found_is_an_empty_text_and_braces_can_be_written(relay):
    source = {
        "verify": {"kind": "none"},
        "probes": [
            {
                "when": "body.ask",
                "open": True,
                "answer": {"body": "{{{body.none}}} {body.list} {body.yes} {body.number} {body.text}"},
            }
        ],
    }
    client = relay({"open": source})

    answer = client.post("/hooks/open", json={"ask": 1, "list": ["a", 1], "yes": True, "number": 1.5, "text": "{x}"})

    assert answer.text == '{} ["a",1] true 1.5 {x}'


@pytest.mark.parametrize("status", [200, 202])
def test_an_answer_may_name_the_event_that_it_is_for(relay, status):
    source = {
        "verify": {"kind": "none"},
        "answer": {"status": status, "headers": {"X-Event": "{event.event_id}"}, "body": {"state": "{event.state}"}},
    }
    client = relay({"open": source})

    answer = client.post("/hooks/open", json={"a": 1})

    assert (answer.status_code, answer.get_json()) == (status, {"state": "ignored"})
    assert answer.headers["X-Event"].startswith("evt_")
