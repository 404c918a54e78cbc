"""An answer with a digest signs nothing for a stranger, and a tail that nobody signs makes no second event."""

from __future__ import annotations

import hashlib
import hmac

import pytest

from relay.configuration.files import Mistakes
from relay.sources import load_sources
from tests.support.configs import rule_of, write_config
from tests.support.senders import JSON

KEY = "the-secret-of-the-test"
SIGNED = {"verify": {"kind": "hmac", "header": "X-Sign"}, "secrets": ["KEY"]}
SIGNING = {
    "a computed HMAC": {"body": "{computed:x}", "computed": {"x": {"kind": "hmac", "of": "{body.text}"}}},
    "a digest with the secret": {
        "body": "{computed:x}",
        "computed": {"x": {"kind": "hash", "of": "{body.text}{secret}"}},
    },
}


def mistakes_of(folder, probe):
    mistakes = Mistakes()
    source = {**SIGNED, "verify_token": "TOKEN", "probes": [probe]}
    if "secret" not in probe:
        del source["verify_token"]
    load_sources(
        write_config(folder / "config", {"one": source}, []) / "sources.yaml",
        {"KEY": KEY, "TOKEN": KEY[::-1]},
        mistakes,
    )
    return [mistake.keys for mistake in mistakes]


@pytest.mark.parametrize("answer", SIGNING.values(), ids=SIGNING)
def test_no_probe_signs_a_text_for_whoever_asks(tmp_path, answer):
    probe = {"when": "body.ask", "answer": answer}
    assert mistakes_of(tmp_path / "proven", probe) == []
    assert (
        mistakes_of(tmp_path / "guarded", {**probe, "open": True, "secret": "verify_token", "given": "query.t"}) == []
    )
    assert mistakes_of(tmp_path / "open", {**probe, "open": True}) == [("sources", "one", "probes", 0, "answer")]


TEXTS = [
    '{"id": 1}', "a=1", "a&b", "1780315200.x", "v0:1", "a b", "ключ", "a" * 201, "hmacsha256=a", "", "a=", "YQ==",
]  # fmt: skip


@pytest.mark.parametrize("text", TEXTS)
def test_an_open_probe_signs_no_text_that_could_be_an_event(relay, text):
    probe = {"when": "query.code", "open": True, "answer": {"body": "={hmac:query.code}"}}
    client = relay({"one": {**SIGNED, "methods": ["GET", "POST"], "probes": [probe]}}, [], {"KEY": KEY})

    said = client.get("/hooks/one", query_string={"code": text})

    assert hmac.new(KEY.encode(), text.encode(), "sha256").hexdigest() not in said.text


@pytest.mark.parametrize("code", ["b1c2-d3_E4", "NGM2YzZhZDU"])
def test_an_open_probe_signs_the_code_of_a_challenge(relay, code):
    """As LinkedIn and X check an address."""
    answer = {"body": {"code": "{query.code}", "response": "{hmac:query.code}"}}
    probe = {"when": "query.code", "open": True, "answer": answer}
    client = relay({"one": {**SIGNED, "methods": ["GET", "POST"], "probes": [probe]}}, [], {"KEY": KEY})

    said = client.get("/hooks/one", query_string={"code": code})

    assert said.get_json() == {"code": code, "response": hmac.new(KEY.encode(), code.encode(), "sha256").hexdigest()}


@pytest.mark.parametrize("code", ["1780315200", "true", "buy"])
@pytest.mark.parametrize("content_type", [JSON, "application/x-www-form-urlencoded"])
def test_a_code_that_a_probe_has_signed_is_no_event(relay, record, code, content_type):
    probe = {"when": "query.code", "open": True, "answer": {"body": "{hmac:query.code}"}}
    client = relay({"one": {**SIGNED, "methods": ["GET", "POST"], "probes": [probe]}}, [], {"KEY": KEY})
    signature = client.get("/hooks/one", query_string={"code": code}).text

    said = client.post("/hooks/one", data=code, headers={"Content-Type": content_type, "X-Sign": signature})

    assert (said.status_code, record.counts().total) == (401, 0)


def test_a_digest_of_no_secret_may_be_answered_to_anybody(tmp_path):
    answer = {"body": "{computed:x}", "computed": {"x": {"kind": "hash", "of": "{body.text}"}}}
    assert mistakes_of(tmp_path, {"when": "body.ask", "open": True, "answer": answer}) == []


def test_a_refused_request_gets_no_digest(relay):
    answer = {"body": "{computed:x}", "computed": {"x": {"kind": "hash", "of": "{body.text}{secret}"}}}
    client = relay({"one": {**SIGNED, "answer": answer}}, [], {"KEY": KEY})
    refused = client.post("/hooks/one", json={"text": "a"}, headers={"X-Sign": "0" * 64})
    assert refused.status_code == 401
    assert hashlib.sha256(b"a" + KEY.encode()).hexdigest() not in refused.text


def test_a_captured_request_starts_nothing_under_another_tail(relay, record):
    source = {**SIGNED, "tails": ["call", "summary"], "dedup": {"from": "[tail, body.id]"}}
    client = relay({"one": source}, [rule_of("one", tail="tail")], {"KEY": KEY})
    body = b'{"id": 1}'
    headers = {"Content-Type": JSON, "X-Sign": hmac.new(KEY.encode(), body, "sha256").hexdigest()}

    said = [client.post(f"/hooks/one{tail}", data=body, headers=headers) for tail in ("/call", "/summary", "", "/call")]

    assert [answer.get_json()["duplicate"] for answer in said] == [False, True, True, True]
    assert record.counts().total == 1
