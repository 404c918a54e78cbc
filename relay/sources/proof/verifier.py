"""What every kind of proof has in common, and the proof of those who need none."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from functools import reduce
from typing import Protocol

from relay.configuration.expressions import Expression
from relay.core.phrases import Phrase, phrase
from relay.sources.proof.places import Place
from relay.sources.reading import Reading


@dataclass(frozen=True, slots=True)
class Coverage:
    """What a signature was found to cover. digest: of that text, and of nothing that stands around it in the request.

    lasts_s: for how many seconds the same signature may be believed; None: for ever, as no time is signed.
    """

    digest: str = field(repr=False)
    lasts_s: float | None

    @classmethod
    def of(cls, text: bytes, lasts_s: float | None) -> Coverage:
        """Of a signed text, in which no secret may stand."""
        return cls(hashlib.sha256(text).hexdigest(), lasts_s)


class Verifier(Protocol):
    """One way to prove a webhook, or several."""

    @property
    def ways(self) -> tuple[Way, ...]:
        """Each way by itself, strongest first; none where anybody may send."""

    @property
    def reads_body(self) -> bool:
        """Whether the body has to be read, not only hashed, before the sender is proven."""

    def check(self, reading: Reading, now: datetime) -> Coverage | None:
        """What a signature covers; None where it was proven by something else. Raises NotVerifiedError."""

    def with_secret(self, secret: bytes) -> Verifier:
        """The same with one more secret. Raises ValueError where it cannot be one."""


class Way(Verifier, Protocol):
    """One way. place: where its proof stands, so that it is not kept. unless: it counts only where this is empty."""

    @property
    def place(self) -> Place: ...

    @property
    def unless(self) -> Expression | None: ...

    @property
    def words(self) -> Phrase:
        """How a sender proves itself, for people."""

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


def words_of(verifier: Verifier) -> Phrase:
    """How senders prove themselves, for people."""
    found = dict.fromkeys(way.words for way in verifier.ways)
    if not found:
        return phrase("none: anybody may send")
    return reduce(lambda one, other: phrase("%(one)s, or %(other)s", one=one, other=other), found)


def counting(ways: Iterable[Way], reading: Reading) -> Iterator[Way]:
    """The ways that count for this webhook."""
    return (way for way in ways if way.unless is None or not reading.holds(way.unless))


def is_any(given: Iterable[bytes], expected: Iterable[bytes]) -> bool:
    """Whether one of them is one of those. Every pair is compared, so that the time taken tells nothing."""
    equal = [hmac.compare_digest(one, other) for one in given for other in expected]
    return any(equal)
