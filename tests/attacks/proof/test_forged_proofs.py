"""No proof is forged: not by leaving the strong one out, not beside a wrong one, not with a key that everybody has."""

from __future__ import annotations

import base64
import hashlib
import hmac
from datetime import UTC, datetime
from typing import Any

import pytest
import yaml
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from relay.core.errors import ConfigError, NotVerifiedError
from relay.sources import Source, Webhook, load_sources

NOW = datetime(2026, 1, 31, 10, 0, tzinfo=UTC)
KEY = "the-secret-of-the-test"
BODY = b'{"a": 1}'
FORM = "application/x-www-form-urlencoded"
URL = "https://relay.example.com/hooks/one"
STRONG = {"kind": "hmac", "header": "X-Sign"}
WEAK = {"kind": "token", "query": "token"}


@pytest.fixture
def load(tmp_path):
    """Makes a source."""

    def make(verify: Any, secrets: dict[str, str] | None = None) -> Source:
        environ = secrets or {"SECRET": KEY}
        path = tmp_path / "sources.yaml"
        path.write_text(yaml.safe_dump({"sources": {"one": {"verify": verify, "secrets": list(environ)}}}), "utf-8")
        return load_sources(path, environ)["one"]

    return make


def reason(source: Source, webhook: Webhook) -> str:
    with pytest.raises(NotVerifiedError) as caught:
        source.verify(webhook, NOW)
    return caught.value.reason


def sign(signed: bytes, key: bytes = KEY.encode(), algorithm: str = "sha256") -> str:
    return hmac.new(key, signed, algorithm).hexdigest()


def test_a_wrong_strong_proof_is_not_saved_by_a_right_weak_one(load):
    source = load([STRONG, WEAK])
    right = f"token={KEY}"

    assert source.verify(Webhook(query_string=right, body=BODY), NOW)
    assert reason(source, Webhook(headers={"X-Sign": "00"}, query_string=right, body=BODY)) == "signature_mismatch"
    assert (
        reason(source, Webhook(headers={"X-Sign": sign(b"x")}, query_string=right, body=BODY)) == "signature_mismatch"
    )
    assert source.verify(Webhook(headers={"X-Sign": sign(BODY)}, query_string="token=wrong", body=BODY), NOW)


def test_a_way_that_counts_only_without_another_is_no_way_around_it(load):
    """As Bitrix24's token in the query counts only where its events carry none in the body."""
    ways = [{"kind": "token", "field": "auth.token"}, {**WEAK, "unless": "body.auth.token"}]
    source = load(ways)

    def sent(body: bytes) -> Webhook:
        return Webhook(headers={"Content-Type": "application/json"}, query_string=f"token={KEY}", body=body)

    assert source.verify(sent(b'{"event": 1}'), NOW)
    assert reason(source, sent(b'{"auth": {"token": "wrong"}}')) == "token_mismatch"
    # What is there but is no text is no proof, and shuts the other way all the same.
    assert reason(source, sent(b'{"auth": {"token": {"a": 1}}}')) == "proof_missing"
    assert reason(source, sent(b'{"auth": {"token": [1]}}')) == "proof_missing"


def test_no_proof_at_all_is_refused_whatever_the_ways(load):
    source = load([STRONG, WEAK, {"kind": "basic"}], {"SECRET": "name:password"})

    assert reason(source, Webhook(body=BODY)) == "proof_missing"
    assert reason(source, Webhook(headers={"X-Sign": ""}, query_string="token=", body=BODY)) == "proof_missing"


def test_a_captured_signature_of_an_address_covers_no_other_body(load):
    """Twilio signs a form's fields, or an address with the digest of the body in it: one is no proof of the other."""
    digest = hashlib.sha256(BODY).hexdigest()
    form = {"kind": "hmac", "header": "X-Sign", "signed": "{url}{fields}", "unless": "query.bodySHA256"}
    source = load([form, {**form, "signed": "{url}", "body_digest": "bodySHA256", "unless": "!(query.bodySHA256)"}])
    query, headers = f"bodySHA256={digest}", {"X-Sign": sign(f"{URL}?bodySHA256={digest}".encode())}

    def sent(body: bytes, content_type: str = "application/json") -> Webhook:
        return Webhook("POST", {**headers, "Content-Type": content_type}, query, body, public_url=f"{URL}?{query}")

    assert source.verify(sent(BODY), NOW)
    assert reason(source, sent(b'{"a": 2}')) == "digest_mismatch"
    assert reason(source, sent(b"", FORM)) == "digest_mismatch"
    assert reason(source, sent(b"&&", FORM)) == "digest_mismatch"


