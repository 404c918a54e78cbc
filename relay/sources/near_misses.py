"""What is almost right about a webhook that was refused, in words for the person who sets the sender up.

Asked only after the refusal, which stands whatever is found here. The words name settings and known headers: never a
secret, a token, a signature, or any other text of the request. The work is bounded, because anybody can cause it.
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
from relay.sources.proof.clocks import PER_SECOND
from relay.sources.proof.digests import HmacVerifier
from relay.sources.proof.places import as_sent
from relay.sources.proof.signed import Given
from relay.sources.proof.tokens import TokenVerifier
from relay.sources.proof.verifier import Verifier
from relay.sources.reading import Reading

LARGEST_BODY = 16_000
"""Of a larger body nothing else than what is configured is signed here: who sets a sender up tries with a small one."""
MOST_WAYS, MOST_SECRETS, MOST_PIECES, MOST_GIVEN, LONGEST_HEADER = 3, 3, 8, 64, 2_000
LONGEST_DIGEST = 130
"""Characters of a SHA-512 in hex, in quotes; no encoding is longer."""
ALGORITHMS = ("sha256", "sha1", "sha512")
SIZES = {20, 32, 64}
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

Text = tuple[str, tuple[str, ...]]
"""A text that may be the proof, and in which words it is not where or what it should be."""


def find_near_miss(verifier: Verifier, reading: Reading, reason: str, now: datetime) -> str | None:
    """One sentence, or None where nothing is nearly right. reason: of the refusal."""
    found = (_of_way(way, reading, reason, now) for way in verifier.ways[:MOST_WAYS])
    return next((sentence for sentence in found if sentence), None)


def _of_way(way: object, reading: Reading, reason: str, now: datetime) -> str | None:
    try:
        if isinstance(way, TokenVerifier):
            return _of_token(way, reading)
        if not isinstance(way, HmacVerifier):
            return None
        if reason in {"signature_missing", "signature_mismatch", "proof_missing"}:
            return _of_signature(way, reading)
        return _of_time(way, reading, reason, now)
    except NotVerifiedError:
        return None  # what it is over cannot be read: then nothing can be compared


def _sentence(what: str, words: tuple[str, ...]) -> str:
    return f"the {what} is right, but {', '.join(words)}" if words else f"the {what} is right"


# Tokens.


def _of_token(verifier: TokenVerifier, reading: Reading) -> str | None:
    for text, words in _tokens(verifier, reading):
        given = as_sent(text)
        for secret in verifier.secrets[:MOST_SECRETS]:
            if words and hmac.compare_digest(given, secret):
                return _sentence("token", words)
            if hmac.compare_digest(given, secret.strip(b" \t\r\n\"'")):
                return _sentence("token", (*words, "the configured secret has blanks or quotes around it"))
            if hmac.compare_digest(given.lower(), secret.lower()):
                return _sentence("token", (*words, "in other capitals"))
    return None


def _tokens(verifier: TokenVerifier, reading: Reading) -> Iterator[Text]:
    place, webhook = verifier.place, reading.webhook
    places = [(place.given(reading), "")]
    places += [(webhook.header(name), f"in the header {name}") for name in TOKEN_HEADERS if name != place.header]
    given_query = webhook.query_string[:LONGEST_HEADER]
    query = dict(parse_qsl(given_query, max_num_fields=None)) if given_query else {}
    places += [(query.get(name), f"in the query parameter {name}") for name in TOKEN_PARAMETERS if name != place.query]
    for given, where in places:
        if given:
            yield from _token_forms(given[:LONGEST_HEADER], verifier.prefix, (where,) if where else ())


def _token_forms(given: str, prefix: str, place: tuple[str, ...]) -> Iterator[Text]:
    """The token itself, then without what people leave around it."""
    text, words = given, place
    bare = text.strip()
    if bare != text:
        text, words = bare, (*words, "with blanks around it")
    if prefix and text.lower().startswith(prefix.lower()):
        text = text[len(prefix) :]
    elif prefix.strip():
        words = (*words, "without the prefix")
    elif text.lower().startswith("bearer "):
        text, words = text[7:], (*words, "after Bearer")
    yield text, words
    bare = text.strip()
    if bare != text:
        text, words = bare, (*words, "with blanks around it")
        yield text, words
    bare = text.strip(QUOTES)
    if bare != text:
        text, words = bare, (*words, "in quotes")
        yield text, words
    plain = unquote(text)
    if plain != text:
        yield plain, (*words, "percent-encoded")


# Signatures.


def _of_signature(verifier: HmacVerifier, reading: Reading) -> str | None:
    own = verifier.place.given(reading) or ""
    places = [(own, "")]
    places += [
        (reading.webhook.header(name) or "", f"in the header {name}")
        for name in SIGNATURE_HEADERS
        if name != verifier.place.header
    ]
    given: list[tuple[bytes, tuple[str, ...]]] = []
    stamp = ""
    for whole, where in places:
        text = whole[:LONGEST_HEADER]
        given += [(raw, (where, *words) if where else words) for raw, words in _digests_given(verifier, text)]
        stamp = stamp or _stamp_of(verifier, reading, text)
    # Only with something to compare: a request without a signature costs no digest, and one with many costs each once.
    # The first way to a digest is the simplest. A dict compares by a hash that nobody outside can foresee.
    expected = dict(reversed(list(_digests_expected(verifier, reading, stamp)))) if given else {}
    for raw, words in given[:MOST_GIVEN]:
        signing = expected.get(raw)
        if signing is not None and (words or signing):
            return _sentence("signature", (*words, *signing))
    return None


def _stamp_of(verifier: HmacVerifier, reading: Reading, text: str) -> str:
    place = verifier.clock.place if verifier.clock else None
    stamp = ((place.given(reading) if place else None) or verifier.split(text)[1]).strip()
    return stamp if stamp.isascii() else ""


def _digests_given(verifier: HmacVerifier, header: str) -> list[tuple[bytes, tuple[str, ...]]]:
    """Everything in a header that can be read as a digest."""
    pieces = [piece for piece in re.split(r"[;\s]+|,(?=\s*\w+=)", header) if piece][:MOST_PIECES]
    texts = [form for piece in pieces for form in _signature_forms(verifier, piece)]
    return [(raw, (*words, *encoded)) for text, words in texts for raw, encoded in _decoded(verifier.encoding, text)]


def _signature_forms(verifier: HmacVerifier, piece: str) -> Iterator[Text]:
    bare = piece.strip(QUOTES)
    words: tuple[str, ...] = () if bare == piece else ("in quotes",)
    expected = f"{verifier.parts[0]}={verifier.prefix}" if verifier.parts else verifier.prefix
    if expected and bare.startswith(expected):
        yield bare.removeprefix(expected), words
        return
    if expected:
        yield bare, (*words, "without the prefix")
    else:
        yield bare, words
    for prefix in PREFIXES:
        if bare.lower().startswith(prefix):
            yield bare[len(prefix) :], (*words, f"after {prefix}")


def _decoded(encoding: str, text: str) -> Iterator[tuple[bytes, tuple[str, ...]]]:
    """The bytes in each encoding that the text can have; in the configured one without words."""
    if len(text) > LONGEST_DIGEST:
        return
    for name in sorted(("hex", "base64", "base64url"), key=lambda name: name != encoding):
        try:
            if name == "hex":
                raw = bytes.fromhex(text)
            else:
                padded = text.rstrip("=") + "=" * (-len(text.rstrip("=")) % 4)
                raw = base64.b64decode(padded, altchars=b"-_" if name == "base64url" else None, validate=True)
        except (ValueError, binascii.Error):
            continue
        if len(raw) in SIZES:
            yield raw, () if name == encoding else (f"encoded as {name}",)


def _digests_expected(verifier: HmacVerifier, reading: Reading, stamp: str) -> Iterator[tuple[bytes, tuple[str, ...]]]:
    """What is configured, then with one thing different each."""
    webhook = reading.webhook
    identity = webhook.header(verifier.id_header) if verifier.id_header else ""
    if identity is None:
        return
    given = Given(stamp, identity)
    signed = verifier.signed.write(reading, given)
    secrets, configured = verifier.secrets[:MOST_SECRETS], verifier.algorithm
    for secret in secrets:
        yield hmac.digest(secret, signed, configured), ()
    if len(webhook.body) > LARGEST_BODY:
        return
    bodies = list(_bodies(webhook.body)) if "body" in verifier.signed.kinds else []
    for secret in secrets:
        for algorithm in ALGORITHMS:
            if algorithm != configured:
                yield hmac.digest(secret, signed, algorithm), (f"made with {algorithm}",)
        for body, words in bodies:
            other = verifier.signed.write(reading.with_body(body), given)
            yield hmac.digest(secret, other, configured), (words,)
        if signed != webhook.body:
            yield hmac.digest(secret, webhook.body, configured), ("over the body alone",)
        for key, words in _keys(secret):
            yield hmac.digest(key, signed, configured), (words,)


def _bodies(body: bytes) -> Iterator[tuple[bytes, str]]:
    """Other forms of a body that somebody on the way may have had before him."""
    trimmed = body.rstrip(b"\r\n")
    if trimmed != body:
        yield trimmed, "over the body without its last line end"
    yield body + b"\n", "over the body with a line end after it"
    if b"\r\n" in body:
        yield body.replace(b"\r\n", b"\n"), "over the body with other line ends"
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
        yield form, "over the JSON written anew: something on the way has changed the body"


def _keys(secret: bytes) -> Iterator[tuple[bytes, str]]:
    """Other readings of a secret."""
    bare = secret.strip(b" \t\r\n\"'")
    if bare != secret:
        yield bare, "the configured secret has blanks or quotes around it"
    encoded = base64.b64encode(secret)
    for text in (encoded, b"whsec_" + encoded):
        yield text, "the secret is used as text: key: text"
    try:
        yield base64.b64decode(secret.removeprefix(b"whsec_"), validate=True), "the secret is base64: key: base64"
    except (ValueError, binascii.Error):
        return


# Timestamps.


def _of_time(verifier: HmacVerifier, reading: Reading, reason: str, now: datetime) -> str | None:
    clock = verifier.clock
    if clock is None or clock.unit not in PER_SECOND:
        return None
    if reason == "timestamp_missing":
        own = clock.place.header if clock.place else None
        name = next((name for name in STAMP_HEADERS if name != own and reading.webhook.header(name)), None)
        return f"a timestamp is in the header {name}" if name else None
    stamp = _stamp_of(verifier, reading, (verifier.place.given(reading) or "")[:LONGEST_HEADER])
    if reason not in {"timestamp_stale", "timestamp_future"} or not stamp.isdigit():
        return None
    other = replace(clock, unit="ms" if clock.unit == "s" else "s")
    try:
        other.check(stamp, now)
    except NotVerifiedError:
        return None
    return f"the timestamp is in {'milliseconds: unit: ms' if other.unit == 'ms' else 'seconds: unit: s'}"
