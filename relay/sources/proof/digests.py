"""Signatures by a shared secret: an HMAC (RFC 2104), or a plain digest over a text that the secret stands in."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

from relay.core.errors import NotVerifiedError, UnreadableError
from relay.core.phrases import Phrase, phrase
from relay.sources.parsers import JSON, UNNAMED, kind_of, read_json
from relay.sources.proof.places import as_sent
from relay.sources.proof.signatures import SignatureVerifier, encode
from relay.sources.proof.signed import Given
from relay.sources.proof.verifier import is_any
from relay.sources.reading import Reading

ALGORITHMS = ("sha1", "sha256", "sha384", "sha512", "md5")
KEYS = ("text", "base64", "hex")


@dataclass(frozen=True, slots=True)
class DigestVerifier(SignatureVerifier):
    """What both have in common. algorithm: one of ALGORITHMS."""

    algorithm: str = "sha256"

    def digests(self, reading: Reading, given: Given) -> list[bytes]:
        """The right digest for each secret. Raises NotVerifiedError: body_unreadable."""
        raise NotImplementedError

    def is_right(self, candidates: Sequence[str], reading: Reading, given: Given) -> bool:
        expected = [self._comparable(encode(digest, self.encoding)) for digest in self.digests(reading, given)]
        return is_any([self._comparable(candidate) for candidate in candidates], expected)

    def _comparable(self, signature: str) -> bytes:
        given = as_sent(signature)
        return given.lower() if self.encoding == "hex" else given.rstrip(b"=")


@dataclass(frozen=True, slots=True)
class HmacVerifier(DigestVerifier):
    """An HMAC. key: how secrets are written: as text, or as base64 or hex of the key itself."""

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

    def digests(self, reading: Reading, given: Given) -> list[bytes]:
        signed = self.signed.write(reading, given)
        return [hmac.digest(secret, signed, self.algorithm) for secret in self.secrets]


@dataclass(frozen=True, slots=True)
class HashVerifier(DigestVerifier):
    """A plain digest over a text with {secret} in it, as HubSpot's first versions and Robokassa sign.

    Whoever has seen one such digest can compute that of a longer text without the secret (length extension, RFC 6151,
    section 1), unless the secret comes last: the old text, the padding of the hash, anything. The padding ends with the
    length in bits, eight or sixteen bytes, and so holds a NUL: no text with one is believed. And a body has to be JSON,
    for how it is to be read is signed by nobody.
    """

    @property
    def words(self) -> Phrase:
        return phrase(
            "a digest (%(algorithm)s, %(encoding)s) with the secret in the %(place)s",
            algorithm=self.algorithm,
            encoding=self.encoding,
            place=self.place.words,
        )

    def digests(self, reading: Reading, given: Given) -> list[bytes]:
        texts = [self.signed.write(reading, replace(given, secret=secret)) for secret in self.secrets]
        return [hashlib.new(self.algorithm, text, usedforsecurity=False).digest() for text in texts]

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
    """The key that a secret is, as it is written. Raises ValueError where it is not written so."""
    if key == "text":
        return secret.encode("utf-8")
    if key == "hex":
        return bytes.fromhex(secret)
    try:
        # Standard Webhooks writes its keys as whsec_ and base64.
        return base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except binascii.Error as error:
        raise ValueError(str(error)) from None
