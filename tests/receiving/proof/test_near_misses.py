"""A webhook that is refused for a trifle: the record says which trifle, and nothing of the secret."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.configuration.expressions import Expression
from relay.core.errors import NotVerifiedError
from relay.core.lifecycle import EventState
from relay.sources import Source, Webhook
from relay.sources import near_misses as module
from relay.sources.proof.signatures import Clock, HashVerifier, HmacVerifier
from relay.sources.proof.signed import Signed
from relay.sources.proof.values import Values
from relay.sources.proof.verifier import Location, NoVerifier, Several, TokenVerifier
from relay.store.record.search import Filter, list_events
from tests.support.folders import SECRETS
from tests.support.senders import JSON, SEED, dump

NOW = datetime(2026, 1, 31, 10, 0, tzinfo=UTC)
STAMP = str(int(NOW.timestamp()))
KEY = b"the-secret-of-the-test"
WORD = KEY.decode()
BODY = b'{"a": 1, "b": "\xc3\xa9"}\r\n'


def sign(signed: bytes = BODY, algorithm: str = "sha256", key: bytes = KEY) -> bytes:
    return hmac.new(key, signed, getattr(hashlib, algorithm)).digest()


def b64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def refusal(verifier: Any, webhook: Webhook) -> tuple[str, str | None]:
    """Why it is refused, and what was almost right."""
    source = Source("one", verifier)
    with pytest.raises(NotVerifiedError) as caught:
        source.verify(webhook, NOW)
    return caught.value.reason, source.near_miss(webhook, caught.value.reason, NOW)


SIGN, STAMP_PLACE, TIME_AND_BODY = Location("x-sign"), Location("x-stamp"), Signed.parse("{timestamp}.{body}")
HEX = HmacVerifier(SIGN, secrets=(KEY,))
PREFIXED = HmacVerifier(SIGN, prefix="sha256=", secrets=(KEY,))
BASE64 = HmacVerifier(SIGN, encoding="base64", secrets=(KEY,))
TIMED = HmacVerifier(SIGN, signed=TIME_AND_BODY, clock=Clock(STAMP_PLACE, "s", 300.0), secrets=(KEY,))
TIMED_MS = HmacVerifier(SIGN, signed=TIME_AND_BODY, clock=Clock(STAMP_PLACE, "ms", 300.0), secrets=(KEY,))
STRIPE = HmacVerifier(
    SIGN, signed=TIME_AND_BODY, separator=",", parts=("v1", "t"), clock=Clock(None, "s", 300.0), secrets=(KEY,)
)
QUOTED = HmacVerifier(SIGN, secrets=(b'"' + KEY + b'"\n',))
ENCODED = HmacVerifier(SIGN, secrets=(base64.b64encode(KEY),))
ANEW = json.dumps(json.loads(BODY), ensure_ascii=False, separators=(",", ":")).encode()
STAMPED = sign(STAMP.encode() + b"." + BODY)

PLAIN = KEY + BODY
HASH = HashVerifier(SIGN, signed=Signed.parse("{secret}{body}"), secrets=(KEY,))

SIGNATURES = [
    ("without_prefix", PREFIXED, {"X-Sign": sign().hex()}, "signature_missing", "without the prefix"),
    ("another_prefix", PREFIXED, {"X-Sign": f"v0={sign().hex()}"}, "signature_missing", "after v0="),
    ("a_prefix", HEX, {"X-Sign": f"sha256={sign().hex()}"}, "signature_mismatch", "after sha256="),
    ("base64", HEX, {"X-Sign": b64(sign())}, "signature_mismatch", "encoded as base64"),
    ("hex", BASE64, {"X-Sign": sign().hex()}, "signature_mismatch", "encoded as hex"),
    ("both", PREFIXED, {"X-Sign": b64(sign())}, "signature_missing", "without the prefix, encoded as base64"),
    ("quotes", HEX, {"X-Sign": f'"{sign().hex()}"'}, "signature_mismatch", "in quotes"),
    ("trimmed", HEX, {"X-Sign": sign(BODY.strip()).hex()}, "signature_mismatch", "without its last line end"),
    ("ended", HEX, {"X-Sign": sign(BODY + b"\n").hex()}, "signature_mismatch", "with a line end after it"),
    ("lines", HEX, {"X-Sign": sign(BODY.replace(b"\r\n", b"\n")).hex()}, "signature_mismatch", "other line ends"),
    ("anew", HEX, {"X-Sign": sign(ANEW).hex()}, "signature_mismatch", "written anew"),
    ("sha1", HEX, {"X-Sign": sign(algorithm="sha1").hex()}, "signature_mismatch", "made with sha1"),
    ("sha512", HEX, {"X-Sign": sign(algorithm="sha512").hex()}, "signature_mismatch", "made with sha512"),
    ("elsewhere", HEX, {"X-Signature": sign().hex()}, "signature_missing", "in the header x-signature"),
    (
        "github",
        HEX,
        {"X-Hub-Signature": f"sha1={sign(algorithm='sha1').hex()}"},
        "signature_missing",
        "in the header x-hub-signature, after sha1=, made with sha1",
    ),
    ("bare", TIMED, {"X-Sign": sign().hex(), "X-Stamp": STAMP}, "signature_mismatch", "over the body alone"),
    ("key_text", HEX, {"X-Sign": sign(key=base64.b64encode(KEY)).hex()}, "signature_mismatch", "used as text"),
    ("key_base64", ENCODED, {"X-Sign": sign().hex()}, "signature_mismatch", "the secret is base64"),
    ("key_quoted", QUOTED, {"X-Sign": sign().hex()}, "signature_mismatch", "blanks or quotes around it"),
    ("stripe", STRIPE, {"X-Sign": f"t={STAMP},v1={b64(STAMPED)}"}, "signature_mismatch", "encoded as base64"),
    (
        "ms",
        TIMED,
        {"X-Sign": sign(f"{STAMP}000.".encode() + BODY).hex(), "X-Stamp": f"{STAMP}000"},
        "timestamp_future",
        "milliseconds: unit: ms",
    ),
    ("s", TIMED_MS, {"X-Sign": STAMPED.hex(), "X-Stamp": STAMP}, "timestamp_stale", "seconds: unit: s"),
    ("hex_in_base64", HEX, {"X-Sign": b64(sign().hex().encode())}, "signature_mismatch", "encoded as base64-hex"),
    (
        "md5",
        HASH,
        {"X-Sign": hashlib.new("md5", PLAIN, usedforsecurity=False).hexdigest()},
        "signature_mismatch",
        "made with md5",
    ),
    (
        "hash_trimmed",
        HASH,
        {"X-Sign": hashlib.sha256(PLAIN.strip()).hexdigest()},
        "signature_mismatch",
        "without its last line end",
    ),
    ("stamp_elsewhere", TIMED, {"X-Sign": "00", "X-Timestamp": STAMP}, "timestamp_missing", "header x-timestamp"),
]


@pytest.mark.parametrize(
    ("verifier", "headers", "reason", "words"), [row[1:] for row in SIGNATURES], ids=[row[0] for row in SIGNATURES]
)
def test_a_signature_that_is_almost_right_is_refused_and_says_what_is_not(verifier, headers, reason, words):
    found = refusal(verifier, Webhook(headers=headers, body=BODY))

    assert found[0] == reason
    assert words in (found[1] or "nothing")
    for hidden in (WORD, sign().hex(), b64(sign()), STAMP):
        assert hidden not in (found[1] or "")


@pytest.mark.parametrize(("is_empty_written", "signed"), [(True, b"1"), (False, b"1|")])
def test_values_that_are_signed_with_or_without_the_empty_ones_are_told(is_empty_written, signed):
    values = Values(Expression.parse("body", None), join="|", empty=is_empty_written)
    verifier = HmacVerifier(SIGN, signed=Signed.parse("{values}").with_values(values), secrets=(KEY,))

    found = refusal(verifier, Webhook(headers={"X-Sign": sign(signed).hex()}, body=b'{"a": 1, "b": ""}'))

    assert found[0] == "signature_mismatch"
    assert "with empty values where values.empty says without" in (found[1] or "")


TOKEN = TokenVerifier((KEY,), Location("x-token"))
BEARER = TokenVerifier((KEY,), Location("authorization"), "Bearer ")
QUERY = TokenVerifier((b"a b+c",), Location(query="token"))
BLANKS = TokenVerifier((KEY + b"\n ",), Location("x-token"))
TOKENS = [
    ("blanks", BEARER, {"Authorization": f"Bearer  {WORD} "}, "", "token_mismatch", "blanks around it"),
    ("quotes", TOKEN, {"X-Token": f'"{WORD}"'}, "", "token_mismatch", "in quotes"),
    ("bearer", TOKEN, {"X-Token": f"Bearer {WORD}"}, "", "token_mismatch", "after Bearer"),
    ("no_bearer", BEARER, {"Authorization": WORD}, "", "token_mismatch", "without the prefix"),
    ("elsewhere", TOKEN, {"X-Api-Key": WORD}, "", "token_missing", "in the header x-api-key"),
    ("usual", TOKEN, {"Authorization": f"Bearer {WORD}"}, "", "token_missing", "header authorization, after Bearer"),
    ("in_query", TOKEN, {}, f"a=1&key={WORD}", "token_missing", "in the query parameter key"),
    ("in_header", QUERY, {"X-Token": "a b+c"}, "", "token_missing", "in the header x-token"),
    ("encoded_twice", QUERY, {}, "token=a%2520b%252Bc", "token_mismatch", "percent-encoded"),
    ("capitals", TOKEN, {"X-Token": WORD.upper()}, "", "token_mismatch", "in other capitals"),
    ("secret", BLANKS, {"X-Token": WORD}, "", "token_mismatch", "the configured secret"),
]


@pytest.mark.parametrize(
    ("verifier", "headers", "query", "reason", "words"), [row[1:] for row in TOKENS], ids=[row[0] for row in TOKENS]
)
def test_a_token_that_is_almost_right_is_refused_and_says_what_is_not(verifier, headers, query, reason, words):
    found = refusal(verifier, Webhook(headers=headers, query_string=query, body=BODY))

    assert found[0] == reason
    assert words in (found[1] or "nothing")
    assert WORD not in (found[1] or "")


@pytest.mark.parametrize(
    ("verifier", "headers"),
    [
        (HEX, {}),
        (HEX, {"X-Sign": sign(key=b"another").hex()}),
        (HEX, {"X-Sign": "é, ;;= v1=,"}),
        (TIMED, {"X-Sign": sign(key=b"another").hex(), "X-Stamp": "0" * 400}),
        (TOKEN, {}),
        (TOKEN, {"X-Token": "another"}),
        (TOKEN, {"X-Token": WORD[:-1]}),
    ],
)
def test_what_is_simply_wrong_has_no_near_miss(verifier, headers):
    assert refusal(verifier, Webhook(headers=headers, body=BODY))[1] is None


SEVERAL = Several.of([PREFIXED, TOKEN, QUERY])


@pytest.mark.parametrize(
    ("headers", "query", "reason", "words"),
    [
        ({"X-Sign": sign().hex()}, "", "signature_missing", "the signature is right, but without the prefix"),
        ({"X-Token": f"Bearer {WORD}"}, "", "token_mismatch", "the token is right, but after Bearer"),
        ({"X-Signature": f"sha256={sign().hex()}"}, "", "proof_missing", "in the header x-signature"),
        ({}, f"a=1&key={WORD}", "proof_missing", "in the query parameter key"),
        ({"X-Sign": "sha256=00", "X-Token": WORD}, "", "signature_mismatch", None),
    ],
)
def test_of_several_ways_what_is_almost_right_about_one_is_said(headers, query, reason, words):
    found = refusal(SEVERAL, Webhook(headers=headers, query_string=query, body=BODY))

    assert found[0] == reason
    assert words is None or words in (found[1] or "nothing")
    assert WORD not in (found[1] or "")


def test_the_search_for_near_misses_of_many_ways_is_bounded(monkeypatch):
    made = []
    monkeypatch.setattr(module, "_of_way", lambda way, *_: made.append(way))
    ways = Several.of([HmacVerifier(Location(f"x-sign-{number}"), secrets=(KEY,)) for number in range(20)])

    assert Source("one", ways).near_miss(Webhook(body=BODY), "proof_missing", NOW) is None
    assert len(made) == module.MOST_WAYS


def test_who_believes_everybody_finds_nothing():
    assert Source("one", NoVerifier()).near_miss(Webhook(body=BODY), "signature_mismatch", NOW) is None


def test_the_search_for_near_misses_is_bounded(monkeypatch):
    made = []
    real = hmac.digest

    def digest(key, signed, algorithm):
        made.append(len(signed))
        return real(key, signed, algorithm)

    monkeypatch.setattr(module.hmac, "digest", digest)
    source = Source("one", HmacVerifier(SIGN, secrets=tuple(b"secret-%d" % number for number in range(20))))
    headers = {"X-Sign": ",".join(f"v1={sign(bytes([number])).hex()}" for number in range(100))}
    large = Webhook(headers=headers, body=b"[1]" + b" " * module.LARGEST_BODY)

    assert source.near_miss(large, "signature_mismatch", NOW) is None
    assert len(made) == module.MOST_SECRETS
    made.clear()
    assert source.near_miss(Webhook(headers=headers, body=b"[1, 2]\r\n"), "signature_mismatch", NOW) is None
    assert module.MOST_SECRETS < len(made) < 50


@given(st.sampled_from([HEX, PREFIXED, BASE64, TIMED, STRIPE, TOKEN, BEARER, QUERY]), st.text(), st.binary(), st.text())
def test_nothing_that_is_sent_makes_the_search_for_near_misses_fail(verifier, text, body, query):
    headers = dict.fromkeys(("X-Sign", "X-Stamp", "X-Token", "Authorization", "X-Hub-Signature"), text)
    source, webhook = Source("one", verifier), Webhook(headers=headers, body=body, query_string=query)
    for reason in ("signature_mismatch", "token_mismatch", "timestamp_missing", "timestamp_future", "id_missing"):
        assert "right" not in (source.near_miss(webhook, reason, NOW) or "")


def test_the_record_keeps_the_words_and_the_sender_learns_nothing(app, record):
    secret = SECRETS["SOURCE_GITHUB_SECRET"]
    body = dump(SEED)
    signature = b64(sign(body, key=secret.encode()))
    headers = {"Content-Type": JSON, "X-GitHub-Event": "push", "X-Hub-Signature-256": signature}

    answer = app.test_client().post("/hooks/github", data=body, headers=headers)

    assert (answer.status_code, answer.get_json()["detail"]) == (401, "not verified")
    (row,) = list_events(record, Filter()).rows
    assert row.event.state is EventState.REFUSED
    assert row.event.errors == {"proof": ["the signature is right, but without the prefix, encoded as base64"]}
    kept = str(record.redis.hgetall(f"relay:event:{row.event.id}"))
    assert secret not in kept
    assert signature not in kept
