"""Proof by a shared secret that is sent along: a token, or a user's name with a password (HTTP Basic, RFC 7617)."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Self

from relay.configuration.expressions import Expression
from relay.core.errors import NotVerifiedError
from relay.core.phrases import Phrase, phrase
from relay.sources.proof.places import Place, as_sent
from relay.sources.proof.verifier import Way, is_any
from relay.sources.reading import Reading

BASIC = "Basic "


@dataclass(frozen=True, slots=True)
class TokenVerifier:
    """A shared secret, as it is. Any of several secrets will do, for changing them without a gap."""

    secrets: tuple[bytes, ...] = field(repr=False)
    place: Place
    prefix: str = ""
    unless: Expression | None = None

    @property
    def ways(self) -> tuple[Way, ...]:
        return (self,)

    @property
    def reads_body(self) -> bool:
        return self.place.field is not None

    @property
    def words(self) -> Phrase:
        return phrase("a token in the %(place)s", place=self.place.words)

    def with_secret(self, secret: bytes) -> Self:
        return replace(self, secrets=(*self.secrets, secret))

    def check(self, reading: Reading, now: datetime) -> None:  # noqa: ARG002 - a token has no age
        """Raises NotVerifiedError: token_missing or token_mismatch."""
        given = self.place.given(reading)
        if not given:
            raise NotVerifiedError("token_missing")
        if given[: len(self.prefix)].lower() != self.prefix.lower():
            raise NotVerifiedError("token_mismatch")
        if not is_any([self._sent(given[len(self.prefix) :])], self.secrets):
            raise NotVerifiedError("token_mismatch")

    def _sent(self, token: str) -> bytes:
        return token.encode("utf-8", "surrogatepass") if self.place.field else as_sent(token)


@dataclass(frozen=True, slots=True)
class BasicVerifier:
    """A name and a password in the header Authorization. Each secret is `name:password`."""

    secrets: tuple[bytes, ...] = field(repr=False)
    unless: Expression | None = None

    @property
    def place(self) -> Place:
        return Place(header="authorization")

    @property
    def ways(self) -> tuple[Way, ...]:
        return (self,)

    @property
    def reads_body(self) -> bool:
        return False

    @property
    def words(self) -> Phrase:
        return phrase("a name and a password (HTTP Basic)")

    def with_secret(self, secret: bytes) -> Self:
        return replace(self, secrets=(*self.secrets, secret))

    def check(self, reading: Reading, now: datetime) -> None:  # noqa: ARG002 - a password has no age
        """Raises NotVerifiedError: token_missing or token_mismatch."""
        given = self.place.given(reading)
        if not given:
            raise NotVerifiedError("token_missing")
        if given[: len(BASIC)].lower() != BASIC.lower():
            raise NotVerifiedError("token_mismatch")
        try:
            pair = base64.b64decode(as_sent(given[len(BASIC) :].strip()), validate=True)
        except (binascii.Error, ValueError):
            raise NotVerifiedError("token_mismatch") from None
        if not is_any([pair], self.secrets):
            raise NotVerifiedError("token_mismatch")
