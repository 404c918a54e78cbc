"""Near misses of a refused webhook: what is almost right about it, for the person who sets the sender up.

They are looked for after the refusal and never change it. The faults name settings and known headers, never a secret,
a token, a signature, or other text of the request. The work is bounded, because anybody can cause it.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from urllib.parse import parse_qsl, unquote

from relay.core.errors import NotVerifiedError
from relay.core.faults import Fault, fault
from relay.sources.proof.signatures import ENCODINGS, PER_SECOND, DigestVerifier, HmacVerifier, decode
from relay.sources.proof.signed import Given
from relay.sources.proof.verifier import TokenVerifier, Verifier, as_sent
from relay.sources.webhook import Reading

LARGEST_BODY = 16_000
"""For a larger body only the configured signature is tried: people who set up a sender test with a small one."""
MOST_WAYS, MOST_SECRETS, MOST_PIECES, MOST_GIVEN, LONGEST_HEADER = 3, 3, 8, 64, 2_000
LONGEST_DIGEST = 180
"""Characters of a SHA-512 in base64 of its hex, in quotes; no encoding is longer."""
ALGORITHMS = ("sha256", "sha1", "sha512", "md5")
SIZES = {16, 20, 32, 64}
TOKEN_HEADERS = (
    "authorization", "x-relay-token", "x-api-key", "api-key", "x-auth-token", "x-access-token", "x-token", "token",
    "x-webhook-token", "x-webhook-secret", "x-secret", "x-gitlab-token",
)  # fmt: skip
TOKEN_PARAMETERS = ("token", "key", "api_key", "apikey", "secret", "access_token")
SIGNATURE_HEADERS = (
    "x-hub-signature-256", "x-hub-signature", "x-signature", "x-signature-256", "x-signature-sha256", "signature",
    "x-webhook-signature", "webhook-signature", "x-hmac-signature", "x-hmac-sha256", "x-shopify-hmac-sha256",
    "stripe-signature", "x-slack-signature", "typeform-signature",
)  # fmt: skip
STAMP_HEADERS = ("x-timestamp", "x-webhook-timestamp", "webhook-timestamp", "x-slack-request-timestamp", "x-time")
PREFIXES = ("sha256=", "sha1=", "sha512=", "hmac-sha256=", "v0=", "v1=", "v1,")
QUOTES = "\"'"

Text = tuple[str, tuple[Fault, ...]]
"""A text that may be the proof, and the differences from what was expected."""


def find_near_miss(verifier: Verifier, reading: Reading, reason: str, now: datetime) -> Fault | None:
    """The first near miss; None if there is none. reason: of the refusal."""
    found = (_of_way(way, reading, reason, now) for way in verifier.ways[:MOST_WAYS])
    return next((near_miss for near_miss in found if near_miss), None)


def _of_way(way: object, reading: Reading, reason: str, now: datetime) -> Fault | None:
    try:
        if isinstance(way, TokenVerifier):
            return _of_token(way, reading)
        if not isinstance(way, DigestVerifier):
            return None
        if reason in {"signature_missing", "signature_mismatch", "proof_missing"}:
            return _of_signature(way, reading)
        return _of_time(way, reading, reason, now)
    except NotVerifiedError:
        return None  # the signed text cannot be read, so nothing can be compared


# Tokens.


def _of_token(verifier: TokenVerifier, reading: Reading) -> Fault | None:
    for text, words in _tokens(verifier, reading):
        given = as_sent(text)
        for secret in verifier.secrets[:MOST_SECRETS]:
            if words and hmac.compare_digest(given, secret):
                return fault("token_right_but", but=words)
            if hmac.compare_digest(given, secret.strip(b" \t\r\n\"'")):
                return fault("token_right_but", but=(*words, fault("secret_has_blanks")))
            if hmac.compare_digest(given.lower(), secret.lower()):
                return fault("token_right_but", but=(*words, fault("in_other_capitals")))
    return None


def _tokens(verifier: TokenVerifier, reading: Reading) -> Iterator[Text]:
    place, webhook = verifier.place, reading.webhook
    places: list[tuple[str | None, tuple[Fault, ...]]] = [(place.given(reading), ())]
    places += [
        (webhook.header(name), (fault("in_header", name=name),)) for name in TOKEN_HEADERS if name != place.header
    ]
    given_query = webhook.query_string[:LONGEST_HEADER]
    query = dict(parse_qsl(given_query, max_num_fields=None)) if given_query else {}
    places += [(query.get(name), (fault("in_query", name=name),)) for name in TOKEN_PARAMETERS if name != place.query]
    for given, where in places:
        if given:
            yield from _token_forms(given[:LONGEST_HEADER], verifier.prefix, where)


def _token_forms(given: str, prefix: str, place: tuple[Fault, ...]) -> Iterator[Text]:
    """The token itself, then without blanks, prefixes and quotes around it."""
    text, words = given, place
    bare = text.strip()
    if bare != text:
        text, words = bare, (*words, fault("with_blanks"))
    if prefix and text.lower().startswith(prefix.lower()):
        text = text[len(prefix) :]
    elif prefix.strip():
        words = (*words, fault("without_prefix"))
    elif text.lower().startswith("bearer "):
        text, words = text[7:], (*words, fault("after_prefix", prefix="Bearer"))
    yield text, words
    bare = text.strip()
    if bare != text:
        text, words = bare, (*words, fault("with_blanks"))
        yield text, words
    bare = text.strip(QUOTES)
    if bare != text:
        text, words = bare, (*words, fault("in_quotes"))
        yield text, words
    plain = unquote(text)
    if plain != text:
        yield plain, (*words, fault("percent_encoded"))


# Signatures.


def _of_signature(verifier: DigestVerifier, reading: Reading) -> Fault | None:
    own = verifier.place.given(reading) or ""
    places: list[tuple[str, tuple[Fault, ...]]] = [(own, ())]
    places += [
        (reading.webhook.header(name) or "", (fault("in_header", name=name),))
        for name in SIGNATURE_HEADERS
        if name != verifier.place.header
    ]
    given: list[tuple[bytes, tuple[Fault, ...]]] = []
    stamp = ""
    for whole, where in places:
        text = whole[:LONGEST_HEADER]
        given += [(raw, (*where, *words)) for raw, words in _digests_given(verifier, text)]
        stamp = stamp or _stamp_of(verifier, reading, text)
    # A request without a signature costs no digest, and one with many costs each digest once.
    # The first way to a digest is the simplest. A dict compares by a hash that nobody outside can predict.
    expected = dict(reversed(list(_digests_expected(verifier, reading, stamp)))) if given else {}
    for raw, words in given[:MOST_GIVEN]:
        signing = expected.get(raw)
        if signing is not None and (words or signing):
            return fault("signature_right_but", but=(*words, *signing))
    return None


def _stamp_of(verifier: DigestVerifier, reading: Reading, text: str) -> str:
    place = verifier.clock.place if verifier.clock else None
    stamp = ((place.given(reading) if place else None) or verifier.split(text)[1]).strip()
    return stamp if stamp.isascii() else ""


def _digests_given(verifier: DigestVerifier, header: str) -> list[tuple[bytes, tuple[Fault, ...]]]:
    """Every text in a header that can be read as a digest."""
    pieces = [piece for piece in re.split(r"[;\s]+|,(?=\s*\w+=)", header) if piece][:MOST_PIECES]
    texts = [form for piece in pieces for form in _signature_forms(verifier, piece)]
    return [(raw, (*words, *encoded)) for text, words in texts for raw, encoded in _decoded(verifier.encoding, text)]


def _signature_forms(verifier: DigestVerifier, piece: str) -> Iterator[Text]:
    bare = piece.strip(QUOTES)
    words: tuple[Fault, ...] = () if bare == piece else (fault("in_quotes"),)
    expected = f"{verifier.parts[0]}={verifier.prefix}" if verifier.parts else verifier.prefix
    if expected and bare.startswith(expected):
        yield bare.removeprefix(expected), words
        return
    if expected:
        yield bare, (*words, fault("without_prefix"))
    else:
        yield bare, words
    for prefix in PREFIXES:
        if bare.lower().startswith(prefix):
            yield bare[len(prefix) :], (*words, fault("after_prefix", prefix=prefix))


def _decoded(encoding: str, text: str) -> Iterator[tuple[bytes, tuple[Fault, ...]]]:
    """The bytes in each encoding that the text can have, with a fault unless it is the configured one."""
    if len(text) > LONGEST_DIGEST:
        return
    for name in sorted(ENCODINGS, key=lambda name: name != encoding):
        try:
            raw = decode(text, name)
        except ValueError:
            continue
        if len(raw) in SIZES:
            yield raw, () if name == encoding else (fault("encoded_as", encoding=name),)


def _digests_expected(
    verifier: DigestVerifier, reading: Reading, stamp: str
) -> Iterator[tuple[bytes, tuple[Fault, ...]]]:
    """The digests as configured, then with one difference each."""
    webhook = reading.webhook
    identity = webhook.header(verifier.id_header) if verifier.id_header else ""
    if identity is None:
        return
    given = Given(stamp, identity)
    secrets, configured = verifier.secrets[:MOST_SECRETS], verifier.algorithm
    texts = [verifier.text(reading, given, secret) for secret in secrets]
    for secret, signed in zip(secrets, texts, strict=True):
        yield verifier.digest(secret, signed, configured), ()
    if len(webhook.body) > LARGEST_BODY:
        return
    bodies = list(_bodies(webhook.body)) if "body" in verifier.signed.kinds else []
    for secret, signed in zip(secrets, texts, strict=True):
        for algorithm in ALGORITHMS:
            if algorithm != configured:
                yield verifier.digest(secret, signed, algorithm), (fault("made_with", algorithm=algorithm),)
        for text, words in _other_texts(verifier, reading, bodies, given, secret):
            yield verifier.digest(secret, text, configured), (words,)
        for key, words in _keys(secret):
            yield verifier.digest(key, verifier.text(reading, given, key), configured), (words,)


def _other_texts(
    verifier: DigestVerifier, reading: Reading, bodies: list[tuple[bytes, Fault]], given: Given, secret: bytes
) -> Iterator[tuple[bytes, Fault]]:
    """The texts that the sender may have signed instead."""
    for body, words in bodies:
        yield verifier.text(reading.with_body(body), given, secret), words
    if signed := verifier.signed.with_other_empty():
        yield replace(verifier, signed=signed).text(reading, given, secret), fault("over_other_empty_values")
    if isinstance(verifier, HmacVerifier):
        yield reading.webhook.body, fault("over_body_alone")


def _bodies(body: bytes) -> Iterator[tuple[bytes, Fault]]:
    """Other forms of a body that the signer may have seen."""
    trimmed = body.rstrip(b"\r\n")
    if trimmed != body:
        yield trimmed, fault("over_body_without_line_end")
    yield body + b"\n", fault("over_body_with_line_end")
    if b"\r\n" in body:
        yield body.replace(b"\r\n", b"\n"), fault("over_other_line_ends")
    try:
        content = json.loads(body)
        forms = (
            json.dumps(content, ensure_ascii=False, separators=(",", ":")),
            json.dumps(content, separators=(",", ":")),
            json.dumps(content),
        )
        written = {form.encode("utf-8") for form in forms} - {body}
    except (ValueError, RecursionError):
        return
    for form in sorted(written):
        yield form, fault("over_json_anew")


def _keys(secret: bytes) -> Iterator[tuple[bytes, Fault]]:
    """Other readings of a secret."""
    bare = secret.strip(b" \t\r\n\"'")
    if bare != secret:
        yield bare, fault("secret_has_blanks")
    encoded = base64.b64encode(secret)
    for text in (encoded, b"whsec_" + encoded):
        yield text, fault("secret_is_text")
    try:
        yield base64.b64decode(secret.removeprefix(b"whsec_"), validate=True), fault("secret_is_base64")
    except (ValueError, binascii.Error):
        return


# Timestamps.


def _of_time(verifier: DigestVerifier, reading: Reading, reason: str, now: datetime) -> Fault | None:
    clock = verifier.clock
    if clock is None or clock.unit not in PER_SECOND:
        return None
    if reason == "timestamp_missing":
        own = clock.place.header if clock.place else None
        name = next((name for name in STAMP_HEADERS if name != own and reading.webhook.header(name)), None)
        return fault("timestamp_in_header", name=name) if name else None
    stamp = _stamp_of(verifier, reading, (verifier.place.given(reading) or "")[:LONGEST_HEADER])
    if reason not in {"timestamp_stale", "timestamp_future"} or not stamp.isdigit():
        return None
    other = replace(clock, unit="ms" if clock.unit == "s" else "s")
    try:
        other.check(stamp, now)
    except NotVerifiedError:
        return None
    return fault("timestamp_in_milliseconds") if other.unit == "ms" else fault("timestamp_in_seconds")
