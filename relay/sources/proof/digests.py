"""Signatures by a shared secret: an HMAC (RFC 2104), or a plain digest over a text that the secret stands in."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

from relay.core.phrases import Phrase, phrase
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
    """A plain digest over a text with {secret} in it, as HubSpot's first versions and Robokassa sign."""

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
