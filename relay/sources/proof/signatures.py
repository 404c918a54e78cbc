"""Proof by a signature: where it stands, how it is written, what it is over, and when it was made.

The kinds differ in one step, whether the signature is right: by a shared secret in `digests`, by a sender's public key
in `public_keys`.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Self

from relay.configuration.expressions import Expression
from relay.core.errors import NotVerifiedError
from relay.core.phrases import Phrase
from relay.sources.proof.clocks import Clock
from relay.sources.proof.places import Place, as_sent
from relay.sources.proof.signed import BODY, NOTHING, Given, Signed
from relay.sources.proof.verifier import Coverage, Way
from relay.sources.reading import Reading

MOST_CANDIDATES = 16
"""A body is signed once; many candidates are only a way to make us work."""


@dataclass(frozen=True, slots=True)
class SignatureVerifier(ABC):
    """A signature over a text.

    separator: splits a header that holds several values. parts: then each is `key=value`, and these are the keys of
    the signature and of the timestamp (Stripe: `t=…,v1=…`). id_header: where {id} comes from. body_digest: the query
    parameter that holds the SHA-256 of the body in hex (Twilio's bodySHA256), which the address, and so the signature,
    covers.
    """

    place: Place
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
        """Whether the body has to be read for it."""
        places = [self.place, *([self.clock.place] if self.clock and self.clock.place else [])]
        return self.signed.reads_body or any(place.field for place in places)

    @property
    @abstractmethod
    def words(self) -> Phrase:
        """How a sender proves itself, for people."""

    @abstractmethod
    def is_right(self, candidates: Sequence[str], reading: Reading, given: Given) -> bool:
        """Whether one of these is the signature. Raises NotVerifiedError."""

    def with_secret(self, secret: bytes) -> Self:
        """The same way with one more secret."""
        return replace(self, secrets=(*self.secrets, secret))

    def check(self, reading: Reading, now: datetime) -> Coverage:
        """What it covers. Raises NotVerifiedError with one of the reasons of this package."""
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
        # A time may be so far from ours in either direction.
        return Coverage.of(self.signed.write(reading, given), 2 * self.clock.tolerance_s if self.clock else None)

    def split(self, text: str) -> tuple[list[str], str]:
        """The signatures that a text holds, and the timestamp where it holds one."""
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
        """Time and id of this webhook. Raises NotVerifiedError: timestamp_missing, timestamp_unreadable, id_missing."""
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
        given = Place(query=self.body_digest).given(reading) or ""
        if not hmac.compare_digest(as_sent(given.lower()), reading.body_sha256.encode("ascii")):
            raise NotVerifiedError("digest_mismatch")


def encode(digest: bytes, encoding: str) -> str:
    """A signature as it is written."""
    if encoding == "hex":
        return digest.hex()
    return (base64.b64encode if encoding == "base64" else base64.urlsafe_b64encode)(digest).decode("ascii")


def decode(text: str, encoding: str) -> bytes:
    """The bytes of a signature, with or without padding. Raises ValueError where it is not written so."""
    if encoding == "hex":
        return bytes.fromhex(text)
    bare = as_sent(text).rstrip(b"=")
    try:
        alphabet = None if encoding == "base64" else b"-_"
        return base64.b64decode(bare + b"=" * (-len(bare) % 4), altchars=alphabet, validate=True)
    except binascii.Error as error:
        raise ValueError(str(error)) from None
