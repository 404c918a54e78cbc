"""Sessions of the dashboard, wrong tries at passwords and tokens, and repeated API requests.

A session's id is random and only its browser has it; the record keeps a digest, which opens nothing. Permissions are
decided in relay/web/auth.py. A session ends by itself, or when somebody ends it.

Nobody is locked out: each wrong try makes the next wait longer, up to a limit. All web processes count together. A try
that comes too early is neither checked nor counted, and no process waits for it.

An Idempotency-Key is claimed before the act, and holds the answer after it.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from redis import Redis

from relay.core.errors import RelayError
from relay.core.ids import from_ms, to_ms
from relay.store.redis import keys
from relay.store.redis.scripts import Script, ScriptCall, guarded, run

IDLE = timedelta(hours=12)
"""A session that is unused for this long ends."""
LONGEST = timedelta(days=7)
"""Every session ends this long after it was opened, however much it is used."""
MOST = 100
"""The most sessions of a role; one more ends the oldest."""


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
        """Open a session. Returns its id, which is kept nowhere else."""
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
        """The session with this id, if it is open. uses: whether this extends it."""
        digest = digest_of(token)
        with self._redis.pipeline(transaction=True) as pipeline:
            pipeline.hgetall(keys.SESSION + digest)
            pipeline.pttl(keys.SESSION + digest)
            if uses:
                pipeline.pexpire(keys.SESSION + digest, IDLE)  # no effect on an ended session
            kept, left = pipeline.execute()[:2]
        return _session(digest, kept, left, now)

    @guarded
    def all(self, now: datetime) -> list[Session]:
        """The open sessions, newest first."""
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
    """The digest of a session's id, for the record."""
    return hashlib.sha256(token.encode()).hexdigest()[:32]


def _session(digest: str, kept: dict[bytes, bytes], left_ms: int, now: datetime) -> Session | None:
    if not kept:
        return None
    text = {name.decode(): value.decode() for name, value in kept.items()}
    opened = from_ms(int(text["opened"]))
    if now - opened >= LONGEST:
        return None
    return Session(digest, text["role"], text["proof"], opened, now - IDLE + timedelta(milliseconds=left_ms))


TRY = Script.load("try")
FORGOTTEN = timedelta(hours=1)
"""A counter that is unused for this long begins anew."""


@dataclass(frozen=True, slots=True)
class Counter:
    """A counter of tries.

    name: a keyed digest. free: tries without a wait; then `first`, doubling up to `longest`.
    """

    name: str
    free: int
    longest: timedelta
    first: timedelta = timedelta(seconds=1)


class TooManyTriesError(RelayError):
    """The try was not checked. wait_s: whole seconds until the next may come."""

    def __init__(self, wait_s: int) -> None:
        super().__init__(f"too many wrong tries: come back in {wait_s} s")
        self.wait_s = wait_s


class Tries:
    """Wrong tries on record. Every method raises RecordUnavailableError."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    @guarded
    def count(self, counters: Sequence[Counter], now: datetime) -> None:
        """Count a try, before it is checked. Raises TooManyTriesError."""
        argv = [to_ms(now), _ms(FORGOTTEN)]
        for one in counters:
            argv += [one.free, _ms(one.first), _ms(one.longest)]
        wait_ms = int(run(self._redis, ScriptCall(TRY, [keys.TRIES + one.name for one in counters], argv)))
        if wait_ms > 0:
            raise TooManyTriesError(-(-wait_ms // 1000))

    @guarded
    def forgive(self, counters: Sequence[Counter]) -> None:
        """Take back a right try. Wrong tries before it stay counted."""
        with self._redis.pipeline(transaction=True) as pipeline:
            for one in counters:
                pipeline.hincrby(keys.TRIES + one.name, "n", -1)
                pipeline.hdel(keys.TRIES + one.name, "next")
            pipeline.execute()


def _ms(span: timedelta) -> int:
    return span // timedelta(milliseconds=1)


ANSWER_KEPT_S = 86_400
CLAIM_S = 300


class Idempotency:
    """Idempotency keys, by a digest of their request. Every method raises RecordUnavailableError."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    @guarded
    def claim(self, digest: str, text: str) -> str | None:
        """Claim a key with this unique text. None if the key was free, else the text of the other claim."""
        if self._redis.set(keys.ONCE + digest, text, nx=True, ex=CLAIM_S):
            return None
        kept: Any = self._redis.get(keys.ONCE + digest)
        left = (kept or b"").decode()
        return None if left == text else left  # the key was free, but that answer was lost

    @guarded
    def keep(self, digest: str, text: str) -> None:
        """Keep an answer for a day."""
        self._redis.set(keys.ONCE + digest, text, ex=ANSWER_KEPT_S)

    @guarded
    def release(self, digest: str) -> None:
        """Free the key, because the act was not done."""
        self._redis.delete(keys.ONCE + digest)
