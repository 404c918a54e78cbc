"""Probes, counted, and secrets that senders gave at run time: the first that a sender gives, until it is forgotten."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from redis import Redis

from relay.core.ids import from_ms, to_ms
from relay.store.redis import keys
from relay.store.redis.guard import guarded


@dataclass(frozen=True, slots=True)
class Probes:
    """How many probes of a source were answered, and when the last came."""

    count: int = 0
    last_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class GivenSecret:
    """A secret that a sender gave. is_shown: an operator has seen it, so nobody does again."""

    secret: str = field(repr=False)
    at: datetime
    is_shown: bool


class Senders:
    """Of each source by its name. Every method raises RecordUnavailableError."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    @guarded
    def count_probes(self, source: str, count: int, now: datetime) -> None:
        """Add to the probes that were answered; also to the ledger, which says what became of every request."""
        with self._redis.pipeline(transaction=True) as pipeline:
            pipeline.hincrby(keys.PROBES + source, "count", count)
            pipeline.hset(keys.PROBES + source, "at", to_ms(now))
            pipeline.hincrby(keys.LEDGER, "event:probe", count)
            pipeline.execute()

    @guarded
    def probes(self, sources: Sequence[str]) -> dict[str, Probes]:
        """The probes of each source."""
        with self._redis.pipeline(transaction=False) as pipeline:
            for source in sources:
                pipeline.hmget(keys.PROBES + source, ["count", "at"])
            answers: list[Any] = pipeline.execute()
        return {
            source: Probes(int(count), from_ms(int(at))) if count and at else Probes()
            for source, (count, at) in zip(sources, answers, strict=True)
        }

    @guarded
    def keep_secret(self, source: str, secret: str, now: datetime) -> bool:
        """Keep a secret while none is kept; whether it is kept now."""
        key = keys.GIVEN_SECRET + source
        with self._redis.pipeline(transaction=True) as pipeline:
            pipeline.hsetnx(key, "secret", secret)
            pipeline.hsetnx(key, "at", str(to_ms(now)))
            pipeline.hmget(key, ["secret", "at"])
            is_new, _, kept = pipeline.execute()
        # Sent again after a lost answer, it finds what it has kept itself.
        return bool(is_new) or kept == [secret.encode(), str(to_ms(now)).encode()]

    @guarded
    def secret(self, source: str) -> GivenSecret | None:
        """The secret that is kept; None where there is none."""
        kept: Any = self._redis.hmget(keys.GIVEN_SECRET + source, ["secret", "at", "shown"])
        secret, at, shown = kept
        return GivenSecret(secret.decode(), from_ms(int(at)), bool(shown)) if secret and at else None

    @guarded
    def reveal_secret(self, source: str, now: datetime) -> str | None:
        """The secret, to the first who asks; None to everybody after, and where there is none."""
        kept = self.secret(source)
        if kept is None:
            return None
        key, asked = keys.GIVEN_SECRET + source, f"{to_ms(now)} {secrets.token_hex(8)}"
        with self._redis.pipeline(transaction=True) as pipeline:
            pipeline.hsetnx(key, "shown", asked)
            pipeline.hget(key, "shown")
            _, shown = pipeline.execute()
        return kept.secret if shown == asked.encode() else None

    @guarded
    def forget_secret(self, source: str) -> bool:
        """Forget the secret, so that the next handshake counts; whether there was one."""
        return bool(self._redis.delete(keys.GIVEN_SECRET + source))
