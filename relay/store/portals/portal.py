"""Everything that is kept of one portal, in one hand: its gate, its bucket, what was learned, its tokens, its line."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from typing import Any

from redis import Redis

from relay.core.ids import to_ms
from relay.store.portals.codes import RecentCode, read_codes
from relay.store.portals.gate import Gate
from relay.store.portals.jobs import Jobs, read_jobs
from relay.store.portals.learned import (
    Bucket,
    Learned,
    forget,
    learn,
    read_bucket,
    read_learned,
    slow_down,
    take_slot,
)
from relay.store.portals.survey import Survey, survey
from relay.store.redis import keys
from relay.store.redis.fields import write_fields
from relay.store.redis.guard import guarded
from relay.store.redis.lease import lease


class PortalRecord:
    """One portal on record. Every method raises RecordUnavailableError."""

    def __init__(self, redis: Redis, name: str, replicas: int = 0) -> None:
        self._redis = redis
        self._replicas = replicas
        self.name = name
        self.gate = Gate(redis, name)

    def lease(self, task: str, holder: str, duration: timedelta) -> AbstractContextManager[bool]:
        """Whether this holder may do a task at this portal, while the `with` lasts (store/redis/lease.py)."""
        return lease(self._redis, f"{task}:{self.name}", holder, duration)

    def learned(self) -> Learned:
        """What it has shown of itself."""
        return read_learned(self._redis, self.name)

    def survey(self, now: datetime) -> Survey:
        """It at one moment: what is to be done, its gate, what it has shown of itself."""
        return survey(self._redis, self.name, now)

    def learn(self, fields: Mapping[str, str]) -> None:
        """Keep what it has shown, by the names of the hash (learned.py)."""
        learn(self._redis, self.name, fields)

    def forget(self, *names: str) -> None:
        """Keep these parts of that no longer."""
        forget(self._redis, self.name, *names)

    def bucket(self, rate_per_s: float | None) -> Bucket:
        """How full its bucket is; empty for a portal without a limit."""
        return read_bucket(self._redis, self.name, rate_per_s) if rate_per_s else Bucket()

    def take_slot(self, rate_per_s: float, burst: int, patience_ms: int) -> tuple[bool, int, int]:
        """Reserve a request: whether one is reserved, milliseconds until it, how many are free beside it."""
        return take_slot(self._redis, self.name, rate_per_s, burst, patience_ms)

    def slow_down(self, rate_per_s: float, burst: int) -> float:
        """Halve the pace; what it is then, from 0 to 1."""
        return slow_down(self._redis, self.name, rate_per_s, burst)

    def codes(self) -> list[RecentCode]:
        """What it has said lately where nothing started."""
        return read_codes(self._redis, self.name)

    def jobs(self) -> Jobs:
        """What RQ holds for it."""
        return read_jobs(self._redis, self.name)

    @guarded
    def found_before(self, digests: Sequence[str]) -> list[int | None]:
        """What was found for these questions and is still remembered, in this order."""
        kept: Any = self._redis.mget([self._found(digest) for digest in digests]) if digests else []
        return [int(one) if one is not None else None for one in kept]

    @guarded
    def remember_found(self, digest: str, found: int, duration_s: int) -> None:
        """Remember what was found, under a keyed digest of the question: no value of a person stands there."""
        self._redis.set(self._found(digest), found, ex=duration_s)

    @guarded
    def tokens(self) -> dict[str, str]:
        """The OAuth pair that was kept last; empty before the first."""
        kept: Any = self._redis.hgetall(keys.TOKENS + self.name)
        return {name.decode(): value.decode() for name, value in kept.items()}

    def keep_tokens(self, fields: Mapping[str, str]) -> None:
        """Keep a pair: on as many replicas as are waited for. The one before it is worth nothing any more."""
        write_fields(self._redis, keys.TOKENS + self.name, fields, self._replicas)

    @guarded
    def drift(self) -> list[dict[str, Any]]:
        """What of the rules does not fit its templates, as the workers have left it (core/drift.py)."""
        kept: Any = self._redis.get(keys.DRIFT + self.name)
        return [one for one in json.loads(kept or "[]") if isinstance(one, dict)]

    @guarded
    def keep_drift(self, drift: Sequence[Mapping[str, Any]]) -> bool:
        """Keep it; whether it is another than before."""
        text = json.dumps([dict(one) for one in drift])
        before: Any = self._redis.getset(keys.DRIFT + self.name, text)
        return (before or b"[]").decode() != text

    @guarded
    def say_checked(self, digest: str) -> None:
        """Say that the rules of this digest were compared with its templates."""
        self._redis.hset(keys.CHECKED_RULES, self.name, digest)

    @guarded
    def checked_rules(self) -> str | None:
        """The digest of the rules that were compared last; None before the first."""
        kept: Any = self._redis.hget(keys.CHECKED_RULES, self.name)
        return kept.decode() if kept else None

    @guarded
    def in_line(self) -> int:
        """How many deliveries wait, pending and retrying, also behind another of their order."""
        counts: list[int] = [self._count(keys.WAITING), self._count(keys.BLOCKED)]
        return sum(counts)

    @guarded
    def oldest_waiting_s(self, now: datetime) -> float:
        """For how long the first in line could have been sent by now, in seconds; 0: none waits."""
        first: Any = self._redis.zrange(keys.WAITING + self.name, 0, 0, withscores=True)
        return max(0.0, (to_ms(now) - first[0][1]) / 1000) if first else 0.0

    def _found(self, digest: str) -> str:
        return f"{keys.FOUND}{self.name}:{digest}"

    def _count(self, index: str) -> int:
        count: Any = self._redis.zcard(index + self.name)
        return int(count)
