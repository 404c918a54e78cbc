"""Batches whose entries are signed one by one, as Adyen's: all must be right, and a captured one starts no more."""

from __future__ import annotations

import hmac
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from relay.core.errors import ConfigError, NotVerifiedError
from relay.sources import Source, Webhook, load_sources
from relay.sources.proof import signatures
from relay.sources.signing import sign
from tests.support.senders import JSON

NOW = datetime(2026, 1, 31, 10, 0, tzinfo=UTC)
KEY = "the-secret-of-the-test"
ITEM = "NotificationRequestItem"
VERIFY = {
    "kind": "hmac",
    "field": f"{ITEM}.additionalData.hmacSignature",
    "signed": f"{{field:{ITEM}.pspReference}}:{{field:{ITEM}.amount.value}}:{{field:{ITEM}.eventCode}}",
    "entries": True,
}
RULE = {
    "name": "any",
    "source": "one",
    "start": {"portal": "main", "template_id": 1, "document_id": {"lead": "1"}, "parameters": {}},
}


def item(reference: str, value: Any = 1_000, code: str = "AUTHORISATION", signed: str | None = None) -> dict[str, Any]:
    text = f"{reference}:{value}:{code}" if signed is None else signed
    signature = hmac.digest(KEY.encode(), text.encode(), "sha256").hex()
    amount = {"value": value, "currency": "EUR"}
    return {
        ITEM: {
            "pspReference": reference,
            "amount": amount,
            "eventCode": code,
            "additionalData": {"hmacSignature": signature},
        }
    }


def source_of(folder, verify: Any = VERIFY, **more: Any) -> Source:
    path = folder / "sources.yaml"
    entry = {"verify": verify, "secrets": ["SECRET"], "each": "body.notificationItems", **more}
    path.write_text(yaml.safe_dump({"sources": {"one": entry}}), "utf-8")
    return load_sources(path, {"SECRET": KEY})["one"]


@pytest.fixture
def source(tmp_path):
    return source_of(tmp_path)


def batch(*items: Any, **around: Any) -> Webhook:
    body = json.dumps({"live": "false", "notificationItems": list(items)} | around).encode()
    return Webhook(headers={"Content-Type": JSON}, body=body)


def reason(source: Source, webhook: Webhook) -> str:
    with pytest.raises(NotVerifiedError) as caught:
        source.verify(webhook, NOW)
    return caught.value.reason


def test_a_batch_is_believed_if_every_entry_is_signed_right(source):
    verified = source.verify(batch(item("A"), item("B")), NOW)

    assert len(source.split(source.parse(verified), verified.headers)) == 2


FORGED = {
    "no entries": ([], "signature_missing"),
    "a changed entry": ([item("A"), item("B", 9_999, signed="B:1000:AUTHORISATION")], "signature_mismatch"),
    "an unsigned entry at the end": ([item("A"), {ITEM: {"pspReference": "B"}}], "signature_missing"),
    "an unsigned entry at the beginning": ([{}, item("A")], "signature_missing"),
    "an entry that is text": ([item("A"), "B"], "signature_missing"),
    "an entry that is null": ([item("A"), None], "signature_missing"),
    "a list as an entry": ([item("A"), [item("B")]], "signature_missing"),
}


@pytest.mark.parametrize(("items", "expected"), FORGED.values(), ids=FORGED)
def test_one_entry_without_its_own_right_signature_refuses_the_whole_batch(source, items, expected):
    assert reason(source, batch(*items)) == expected


def test_what_is_no_batch_is_proven_as_one_entry(source):
    body = json.dumps(item("A")).encode()
    assert source.verify(Webhook(headers={"Content-Type": JSON}, body=body), NOW)

    assert reason(source, Webhook(headers={"Content-Type": JSON}, body=b'{"a": 1}')) == "signature_missing"
    assert reason(source, Webhook(headers={"Content-Type": JSON}, body=b"{")) == "body_unreadable"
    assert reason(source, Webhook(headers={"Content-Type": JSON})) == "signature_missing"


def test_a_number_elsewhere_in_the_body_is_not_taken_for_that_of_an_entry(source):
    """A decimal number is signed as its sender wrote it, and so looked up in the text: in the entry's own."""
    forged = item("A", 99.5, signed="A:1000:AUTHORISATION")
    elsewhere = {ITEM: {"amount": {"value": 1_000}}}

    assert reason(source, batch(forged, **elsewhere)) == "signature_mismatch"
    assert source.verify(batch(item("A", 99.5)), NOW)