@pytest.mark.parametrize("content_type", ["application/json", "text/plain", "multipart/form-data; boundary=x"])
def test_fields_of_what_is_no_form_are_not_an_empty_text(load, content_type):
    source = load({"kind": "hmac", "header": "X-Sign", "signed": "{url}{fields}"})
    headers = {"X-Sign": sign(URL.encode()), "Content-Type": content_type}

    assert reason(source, Webhook(headers=headers, body=BODY, public_url=URL)) == "body_unreadable"


ED25519 = ed25519.Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
P256 = ec.derive_private_key(7, ec.SECP256R1())


def forms_of(key: Any) -> dict[str, str]:
    """A public key as senders print it, but for raw bytes."""
    der = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    pem = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    return {"DER": base64.b64encode(der).decode(), "hex": der.hex(), "PEM": pem}


RAW = ED25519.public_key().public_bytes_raw()
PUBLIC = {
    **{f"ed25519 {name}": text for name, text in forms_of(ED25519).items()},
    **{f"P-256 {name}": text for name, text in forms_of(P256).items()},
    "whpk": f"whpk_{base64.b64encode(RAW).decode()}",
}


@pytest.mark.parametrize("text", PUBLIC.values(), ids=PUBLIC)
@pytest.mark.parametrize("way", [STRONG, {**STRONG, "key": "base64"}, {"kind": "token", "header": "X"}], ids=str)
def test_a_public_key_is_no_secret_of_an_hmac_or_a_token(load, text, way):
    with pytest.raises(ConfigError, match="is a public key, which everybody has"):
        load(way, {"SECRET": text})


MIXED = [
    {"kind": "hmac", "header": "X-Sign", "prefix": "v1,", "encoding": "base64", "key": "base64", "separator": " "},
    {"kind": "ed25519", "header": "X-Sign", "prefix": "v1a,", "encoding": "base64", "separator": " "},
]


def test_beside_a_public_key_the_key_of_an_hmac_stays_secret(load):
    shared = "whsec_" + base64.b64encode(b"shared-secret-of-24-bytes").decode()
    source = load(MIXED, {"SHARED": shared, "PUBLIC": PUBLIC["whpk"]})

    def proof(key: bytes) -> dict[str, str]:
        return {"X-Sign": f"v1,{base64.b64encode(hmac.digest(key, BODY, 'sha256')).decode()}"}

    right = {"X-Sign": f"v1a,{base64.b64encode(ED25519.sign(BODY)).decode()}"}
    assert source.verify(Webhook(headers=right, body=BODY), NOW)
    assert source.verify(Webhook(headers=proof(b"shared-secret-of-24-bytes"), body=BODY), NOW)
    for known in (RAW, PUBLIC["whpk"].encode(), base64.b64encode(RAW), b""):
        assert reason(source, Webhook(headers=proof(known), body=BODY)) == "signature_mismatch"


@pytest.mark.parametrize("text", [base64.b64encode(RAW).decode(), RAW.hex()])
def test_what_could_be_either_is_a_mistake_where_both_are_taken(load, text):
    with pytest.raises(ConfigError, match="may be a shared secret or a public key: expected whsec_ before"):
        load(MIXED, {"SECRET": text})


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("ed25519", "no key"),
        ("ed25519", PUBLIC["P-256 DER"]),
        ("ecdsa", PUBLIC["ed25519 PEM"]),
        ("ecdsa", RAW.hex()),
        ("ecdsa", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----"),
        ("ecdsa", "-----BEGIN PUBLIC KEY-----"),
        ("ecdsa", forms_of(ec.derive_private_key(7, ec.SECP384R1()))["DER"]),
        ("ed25519", "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIAAA\n-----END PRIVATE KEY-----"),
    ],
)
def test_what_is_no_public_key_of_this_kind_is_a_mistake_and_is_not_printed(load, kind, text):
    with pytest.raises(ConfigError) as caught:
        load({"kind": kind, "header": "X-Sign"}, {"SECRET": text})

    assert "SECRET is" in str(caught.value)
    assert text not in str(caught.value)


SIGNATURES = {
    "empty": "",
    "short": "00",
    "no hex": "zz",
    "64 zeros": "00" * 64,
    "63 bytes": "ab" * 63,
    "65 bytes": "ab" * 65,
    "DER that ends early": "30450221",
    "DER of zeros": "3006020100020100",
    "DER of a negative": "3006020180020180",
    "DER of what is too long": "3084ffffffff",
    "very long": "ab" * 5_000,
    "not ASCII": "é日",
    "a surrogate": "\udcff",
}


