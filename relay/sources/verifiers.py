"""Proof of origin: a shared token, or an HMAC over what was sent. Pure: the time is given, nothing is read or logged.

Each verifier has `check(webhook, now)`, which returns nothing or raises NotVerifiedError with a reason. Reasons:
`token_missing`, `token_mismatch`, `signature_missing`, `signature_mismatch`, `id_missing`, `timestamp_missing`,
`timestamp_unreadable`, `timestamp_stale`, `timestamp_future`.
"""

from __future__ import annotations

import base64
import hmac
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol
from urllib.parse import unquote_plus

from relay.core.errors import NotVerifiedError
from relay.sources.webhook import Webhook

_TIMESTAMP = re.compile(r"[0-9]{1,16}")


class Verifier(Protocol):
    """What proves a webhook, and where the proof stands (so that it is not kept)."""

    @property
    def proof_header(self) -> str | None:
        """The header that carries the proof, in lower case."""

    @property
    def proof_query(self) -> str | None:
        """The query parameter that carries the proof."""

    def check(self, webhook: Webhook, now: datetime) -> None:
        """Raises NotVerifiedError."""


@dataclass(frozen=True, slots=True)
class NoVerifier:
    """Anyone may send."""

    proof_header: str | None = None
    proof_query: str | None = None

    def check(self, webhook: Webhook, now: datetime) -> None:
        """Accepts everything."""


@dataclass(frozen=True, slots=True)
class TokenVerifier:
    """A shared secret in a header or in the query. Any of several secrets will do, for changing them without a gap."""

    secrets: tuple[bytes, ...] = field(repr=False)
    proof_header: str | None = None
    proof_query: str | None = None
    prefix: str = ""

    def check(self, webhook: Webhook, now: datetime) -> None:  # noqa: ARG002 - a token has no age
        """Raises NotVerifiedError: token_missing or token_mismatch."""
        given = self.given(webhook)
        if not given:
            raise NotVerifiedError("token_missing")
        if given[: len(self.prefix)].lower() != self.prefix.lower():
            raise NotVerifiedError("token_mismatch")
        if not _is_any([as_sent(given[len(self.prefix) :])], self.secrets):
            raise NotVerifiedError("token_mismatch")

    def given(self, webhook: Webhook) -> str | None:
        """What stands where the token should be."""
        return webhook.header(self.proof_header) if self.proof_header else self._from_query(webhook.query_string)

    def _from_query(self, query: str) -> str | None:
        pairs = (pair.partition("=") for pair in query.split("&"))
        given = [unquote_plus(value) for name, _, value in pairs if unquote_plus(name) == self.proof_query]
        # Two tokens prove nothing: which one would a proxy in front of us have looked at?
        return ", ".join(given) if given else None


@dataclass(frozen=True, slots=True)
class Clock:
    """Where a signature's time stands and how far it may be from ours, either way."""

    header: str | None
    per_second: int
    tolerance_s: float

    def check(self, stamp: str, now: datetime) -> None:
        """Raises NotVerifiedError: timestamp_stale or timestamp_future."""
        age_s = now.timestamp() - int(stamp) / self.per_second
        if age_s > self.tolerance_s:
            raise NotVerifiedError("timestamp_stale")
        if age_s < -self.tolerance_s:
            raise NotVerifiedError("timestamp_future")


@dataclass(frozen=True, slots=True)
class HmacVerifier:
    """An HMAC over the body, or over a template around it.

    template: literal text and the names body, timestamp, id, method and url in turn, literals at even places.
    separator: splits a header that holds several values. parts: then each is `key=value`, and these are the keys of
    the signature and of the timestamp (Stripe: `t=…,v1=…`). key: how the secrets were written, text or base64.
    """

    secrets: tuple[bytes, ...] = field(repr=False)
    proof_header: str
    algorithm: str = "sha256"
    encoding: str = "hex"
    prefix: str = ""
    template: tuple[str, ...] = ("", "body", "")
    separator: str | None = None
    parts: tuple[str, str | None] | None = None
    clock: Clock | None = None
    id_header: str | None = None
    proof_query: str | None = None
    key: str = "text"

    def check(self, webhook: Webhook, now: datetime) -> None:
        """Raises NotVerifiedError with one of the reasons above."""
        given, stamp = self.split(webhook.header(self.proof_header) or "")
        if not given:
            raise NotVerifiedError("signature_missing")
        if self.clock:
            stamp = self._stamp(webhook, stamp)
        signed = self.signed(webhook, stamp)
        expected = tuple(self._encode(hmac.digest(secret, signed, self.algorithm)) for secret in self.secrets)
        if not _is_any([self._comparable(candidate) for candidate in given], expected):
            raise NotVerifiedError("signature_mismatch")
        if self.clock:
            self.clock.check(stamp, now)

    def split(self, header: str) -> tuple[list[str], str]:
        """The signatures that a header holds, and the timestamp where it holds one."""
        values = [value.strip() for value in header.split(self.separator)] if self.separator else [header.strip()]
        stamp = ""
        if self.parts:
            pairs = [value.partition("=") for value in values]
            stamp = next((value for key, _, value in pairs if key == self.parts[1]), "")
            values = [value for key, _, value in pairs if key == self.parts[0]]
        # A body is signed once; many candidates are only a way to make us work.
        found = [value.removeprefix(self.prefix) for value in values if value and value.startswith(self.prefix)]
        return found[:16], stamp

    def _stamp(self, webhook: Webhook, from_parts: str) -> str:
        header = self.clock.header if self.clock else None
        stamp = (webhook.header(header) or "").strip() if header else from_parts
        if not stamp:
            raise NotVerifiedError("timestamp_missing")
        if not _TIMESTAMP.fullmatch(stamp):
            raise NotVerifiedError("timestamp_unreadable")
        return stamp

    def signed(self, webhook: Webhook, stamp: str) -> bytes:
        """What the signature is over. Raises NotVerifiedError: id_missing."""
        if len(self.template) == 3 and not self.template[0] and not self.template[2]:
            return webhook.body
        identity = webhook.header(self.id_header) if self.id_header else ""
        if identity is None:
            raise NotVerifiedError("id_missing")
        values = {
            "body": webhook.body,
            "timestamp": stamp.encode("ascii"),
            "id": as_sent(identity),
            "method": as_sent(webhook.method),
            "url": as_sent(webhook.public_url),
        }
        return b"".join(values[part] if place % 2 else part.encode("utf-8") for place, part in enumerate(self.template))

    def _encode(self, digest: bytes) -> bytes:
        if self.encoding == "hex":
            return digest.hex().encode("ascii")
        encode = base64.b64encode if self.encoding == "base64" else base64.urlsafe_b64encode
        return encode(digest).rstrip(b"=")

    def _comparable(self, signature: str) -> bytes:
        given = as_sent(signature)
        return given.lower() if self.encoding == "hex" else given.rstrip(b"=")


def as_sent(text: str) -> bytes:
    """The bytes of a header or address. WSGI hands them over as Latin-1; other text is taken as UTF-8."""
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")


def _is_any(given: Iterable[bytes], expected: Iterable[bytes]) -> bool:
    # Every pair is compared, so that the time taken tells nothing about which one was right.
    equal = [hmac.compare_digest(one, other) for one in given for other in expected]
    return any(equal)
