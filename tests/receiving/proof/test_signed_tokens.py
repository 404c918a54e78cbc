"""Senders that prove themselves by a signed token (JWT): its claims bind the request, or it has the body inside."""

from __future__ import annotations

import base64
import gzip
import hashlib
import hmac
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import yaml
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from relay.core.errors import ConfigError, NotVerifiedError
from relay.sources import Source, Webhook, load_sources
from relay.sources.proof import REASONS
from relay.sources.signing import sign
from tests.support.senders import JSON

NOW = datetime(2026, 1, 31, 10, 0, tzinfo=UTC)
AT = int(NOW.timestamp())
KEY = "the-secret-of-the-test"
BODY = b'{"a": 1}'
URL = "https://relay.example.com/hooks/one?a=1"
RSA = rsa.generate_private_key(65_537, 2_048)
P256 = ec.derive_private_key(7, ec.SECP256R1())
BOUND = {"payload_hash": hashlib.sha256(BODY).hexdigest(), "url_hash": hashlib.sha256(URL.encode()).hexdigest()}
IN_HEADER = {"kind": "jwt", "header": "X-Token", "body_hash": "payload_hash", "url_hash": "url_hash"}
WHOLE = {"kind": "jwt", "whole_body": True, "claim": "data"}


def part(content: Any) -> str:
    raw = content if isinstance(content, bytes) else json.dumps(content).encode()
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def token(claims: Any, algorithm: str = "HS256", head: dict[str, Any] | None = None, key: bytes = KEY.encode()) -> str:
    """A token as RFC 7515 writes it, made without the library that reads it."""
    signed = f"{part({'alg': algorithm, 'typ': 'JWT'} | (head or {}))}.{part(claims)}"
    if algorithm == "RS256":
        signature = RSA.sign(signed.encode(), padding.PKCS1v15(), SHA256())
    elif algorithm == "ES256":
        halves = decode_dss_signature(P256.sign(signed.encode(), ec.ECDSA(SHA256())))
        signature = b"".join(number.to_bytes(32, "big") for number in halves)
    else:
        signature = hmac.digest(key, signed.encode(), "sha256")
    return f"{signed}.{part(signature)}"


def public(key: Any) -> str:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


SECRETS = {"HS256": KEY, "RS256": public(RSA), "ES256": public(P256)}


@pytest.fixture
def load(tmp_path):
    """Makes a source."""

    def make(verify: Any, secret: str = KEY, **more: Any) -> Source:
        path = tmp_path / "sources.yaml"
        entry = {"verify": verify, "secrets": ["SECRET"], "methods": ["GET", "POST"], **more}
        path.write_text(yaml.safe_dump({"sources": {"one": entry}}), "utf-8")
        return load_sources(path, {"SECRET": secret})["one"]

    return make


def sent(given: str, body: bytes = BODY, url: str = URL, method: str = "POST") -> Webhook:
    headers = {"X-Token": given, "Content-Type": JSON}
    return Webhook(method, headers, url.partition("?")[2], body, public_url=url)


def whole(given: str) -> Webhook:
    return Webhook(headers={"Content-Type": "text/plain"}, body=given.encode(), public_url=URL)


def reason(source: Source, webhook: Webhook, now: datetime = NOW) -> str:
    with pytest.raises(NotVerifiedError) as caught:
        source.verify(webhook, now)
    assert caught.value.reason in REASONS
    return caught.value.reason


@pytest.mark.parametrize("algorithm", SECRETS)
def test_a_token_proves_the_body_and_the_address_whose_hashes_it_holds_and_no_others(load, algorithm):
    source = load({**IN_HEADER, "algorithm": algorithm}, SECRETS[algorithm])
    given = token(BOUND, algorithm)

    assert source.parse(source.verify(sent(given), NOW)) == {"a": 1}
    assert "x-token" not in source.verify(sent(given), NOW).headers
    assert reason(source, sent(given, b'{"a": 2}')) == "digest_mismatch"
    assert reason(source, sent(given, b"")) == "digest_mismatch"
    assert reason(source, sent(given, url=f"{URL}&b=2")) == "url_mismatch"
    assert reason(source, sent("")) == "signature_missing"
    assert reason(source, sent(token(BOUND, algorithm)[:-8] + "AAAAAAAA")) == "signature_mismatch"


