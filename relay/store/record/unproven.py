"""What people without proof may cause to be stored: bounded by number and size, for each source by itself.

lua/record.lua keeps the bounds; here they are said, and what they hold is read. An event with deliveries is never
removed to make room.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any

from redis import Redis

from relay.core.errors import LimitedError
from relay.store.redis import keys
from relay.store.redis.guard import guarded

LIMITED = "LIMITED "
"""How record.lua begins its answer where a source is over its limit; the seconds until it may send again follow."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """Of one event: how much of its kind its source may have on record, and how much it may send. 0: any number.

    kept, kept_bytes: the newest so many without proof and without deliveries. events, bytes: in a minute.
    """

    kept: int = 0
    kept_bytes: int = 0
    events: int = 0
    bytes: int = 0

    def to_json(self) -> str:
        """Empty where there is no bound."""
        return _as_json(self)


@lru_cache(1_024)
def _as_json(bounds: Bounds) -> str:
    """The same few are written with every event."""
    return json.dumps(asdict(bounds), separators=(",", ":")) if bounds != UNBOUNDED else ""


UNBOUNDED = Bounds()


def limited(error: Exception) -> LimitedError | None:
    """What an answer of record.lua means, where it says that a limit is reached."""
    text = str(error)
    return LimitedError(int(text.removeprefix(LIMITED))) if text.startswith(LIMITED) else None


@guarded
def newest_unproven(redis: Redis, source: str, count: int) -> list[str]:
    """Ids of the newest events without proof, newest first; some may be gone."""
    found: Any = redis.lrange(keys.UNPROVEN + source, -count, -1)
    return [entry.decode().partition(" ")[2] for entry in reversed(found)]
