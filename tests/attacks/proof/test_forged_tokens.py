"""No token (JWT) is forged: not without a signature, not with the key that everybody has, not for another request."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from datetime import UTC, datetime
from typing import Any

import jwt
import pytest
import yaml
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from relay.core.errors import ConfigError, NotVerifiedError
from relay.sources import Source, Webhook, load_sources
from relay.sources.proof import signed_tokens

NOW = datetime(2026, 1, 31, 10, 0, tzinfo=UTC)
KEY = "the-secret-of-the-test"
BODY = b'{"a": 1}'
CLAIMS = {"hash": hashlib.sha256(BODY).hexdigest(), "data": {"a": 1}}
OUTSIDE = {"kind": "jwt", "header": "X-Token", "body_hash": "hash"}
INSIDE = {"kind": "jwt", "whole_body": True, "claim": "data"}
RSA = rsa.generate_private_key(65_537, 2_048)
P256 = ec.derive_private_key(7, ec.SECP256R1())
RULE = {
    "name": "any",
    "source": "one",
    "start": {"portal": "main", "template_id": 1, "document_id": {"lead": "1"}, "parameters": {}},
}


def public(key: Any, encoding: Encoding = Encoding.PEM) -> bytes:
    return key.public_key().public_bytes(encoding, PublicFormat.SubjectPublicKeyInfo)


def part(content: Any) -> str:
    raw = content if isinstance(content, bytes) else json.dumps(content).encode()
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def signed(head: Any, claims: Any = CLAIMS, key: bytes = KEY.encode()) -> str:
    """A token whose HMAC by this key is right, whatever its head says."""
    text = f"{part(head)}.{part(claims)}"
    return f"{text}.{part(hmac.digest(key, text.encode(), 'sha256'))}"


@pytest.fixture
def load(tmp_path):
    """Makes a source."""

    def make(verify: Any, secret: str = KEY, **more: Any) -> Source:
        path = tmp_path / "sources.yaml"
        path.write_text(
            yaml.safe_dump({"sources": {"one": {"verify": verify, "secrets": ["SECRET"], **more}}}), "utf-8"
        )
        return load_sources(path, {"SECRET": secret})["one"]

    return make


def reason(source: Source, webhook: Webhook) -> str:
    with pytest.raises(NotVerifiedError) as caught:
        source.verify(webhook, NOW)
    return caught.value.reason


RIGHT = signed({"alg": "HS256"})
FORGED = {
    "no algorithm": f"{part({'alg': 'none'})}.{part(CLAIMS)}.",
    "no algorithm in capitals": f"{part({'alg': 'NONE'})}.{part(CLAIMS)}.",
    "no algorithm and a signature": signed({"alg": "none"}),
    "no head": signed({}),
    "a list as head": signed([]),
    "no JSON as head": signed(b"{"),
    "a deep head": signed(b"[" * 1_000),
    "another algorithm": signed({"alg": "HS512"}),
    "an algorithm that is null": signed({"alg": None}),
    "an algorithm that is a list": signed({"alg": ["HS256"]}),
    "a critical part that nobody knows": signed({"alg": "HS256", "crit": ["exp"], "exp": 1}),
    "claims outside": signed({"alg": "HS256", "b64": False, "crit": ["b64"]}),
    "a key of its own": signed({"alg": "HS256", "jwk": {"kty": "oct", "k": part(b"another")}}, key=b"another"),
    "a key by a path": signed({"alg": "HS256", "kid": "../../dev/null"}, key=b""),
    "a kid that is a number": signed({"alg": "HS256", "kid": 7}),
    "an empty signature": RIGHT.rpartition(".")[0] + ".",
    "two parts": RIGHT.rpartition(".")[0],
    "four parts": f"{RIGHT}.{part(CLAIMS)}",
    "five parts, as an encrypted one": ".".join([part({"alg": "dir", "enc": "A128GCM"}), "", "x", "x", "x"]),
    "changed claims": ".".join([RIGHT.split(".")[0], part({**CLAIMS, "x": 1}), RIGHT.split(".")[2]]),
    "a signature with another last letter": RIGHT[:-1] + ("A" if RIGHT[-1] != "A" else "B"),
    "blanks inside": RIGHT.replace(".", " . "),
    "percent signs": RIGHT.replace(".", "%2E"),
    "two tokens": f"{RIGHT}, {RIGHT}",
    "not ASCII": RIGHT + "é",
}


@pytest.mark.parametrize("forged", FORGED.values(), ids=FORGED)
def test_a_forged_token_is_refused_whatever_its_head_says(load, forged):
    assert load(OUTSIDE).verify(Webhook(headers={"X-Token": RIGHT}, body=BODY), NOW)

    assert reason(load(OUTSIDE), Webhook(headers={"X-Token": forged}, body=BODY)) == "signature_mismatch"
    assert reason(load(INSIDE), Webhook(body=forged.encode("latin-1"))) == "signature_mismatch"


@pytest.mark.parametrize("algorithm", ["RS256", "ES256"])
def test_the_public_key_of_the_sender_signs_nothing_as_an_hmac(load, algorithm):
    """Key confusion (RFC 8725, section 2.1): a token says HS256, and its HMAC is by the key that everybody has."""
    key = RSA if algorithm == "RS256" else P256
    source = load({**OUTSIDE, "algorithm": algorithm}, public(key).decode())
    right = jwt.encode(CLAIMS, key, algorithm)

    assert source.verify(Webhook(headers={"X-Token": right}, body=BODY), NOW)
    for known in (public(key), public(key).strip(), public(key, Encoding.DER), base64.b64encode(public(key))):
        for named in ("HS256", algorithm, "none"):
            forged = signed({"alg": named}, key=known)
            assert reason(source, Webhook(headers={"X-Token": forged}, body=BODY)) == "signature_mismatch"


PUBLIC = {
    "PEM": public(RSA).decode(),
    "PEM in base64": base64.b64encode(public(RSA)).decode(),
    "DER": base64.b64encode(public(P256, Encoding.DER)).decode(),
    "DER of RSA": base64.b64encode(public(RSA, Encoding.DER)).decode(),
    "PKCS #1": RSA.public_key().public_bytes(Encoding.PEM, PublicFormat.PKCS1).decode(),
    "OpenSSH": RSA.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode(),
    "JWK": jwt.algorithms.RSAAlgorithm.to_jwk(RSA.public_key()),
}


@pytest.mark.parametrize("text", PUBLIC.values(), ids=PUBLIC)
def test_a_public_key_is_no_shared_secret_of_a_token(load, text):
    with pytest.raises(ConfigError, match="is a public key, which everybody has"):
        load(OUTSIDE, text)


SMALL = rsa.generate_private_key(65_537, 1_024)  # noqa: S505 - too short on purpose


@pytest.mark.parametrize(
    ("algorithm", "text"),
    [
        ("RS256", public(P256).decode()),
        ("ES256", public(RSA).decode()),
        ("RS256", "no key at all"),
        ("RS256", public(SMALL).decode()),
        ("ES256", public(ec.derive_private_key(7, ec.SECP384R1())).decode()),
    ],
    ids=["P-256 for RSA", "RSA for P-256", "text", "1,024 bits", "P-384"],
)
def test_what_is_no_public_key_of_this_algorithm_is_a_mistake_and_is_not_printed(load, algorithm, text):
    with pytest.raises(ConfigError) as caught:
        load({**OUTSIDE, "algorithm": algorithm}, text)

    assert f"SECRET is no public key for {algorithm}" in str(caught.value)
    assert text not in str(caught.value)


def test_two_ways_never_share_a_secret_that_is_public_for_one_of_them(load):
    ways = [{**OUTSIDE, "algorithm": "RS256"}, {"kind": "hmac", "header": "X-Sign"}]

    source = load(ways, public(RSA).decode())
    forged = hmac.new(public(RSA), BODY, "sha256").hexdigest()
    assert reason(source, Webhook(headers={"X-Sign": forged}, body=BODY)) == "signature_mismatch"


def test_a_captured_token_of_one_source_is_no_proof_of_another_address(load):
    verify = {"kind": "jwt", "header": "X-Token", "body_hash": "hash", "url_hash": "url"}
    address = "https://relay.example.com/hooks/one"
    token = signed({"alg": "HS256"}, {**CLAIMS, "url": hashlib.sha256(address.encode()).hexdigest()})

    assert load(verify).verify(Webhook(headers={"X-Token": token}, body=BODY, public_url=address), NOW)
    for other in ("https://relay.example.com/hooks/two", f"{address}?a=1", f"{address}/", address.upper()):
        webhook = Webhook(headers={"X-Token": token}, body=BODY, public_url=other)
        assert reason(load(verify), webhook) == "url_mismatch"


def test_a_captured_token_starts_nothing_again_whatever_is_around_it(relay, record):
    client = relay({"one": {"verify": INSIDE, "secrets": ["SECRET"], "dedup": {"from": "body.id"}}},
                   [RULE], {"SECRET": KEY})  # fmt: skip
    token = signed({"alg": "HS256"}, {"data": {"a": 1}})

    for query, content_type, body in (
        ("", "text/plain", token), ("?x=1", "text/plain", token), ("", "application/json", token),
        ("", "application/jwt", f" {token}\n"), ("", "", token), ("?x=2", "multipart/form-data", f"\r\n{token}"),
    ):  # fmt: skip
        answer = client.post(f"/hooks/one{query}", data=body, headers={"Content-Type": content_type, "X-Id": query})
        assert answer.status_code == 200

    assert record.counts().total == 1


def test_a_token_that_is_valid_for_years_is_claimed_for_a_month(load):
    source = load(OUTSIDE, dedup={"from": "body.a"})
    far = signed({"alg": "HS256"}, {**CLAIMS, "exp": 4_000_000_000})
    verified = source.verify(Webhook(headers={"X-Token": far}, body=BODY), NOW)

    (key,) = source.signature_keys(verified.coverage, verified.headers, 0)
    assert key.window_s == 30 * 86_400


def test_a_head_without_end_is_not_read(load, monkeypatch):
    read: list[Any] = []
    monkeypatch.setattr(signed_tokens.PyJWS, "decode", lambda *given: read.append(given))
    source = load(INSIDE)

    assert reason(source, Webhook(body=b"A" * 100_000 + b".AAAA.AAAA")) == "signature_mismatch"
    assert reason(source, Webhook(body=b"\xff" * 100_000)) == "signature_mismatch"
    assert reason(source, Webhook(body=b"A" * 100_000)) == "signature_mismatch"
    assert not read


def test_a_large_forged_token_costs_one_signature_for_each_secret(load, monkeypatch):
    made: list[int] = []
    real = signed_tokens.HMACAlgorithm.verify
    monkeypatch.setattr(
        signed_tokens.HMACAlgorithm, "verify", lambda *given: made.append(len(given[1])) or real(*given)
    )
    forged = signed({"alg": "HS256"}, b"{" * 75_000, b"another").encode()

    assert reason(load(INSIDE), Webhook(body=forged)) == "signature_mismatch"
    assert made == [len(forged.rpartition(b".")[0])]


def test_claims_are_read_only_after_the_signature_and_only_so_deep_and_so_many(load, monkeypatch):
    read: list[bytes] = []
    real = signed_tokens.read_json
    monkeypatch.setattr(signed_tokens, "read_json", lambda written: read.append(written) or real(written))
    source = load(INSIDE)

    deep, many = b'{"data": ' + b"[" * 50_000 + b"]" * 50_000 + b"}", json.dumps({"data": [0] * 100_000}).encode()
    for claims in (deep, many):
        assert (
            reason(source, Webhook(body=signed({"alg": "HS256"}, claims, b"another").encode())) == "signature_mismatch"
        )
        assert not read
        assert reason(source, Webhook(body=signed({"alg": "HS256"}, claims).encode())) == "body_unreadable"
        read.clear()
