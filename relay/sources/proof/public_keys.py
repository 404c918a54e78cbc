"""Signatures by a sender's own key: ed25519 (RFC 8032), ECDSA on P-256 with SHA-256 (signatures in DER), and RSA with
PKCS #1 v1.5 (RFC 8017).

The secret of such a way is the sender's public key: it proves a sender and can sign nothing. Needs `cryptography`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Self

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA1, SHA256, SHA512, HashAlgorithm
from cryptography.hazmat.primitives.serialization import load_der_public_key, load_pem_public_key

from relay.core.phrases import Phrase, phrase
from relay.sources.proof.signatures import RAW_BYTES, SignatureVerifier, decode, public_bytes
from relay.sources.proof.signed import Given
from relay.sources.webhook import Reading

PublicKey = Ed25519PublicKey | EllipticCurvePublicKey | RSAPublicKey
MOST_CANDIDATES = 4
"""Each costs a hundred times as much as a digest."""
LONGEST_SIGNATURE = 1_100
"""Characters: RSA with 4,096 bits, in hex."""
FEWEST_BITS, MOST_BITS = 2_048, 4_096
"""Of an RSA key. Shorter ones are no longer trusted (NIST SP 800-131A)."""
_HASHES: Mapping[str, HashAlgorithm] = {"sha1": SHA1(), "sha256": SHA256(), "sha512": SHA512()}  # noqa: S303 - the sender chooses
_LINE = re.compile(r"\s+")


@dataclass(frozen=True, slots=True)
class PublicKeyVerifier(SignatureVerifier):
    """A signature by the sender's key. kind: ed25519, ecdsa or rsa. algorithm: the digest of rsa. keys: the sender's;
    any of them suffices.
    """

    kind: str = "ed25519"
    algorithm: str = "sha256"
    keys: tuple[PublicKey, ...] = field(default=(), repr=False)

    @property
    def words(self) -> Phrase:
        return phrase(
            "a signature (%(kind)s, %(encoding)s) in the %(place)s, for the sender's public key",
            kind=f"rsa-{self.algorithm}" if self.kind == "rsa" else self.kind,
            encoding=self.encoding,
            place=self.place.words,
        )

    def with_secret(self, secret: bytes) -> Self:
        return replace(self, keys=(*self.keys, read_public_key(secret.decode("utf-8"), self.kind)))

    def is_right(self, candidates: Sequence[str], reading: Reading, given: Given) -> bool:
        signed = self.signed.write(reading, given)
        raw = [found for text in candidates[:MOST_CANDIDATES] if (found := _read(text, self.encoding)) is not None]
        digest = _HASHES[self.algorithm]
        return any(_is_signed(key, signature, signed, digest) for signature in raw for key in self.keys)


def read_public_key(text: str, kind: str) -> PublicKey:
    """Read a public key in hex, base64, base64 of its DER, PEM, base64 of a PEM, or after whpk_. Raises ValueError."""
    try:
        key = _read_key(text.strip(), kind)
    except UnsupportedAlgorithm as error:
        raise ValueError(str(error)) from None
    if kind == "ed25519" and isinstance(key, Ed25519PublicKey):
        return key
    if kind == "ecdsa" and isinstance(key, EllipticCurvePublicKey) and isinstance(key.curve, SECP256R1):
        return key
    if kind == "rsa" and isinstance(key, RSAPublicKey) and FEWEST_BITS <= key.key_size <= MOST_BITS:
        return key
    raise ValueError(f"not a public key for {kind}")


def _read_key(text: str, kind: str) -> object:
    if text.startswith("-----BEGIN"):
        return load_pem_public_key(_in_lines(text))
    for raw in public_bytes(text):
        if kind == "ed25519" and len(raw) == RAW_BYTES:
            return Ed25519PublicKey.from_public_bytes(raw)
        if raw.startswith(b"-----BEGIN"):
            return load_pem_public_key(raw)
        try:
            return load_der_public_key(raw)
        except (ValueError, UnsupportedAlgorithm):
            continue
    raise ValueError(f"not a public key for {kind}")


def _in_lines(text: str) -> bytes:
    """Restore the lines of a PEM, which environment variables lose."""
    begin, body, end = re.split(r"(?<=KEY-----)|(?=-----END)", text.replace("\\n", "\n"), maxsplit=2)
    return "\n".join([begin.strip(), _LINE.sub("", body), end.strip()]).encode("ascii")


def _read(text: str, encoding: str) -> bytes | None:
    if len(text) > LONGEST_SIGNATURE:
        return None
    try:
        return decode(text, encoding)
    except ValueError:
        return None


def _is_signed(key: PublicKey, signature: bytes, signed: bytes, digest: HashAlgorithm) -> bool:
    try:
        if isinstance(key, Ed25519PublicKey):
            key.verify(signature, signed)
        elif isinstance(key, RSAPublicKey):
            key.verify(signature, signed, PKCS1v15(), digest)
        else:
            key.verify(signature, signed, ECDSA(SHA256()))
    except (InvalidSignature, ValueError):
        return False
    return True