@pytest.mark.parametrize("signature", SIGNATURES.values(), ids=SIGNATURES)
@pytest.mark.parametrize(("kind", "key"), [("ed25519", RAW.hex()), ("ecdsa", PUBLIC["P-256 DER"])])
@pytest.mark.parametrize("encoding", ["hex", "base64", "base64url"])
def test_a_malformed_signature_is_refused_and_no_error_of_ours(load, kind, key, encoding, signature):
    source = load({"kind": kind, "header": "X-Sign", "encoding": encoding}, {"KEY": key})

    assert reason(source, Webhook(headers={"X-Sign": signature}, body=BODY)) in {
        "signature_mismatch",
        "signature_missing",
    }


@pytest.fixture(scope="module")
def of_key(tmp_path_factory):
    """A source for each kind of public key."""
    path = tmp_path_factory.mktemp("keys") / "sources.yaml"
    entries = {
        "ed25519": {"verify": {"kind": "ed25519", "header": "X-Sign", "secrets": ["RAW"]}},
        "ecdsa": {"verify": {"kind": "ecdsa", "header": "X-Sign", "secrets": ["DER"]}},
    }
    path.write_text(yaml.safe_dump({"sources": entries}), "utf-8")
    return load_sources(path, {"RAW": RAW.hex(), "DER": PUBLIC["P-256 DER"]})


@given(kind=st.sampled_from(["ed25519", "ecdsa"]), signature=st.binary(max_size=90), body=st.binary(max_size=20))
def test_no_signature_that_is_made_up_is_believed(of_key, kind, signature, body):
    assert reason(of_key[kind], Webhook(headers={"X-Sign": signature.hex()}, body=body)) in {
        "signature_mismatch",
        "signature_missing",
    }


def test_many_signatures_cost_no_more_than_a_few(load, monkeypatch):
    from relay.sources.proof import public_keys  # noqa: PLC0415 - only to count

    tried: list[bytes] = []
    monkeypatch.setattr(public_keys, "_is_signed", lambda _key, signature, _signed: bool(tried.append(signature)))
    source = load({"kind": "ed25519", "header": "X-Sign", "separator": ","}, {"KEY": RAW.hex()})

    reason(source, Webhook(headers={"X-Sign": ",".join(f"{number:0128x}" for number in range(500))}, body=BODY))

    assert len(tried) <= public_keys.MOST_CANDIDATES


def test_none_beside_other_ways_is_a_mistake(load):
    with pytest.raises(ConfigError, match="none beside others lets everybody in"):
        load([STRONG, {"kind": "none"}])


@pytest.mark.parametrize(
    ("verify", "expected"),
    [
        ({**STRONG, "signed": "{url}"}, "expected text with {body}"),
        ({**STRONG, "signed": "{timestamp}", "timestamp": {"header": "T"}}, "expected text with {body}"),
        ({**STRONG, "signed": "{body}", "body_digest": "sha"}, "expected {url} in it"),
        ({"kind": "ecdsa", "header": "X", "signed": "{secret}{body}"}, "expected no {secret} in it"),
        ({**STRONG, "signed": "{secret}"}, "expected text with {body}"),
        ({**STRONG, "signed": "{secret}{timestamp}{values}", "values": {"of": "query"}}, "or neither"),
        ({"kind": "hash", "header": "X", "signed": "{body}"}, "expected {secret} in it"),
        ({**STRONG, "timestamp": {"field": "at"}, "signed": "{field:b}"}, "or neither"),
        ({**STRONG, "timestamp": {"query": "at"}}, "or neither"),
        ({**STRONG, "signed": "{body}{what}"}, "found {what}, expected one of body"),
        ({**STRONG, "signed": "{body}{field:a..b}"}, "breaks at column"),
        ({**STRONG, "signed": "{body}{"}, "a lone '{'"),
        ({**STRONG, "unless": "bdy.a"}, "'bdy' is not in an event"),
        ({**STRONG, "timestamp": {"header": "T", "field": "t"}, "signed": "{timestamp}{body}"}, "in one place"),
    ],
)
def test_a_proof_of_too_little_is_a_mistake(load, verify, expected):
    with pytest.raises(ConfigError) as caught:
        load(verify)

    assert expected in str(caught.value)
