"""Bulk replays on record: what was asked for, how far it is. One process at a time works on one, under a lease."""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from redis import Redis

from relay.core.errors import NotFoundError
from relay.store.redis import keys
from relay.store.redis.guard import guarded

KEPT_S = 7 * 86_400


class BulkState(StrEnum):
    """How far a bulk replay is."""

    DRY_RUN = "dry_run"
    RUNNING = "running"
    FINISHED = "finished"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class Bulk:
    """A bulk replay. wanted: the filter as a query. cursor: where the next step begins; found: at the beginning."""

    id: str | None
    state: BulkState
    rules: str
    wanted: dict[str, str] = field(default_factory=dict)
    who: str = ""
    cursor: str | None = None
    found: int = 0
    replayed: int = 0
    refused: int = 0
    sample: tuple[str, ...] = ()

    def to_wire(self) -> dict[str, Any]:
        names = ("id", "state", "rules", "found", "replayed", "refused")
        return {name: getattr(self, name) for name in names} | {"sample": list(self.sample)}


class Bulks:
    """Bulk replays on record. Every method raises RecordUnavailableError."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    @guarded
    def begin(self, bulk: Bulk) -> Bulk:
        """Keep a new one."""
        fresh = replace(bulk, id="rpl_" + secrets.token_hex(10))
        self._write(fresh)
        self._redis.sadd(keys.BULKS, fresh.id or "")
        return fresh

    @guarded
    def read(self, bulk_id: str) -> Bulk:
        """Raises NotFoundError."""
        kept: Any = self._redis.get(keys.BULK + bulk_id)
        if kept is None:
            raise NotFoundError(f"no replay {bulk_id}")
        wire = json.loads(kept)
        return Bulk(**{**wire, "state": BulkState(wire["state"]), "sample": tuple(wire["sample"])})

    @guarded
    def running(self) -> list[str]:
        """The ids of those that are not finished."""
        found: Any = self._redis.smembers(keys.BULKS)
        return sorted(member.decode() for member in found)

    @guarded
    def keep(self, bulk: Bulk) -> None:
        """Keep its progress; a finished or cancelled one leaves the list of those that run."""
        self._write(bulk)
        if bulk.state is not BulkState.RUNNING:
            self._redis.srem(keys.BULKS, bulk.id or "")

    @guarded
    def ask_to_stop(self, bulk_id: str) -> None:
        """Leave word that it is to stop; who works on it sees it before the next step."""
        self._redis.set(f"{keys.BULK}{bulk_id}:stop", "1", ex=KEPT_S)

    @guarded
    def is_stopping(self, bulk_id: str) -> bool:
        """Whether it is to stop."""
        return bool(self._redis.exists(f"{keys.BULK}{bulk_id}:stop"))

    def _write(self, bulk: Bulk) -> None:
        wire = {name: getattr(bulk, name) for name in bulk.__slots__} | {"sample": list(bulk.sample)}
        self._redis.set(f"{keys.BULK}{bulk.id}", json.dumps(wire), ex=KEPT_S)
