"""Sealing: the web process seals what only the workers may open, and cannot open it again itself.

The workers' pair of keys is X25519, each half in base64: `RELAY_SEAL_PUBLIC_KEY` of the web process, `RELAY_SEAL_KEY`
of the workers. A box is made by HPKE (RFC 9180) of the library `cryptography`: nobody without the workers' half can
read or change it, and two boxes of one content differ. Anybody with the public half can make one, so a box proves
nothing about its maker.
"""

from __future__ import annotations

import base64
import binascii
from typing import Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

PUBLIC_KEY, KEY = "RELAY_SEAL_PUBLIC_KEY", "RELAY_SEAL_KEY"
KEY_BYTES = 32
_SUITE = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.CHACHA20_POLY1305)
_PURPOSE = b"relay:opening:1"
"""Goes into the key of a box, so that a box of another purpose never opens."""


class SealError(ValueError):
    """A key is none, or a box does not open. The text holds nothing of either."""


def new_seal_key() -> str:
    """A new key of the workers, at random, in base64."""
    raw = X25519PrivateKey.generate().private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption())
    return base64.b64encode(raw).decode()


class Sealer:
    """Seals to the workers."""

    def __init__(self, public: X25519PublicKey) -> None:
        self._public = public

    @classmethod
    def from_text(cls, text: str) -> Self:
        """Read RELAY_SEAL_PUBLIC_KEY. Raises SealError."""
        made = cls(X25519PublicKey.from_public_bytes(_bytes_of(text)))
        try:
            made.seal(b"")  # some texts of 32 bytes are no key
        except ValueError:
            raise SealError("no key") from None
        return made

    def seal(self, content: bytes) -> bytes:
        """A box with this content: 48 bytes longer."""
        return _SUITE.encrypt(content, self._public, _PURPOSE)


class Opener:
    """Opens what was sealed. It is the workers' alone."""

    def __init__(self, key: bytes) -> None:
        self._key = X25519PrivateKey.from_private_bytes(key)

    def __repr__(self) -> str:
        return "Opener(...)"

    @classmethod
    def from_text(cls, text: str) -> Self:
        """Read RELAY_SEAL_KEY. Raises SealError."""
        return cls(_bytes_of(text))

    @property
    def public_text(self) -> str:
        """The other half, as RELAY_SEAL_PUBLIC_KEY holds it."""
        return base64.b64encode(self._key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)).decode()

    def open(self, box: bytes) -> bytes:
        """The content of a box. Raises SealError."""
        try:
            return _SUITE.decrypt(box, self._key, _PURPOSE)
        except (InvalidTag, ValueError):
            raise SealError("the box does not open") from None


def _bytes_of(text: str) -> bytes:
    try:
        raw = base64.b64decode(text.strip(), validate=True)
    except (binascii.Error, ValueError):
        raise SealError("no base64") from None
    if len(raw) != KEY_BYTES:
        raise SealError("not 32 bytes")
    return raw
