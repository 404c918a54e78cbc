"""Which folders events are archived in, and whether that succeeds: for pages, and for whoever erases a person."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from redis import Redis

from relay.core.ids import from_ms, to_ms
from relay.store.redis import keys
from relay.store.redis.guard import guarded

CURRENT = timedelta(hours=1)
"""Who writes an archive says so more often."""


@dataclass(frozen=True, slots=True)
class KnownArchive:
    """A folder on a host. fault: why it cannot be written, or empty. at: when that was said last."""

    folder: str
    host: str
    fault: str
    at: datetime

    def is_faulty(self, now: datetime) -> bool:
        """Whether nothing is forgotten now, because it could not be archived."""
        return bool(self.fault) and now - self.at < CURRENT


@guarded
def note_archive(redis: Redis, known: KnownArchive) -> None:
    """Say how a folder is. Raises RecordUnavailableError."""
    redis.hset(keys.ARCHIVES, known.folder, json.dumps([known.host, known.fault, to_ms(known.at)]))


@guarded
def known_archives(redis: Redis) -> list[KnownArchive]:
    """Every folder that was ever written. Raises RecordUnavailableError."""
    kept: Any = redis.hgetall(keys.ARCHIVES)
    return [_known(folder.decode("utf-8", "replace"), *json.loads(text)) for folder, text in sorted(kept.items())]


def _known(folder: str, host: str, fault: str, at_ms: int) -> KnownArchive:
    return KnownArchive(folder, host, fault, from_ms(at_ms))
