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
    "the HMAC of a value": {"body": "{hmac:body.text}"},
    "the same in a header": {"headers": {"X-Sum": "{hmac-base64:body.text}"}},
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
