"""What a portal has said lately where nothing started, counted by code. Written by lua/settle.lua, read by pages."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from redis import Redis

from relay.core.ids import from_ms
from relay.store.redis import keys
from relay.store.redis.guard import guarded


@dataclass(frozen=True, slots=True)
class RecentCode:
    """One reason among the last twenty. at: when it came last."""

    reason: str
    count: int
    at: datetime


@guarded
def read_codes(redis: Redis, portal: str) -> list[RecentCode]:
    """The reasons, the one that came last first. Raises RecordUnavailableError."""
    found: Any = redis.lrange(keys.CODES + portal, 0, -1)
    newest: dict[str, datetime] = {}
    counts: dict[str, int] = {}
    for entry in found:
        at, _, reason = entry.decode("utf-8", "replace").partition(" ")
        newest.setdefault(reason, from_ms(int(at)))
        counts[reason] = counts.get(reason, 0) + 1
    return [RecentCode(reason, counts[reason], at) for reason, at in newest.items()]
