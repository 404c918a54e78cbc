"""State of each source beside its events: answered probes, a secret given at run time, and its concurrency slots.

The record keeps the first secret that a sender gives, until it is forgotten. A slot limits the requests of a source
that are in work at once, over all web processes. It ends with its `with`, or by itself after a death.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from redis import Redis

from relay.core.errors import LimitedError, RecordUnavailableError
from relay.core.ids import from_ms, to_ms
from relay.store.redis import keys
from relay.store.redis.scripts import Script, ScriptCall, guarded, run


@dataclass(frozen=True, slots=True)
class Probes:
    """The number of answered probes of a source, and the time of the last."""

    count: int = 0
    last_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class GivenSecret:
    """A secret that a sender gave. is_shown: an operator has seen it; it is shown only once."""

    secret: str = field(repr=False)
    at: datetime
    is_shown: bool


class Senders:
    """Probes and secrets, by source. Every method raises RecordUnavailableError."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    @guarded
    def count_probes(self, source: str, count: int, now: datetime) -> None:
        """Count answered probes, also in the ledger, which covers every request."""
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
        """Keep a secret, if there is none. Returns whether it is kept now."""
        key = keys.GIVEN_SECRET + source
        with self._redis.pipeline(transaction=True) as pipeline:
            pipeline.hsetnx(key, "secret", secret)
            pipeline.hsetnx(key, "at", str(to_ms(now)))
            pipeline.hmget(key, ["secret", "at"])
            is_new, _, kept = pipeline.execute()
        # After a lost answer, the second try finds its own secret.
        return bool(is_new) or kept == [secret.encode(), str(to_ms(now)).encode()]

    @guarded
    def secret(self, source: str) -> GivenSecret | None:
        """The kept secret; None where there is none."""
        kept: Any = self._redis.hmget(keys.GIVEN_SECRET + source, ["secret", "at", "shown"])
        secret, at, shown = kept
        return GivenSecret(secret.decode(), from_ms(int(at)), bool(shown)) if secret and at else None

    @guarded
    def reveal_secret(self, source: str, now: datetime) -> str | None:
        """The secret, for the first caller only; None for later ones, and where there is none."""
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
        """Forget the secret, so that the next handshake counts. Returns whether there was one."""
        return bool(self._redis.delete(keys.GIVEN_SECRET + source))


ENTER = Script.load("enter")
LAPSES_MS = 30_000
"""Time after which the slot of a dead process is free again."""
AGAIN_S = 1
_ANY_NUMBER = nullcontext()


class Slots:
    """The slots of all sources."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    def taken(self, source: str, most: int | None, *, may_be_away: bool = False) -> AbstractContextManager[None]:
        """Hold one of a source's slots inside the `with`; most: None: unlimited, without asking the record.

        may_be_away: go on without a slot where the record is away. Entering raises LimitedError where none is free, and
        RecordUnavailableError; leaving never does.
        """
        return _ANY_NUMBER if most is None else self._taken(source, most, may_be_away=may_be_away)

    @contextmanager
    def _taken(self, source: str, most: int, *, may_be_away: bool) -> Iterator[None]:
        who = secrets.token_hex(8)
        try:
            is_free = self._enter(source, who, most)
        except RecordUnavailableError:
            if not may_be_away:
                raise
            is_free = True
        if not is_free:
            raise LimitedError(AGAIN_S)
        try:
            yield
        finally:
            with suppress(RecordUnavailableError):  # then it lapses
                self._enter(source, who, 0)

    @guarded
    def _enter(self, source: str, who: str, most: int) -> bool:
        return bool(run(self._redis, ScriptCall(ENTER, [keys.AT_WORK + source], [who, most, LAPSES_MS])))
