"""A digest over a text that begins with the secret is no proof of a longer text, which anybody can compute from it."""

from __future__ import annotations

import hashlib
import json
import struct
from datetime import UTC, datetime

import pytest
import yaml

from relay.configuration.files import Mistakes
from relay.core.errors import NotVerifiedError
from relay.sources import Source, Webhook, load_sources
from relay.sources.loading import Profiles

NOW = datetime(2026, 1, 31, 10, 0, tzinfo=UTC)
SECRET = "0f8fad5b-d9cb-469f-a165-70867728950e"
URL = "https://relay.example.com/hooks/one"
BODY = json.dumps([{"objectId": 1, "propertyValue": "honest"}]).encode()
FIELD = 'Content-Disposition: form-data; name="objectId"'
FORGED = f"\r\n--B\r\n{FIELD}\r\n\r\n666\r\n--B--\r\n".encode()
OLD_WAY = {"kind": "hash", "header": "X-Sign", "signed": "{secret}{body}"}
SIZES = {"md5": 64, "sha1": 64, "sha256": 64, "sha384": 128, "sha512": 128}
"""Bytes of a block (FIPS 180-4; RFC 1321)."""


def padding(text: bytes, algorithm: str) -> bytes:
    """What the hash itself puts behind a text: whoever goes on from its digest has it in his text."""
    block = SIZES[algorithm]
    size = block // 8
    length = struct.pack("<Q" if algorithm == "md5" else ">Q", len(text) * 8).rjust(size, b"\0")
    return b"\x80" + b"\0" * ((block - size - 1 - len(text)) % block) + length


@pytest.fixture
def load(tmp_path):
    """Makes a source that is proven so."""

    def make(verify, profile=None) -> Source:
        entry = {"verify": verify} if profile is None else {"profile": profile}
        path = tmp_path / "sources.yaml"
        path.write_text(yaml.safe_dump({"sources": {"one": {**entry, "secrets": ["SECRET"]}}}), "utf-8")
        return load_sources(path, {"SECRET": SECRET})["one"]

    return make


def is_believed(source: Source, body: bytes, content_type: str, digest: str) -> bool:
    headers = {"Content-Type": content_type, "X-Sign": digest, "X-HubSpot-Signature": digest}
    try:
        source.verify(Webhook(headers=headers, body=body, public_url=URL), NOW)
    except NotVerifiedError:
        return False
    return True


@pytest.mark.parametrize("algorithm", SIZES)
@pytest.mark.parametrize(
    "signed", ["{secret}{body}", "{secret}{method}{url}{body}", "salt{secret}{body}", "{secret}-{body}"]
)
def test_a_captured_digest_is_no_proof_of_a_longer_body(load, algorithm, signed):
    source = load({**OLD_WAY, "algorithm": algorithm, "signed": signed})
    begin = signed.format(secret=SECRET, method="POST", url=URL, body="").encode()
    longer = BODY + padding(begin + BODY, algorithm) + FORGED

    assert is_believed(source, BODY, "application/json", hashlib.new(algorithm, begin + BODY).hexdigest())
    for content_type in ("multipart/form-data; boundary=B", "application/x-www-form-urlencoded", "text/plain", ""):
        assert not is_believed(source, longer, content_type, hashlib.new(algorithm, begin + longer).hexdigest())


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/x-www-form-urlencoded", b"objectId=1"),
        ("multipart/form-data; boundary=B", FORGED),
        ("application/json", b'{"objectId": 1'),
        ("application/json", b'{"objectId": "\xff"}'),
        ("application/json", b'{"objectId": "\0"}'),
        ("application/json; charset=koi8-r", b'{"objectId": "\xd0"}'),
    ],
)
def test_a_body_that_is_no_json_is_not_proven_by_a_plain_digest(load, content_type, body):
    digest = hashlib.sha256(SECRET.encode() + body).hexdigest()

    assert not is_believed(load(OLD_WAY), body, content_type, digest)


def test_a_digest_whose_secret_comes_last_may_cover_any_text(load):
    body = b"objectId=1%00"
    digest = hashlib.sha256(body + SECRET.encode()).hexdigest()

    assert is_believed(load({**OLD_WAY, "signed": "{body}{secret}"}), body, "application/x-www-form-urlencoded", digest)


def test_hubspots_old_signatures_are_not_believed_unless_an_operator_asks_for_them(load):
    digest = hashlib.sha256(SECRET.encode() + BODY).hexdigest()

    assert not is_believed(load(None, profile="hubspot"), BODY, "application/json", digest)
    assert is_believed(load({**OLD_WAY, "header": "X-HubSpot-Signature"}), BODY, "application/json", digest)


def test_of_few_shipped_senders_the_text_of_a_digest_goes_on_behind_the_secret():
    """There a text with a NUL is not believed, and a body must be JSON; the tests above and below try it."""
    profiles = Profiles(None)
    found = {
        name: way["signed"].text
        for name in profiles.names
        for way in profiles.get(name, Mistakes()).content["verify"]
        if way["kind"] == "hash" and not way["signed"].text.endswith(("{secret}", '{secret}"}}'))
    }

    assert found == {
        "click": "{field:click_trans_id}{field:service_id}{secret}{field:merchant_trans_id}{field:merchant_prepare_id}"
        "{field:amount}{field:action}{field:sign_time}",
        "pagbank": "{secret}-{body}",
        "robokassa": "{field:OutSum}:{field:InvId}:{secret}{sorted:Shp_}",
        "tbank": "{values}",
        "yoomoney": "{field:notification_type}&{field:operation_id}&{field:amount}&{field:currency}&{field:datetime}"
        "&{field:sender}&{field:codepro}&{secret}&{field:label}",
    }


def test_a_captured_signature_of_robokassa_is_no_proof_of_longer_fields(load):
    way = {
        "kind": "hash",
        "algorithm": "md5",
        "field": "SignatureValue",
        "signed": "{field:OutSum}:{field:InvId}:{secret}{sorted:Shp_}",
    }
    source = load(way)
    text = f"10.00:7:{SECRET}:Shp_order=1".encode()
    longer = text + padding(text, "md5") + b"666"
    order = longer.partition(b"Shp_order=")[2]

    def sent(order: bytes, signed: bytes) -> bytes:
        escaped = "".join(f"%{byte:02X}" for byte in order)
        signature = hashlib.md5(signed, usedforsecurity=False).hexdigest()
        return f"OutSum=10.00&InvId=7&Shp_order={escaped}&SignatureValue={signature}".encode()

    content_type = "application/x-www-form-urlencoded"
    assert is_believed(source, sent(b"1", text), content_type, "")
    assert not is_believed(source, sent(order, longer), content_type, "")
    assert not is_believed(source, sent(order, longer), f"{content_type}; charset=windows-1251", "")
