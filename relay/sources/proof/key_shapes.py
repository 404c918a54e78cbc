"""What a secret looks like: a public key, which everybody has, or something that only sender and relay know. Pure.

A public key that is taken for the key of an HMAC is a key with which anybody can sign.
"""

from __future__ import annotations

import base64
import binascii
from enum import StrEnum

RAW_BYTES = 32
"""An ed25519 public key (RFC 8032)."""
_PEM = "-----BEGIN PUBLIC KEY-----"
_PRIVATE = ("-----BEGIN PRIVATE", "-----BEGIN EC PRIVATE", "-----BEGIN RSA PRIVATE", "whsk_")
_ALGORITHMS = (bytes.fromhex("302a300506032b6570"), bytes.fromhex("3059301306072a8648ce3d0201"))
"""How the DER of a public key begins: ed25519 (RFC 8410), and ECDSA on P-256 (RFC 5480)."""


class Shape(StrEnum):
    """What a secret can be."""

    PUBLIC = "everybody may have it"
    SHARED = "sender and relay have it"
    EITHER = "one or the other"
    """32 bytes in hex or base64: an ed25519 public key, or a key of an HMAC."""


def shape_of(text: str) -> Shape:
    """What it looks like."""
    if text.startswith("whsec_"):
        return Shape.SHARED
    if text.startswith(("whpk_", _PEM)):
        return Shape.PUBLIC
    for raw in _readings(text):
        if raw.startswith(_ALGORITHMS):
            return Shape.PUBLIC
        if len(raw) == RAW_BYTES:
            return Shape.EITHER
    return Shape.SHARED


def is_private(text: str) -> bool:
    """Whether it is the sender's own half of a pair, which nobody else should have."""
    return text.startswith(_PRIVATE)


def public_bytes(text: str) -> list[bytes]:
    """What a public key can be in bytes, but for PEM: the raw key, or its DER."""
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
