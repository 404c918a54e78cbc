"""The time that a signature is of: where it stands, how it is written, and how far it may be from ours."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime

from relay.core.errors import NotVerifiedError
from relay.sources.proof.places import Place

_NUMBER = re.compile(r"[0-9]{1,16}")
_ISO = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]{5,20}(?:Z|[+-][0-9]{2}:?[0-9]{2})", re.ASCII)
PER_SECOND = {"s": 1, "ms": 1000}


@dataclass(frozen=True, slots=True)
class Clock:
    """place: where the time stands; None: beside the signature, in its parts. unit: s, ms or iso.

    tolerance_s: how far it may be from our time, either way, in seconds.
    """

    place: Place | None
    unit: str
    tolerance_s: float

    def check(self, stamp: str, now: datetime) -> None:
        """Raises NotVerifiedError: timestamp_unreadable, timestamp_stale or timestamp_future."""
        age_s = now.timestamp() - self._seconds(stamp)
        if age_s > self.tolerance_s:
            raise NotVerifiedError("timestamp_stale")
        if age_s < -self.tolerance_s:
            raise NotVerifiedError("timestamp_future")

    def read(self, given: str | None) -> str:
        """The time as it was sent. Raises NotVerifiedError: timestamp_missing or timestamp_unreadable."""
        stamp = (given or "").strip()
        if not stamp:
            raise NotVerifiedError("timestamp_missing")
        if not (_ISO if self.unit == "iso" else _NUMBER).fullmatch(stamp):
            raise NotVerifiedError("timestamp_unreadable")
        return stamp

    def write(self, at: datetime) -> str:
        """A time as such a sender writes it."""
        if self.unit == "iso":
            return at.isoformat(timespec="milliseconds")
        return str(int(at.timestamp() * PER_SECOND[self.unit]))

    def _seconds(self, stamp: str) -> float:
        if self.unit != "iso":
            return int(stamp) / PER_SECOND[self.unit]
        try:
            return datetime.fromisoformat(stamp).timestamp()
        except (ValueError, OverflowError):
            raise NotVerifiedError("timestamp_unreadable") from None
