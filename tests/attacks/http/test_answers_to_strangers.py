"""What a stranger may make the relay answer, keep or split: nothing that steers a browser, a proxy or a later proof."""

from __future__ import annotations

import hmac
import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.configuration.expressions import Expression
from relay.core.errors import ConfigError
from relay.core.ids import utc_now
from relay.core.lifecycle import EventState
from relay.sources import load_sources
from relay.sources.answers import LONGEST, LONGEST_HEADER, PLAIN, Answer, Given, Text
from relay.sources.events import MOST_BYTES, MOST_ENTRIES
from relay.store.record.search import Filter, list_events
from relay.store.store import Store
from tests.support.configs import rule_of, write_config
from tests.support.folders import WEB_SECRETS

NOW = utc_now()
HANDSHAKE = {
    "verify": {"kind": "hmac", "header": "X-Hook-Signature"},
    "probes": [
        {
            "when": 'headers."x-hook-secret"',
            "open": True,
            "keeps": 'headers."x-hook-secret"',
            "answer": {"headers": {"X-Hook-Secret": '{headers."x-hook-secret"}'}},
        }
    ],
}
SECRET = "the-secret-that-the-sender-gave"
ECHO = {
    "verify": {"kind": "none"},
    "methods": ["GET", "POST"],
    "probes": [
        {
            "when": "query.challenge || body.challenge",
            "open": True,
            "answer": {"headers": {"X-Echo": "{query.challenge}"}, "body": "{query.challenge || body.challenge}"},
        }
    ],
}


def signed(body, secret=SECRET):
    return {"Content-Type": "application/json", "X-Hook-Signature": hmac.digest(secret.encode(), body, "sha256").hex()}


# Answers.


@pytest.mark.parametrize(
    "value", ["<script>alert(1)</script>", "<svg onload=alert(1)>", "{{7*7}}", "\u202eevil", "a\0b"]
)
def test_what_is_echoed_is_plain_text_that_no_browser_takes_for_markup(relay, value):
    client = relay({"echo": ECHO})

    answer = client.post("/hooks/echo", json={"challenge": value})

    if "\0" in value:
        assert answer.status_code == 400
        return
    assert answer.text == value
    assert answer.content_type == "text/plain; charset=utf-8"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]


@pytest.mark.parametrize("value", ["a\r\nSet-Cookie: x=1", "a\nb", "a\x7fb", "\x00", "日本", "a\x85b", "\ud800"])
def test_no_header_of_an_answer_can_be_ended_by_what_was_sent(value):
    answer = Answer(200, PLAIN, {"X-Echo": Text.parse("v={body}", ["body"])}, Text(()))

    rendered = answer.render(Given(lambda _path: value, {}, NOW))

    assert rendered.headers["X-Echo"].isprintable()
    assert not set(rendered.headers["X-Echo"]) & set("\r\n\0\x7f\x85")
    rendered.headers["X-Echo"].encode("latin-1")


@given(st.text())
def test_any_text_can_stand_in_an_answer(value):
    answer = Answer(200, PLAIN, {"X-Echo": Text.parse("{body}", ["body"])}, {"a": [Text.parse("{body}", ["body"])]})

    rendered = answer.render(Given(lambda _path: value, {}, NOW))

    assert json.loads(rendered.body)["a"][0][:5] == value.encode("utf-8", "replace").decode()[:5]
    assert all(0x20 <= ord(character) <= 0xFF and character != "\x7f" for character in rendered.headers["X-Echo"])


