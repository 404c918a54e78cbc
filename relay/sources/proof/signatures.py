"""Proof by a signature: its place, its encoding, the text that it covers, and the time when it was made.

Here is the check of signatures by a shared secret: an HMAC (RFC 2104), or a plain digest over a text that contains the
secret. `public_keys` checks signatures by the sender's own key; it is a module of its own because it loads
`cryptography`.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Self

from relay.configuration.expressions import Expression
from relay.core.errors import NotVerifiedError, UnreadableError
from relay.core.phrases import Phrase, phrase
from relay.sources.bodies import JSON, UNNAMED, kind_of, read_json
from relay.sources.proof.signed import BODY, NOTHING, Given, Signed
from relay.sources.proof.verifier import Coverage, Location, Way, as_sent, entries_of, is_any
from relay.sources.webhook import Reading

_DIGITS = re.compile(r"[0-9]{1,16}")
_ISO = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]{5,20}(?:Z|[+-][0-9]{2}:?[0-9]{2})", re.ASCII)
PER_SECOND = {"s": 1, "ms": 1000}
FROM_MS = 10**11
"""With the unit `any`, a larger number counts milliseconds: in seconds it would be after the year 5000."""


@dataclass(frozen=True, slots=True)
class Clock:
    """The time that is signed. place: its location; None: in the parts of the signature. unit: s, ms, iso or
    any, which is seconds or milliseconds by its size.

    tolerance_s: allowed difference from our time, in seconds, in both directions.
    """

    place: Location | None
    unit: str
    tolerance_s: float

    def check(self, stamp: str, now: datetime) -> None:
        """Raise NotVerifiedError (timestamp_unreadable, timestamp_stale, timestamp_future) unless the time is near
        now.
        """
        age_s = now.timestamp() - self._seconds(stamp)
        if age_s > self.tolerance_s:
            raise NotVerifiedError("timestamp_stale")
        if age_s < -self.tolerance_s:
            raise NotVerifiedError("timestamp_future")

    def read(self, given: str | None) -> str:
        """The time as sent. Raises NotVerifiedError: timestamp_missing or timestamp_unreadable."""
        stamp = (given or "").strip()
        if not stamp:
            raise NotVerifiedError("timestamp_missing")
        if not (_ISO if self.unit == "iso" else _DIGITS).fullmatch(stamp):
            raise NotVerifiedError("timestamp_unreadable")
        return stamp

    def write(self, at: datetime) -> str:
        """Write a time as the sender does."""
        if self.unit == "iso":
            return at.isoformat(timespec="milliseconds")
        return str(int(at.timestamp() * PER_SECOND.get(self.unit, 1)))

    def _seconds(self, stamp: str) -> float:
        if self.unit == "any":
            return int(stamp) / (PER_SECOND["ms"] if int(stamp) > FROM_MS else 1)
        if self.unit != "iso":
            return int(stamp) / PER_SECOND[self.unit]
        try:
            return datetime.fromisoformat(stamp).timestamp()
        except (ValueError, OverflowError):
            raise NotVerifiedError("timestamp_unreadable") from None


RAW_BYTES = 32
"""An ed25519 public key (RFC 8032)."""
_PUBLIC = ("whpk_", "-----BEGIN PUBLIC KEY", "-----BEGIN RSA PUBLIC KEY", "-----BEGIN CERTIFICATE")
_PRIVATE = ("-----BEGIN PRIVATE", "-----BEGIN EC PRIVATE", "-----BEGIN RSA PRIVATE", "whsk_")
_ALGORITHMS = (
    bytes.fromhex("302a300506032b6570"),
    bytes.fromhex("3059301306072a8648ce3d0201"),
    b"-----BEGIN PUBLIC KEY",
)
"""First bytes of a public key: the DER of ed25519 (RFC 8410) and of ECDSA on P-256 (RFC 5480), or a PEM, in base64."""
_RSA = bytes.fromhex("300d06092a864886f70d0101010500")
"""In the DER of an RSA key, after its length (RFC 3279, section 2.3.1)."""


class Shape(StrEnum):
    """Kinds of secrets: a public key for an HMAC key would let anybody sign, so the two are told apart."""

    PUBLIC = "everybody may have it"
    SHARED = "sender and relay have it"
    EITHER = "one or the other"
    """32 bytes in hex or base64: an ed25519 public key, or a key of an HMAC."""


def shape_of(text: str) -> Shape:
    """Guess the kind of a secret from its text."""
    if text.startswith("whsec_"):
        return Shape.SHARED
    if text.startswith(_PUBLIC):
        return Shape.PUBLIC
    for raw in _readings(text):
        if raw.startswith(_ALGORITHMS) or _RSA in raw[:20]:
            return Shape.PUBLIC
        if len(raw) == RAW_BYTES:
            return Shape.EITHER
    return Shape.SHARED


def is_private(text: str) -> bool:
    """Whether it is a private key, which nobody but the sender should have."""
    return text.startswith(_PRIVATE)


def public_bytes(text: str) -> list[bytes]:
    """Possible bytes of a public key that is not PEM: the raw key, its DER, or a PEM that is in base64 again."""
    return _readings(text.removeprefix("whpk_"))


def _readings(text: str) -> list[bytes]:
    bare = "".join(text.split())
    found = []
    for read in (bytes.fromhex, _base64):
        try:
            found.append(read(bare))
        except (ValueError, binascii.Error):
            continue
    return found


def _base64(text: str) -> bytes:
    plain = text.replace("-", "+").replace("_", "/").rstrip("=")
    return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)


MOST_CANDIDATES = 16
"""A body is signed once; more candidates would only cost work."""


@dataclass(frozen=True, slots=True)
class SignatureVerifier(ABC):
    """A signature over a text.

    separator: splits a header with several values. parts: the keys of the signature and of the timestamp if each value
    is `key=value` (Stripe: `t=…,v1=…`). id_header: the source of {id}. body_digest: the query parameter with the
    SHA-256 of the body in hex (Twilio's bodySHA256); the address, and so the signature, covers it.
    """

    place: Location
    encoding: str = "hex"
    prefix: str = ""
    signed: Signed = BODY
    separator: str | None = None
    parts: tuple[str, str | None] | None = None
    clock: Clock | None = None
    id_header: str | None = None
    body_digest: str | None = None
    unless: Expression | None = None
    secrets: tuple[bytes, ...] = field(default=(), repr=False)

    @property
    def ways(self) -> tuple[Way, ...]:
        return (self,)

    @property
    def reads_body(self) -> bool:
        """Whether the check needs the body's content."""
        places = [self.place, *([self.clock.place] if self.clock and self.clock.place else [])]
        return self.signed.reads_body or any(place.field for place in places)

    @property
    @abstractmethod
    def words(self) -> Phrase:
        """A description for people."""

    @abstractmethod
    def is_right(self, candidates: Sequence[str], reading: Reading, given: Given) -> bool:
        """Whether one of these is the signature. Raises NotVerifiedError."""

    def with_secret(self, secret: bytes) -> Self:
        """The same way with one more secret."""
        return replace(self, secrets=(*self.secrets, secret))

    def check(self, reading: Reading, now: datetime) -> Coverage:
        """Check the signature, or that of every entry, and return its coverage. Raises NotVerifiedError with one of the
        reasons of this package.
        """
        if not self.place.entries:
            return self._check(reading, now)
        covered = tuple(self._check(entry, now) for entry in entries_of(reading))
        if not covered:
            raise NotVerifiedError("signature_missing")
        return replace(covered[0], entries=covered)

    def _check(self, reading: Reading, now: datetime) -> Coverage:
        found, stamp = self.split(self.place.given(reading) or "")
        if not found:
            raise NotVerifiedError("signature_missing")
        given = self.given(reading, stamp)
        if not self.is_right(found, reading, given):
            raise NotVerifiedError("signature_mismatch")
        if self.body_digest:
            self._check_digest(reading)
        if self.clock:
            self.clock.check(given.stamp, now)
        # The time may differ from ours in both directions.
        return Coverage.of(self.signed.write(reading, given), 2 * self.clock.tolerance_s if self.clock else None)

    def split(self, text: str) -> tuple[list[str], str]:
        """The signatures in a text, and the timestamp if it has one."""
        values = [value.strip() for value in text.split(self.separator)] if self.separator else [text.strip()]
        stamp = ""
        if self.parts:
            pairs = [value.partition("=") for value in values]
            stamp = next((value for key, _, value in pairs if key == self.parts[1]), "")
            values = [value for key, _, value in pairs if key == self.parts[0]]
        begin = self.prefix.lower()
        found = [value[len(begin) :] for value in values if value and value[: len(begin)].lower() == begin]
        return found[:MOST_CANDIDATES], stamp

    def given(self, reading: Reading, from_parts: str) -> Given:
        """The time and id of this webhook. Raises NotVerifiedError: timestamp_missing, timestamp_unreadable,
        id_missing.
        """
        if not self.clock and not self.id_header:
            return NOTHING
        stamp = ""
        if self.clock:
            stamp = self.clock.read(self.clock.place.given(reading) if self.clock.place else from_parts)
        identity = reading.webhook.header(self.id_header) if self.id_header else ""
        if identity is None:
            raise NotVerifiedError("id_missing")
        return Given(stamp, identity)

    def _check_digest(self, reading: Reading) -> None:
        given = Location(query=self.body_digest).given(reading) or ""
        if not hmac.compare_digest(as_sent(given.lower()), reading.body_sha256.encode("ascii")):
            raise NotVerifiedError("digest_mismatch")


BASE64_HEX = "base64-hex"
"""Base64 of the hex text, as Zadarma writes a signature."""
ENCODINGS = ("hex", "base64", "base64url", BASE64_HEX)


def encode(digest: bytes, encoding: str) -> str:
    """Write a signature in an encoding."""
    if encoding == "hex":
        return digest.hex()
    if encoding == BASE64_HEX:
        return base64.b64encode(digest.hex().encode("ascii")).decode("ascii")
    return (base64.b64encode if encoding == "base64" else base64.urlsafe_b64encode)(digest).decode("ascii")


def decode(text: str, encoding: str) -> bytes:
    """The bytes of a signature, with or without padding. Raises ValueError if it has another encoding."""
    if encoding == "hex":
        return bytes.fromhex(text)
    if encoding == BASE64_HEX:
        return bytes.fromhex(decode(text, "base64").decode("ascii"))
    bare = as_sent(text).rstrip(b"=")
    try:
        alphabet = None if encoding == "base64" else b"-_"
        return base64.b64decode(bare + b"=" * (-len(bare) % 4), altchars=alphabet, validate=True)
    except binascii.Error as error:
        raise ValueError(str(error)) from None


ALGORITHMS = ("sha1", "sha256", "sha384", "sha512", "md5")
KEYS = ("text", "base64", "hex")
HS256 = "HS256"
"""The algorithm of a signed token whose secret is shared (signed_tokens.py, which is imported only if needed)."""


@dataclass(frozen=True, slots=True)
class DigestVerifier(SignatureVerifier):
    """A signature by a shared secret. algorithm: one of ALGORITHMS. named: further secrets that its text contains."""

    algorithm: str = "sha256"
    named: Mapping[str, bytes] = field(default_factory=dict, repr=False, compare=False)

    def text(self, reading: Reading, given: Given, secret: bytes) -> bytes:
        """The signed text with the secrets in it. Raises NotVerifiedError: body_unreadable."""
        return self.signed.write(reading, replace(given, secret=secret, named=self.named))

    @abstractmethod
    def digest(self, secret: bytes, text: bytes, algorithm: str) -> bytes:
        """The digest of a signed text."""

    def digests(self, reading: Reading, given: Given) -> list[bytes]:
        """The expected digest for each secret. Raises NotVerifiedError: body_unreadable."""
        return [self.digest(one, self.text(reading, given, one), self.algorithm) for one in self.secrets]

    def is_right(self, candidates: Sequence[str], reading: Reading, given: Given) -> bool:
        expected = [self._comparable(encode(digest, self.encoding)) for digest in self.digests(reading, given)]
        return is_any([self._comparable(candidate) for candidate in candidates], expected)

    def _comparable(self, signature: str) -> bytes:
        given = as_sent(signature)
        return given.lower() if self.encoding == "hex" else given.rstrip(b"=")


@dataclass(frozen=True, slots=True)
class HmacVerifier(DigestVerifier):
    """An HMAC. key: the form of its secrets: text, or base64 or hex of the key itself."""

    key: str = "text"

    @property
    def words(self) -> Phrase:
        return phrase(
            "an HMAC (%(algorithm)s, %(encoding)s) in the %(place)s",
            algorithm=self.algorithm,
            encoding=self.encoding,
            place=self.place.words,
        )

    def with_secret(self, secret: bytes) -> Self:
        return replace(self, secrets=(*self.secrets, read_key(secret.decode("utf-8"), self.key)))

    def digest(self, secret: bytes, text: bytes, algorithm: str) -> bytes:
        return hmac.digest(secret, text, algorithm)


@dataclass(frozen=True, slots=True)
class HashVerifier(DigestVerifier):
    """A plain digest over a text with {secret} in it, as HubSpot's first versions and Robokassa sign.

    Unless the secret comes last, one such digest is enough to compute the digest of a longer text without the secret
    (length extension, RFC 6151, section 1): the old text, the padding of the hash, anything. The padding ends with the
    length in bits, eight or sixteen bytes, so it contains a NUL; a text with a NUL is not believed. The body must be
    JSON, because the content type is not signed.
    """

    @property
    def words(self) -> Phrase:
        return phrase(
            "a digest (%(algorithm)s, %(encoding)s) with the secret in the %(place)s",
            algorithm=self.algorithm,
            encoding=self.encoding,
            place=self.place.words,
        )

    def digest(self, secret: bytes, text: bytes, algorithm: str) -> bytes:  # noqa: ARG002 - it is in the text
        return hashlib.new(algorithm, text, usedforsecurity=False).digest()

    def is_right(self, candidates: Sequence[str], reading: Reading, given: Given) -> bool:
        is_right = DigestVerifier.is_right(self, candidates, reading, given)
        if is_right and self.signed.parts[-1].kind != "secret":
            self._check_not_extended(reading, given)
        return is_right

    def _check_not_extended(self, reading: Reading, given: Given) -> None:
        """Raises NotVerifiedError: body_unreadable."""
        is_extended = b"\0" in self.signed.write(reading, given)
        if not is_extended and "body" in self.signed.kinds:
            kind = kind_of(reading.webhook.content_type)
            is_extended = kind not in {JSON, UNNAMED} or not _is_json(reading.webhook.body)
        if is_extended:
            raise NotVerifiedError("body_unreadable")


def _is_json(body: bytes) -> bool:
    try:
        read_json(body)
    except UnreadableError:
        return False
    return True


def read_key(secret: str, key: str) -> bytes:
    """The key bytes of a secret. Raises ValueError if it is not in the given form."""
    if key == "text":
        return secret.encode("utf-8")
    if key == "hex":
        return bytes.fromhex(secret)
    try:
        # Standard Webhooks writes keys as whsec_ and base64.
        return base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except binascii.Error as error:
        raise ValueError(str(error)) from None
