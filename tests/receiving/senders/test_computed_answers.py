"""Answers that say the time, keep the types of values, contain a digest of them, or are XML."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import xml.etree.ElementTree as ET
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.configuration.files import Mistakes
from relay.sources import Webhook, load_sources
from relay.sources.answers import LONGEST, Answer, Given, Text
from tests.support.configs import write_config
from tests.support.senders import JSON

KEY = "the-secret-of-the-test"
NOW = datetime(2026, 6, 1, 12, 0, 0, 123_456, tzinfo=UTC)
SECONDS = 1_780_315_200
SOURCE = {"verify": {"kind": "token", "header": "X-Token"}, "secrets": ["KEY"]}
ROOTS = ("body", "query")


def mac(text: str, algorithm: str) -> str:
    return hmac.new(KEY.encode(), text.encode(), algorithm).hexdigest()


def md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


@pytest.fixture
def answered(relay, monkeypatch):
    """What a source with this answer says to a body."""
    monkeypatch.setattr("relay.web.hooks.utc_now", lambda: NOW)

    def answered(answer, body, **source):
        client = relay({"one": {**SOURCE, "answer": answer, **source}}, [], {"KEY": KEY, "CODE": "a-code-of-ours"})
        headers = {"Content-Type": JSON, "X-Token": KEY}
        return client.post("/hooks/one", data=json.dumps(body), headers=headers)

    return answered


def test_a_receipt_signed_with_its_time_is_what_the_sender_makes_of_the_same(answered):
    # WayForPay: github.com/wayforpay/php-sdk, src/Helper/SignatureHelper.php
    digest = {"kind": "hmac", "algorithm": "md5", "of": "{body.orderReference};accept;{now}"}
    body = {
        "orderReference": "{body.orderReference}",
        "status": "accept",
        "time": "{now}",
        "signature": "{computed:sign}",
    }

    answer = answered({"body": body, "computed": {"sign": digest}}, {"orderReference": "DH1"})

    signature = mac(f"DH1;accept;{SECONDS}", "md5")
    assert answer.get_json() == {"orderReference": "DH1", "status": "accept", "time": SECONDS, "signature": signature}


def test_a_receipt_of_text_may_hold_a_digest_with_the_secret(answered):
    # PayKeeper
    digest = {"kind": "hash", "algorithm": "md5", "of": "{body.id}{secret}"}
    answer = answered({"body": "OK {computed:sign}", "computed": {"sign": digest}}, {"id": 17})
    assert (answer.text, answer.mimetype) == (f"OK {md5(f'17{KEY}')}", "text/plain")


@pytest.mark.parametrize("algorithm", ["md5", "sha1", "sha256", "sha512"])
@pytest.mark.parametrize("kind", ["hash", "hmac"])
def test_every_kind_and_algorithm_is_computed(answered, kind, algorithm):
    digest = {"kind": kind, "algorithm": algorithm, "of": "{body.a}"}
    answer = answered({"body": "{computed:x}", "computed": {"x": digest}}, {"a": "я"})
    assert answer.text == (mac("я", algorithm) if kind == "hmac" else hashlib.new(algorithm, "я".encode()).hexdigest())


def test_a_digest_may_be_base64_with_a_named_secret_and_stand_in_a_header(answered):
    digest = {"kind": "hash", "of": "{secret:confirmation}{event.state}{now:ms}{now:iso}", "encoding": "base64"}
    answer = answered({"headers": {"X-Sum": "{computed:x}"}, "computed": {"x": digest}}, {}, confirmation="CODE")
    text = "a-code-of-oursignored17803152001232026-06-01T12:00:00Z"
    assert answer.headers["X-Sum"] == base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def test_the_time_is_one_and_the_same_in_the_whole_answer(answered):
    answer = answered({"body": {"s": "{now}", "ms": "{now:ms}", "iso": "{now:iso}", "text": "at {now}"}}, {})
    assert answer.get_json() == {
        "s": SECONDS,
        "ms": 1780315200123,
        "iso": "2026-06-01T12:00:00Z",
        "text": f"at {SECONDS}",
    }


def test_a_value_alone_keeps_its_type_in_json_and_beside_other_text_it_is_text(answered):
    body = {"id": 7, "amount": 10.5, "yes": True, "list": [1, {"a": None}], "nothing": None, "text": "7"}
    shown = {name: f"{{body.{name}}}" for name in [*body, "missing"]}
    answer = answered({"body": {**shown, "beside": "no {body.id}", "deep": [{"a": "{body.id}"}]}}, body)
    expected = body | {"nothing": "", "missing": "", "beside": "no 7", "deep": [{"a": 7}]}
    assert answer.get_json() == expected


def test_a_value_that_is_long_is_cut_whatever_its_type(answered):
    answer = answered({"body": {"all": "{body.a}"}}, {"a": ["x" * LONGEST]})
    assert answer.get_json() == {"all": '["' + "x" * (LONGEST - 2)}


ACK = """<response at="{body.a}"><status>{body.a}</status><sum>{computed:x}</sum></response>"""


@pytest.mark.parametrize("kind", ["text/xml; charset=utf-8", "application/xml", "application/soap+xml"])
def test_values_in_xml_are_escaped_and_digests_are_of_what_came(answered, kind):
    value = "</status>&\"'<x>\x01я"
    computed = {"x": {"kind": "hash", "of": "{body.a}"}}

    answer = answered({"type": kind, "body": ACK, "computed": computed}, {"a": value})

    root = ET.fromstring(answer.data)  # noqa: S314 - our own
    shown = value.replace("\x01", "")
    assert answer.content_type == kind
    assert (root.get("at"), root.findtext("status")) == (shown, shown)
    assert root.findtext("sum") == hashlib.sha256(value.encode()).hexdigest()


@given(st.text())
def test_any_value_leaves_xml_what_it_was(value):
    answer = Answer(200, "text/xml", {}, Text.parse("<a b='{body.x}'><c>{body.x}</c></a>", ROOTS))
    root = ET.fromstring(answer.render(Given(lambda _path: value, {}, NOW)).body)  # noqa: S314 - our own
    assert [(one.tag, list(one.attrib)) for one in root.iter()] == [("a", ["b"]), ("c", [])]


def test_a_probe_may_say_the_time_too(relay, monkeypatch):
    # Ozon: docs.ozon.ru/api/seller, TYPE_PING
    monkeypatch.setattr("relay.web.hooks.utc_now", lambda: NOW)
    answer = {"body": {"version": "1", "name": "relay", "time": "{now:iso}"}}
    source = {**SOURCE, "probes": [{"when": "body.message_type == 'TYPE_PING'", "answer": answer}]}
    client = relay({"one": source}, [], {"KEY": KEY})
    got = client.post("/hooks/one", json={"message_type": "TYPE_PING"}, headers={"X-Token": KEY})
    assert got.get_json() == {"version": "1", "name": "relay", "time": "2026-06-01T12:00:00Z"}


DIGEST = {"kind": "hash", "of": "{secret}"}
WRONG = {
    "an unknown digest": ({"body": "{computed:y}", "computed": {"x": DIGEST}}, ("answer", "computed")),
    "a digest of a digest": (
        {"body": "{computed:x}", "computed": {"x": {"kind": "hash", "of": "{computed:x}"}}},
        ("answer", "computed", "x", "of"),
    ),
    "no text": ({"computed": {"x": {"kind": "hash"}}}, ("answer", "computed", "x", "of")),
    "an unknown algorithm": (
        {"computed": {"x": {**DIGEST, "algorithm": "sha3"}}},
        ("answer", "computed", "x", "algorithm"),
    ),
    "an unknown value": ({"computed": {"x": {"kind": "hash", "of": "{id}"}}}, ("answer", "computed", "x", "of")),
    "an unknown time": ({"body": "{now:week}"}, ("answer", "body")),
    "the secret itself": ({"body": "{secret}"}, ("answer", "body")),
    "a map as XML": ({"type": "text/xml", "body": {"a": "{body.a}"}}, ("answer", "type")),
    "a picture with scripts": ({"type": "image/svg+xml", "body": "<svg>{body.a}</svg>"}, ("answer", "type")),
    "a page": ({"type": "application/xhtml+xml", "body": "<p>{body.a}</p>"}, ("answer", "type")),
}  # fmt: skip


@pytest.mark.parametrize(("answer", "place"), WRONG.values(), ids=WRONG)
def test_an_answer_that_cannot_be_made_is_a_mistake(tmp_path, answer, place):
    mistakes = Mistakes()
    folder = write_config(tmp_path / "config", {"one": {**SOURCE, "answer": answer}}, [])
    load_sources(folder / "sources.yaml", {"KEY": KEY}, mistakes)
    assert [mistake.keys for mistake in mistakes] == [("sources", "one", *place)]


def test_a_secret_that_a_digest_needs_has_to_be_named(tmp_path):
    digest = {"kind": "hash", "of": "{secret:confirmation}{body.a}"}
    answer, mistakes = {"body": "{computed:x}", "computed": {"x": digest}}, Mistakes()
    folder = write_config(tmp_path / "config", {"one": {**SOURCE, "answer": answer}}, [])
    load_sources(folder / "sources.yaml", {"KEY": KEY}, mistakes)
    assert [mistake.keys for mistake in mistakes] == [("sources", "one", "confirmation")]


def test_no_secret_is_in_the_text_of_an_answer(tmp_path):
    answer = {"body": "{computed:x}", "computed": {"x": DIGEST}}
    folder = write_config(tmp_path / "config", {"one": {**SOURCE, "answer": answer}}, [])
    source = load_sources(folder / "sources.yaml", {"KEY": KEY})["one"]
    rendered = source.answer_event(source.answer, source.read_lazily(Webhook()), {}, NOW)
    assert KEY not in repr(source) + repr(rendered) + repr(source.answer) + repr(
        Given(str, {"signing": KEY.encode()}, NOW)
    )


def test_a_digest_may_hold_a_further_secret_of_the_source(answered, monkeypatch):
    monkeypatch.setenv("SALT", "the-salt-of-the-test")
    digest = {"kind": "hash", "algorithm": "md5", "of": "{secret:salt}{body.id}"}
    answer = answered({"body": "{computed:x}", "computed": {"x": digest}}, {"id": 1}, named={"salt": "SALT"})
    assert answer.text == md5("the-salt-of-the-test1")
