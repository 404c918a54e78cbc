"""Signed tokens: a JWT (RFC 7519) whose claims bind the request that brought it, or which has the body inside.

The algorithm is the configured one, whatever the token's head says (RFC 8725, section 3.1). Like `public_keys`, this is
a module of its own because its library takes long to load.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Self

from jwt import PyJWS, PyJWTError
from jwt.algorithms import HMACAlgorithm

from relay.configuration.expressions import Expression
from relay.core.errors import NotVerifiedError, UnreadableError
from relay.core.phrases import Phrase, phrase
from relay.sources.bodies import read_json
from relay.sources.proof.public_keys import PublicKey, read_public_key
from relay.sources.proof.signatures import HS256
from relay.sources.proof.verifier import Coverage, Location, Way, as_sent
from relay.sources.webhook import Reading

KEY_KINDS = {"RS256": "rsa", "ES256": "ecdsa"}
"""Kinds of the sender's public key (public_keys.py), by algorithm."""
LONGEST_HEAD = 2_000
"""Characters of a token's head, which is read before the signature is checked."""
LATEST_S = 10.0**11
"""A time beyond is none."""


class _SharedKey(HMACAlgorithm):
    """An HMAC. Senders choose how long their secrets are; PyJWT would warn with every request."""

    def check_key_length(self, key: bytes) -> None:
        """Any length."""


def _reader(algorithm: str) -> PyJWS:
    """Reads tokens of one algorithm only."""
    if algorithm != HS256:
        return PyJWS([algorithm])
    reader = PyJWS([])
    reader.register_algorithm(HS256, _SharedKey(HMACAlgorithm.SHA256))
    return reader


_READERS: Mapping[str, PyJWS] = {name: _reader(name) for name in (HS256, *KEY_KINDS)}


@dataclass(frozen=True, slots=True)
class JwtVerifier:
    """A signed token. algorithm: HS256, by one of `secrets`; RS256 or ES256, by the owner of one of `keys`.

    prefix: text before the token. tolerance_s: allowed difference from our time, in seconds, in both directions.
    body_hash, url_hash: names of the claims that hold the SHA-256 of the body and of the address, in hex. claim: the
    claim that holds the body; that of the request is ignored then.
    """

    place: Location
    algorithm: str = HS256
    prefix: str = ""
    tolerance_s: float = 300.0
    body_hash: str | None = None
    url_hash: str | None = None
    claim: str | None = None
    unless: Expression | None = None
    secrets: tuple[bytes, ...] = field(default=(), repr=False)
    keys: tuple[PublicKey, ...] = field(default=(), repr=False)

    @property
    def ways(self) -> tuple[Way, ...]:
        return (self,)

    @property
    def reads_body(self) -> bool:
        """Whether it is in the body, so that a stranger's body costs more than its digest."""
        return self.place.whole_body or self.place.field is not None

    @property
    def words(self) -> Phrase:
        return phrase(
            "a signed token (JWT, %(algorithm)s) in the %(place)s", algorithm=self.algorithm, place=self.place.words
        )

    def with_secret(self, secret: bytes) -> Self:
        """The same way with one more secret, or public key of the sender. Raises ValueError if it is none."""
        if self.algorithm in KEY_KINDS:
            key = read_public_key(secret.decode("utf-8"), KEY_KINDS[self.algorithm])
            return replace(self, keys=(*self.keys, key))
        try:
            _READERS[HS256].get_algorithm_by_name(HS256).prepare_key(secret)
        except PyJWTError as error:
            raise ValueError(str(error)) from None
        return replace(self, secrets=(*self.secrets, secret))

    def check(self, reading: Reading, now: datetime) -> Coverage:
        """Check the token and return its coverage. Raises NotVerifiedError with one of the reasons of this package."""
        given = (self.place.given(reading) or "").strip()
        if not given:
            raise NotVerifiedError("signature_missing")
        if given[: len(self.prefix)].lower() != self.prefix.lower():
            raise NotVerifiedError("signature_mismatch")
        token = given[len(self.prefix) :].strip()
        claims = self._claims(token)
        self._check_binding(claims, reading)
        signed, _, _ = token.rpartition(".")
        return replace(Coverage.of(signed.encode("ascii"), self._lasts_s(claims, now)), body=self._inside(claims))

    def token(self, content: Mapping[str, Any]) -> str:
        """A token with these claims, as the sender makes it. Only with a shared secret."""
        written = json.dumps(content, ensure_ascii=False).encode("utf-8")
        return self.prefix + _READERS[HS256].encode(written, self.secrets[0], HS256)

    def _claims(self, token: str) -> Mapping[str, Any]:
        """The claims of a token whose signature is right."""
        head, _, _ = token.partition(".")
        if len(head) > LONGEST_HEAD or not token.isascii():
            raise NotVerifiedError("signature_mismatch")
        for key in (*self.secrets, *self.keys):
            try:
                written = _READERS[self.algorithm].decode(token, key, [self.algorithm])
            except PyJWTError:
                continue
            return _read_claims(written)
        raise NotVerifiedError("signature_mismatch")

    def _check_binding(self, claims: Mapping[str, Any], reading: Reading) -> None:
        """Check that the token was made for this request: a captured one proves no other."""
        address = as_sent(reading.webhook.public_url)
        if self.url_hash and not _is_hash(claims.get(self.url_hash), hashlib.sha256(address).hexdigest()):
            raise NotVerifiedError("url_mismatch")
        if self.claim:
            return
        # A request without a body, such as a GET, has no hash of it, and its address is enough.
        is_bare = not reading.webhook.body and self.url_hash and self.body_hash not in claims
        if not is_bare and not _is_hash(claims.get(self.body_hash or ""), reading.body_sha256):
            raise NotVerifiedError("digest_mismatch")

    def _lasts_s(self, claims: Mapping[str, Any], now: datetime) -> float | None:
        """How many seconds the token stays valid; None: for ever. Raises NotVerifiedError unless it is valid now."""
        expires, issued, begins = (_seconds(claims.get(name)) for name in ("exp", "iat", "nbf"))
        at, end = now.timestamp(), expires if expires is not None else issued
        if any(begin is not None and begin > at + self.tolerance_s for begin in (issued, begins)):
            raise NotVerifiedError("timestamp_future")
        if end is None:
            return None
        if at > end + self.tolerance_s:
            raise NotVerifiedError("timestamp_stale")
        return math.ceil(end + self.tolerance_s - at)

    def _inside(self, claims: Mapping[str, Any]) -> bytes | None:
        """The body inside; None if the body is outside."""
        if self.claim is None:
            return None
        found = claims.get(self.claim)
        if isinstance(found, dict | list):
            found = json.dumps(found, ensure_ascii=False, separators=(",", ":"))
        if not isinstance(found, str):
            raise NotVerifiedError("body_unreadable")
        return found.encode("utf-8")


def _read_claims(written: bytes) -> Mapping[str, Any]:
    try:
        claims = read_json(written)
    except UnreadableError:
        raise NotVerifiedError("body_unreadable") from None
    if not isinstance(claims, dict):
        raise NotVerifiedError("body_unreadable")
    return claims


def _is_hash(given: Any, expected: str) -> bool:
    return isinstance(given, str) and hmac.compare_digest(as_sent(given.lower()), expected.encode("ascii"))


def _seconds(claim: Any) -> float | None:
    if claim is None:
        return None
    if isinstance(claim, bool) or not isinstance(claim, int | float) or not abs(claim) < LATEST_S:
        raise NotVerifiedError("timestamp_unreadable")
    return float(claim)