def test_a_right_token_does_not_save_a_batch_with_a_wrong_entry(tmp_path):
    source = source_of(tmp_path, [VERIFY, {"kind": "token", "header": "X-Token"}])

    def with_token(webhook: Webhook) -> Webhook:
        return Webhook(headers={"Content-Type": JSON, "X-Token": KEY}, body=webhook.body)

    assert source.verify(with_token(batch({"x": 1})), NOW)
    assert source.verify(batch(item("A")), NOW)
    assert reason(source, with_token(batch(item("A"), item("B", signed="x")))) == "signature_mismatch"
    assert reason(source, batch({"x": 1})) == "proof_missing"


def test_a_captured_entry_starts_nothing_again_alone_or_in_another_batch(relay, record):
    client = relay({"one": {"verify": VERIFY, "secrets": ["SECRET"], "each": "body.notificationItems", "once": True}},
                   [RULE], {"SECRET": KEY})  # fmt: skip

    def post(*items: Any) -> int:
        webhook = batch(*items)
        answer = client.post("/hooks/one", data=webhook.body, headers={"Content-Type": JSON})
        return answer.status_code

    assert post(item("A"), item("B")) == 200
    assert record.counts().total == 2
    assert [post(item("B")), post(item("B"), item("A")), post(item("A"), item("A"), item("B"))] == [200] * 3
    assert record.counts().total == 2
    assert post(item("C"), item("A")) == 200
    assert record.counts().total == 3


def test_the_relay_signs_every_entry_of_a_sample(source):
    bare = [{ITEM: {**item(name)[ITEM], "additionalData": {"x": 1}}} for name in "AB"]
    webhook = sign(source, batch(*bare), NOW)

    assert source.verify(webhook, NOW)
    assert json.loads(webhook.body)["notificationItems"][1][ITEM]["additionalData"]["x"] == 1


def test_of_a_batch_with_a_wrong_first_entry_no_other_is_looked_at(source, monkeypatch):
    checked: list[Any] = []
    real = signatures.DigestVerifier.is_right
    monkeypatch.setattr(signatures.DigestVerifier, "is_right", lambda *given: checked.append(given) or real(*given))

    assert reason(source, batch(item("A", signed="x"), *(item(str(number)) for number in range(900)))) == (
        "signature_mismatch"
    )
    assert len(checked) == 1


def test_a_batch_with_more_entries_than_allowed_is_refused(source):
    body = json.dumps({"notificationItems": [0] * 3_001}).encode()

    assert reason(source, Webhook(headers={"Content-Type": JSON}, body=body)) == "signature_missing"


@pytest.mark.parametrize(
    "change",
    [
        {"signed": "{body}"},
        {"signed": "{field:a}{body_sha256}"},
        {"signed": "{fields}{field:a}"},
        {"field": None, "header": "X-Sign"},
        {"entries": False},
    ],
    ids=str,
)
def test_a_proof_of_entries_over_the_whole_body_is_a_mistake(tmp_path, change):
    with pytest.raises(ConfigError) as caught:
        source_of(tmp_path, VERIFY | change)

    assert ("expected field, and signed with {field:..}" in str(caught.value)) == bool(change.get("entries", True))


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    return source_of(tmp_path_factory.mktemp("entries"))


VALUES = st.recursive(
    st.none() | st.integers() | st.text(max_size=6),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["notificationItems", ITEM, "pspReference", "0", "1", "x"]), inner, max_size=3
        )
    ),
    max_leaves=10,
)


@given(VALUES)
def test_nothing_that_is_unsigned_is_believed_whatever_its_shape(shared, content):
    body = json.dumps({"notificationItems": content}).encode()

    assert reason(shared, Webhook(headers={"Content-Type": JSON}, body=body)) in {
        "signature_missing",
        "signature_mismatch",
        "body_unreadable",
    }


@given(st.lists(st.tuples(st.text("AB", min_size=1, max_size=2), st.booleans()), max_size=6))
def test_a_batch_is_believed_exactly_if_all_of_it_is_right_and_each_entry_is_covered(shared, shape):
    webhook = batch(*(item(name, signed=None if is_right else "x") for name, is_right in shape))
    if shape and all(is_right for _, is_right in shape):
        verified = shared.verify(webhook, NOW + timedelta(days=9))
        assert verified.coverage is not None
        assert len(verified.coverage.entries) == len(shape)
        assert len({one.digest for one in verified.coverage.entries}) == len({name for name, _ in shape})
    else:
        assert reason(shared, webhook).startswith("signature_")