def test_what_is_echoed_is_bounded(relay):
    client = relay({"echo": ECHO})

    answer = client.post("/hooks/echo", json={"challenge": "x" * 50_000})
    in_query = client.get(f"/hooks/echo?challenge={'y' * 5_000}")

    assert len(answer.data) == LONGEST
    assert len(in_query.headers["X-Echo"]) == LONGEST_HEADER


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ({"type": "text/html", "body": "{body.a}"}, "expected text/plain, JSON, text/xml"),
        ({"type": "image/svg+xml", "body": "<svg>{body.a}</svg>"}, "expected text/plain, JSON, text/xml"),
        ({"type": "TEXT/HTML; x=application/json", "body": "{body.a}"}, "expected text/plain, JSON, text/xml"),
        ({"type": "application/xhtml+xml", "body": {"a": "{body.a}"}}, "expected text/plain, JSON, text/xml"),
        ({"headers": {"Set-Cookie": "a=1"}}, "this header is the relay's own"),
        ({"headers": {"content-length": "1"}}, "this header is the relay's own"),
        ({"headers": {"X-Content-Type-Options": ""}}, "this header is the relay's own"),
        ({"headers": {"X Y": "1"}}, "expected the name of a header"),
        ({"body": "{secret:website}"}, "expected {secret:confirmation} or {secret:verify_token}"),
        ({"body": "{environ.PATH}"}, "'environ' is not in an event"),
        ({"body": "{body.a"}, "a lone '{'"),
        ({"status": 302}, "expected a whole number from 200 to 299"),
        ({"body": "{secret:confirmation}"}, "confirmation: missing"),
    ],
)
def test_an_answer_that_could_do_harm_is_a_mistake(tmp_path, answer, expected):
    source = {"verify": {"kind": "none"}, "probes": [{"when": "body.a", "open": True, "answer": answer}]}
    folder = write_config(tmp_path / "config", {"one": source}, [])

    with pytest.raises(ConfigError) as caught:
        load_sources(folder / "sources.yaml", {})

    assert expected in str(caught.value)


def test_a_secret_that_is_answered_with_is_in_no_repr():
    secrets = {"confirmation": b"hidden", "signing": b"hidden"}
    answer = Answer(None, PLAIN, {}, Text.parse("{secret:confirmation}{hmac:body}", ["body"]))

    rendered = answer.render(Given(Expression.parse("body", None).find, secrets, NOW))

    assert rendered.body.startswith(b"hidden")
    assert "hidden" not in repr(rendered)


# Handshakes.


@pytest.fixture
def asana(relay):
    return relay({"asana": HANDSHAKE}, [rule_of("asana", name="body.name")])


def test_the_first_secret_is_believed_and_a_stranger_cannot_put_another_in_its_place(asana, record):
    first = asana.post("/hooks/asana", headers={"X-Hook-Secret": SECRET})
    again = asana.post("/hooks/asana", headers={"X-Hook-Secret": SECRET})
    stranger = asana.post("/hooks/asana", headers={"X-Hook-Secret": "a-secret-of-somebody-else"})

    assert (first.status_code, first.headers["X-Hook-Secret"]) == (200, SECRET)
    assert again.status_code == 200
    assert (stranger.status_code, "X-Hook-Secret" in stranger.headers) == (401, False)
    body = b'{"name": "Ada"}'
    assert asana.post("/hooks/asana", data=body, headers=signed(body)).get_json()["state"] == "accepted"
    forged = signed(body, "a-secret-of-somebody-else")
    assert asana.post("/hooks/asana", data=body, headers=forged).status_code == 401
    reasons = {row.event.reason for row in list_events(record, Filter(EventState.REFUSED)).rows}
    assert reasons == {"handshake_repeated", "signature_mismatch"}


@pytest.mark.parametrize("secret", ["short", "x" * 301, "sécret-of-the-sender", "with\ttab-in-the-secret"])
def test_a_secret_that_is_none_is_not_kept(asana, valkey, secret):
    answer = asana.post("/hooks/asana", headers={"X-Hook-Secret": secret})

    assert answer.status_code == 401
    assert Store.open(valkey.url).senders.secret("asana") is None


def test_before_the_handshake_nobody_is_believed(asana):
    body = b'{"name": "Ada"}'

    assert asana.post("/hooks/asana", data=body, headers=signed(body, "")).status_code == 401
    assert asana.post("/hooks/asana", data=body, headers=signed(body)).status_code == 401


def test_where_the_secrets_are_configured_no_other_is_kept(relay, valkey):
    source = {**HANDSHAKE, "secrets": ["CONFIGURED"]}
    client = relay({"asana": source}, [], {"CONFIGURED": "the-configured-secret"})

    assert client.post("/hooks/asana", headers={"X-Hook-Secret": SECRET}).status_code == 200

    assert Store.open(valkey.url).senders.secret("asana") is None
    body = b'{"name": "Ada"}'
    assert client.post("/hooks/asana", data=body, headers=signed(body)).status_code == 401
    assert client.post("/hooks/asana", data=body, headers=signed(body, "the-configured-secret")).status_code == 200


