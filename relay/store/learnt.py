"""What was learnt about a portal while working with it, as it is on record. Workers write it (workers/pace.py)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from redis import Redis

from relay.ids import from_ms
from relay.store import keys
from relay.store.guard import guarded

OPERATING_LIMIT_S = 480.0
"""Operating time of one method in ten minutes (docs: limits.md); a refusal below it teaches a lower one."""


@dataclass(frozen=True, slots=True)
class Learnt:
    """A portal as it has shown itself.

    own_id: "honoured" or "ignored", once known. host: where it has moved to. operating_s: used, until reset_at.
    takes_ms: how long a start takes, by template id.
    """

    own_id: str | None = None
    host: str | None = None
    operating_s: float = 0.0
    operating_limit_s: float = OPERATING_LIMIT_S
    reset_at: datetime | None = None
    takes_ms: Mapping[int, float] = field(default_factory=dict)


@guarded
def read_learnt(redis: Redis, portal: str) -> Learnt:
    """What is known now. Raises RecordUnavailableError."""
    kept: Any = redis.hgetall(keys.PACE + portal)
    text = {name.decode(): value.decode() for name, value in kept.items()}
    return Learnt(
        own_id=text.get("own_id"),
        host=text.get("host"),
        operating_s=float(text.get("operating", 0)),
        operating_limit_s=float(text.get("operating_limit", OPERATING_LIMIT_S)),
        reset_at=from_ms(int(text["reset_at"])) if "reset_at" in text else None,
        takes_ms={int(name[2:]): float(value) for name, value in text.items() if name.startswith("t:")},
    )