def test_a_request_without_a_body_is_proven_by_its_address(load):
    """As MessageBird leaves payload_hash out of a GET."""
    source = load(IN_HEADER)
    given = token({"url_hash": BOUND["url_hash"]})

    assert source.parse(source.verify(sent(given, b"", method="GET"), NOW)) == {"a": "1"}
    assert reason(source, sent(given, b"", f"{URL}&b=2", "GET")) == "url_mismatch"
    assert reason(source, sent(given)) == "digest_mismatch"
    assert reason(load({**IN_HEADER, "url_hash": None}), sent(token({}), b"", method="GET")) == "digest_mismatch"


def test_a_token_that_binds_the_address_alone_proves_no_body(load):
    source = load({"kind": "jwt", "header": "X-Token", "url_hash": "url_hash"})
    given = token({"url_hash": BOUND["url_hash"]})

    assert source.verify(sent(given, b"", method="GET"), NOW)
    assert reason(source, sent(given)) == "digest_mismatch"


@pytest.mark.parametrize(
    ("way", "webhook"),
    [
        ({"header": "Authorization"}, Webhook(headers={"Authorization": f"bearer {token(BOUND)}"}, body=BODY)),
        ({"query": "jwt"}, Webhook(query_string=f"jwt={token(BOUND)}", body=BODY)),
    ],
    ids=["header", "query"],
)
def test_a_token_is_found_where_the_source_says(load, way, webhook):
    source = load({"kind": "jwt", "body_hash": "payload_hash", **way})

    verified = source.verify(webhook, NOW)
    assert (verified.query, dict(verified.headers)) == ("", {})


@pytest.mark.parametrize("algorithm", SECRETS)
@pytest.mark.parametrize("data", [{"a": [1.5, "ж"]}, '{"a": [1.5, "ж"]}'], ids=["map", "text"])
def test_the_body_inside_a_token_is_what_rules_see_and_what_is_kept(load, algorithm, data):
    """As Wix sends: the whole body is the token, and its claim `data` is JSON, as a text."""
    source = load({**WHOLE, "algorithm": algorithm}, SECRETS[algorithm])

    verified = source.verify(whole(f"{token({'data': data}, algorithm)}\n"), NOW)

    assert source.parse(verified) == {"a": [1.5, "ж"]}
    assert (json.loads(verified.body), verified.webhook.content_type) == ({"a": [1.5, "ж"]}, JSON)


def test_the_body_inside_a_token_of_a_field_replaces_the_rest_of_the_body(load):
    source = load({"kind": "jwt", "field": "token", "claim": "data"})
    body = json.dumps({"token": token({"data": {"a": 1}}), "a": "not signed"}).encode()

    assert source.parse(source.verify(Webhook(headers={"Content-Type": JSON}, body=body), NOW)) == {"a": 1}


def test_a_token_that_a_proxy_has_packed_is_read(load):
    packed = gzip.compress(token({"data": {"a": 1}}).encode())
    verified = load(WHOLE).verify(Webhook(headers={"Content-Encoding": "gzip"}, body=packed), NOW)

    assert load(WHOLE).parse(verified) == {"a": 1}
    assert "content-encoding" not in verified.headers


def test_fields_with_json_in_the_body_inside_are_read_as_well(load):
    source = load(WHOLE, json_values=["data"])

    verified = source.verify(whole(token({"data": json.dumps({"data": '{"id": 7}'})})), NOW)
    assert source.parse(verified) == {"data": {"id": 7}}


@pytest.mark.parametrize("claims", [{}, {"data": None}, {"data": 7}, {"data": True}, [], "text", b"{", b"[[["], ids=str)
def test_a_signed_token_without_a_body_inside_is_refused(load, claims):
    assert reason(load(WHOLE), whole(token(claims))) == "body_unreadable"


TIMES = [
    ({}, None),
    ({"exp": AT}, 300),
    ({"exp": AT - 299}, 1),
    ({"exp": AT - 301}, "timestamp_stale"),
    ({"iat": AT - 301}, "timestamp_stale"),
    ({"iat": AT - 299.5}, 1),
    ({"iat": AT - 3_600, "exp": AT + 60}, 360),
    ({"iat": AT + 299}, 599),
    ({"iat": AT + 301}, "timestamp_future"),
    ({"nbf": AT + 299}, None),
    ({"nbf": AT + 301}, "timestamp_future"),
    ({"iat": AT + 301, "exp": AT + 600}, "timestamp_future"),
    *[({name: wrong}, "timestamp_unreadable") for name in ("exp", "iat", "nbf") for wrong in ("1", True, [], 10**400)],
]


