"""The sessions of the dashboard: which are open, as what, until when. Each ends by itself, or is ended by somebody.

A session's id is chance that only its browser has; the record keeps a digest, which opens nothing. What a session may
is decided in relay/web/auth/guard.py.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from redis import Redis

from relay.core.ids import from_ms, to_ms
from relay.store.redis import keys
from relay.store.redis.guard import guarded

IDLE = timedelta(hours=12)
"""A session without a page for so long ends."""
LONGEST = timedelta(days=7)
"""And every session ends so long after it was opened, however much it was used."""
MOST = 100
"""So many of a role may be open; one more ends the oldest."""


@dataclass(frozen=True, slots=True)
class Session:
    """One open session. digest: names it and opens nothing; proof: of the password it was opened with."""

    digest: str
    role: str
    proof: str
    opened: datetime
    used: datetime


class Sessions:
    """The sessions of these roles. Every method raises RecordUnavailableError."""

    def __init__(self, redis: Redis, roles: Iterable[str]) -> None:
        self._redis = redis
        self._lists = [keys.SESSIONS + role for role in roles]

    @guarded
    def open(self, role: str, proof: str, now: datetime) -> str:
        """Open a session; its id, which is kept nowhere else."""
        token = secrets.token_urlsafe(32)
        digest = digest_of(token)
        fields: Any = {"role": role, "proof": proof, "opened": to_ms(now)}
        with self._redis.pipeline(transaction=True) as pipeline:
            pipeline.hset(keys.SESSION + digest, mapping=fields)
            pipeline.pexpire(keys.SESSION + digest, IDLE)
            pipeline.zadd(keys.SESSIONS + role, {digest: to_ms(now)})
            pipeline.zremrangebyscore(keys.SESSIONS + role, "-inf", to_ms(now - LONGEST))
            pipeline.zrange(keys.SESSIONS + role, 0, -MOST - 1)
            oldest: list[bytes] = pipeline.execute()[-1]
        self._end([one.decode() for one in oldest])
        return token

    @guarded
    def read(self, token: str, now: datetime, *, uses: bool = True) -> Session | None:
        """The session of this id, if it is open. uses: it stays open for longer."""
        digest = digest_of(token)
        with self._redis.pipeline(transaction=True) as pipeline:
            pipeline.hgetall(keys.SESSION + digest)
            pipeline.pttl(keys.SESSION + digest)
            if uses:
                pipeline.pexpire(keys.SESSION + digest, IDLE)  # which brings back none that has ended
            kept, left = pipeline.execute()[:2]
        return _session(digest, kept, left, now)

    @guarded
    def all(self, now: datetime) -> list[Session]:
        """Those that are open, the newest first."""
        digests = self._digests()
        with self._redis.pipeline(transaction=False) as pipeline:
            for digest in digests:
                pipeline.hgetall(keys.SESSION + digest)
                pipeline.pttl(keys.SESSION + digest)
            answers = pipeline.execute()
        read = zip(digests, answers[::2], answers[1::2], strict=True)
        found = [one for digest, kept, left in read if (one := _session(digest, kept, left, now))]
        return sorted(found, key=lambda one: one.opened, reverse=True)

    @guarded
    def end(self, digest: str) -> None:
        """End one."""
        self._end([digest])

    @guarded
    def end_others(self, digest: str | None) -> None:
        """End every session but this one."""
        self._end([one for one in self._digests() if one != digest])

    def _digests(self) -> list[str]:
        with self._redis.pipeline(transaction=False) as pipeline:
            for name in self._lists:
                pipeline.zrange(name, 0, -1)
            return [one.decode() for found in pipeline.execute() for one in found]

    def _end(self, digests: list[str]) -> None:
        if digests:
            with self._redis.pipeline(transaction=True) as pipeline:
                pipeline.delete(*(keys.SESSION + digest for digest in digests))
                for name in self._lists:
                    pipeline.zrem(name, *digests)
                pipeline.execute()


def digest_of(token: str) -> str:
    """What the record keeps in the place of an id."""
    return hashlib.sha256(token.encode()).hexdigest()[:32]


def _session(digest: str, kept: dict[bytes, bytes], left_ms: int, now: datetime) -> Session | None:
    if not kept:
        return None
    text = {name.decode(): value.decode() for name, value in kept.items()}
    opened = from_ms(int(text["opened"]))
    if now - opened >= LONGEST:
        return None
    return Session(digest, text["role"], text["proof"], opened, now - IDLE + timedelta(milliseconds=left_ms))