def test_a_given_secret_is_shown_once_to_an_operator_and_forgotten_by_one(asana, valkey):
    asana.post("/hooks/asana", headers={"X-Hook-Secret": SECRET})
    senders, origin = Store.open(valkey.url).senders, {"Origin": "http://localhost"}
    for password, is_operator in (
        ("viewer-password-of-the-test", False),
        (WEB_SECRETS["RELAY_DASHBOARD_PASSWORD"], True),
    ):
        asana.post("/login", data={"password": password}, headers=origin)
        page = asana.get("/sources?open=asana").text
        assert SECRET not in page
        assert ("Show once" in page) is is_operator
        shown = asana.post("/sources/asana/secret/show", headers=origin)
        assert (shown.status_code, SECRET in shown.text) == ((200, True) if is_operator else (403, False))
    assert asana.post("/sources/asana/secret/show", headers=origin).status_code == 409
    assert SECRET not in asana.get("/sources?open=asana").text

    assert asana.post("/sources/asana/secret/forget", headers=origin).status_code == 303

    assert senders.secret("asana") is None
    assert asana.post("/hooks/asana", headers={"X-Hook-Secret": "the-next-secret-of-the-sender"}).status_code == 200
    acts = [(act.who, act.what, act.subject) for act in Store.open(valkey.url).operators.acts()]
    assert acts == [("operator", "forget secret", "asana"), ("operator", "reveal secret", "asana")]


# Probes.


def test_a_flood_of_probes_is_answered_and_costs_few_writes(relay, valkey):
    client = relay({"echo": ECHO})
    before = valkey.redis.info("commandstats").get("cmdstat_hincrby", {}).get("calls", 0)

    begin = time.monotonic()
    for _ in range(200):
        assert client.get("/hooks/echo?challenge=1").status_code == 200
    took = time.monotonic() - begin

    writes = valkey.redis.info("commandstats")["cmdstat_hincrby"]["calls"] - before
    assert writes <= 2 * (20 + 10 * took + 1)


# Batches.


@pytest.fixture
def open_batch(relay):
    source = {"verify": {"kind": "none"}, "each": "body.entry[].changes[]", "limit": {"events": 9000, "bytes": "99MB"}}
    return relay({"batch": source}, [], None)


def test_one_entry_more_than_allowed_is_refused_whole(open_batch, record):
    within = {"entry": [{"changes": [1] * (MOST_ENTRIES - 1)}, {"changes": [1]}]}
    beyond = {"entry": [{"changes": [1] * MOST_ENTRIES}, {"changes": [1]}]}

    answer = open_batch.post("/hooks/batch", json=beyond)

    assert (answer.status_code, answer.get_json()["detail"]) == (413, "more than 1,000 entries in one request")
    assert [row.event.state for row in list_events(record, Filter()).rows] == [EventState.REJECTED]
    assert len(open_batch.post("/hooks/batch", json=within).get_json()["events"]) == MOST_ENTRIES


def test_a_batch_that_would_weigh_more_with_what_stands_around_it_is_refused_whole(open_batch, record):
    """900 entries, and beside them what each of them would be kept with."""
    bomb = {"pad": "x" * 50_000, "entry": [{"changes": [1] * 900}]}
    assert MOST_BYTES < 900 * 50_000

    answer = open_batch.post("/hooks/batch", json=bomb)

    assert (answer.status_code, "weigh more than" in answer.get_json()["detail"]) == (413, True)
    assert record.counts().events[EventState.IGNORED] == 0


@pytest.mark.parametrize(
    "body",
    [
        {"entry": [{"changes": []}] * 3_000},
        {"entry": [[]] * 9_000},
        {"entry": {"changes": {"changes": {"changes": []}}}},
        {"entry": [None] * 500},
    ],
)
def test_a_batch_of_nothing_ends_soon(open_batch, body):
    begin = time.monotonic()

    assert open_batch.post("/hooks/batch", json=body).status_code in {200, 413}
    assert time.monotonic() - begin < 5
