"""How full the record's server is, said long before it refuses to write. Reads only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from redis import Redis

from relay.store.redis.guard import guarded

FILLING, NEARLY_FULL = 0.6, 0.85


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes that the server uses, and may use: its `maxmemory`, or where it has none, what the machine has."""

    used: int
    most: int

    @property
    def share(self) -> float:
        """The part that is used, from 0 to 1; 0 where nobody knows."""
        return self.used / self.most if self.most else 0.0

    @property
    def is_filling(self) -> bool:
        """Whether a person should make room: a longer look at retention, more memory, or whoever sends so much."""
        return self.share >= FILLING

    @property
    def is_nearly_full(self) -> bool:
        """Whether senders will soon be told to come again."""
        return self.share >= NEARLY_FULL


@guarded
def read_memory(redis: Redis) -> Memory:
    """How it is now. Raises RecordUnavailableError."""
    told: Any = redis.info("memory")
    return Memory(int(told.get("used_memory", 0)), int(told.get("maxmemory") or told.get("total_system_memory") or 0))