@pytest.mark.parametrize(("claims", "expected"), TIMES, ids=str)
def test_a_token_is_believed_within_its_times_and_its_text_claimed_as_long(load, claims, expected):
    source, webhook = load(IN_HEADER), sent(token(BOUND | claims))

    if isinstance(expected, str):
        assert reason(source, webhook) == expected
    else:
        coverage = source.verify(webhook, NOW).coverage
        assert coverage is not None
        assert coverage.lasts_s == expected


def test_the_tolerance_of_a_token_is_the_sources(load):
    source = load({**IN_HEADER, "tolerance": "1h"})

    assert source.verify(sent(token(BOUND | {"exp": AT})), NOW + timedelta(minutes=59))
    assert reason(source, sent(token(BOUND | {"exp": AT})), NOW + timedelta(minutes=61)) == "timestamp_stale"


@pytest.mark.parametrize(
    "verify",
    [
        IN_HEADER,
        {"kind": "jwt", "header": "Authorization", "body_hash": "h"},
        {"kind": "jwt", "query": "t", "claim": "d"},
        WHOLE,
    ],
    ids=str,
)
def test_the_relay_signs_a_sample_as_the_sender_of_a_token_would(load, verify):
    source = load(verify)
    webhook = sign(source, Webhook(headers={"Content-Type": JSON}, body=BODY, public_url="https://a.example/x"), NOW)

    assert source.parse(source.verify(webhook, NOW)) == {"a": 1}


@pytest.mark.parametrize(
    ("verify", "expected"),
    [
        ({"kind": "jwt", "header": "X"}, "expected body_hash or url_hash, or both, or claim"),
        ({**IN_HEADER, "claim": "data"}, "expected body_hash or url_hash, or both, or claim"),
        ({"kind": "jwt", "whole_body": True, "body_hash": "h"}, "expected the claim that holds the body"),
        ({"kind": "jwt", "whole_body": False, "claim": "d"}, "expected true"),
        ({"kind": "jwt", "claim": "d"}, "or whole_body: true"),
        ({**WHOLE, "header": "X"}, "or whole_body: true"),
        ({**IN_HEADER, "algorithm": "none"}, "expected one of HS256, RS256, ES256"),
        ({**IN_HEADER, "algorithm": "HS512"}, "expected one of HS256, RS256, ES256"),
        ({**WHOLE, "claim": "two words"}, "expected the name of a claim"),
        ({**WHOLE, "signed": "{body}"}, "unknown key"),
    ],
    ids=str,
)
def test_a_token_that_would_prove_too_little_is_a_mistake(load, verify, expected):
    with pytest.raises(ConfigError) as caught:
        load(verify)

    assert expected in str(caught.value)


@pytest.fixture(scope="module")
def readers(tmp_path_factory):
    """A source for each algorithm."""
    path = tmp_path_factory.mktemp("tokens") / "sources.yaml"
    entries = {
        name.lower(): {"verify": {**WHOLE, "algorithm": name, "secrets": [name]}, "json_values": ["data"]}
        for name in SECRETS
    }
    path.write_text(yaml.safe_dump({"sources": entries}), "utf-8")
    return load_sources(path, SECRETS)


PIECE = st.one_of(
    st.text("AZaz09-_=+/ .", max_size=30),
    st.dictionaries(st.sampled_from(["alg", "crit", "b64", "kid", "zip", "jwk"]), st.sampled_from(
        ["HS256", "RS256", "none", None, 7, [], {}, ["b64"], True, False]
    ), max_size=4).map(part),
    st.binary(max_size=40).map(part),
)  # fmt: skip


@given(st.sampled_from(sorted(SECRETS)), st.lists(PIECE, max_size=5), st.text(max_size=5))
def test_nothing_that_is_made_up_is_believed_as_a_token_or_makes_it_fail(readers, name, pieces, end):
    given = ".".join(pieces) + end

    assert reason(readers[name.lower()], Webhook(body=given.encode("utf-8", "surrogatepass"))) in {
        "signature_missing",
        "signature_mismatch",
    }


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from(["data", "exp", "iat", "nbf", "x"]), VALUES, max_size=5) | VALUES)
def test_whatever_claims_a_sender_signs_they_are_a_body_or_a_refusal(readers, claims):
    source, webhook = readers["hs256"], whole(token(claims))
    try:
        verified = source.verify(webhook, NOW)
    except NotVerifiedError as error:
        assert error.reason in REASONS  # noqa: PT017 - either is right
    else:
        data = claims["data"]
        assert verified.body == (data.encode() if isinstance(data, str) else verified.body)
        assert isinstance(data, str) or json.loads(verified.body) == data
