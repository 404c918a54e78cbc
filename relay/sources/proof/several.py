"""Several ways side by side: any suffices, and none makes another weaker.

Ways are grouped by the place where their proof stands. The first group whose proof is there decides: what is there must
be right, so a request whose strong proof is wrong is not saved by a weaker one. Who sends no proof at all is refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from relay.core.errors import NotVerifiedError
from relay.sources.proof.places import Place
from relay.sources.proof.verifier import Coverage, Verifier, Way, counting
from relay.sources.reading import Reading


@dataclass(frozen=True, slots=True)
class Several:
    """ways: strongest first. groups: the same, those of one place together."""

    ways: tuple[Way, ...]
    groups: tuple[tuple[Way, ...], ...]

    @classmethod
    def of(cls, ways: Iterable[Way]) -> Verifier:
        """These ways; a single one that always counts stays as it is."""
        every = tuple(ways)
        if len(every) == 1 and every[0].unless is None:
            return every[0]
        grouped: dict[Place, list[Way]] = {}
        for way in every:
            grouped.setdefault(way.place, []).append(way)
        return cls(every, tuple(tuple(group) for group in grouped.values()))

    @property
    def reads_body(self) -> bool:
        return any(way.reads_body or (way.unless and way.unless.looks_at("body")) for way in self.ways)

    def with_secret(self, secret: bytes) -> Verifier:
        """Each way with one more secret. Raises ValueError where it cannot be one."""
        return Several.of(way.with_secret(secret) for way in self.ways)

    def check(self, reading: Reading, now: datetime) -> Coverage | None:
        """What the first way that is right covers.

        Raises NotVerifiedError: of the way that was the nearest, or proof_missing.
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
        """The ways that count, of the first place where a proof stands; none where none does."""
        for group in self.groups:
            ways = list(counting(group, reading))
            if ways and ways[0].place.given(reading):
                return ways
        return ()


def _nearness(reason: str) -> int:
    """How near a way was: a time is only looked at where the signature is right, and that only where one is there."""
    if reason in {"timestamp_stale", "timestamp_future", "digest_mismatch"}:
        return 2
    return 1 if reason.endswith(("_mismatch", "_unreadable")) else 0
