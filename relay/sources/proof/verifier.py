"""The common part of all proofs: the location of a proof, one way, several ways, and the shared secret.

With several ways, any one suffices, and none makes another weaker. Ways are grouped by the place of their proof. The
first group whose proof is present decides, and that proof must be right: a weaker proof does not save a request whose
strong proof is wrong. A request without any proof is refused.

The simplest way is a secret that is sent along: a token, or a name with a password (HTTP Basic, RFC 7617). Signatures
have a module of their own.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import reduce
from typing import Protocol, Self
from urllib.parse import unquote_plus

from relay.configuration.expressions import Expression
from relay.core.errors import NotVerifiedError, UnreadableError, UnsupportedTypeError
from relay.core.phrases import Phrase, phrase
from relay.sources.webhook import Reading, text_of


@dataclass(frozen=True, slots=True)
class Location:
    """The place of a credential. Exactly one is set. header: in lower case. field: a path into the body, or with
    `entries` into each entry of a batch. whole_body: the body is the credential.
    """

    header: str | None = None
    query: str | None = None
    field: Expression | None = None
    whole_body: bool = False
    entries: bool = False

    def given(self, reading: Reading) -> str | None:
        """The value at this location, of a batch in its first entry; None if there is none.

        Raises NotVerifiedError: body_unreadable.
        """
        if self.header:
            return reading.webhook.header(self.header)
        if self.query:
            return self._in_query(reading.webhook.query_string)
        if self.whole_body:
            return reading.webhook.body.decode("latin-1")
        first = next(entries_of(reading), None) if self.entries else reading
        return self._in_body(first) if first else None

    def _in_query(self, query: str) -> str | None:
        pairs = (pair.partition("=") for pair in query.split("&"))
        given = [unquote_plus(value) for name, _, value in pairs if unquote_plus(name) == self.query]
        # Two tokens prove nothing: a proxy in front of us may have checked the other one.
        return ", ".join(given) if given else None

    def _in_body(self, reading: Reading) -> str | None:
        try:
            return text_of(self.field.find(reading.body)) if self.field else None
        except (UnreadableError, UnsupportedTypeError):
            if not reading.webhook.body:
                return None
            raise NotVerifiedError("body_unreadable") from None

    @property
    def words(self) -> Phrase:
        """For people."""
        if self.header:
            return phrase("header %(name)s", name=self.header)
        if self.query:
            return phrase("query parameter %(name)s", name=self.query)
        if self.whole_body:
            return phrase("whole body")
        name = self.field.text if self.field else ""
        return (
            phrase("field %(name)s of each entry", name=name) if self.entries else phrase("field %(name)s", name=name)
        )


def entries_of(reading: Reading) -> Iterator[Reading]:
    """The entries of a batch, each as a webhook; of another webhook only itself, and nothing without a body.

    Raises NotVerifiedError: body_unreadable.
    """
    if not reading.webhook.body:
        return
    try:
        yield from reading.entries()
    except (UnreadableError, UnsupportedTypeError):
        raise NotVerifiedError("body_unreadable") from None


def as_sent(text: str) -> bytes:
    """The bytes of a header or address. WSGI passes them as Latin-1; other text is encoded as UTF-8."""
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")


@dataclass(frozen=True, slots=True)
class Coverage:
    """The coverage of a valid signature. digest: of the signed text alone, without the rest of the request.

    lasts_s: how many seconds the signature stays valid; None: for ever, because no time is signed. body: the JSON
    inside a signed token, which takes the place of the body. entries: the coverage of each entry of a batch, if they
    are signed one by one.
    """

    digest: str = field(repr=False)
    lasts_s: float | None
    body: bytes | None = field(default=None, repr=False)
    entries: tuple[Coverage, ...] = ()

    @classmethod
    def of(cls, text: bytes, lasts_s: float | None) -> Coverage:
        """Make it from a signed text, which must not contain a secret."""
        return cls(hashlib.sha256(text).hexdigest(), lasts_s)


class Verifier(Protocol):
    """One way to prove a webhook, or several."""

    @property
    def ways(self) -> tuple[Way, ...]:
        """The single ways, strongest first; none if anybody may send."""

    @property
    def reads_body(self) -> bool:
        """Whether the body must be read, not only hashed, before the sender is proven."""

    def check(self, reading: Reading, now: datetime) -> Coverage | None:
        """The coverage of the signature; None for another kind of proof. Raises NotVerifiedError."""

    def with_secret(self, secret: bytes) -> Verifier:
        """The same with one more secret. Raises ValueError if the secret does not fit."""


class Way(Verifier, Protocol):
    """One way. place: the location of its proof, which is not kept. unless: the way counts only if this finds
    nothing.
    """

    @property
    def place(self) -> Location: ...

    @property
    def unless(self) -> Expression | None: ...

    @property
    def words(self) -> Phrase:
        """A description for people."""

    def with_secret(self, secret: bytes) -> Way: ...


@dataclass(frozen=True, slots=True)
class NoVerifier:
    """Anyone may send."""

    ways: tuple[Way, ...] = ()
    reads_body: bool = False

    def check(self, reading: Reading, now: datetime) -> None:
        """Accepts everything."""

    def with_secret(self, secret: bytes) -> NoVerifier:  # noqa: ARG002 - it needs none
        """The same."""
        return self


MOST_NAMED = 3
"""Addresses that are named where a proof is described."""


def words_of(verifier: Verifier, addresses: Sequence[object] = ()) -> Phrase:
    """A description of all ways and of the addresses that they must come from, for people."""
    found = dict.fromkeys(way.words for way in verifier.ways) or [phrase("none: anybody may send")]
    words = reduce(lambda one, other: phrase("%(one)s, or %(other)s", one=one, other=other), found)
    if not addresses:
        return words
    named = ", ".join(map(str, addresses[:MOST_NAMED])) + (", ..." if len(addresses) > MOST_NAMED else "")
    return phrase("%(proof)s, from %(addresses)s", proof=words, addresses=named)


def counting(ways: Iterable[Way], reading: Reading) -> Iterator[Way]:
    """The ways that count for this webhook."""
    return (way for way in ways if way.unless is None or not reading.holds(way.unless))


def is_any(given: Iterable[bytes], expected: Iterable[bytes]) -> bool:
    """Whether one of the given equals one of the expected. All pairs are compared, so timing reveals nothing."""
    equal = [hmac.compare_digest(one, other) for one in given for other in expected]
    return any(equal)


@dataclass(frozen=True, slots=True)
class Several:
    """Several ways. ways: strongest first. groups: the same ways, grouped by location."""

    ways: tuple[Way, ...]
    groups: tuple[tuple[Way, ...], ...]

    @classmethod
    def of(cls, ways: Iterable[Way]) -> Verifier:
        """Combine ways; a single one without a condition stays as it is."""
        every = tuple(ways)
        if len(every) == 1 and every[0].unless is None:
            return every[0]
        grouped: dict[Location, list[Way]] = {}
        for way in every:
            grouped.setdefault(way.place, []).append(way)
        return cls(every, tuple(tuple(group) for group in grouped.values()))

    @property
    def reads_body(self) -> bool:
        return any(way.reads_body or (way.unless and way.unless.looks_at("body")) for way in self.ways)

    def with_secret(self, secret: bytes) -> Verifier:
        """Every way with one more secret. Raises ValueError if the secret does not fit."""
        return Several.of(way.with_secret(secret) for way in self.ways)

    def check(self, reading: Reading, now: datetime) -> Coverage | None:
        """Return the coverage of the first valid way.

        Raises NotVerifiedError with the reason of the nearest way, or proof_missing.
        """
        group = self.deciding(reading)
        if not group:
            raise NotVerifiedError("proof_missing")
        reasons = []
        for way in group:
            try:
                return way.check(reading, now)
            except NotVerifiedError as error:
                reasons.append(error.reason)
        raise NotVerifiedError(max(reasons, key=_nearness))

    def deciding(self, reading: Reading) -> Sequence[Way]:
        """The ways that count at the first location with a proof; empty if there is no proof."""
        for group in self.groups:
            ways = list(counting(group, reading))
            if ways and ways[0].place.given(reading):
                return ways
        return ()


def _nearness(reason: str) -> int:
    """How near a way came: a signature is checked only if present, and its time only if it is valid."""
    if reason in {"timestamp_stale", "timestamp_future", "digest_mismatch", "url_mismatch"}:
        return 2
    return 1 if reason.endswith(("_mismatch", "_unreadable")) else 0


BASIC = "Basic "


@dataclass(frozen=True, slots=True)
class TokenVerifier:
    """A shared secret sent as it is. Any of several secrets suffices, so that they can be changed without a gap."""

    secrets: tuple[bytes, ...] = field(repr=False)
    place: Location
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
    def place(self) -> Location:
        return Location(header="authorization")

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
