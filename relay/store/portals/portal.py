"""One portal on record: its gate, bucket, knowledge, tokens, drift and waiting deliveries; its jobs and workers in RQ.

A failed job is shown by its id and the class and place of its error; never its arguments, nor the error's own words,
which may quote what was being sent.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from redis import Redis
from rq import Queue
from rq.job import Job
from rq.registry import FailedJobRegistry
from rq.results import Result
from rq.serializers import JSONSerializer

from relay.core.ids import from_ms, to_ms, utc_now
from relay.queue.jobs import WORKERS_KEY, portal_of, queue_name
from relay.store.portals.gate import Gate, View, view_from_hash
from relay.store.portals.learned import (
    Bucket,
    Learned,
    forget,
    learn,
    learned_from_hash,
    read_bucket,
    read_learned,
    slow_down,
    take_slot,
)
from relay.store.redis import keys
from relay.store.redis.scripts import guarded, lease, write_fields


@dataclass(frozen=True, slots=True)
class Survey:
    """A portal at one moment: waiting questions, due uncertain deliveries, due deliveries, the gate, the knowledge."""

    questions: int
    doubtful: int
    due: int
    gate: View
    learned: Learned


@guarded
def survey(redis: Redis, portal: str, now: datetime) -> Survey:
    """Read a portal at one moment, in one round trip. Raises RecordUnavailableError."""
    with redis.pipeline(transaction=False) as pipeline:
        pipeline.llen(keys.QUESTIONS + portal)
        pipeline.zcount(keys.DOUBTFUL + portal, "-inf", to_ms(now))
        pipeline.zcount(keys.WAITING + portal, "-inf", to_ms(now))
        pipeline.hgetall(keys.GATE + portal)
        pipeline.hgetall(keys.PACE + portal)
        answers: list[Any] = pipeline.execute()
    questions, doubtful, due, gate, learned = answers
    return Survey(questions, doubtful, due, view_from_hash(gate), learned_from_hash(learned))


@dataclass(frozen=True, slots=True)
class RecentCode:
    """One reason among the last twenty. at: its last time."""

    reason: str
    count: int
    at: datetime


@guarded
def read_codes(redis: Redis, portal: str) -> list[RecentCode]:
    """The reasons, latest first. Raises RecordUnavailableError."""
    found: Any = redis.lrange(keys.CODES + portal, 0, -1)
    newest: dict[str, datetime] = {}
    counts: dict[str, int] = {}
    for entry in found:
        at, _, reason = entry.decode("utf-8", "replace").partition(" ")
        newest.setdefault(reason, from_ms(int(at)))
        counts[reason] = counts.get(reason, 0) + 1
    return [RecentCode(reason, counts[reason], at) for reason, at in newest.items()]


FAILURES_SHOWN = 3
"""The newest failed jobs that are shown; the others are counted."""
_PLACE = re.compile(r'^ *File "(?:.*/)?([\w.-]+/[\w.-]+)", line (\d+)', re.MULTILINE)
_CLASS = re.compile(r"^(?:[A-Za-z_]\w*\.)*([A-Za-z_]\w*)(?=:|$)")


@dataclass(frozen=True, slots=True)
class Failure:
    """A job that ended by an error of the relay's own. error: its class and, where known, its place."""

    job: str
    error: str


@dataclass(frozen=True, slots=True)
class Jobs:
    """The jobs of one portal. failures: the newest of the failed."""

    waiting: int
    failed: int
    failures: tuple[Failure, ...] = ()


@guarded
def read_jobs(redis: Redis, portal: str) -> Jobs:
    """The jobs of a portal, in a bounded number of reads. Raises RecordUnavailableError."""
    queue = Queue(queue_name(portal), connection=redis, serializer=JSONSerializer)
    failed = FailedJobRegistry(queue=queue)
    with redis.pipeline(transaction=False) as pipeline:
        pipeline.llen(queue.key)
        # The scores are expiry times; RQ removes expired jobs some time later.
        pipeline.zcount(failed.key, to_ms(utc_now()) / 1000, "+inf")
        pipeline.zrevrange(failed.key, 0, FAILURES_SHOWN - 1)
        answers: list[Any] = pipeline.execute()
    waiting, count, newest = answers
    names = [name.decode("utf-8", "replace")[:100] for name in newest[:count]]
    return Jobs(waiting, count, tuple(Failure(name, _error_of(redis, name)) for name in names))


def _error_of(redis: Redis, name: str) -> str:
    result = Result.fetch_latest(Job(name, connection=redis, serializer=JSONSerializer), JSONSerializer)
    text = (result.exc_string if result else None) or ""
    found, places = _CLASS.match(text.strip().rpartition("\n")[2]), _PLACE.findall(text)
    error = found[1] if found else "an error"
    return f"{error} in {places[-1][0]}, line {places[-1][1]}" if places else error


@dataclass(frozen=True, slots=True)
class Worker:
    """One worker process, and the portals that it serves. heartbeat: None where RQ knows its name only."""

    name: str
    portals: tuple[str, ...]
    state: str
    heartbeat: datetime | None
    born: datetime | None


@guarded
def read_workers(redis: Redis) -> list[Worker]:
    """Every worker that is registered, by name, in two round trips. Raises RecordUnavailableError."""
    found: Any = redis.smembers(WORKERS_KEY)
    members = sorted(member.decode() for member in found)
    with redis.pipeline(transaction=False) as pipeline:
        for member in members:
            pipeline.hmget(member, ["queues", "state", "last_heartbeat", "birth"])
        answers: list[Any] = pipeline.execute()
    return [_worker(member, answer) for member, answer in zip(members, answers, strict=True) if any(answer)]


def _worker(member: str, answer: list[bytes | None]) -> Worker:
    queues, state, heartbeat, birth = [(part or b"").decode() for part in answer]
    name = member.rpartition(":")[2]
    portals = tuple(portal_of(queue) for queue in queues.split(",") if queue)
    return Worker(name, portals, state or "?", _moment(heartbeat), _moment(birth))


def _moment(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None


class PortalRecord:
    """One portal on record. Every method raises RecordUnavailableError."""

    def __init__(self, redis: Redis, name: str, replicas: int = 0) -> None:
        self._redis = redis
        self._replicas = replicas
        self.name = name
        self.gate = Gate(redis, name)

    def lease(self, task: str, holder: str, duration: timedelta) -> AbstractContextManager[bool]:
        """Whether this holder may do a task at this portal, while the `with` lasts (store/redis/scripts.py)."""
        return lease(self._redis, f"{task}:{self.name}", holder, duration)

    def learned(self) -> Learned:
        """The knowledge about it."""
        return read_learned(self._redis, self.name)

    def survey(self, now: datetime) -> Survey:
        """The portal at one moment, in one round trip."""
        return survey(self._redis, self.name, now)

    def learn(self, fields: Mapping[str, str]) -> None:
        """Keep knowledge, by the fields of the hash (learned.py)."""
        learn(self._redis, self.name, fields)

    def forget(self, *names: str) -> None:
        """Forget these fields."""
        forget(self._redis, self.name, *names)

    def bucket(self, rate_per_s: float | None) -> Bucket:
        """Its bucket; empty for a portal without a limit."""
        return read_bucket(self._redis, self.name, rate_per_s) if rate_per_s else Bucket()

    def take_slot(self, rate_per_s: float, burst: int, patience_ms: int) -> tuple[bool, int, int]:
        """Reserve a request. Returns whether it is reserved, milliseconds until it, and how many more are free."""
        return take_slot(self._redis, self.name, rate_per_s, burst, patience_ms)

    def slow_down(self, rate_per_s: float, burst: int) -> float:
        """Halve the pace. Returns the new pace, from 0 to 1."""
        return slow_down(self._redis, self.name, rate_per_s, burst)

    def codes(self) -> list[RecentCode]:
        """The codes of its latest failures."""
        return read_codes(self._redis, self.name)

    def jobs(self) -> Jobs:
        """Its jobs in RQ."""
        return read_jobs(self._redis, self.name)

    @guarded
    def found_before(self, digests: Sequence[str]) -> list[int | None]:
        """The remembered answers to these questions, in this order."""
        kept: Any = self._redis.mget([self._found(digest) for digest in digests]) if digests else []
        return [int(one) if one is not None else None for one in kept]

    @guarded
    def remember_found(self, digest: str, found: int, duration_s: int) -> None:
        """Remember an answer under a keyed digest of the question, which holds nobody's data."""
        self._redis.set(self._found(digest), found, ex=duration_s)

    @guarded
    def tokens(self) -> dict[str, str]:
        """The OAuth pair that was kept last; empty before the first."""
        kept: Any = self._redis.hgetall(keys.TOKENS + self.name)
        return {name.decode(): value.decode() for name, value in kept.items()}

    def keep_tokens(self, fields: Mapping[str, str]) -> None:
        """Keep a pair, on as many replicas as are waited for. The former pair is no longer valid."""
        write_fields(self._redis, keys.TOKENS + self.name, fields, self._replicas)

    @guarded
    def drift(self) -> list[dict[str, Any]]:
        """The drift that the workers have found (core/drift.py)."""
        kept: Any = self._redis.get(keys.DRIFT + self.name)
        return [one for one in json.loads(kept or "[]") if isinstance(one, dict)]

    @guarded
    def keep_drift(self, drift: Sequence[Mapping[str, Any]]) -> bool:
        """Keep the drift. Returns whether it has changed."""
        text = json.dumps([dict(one) for one in drift])
        before: Any = self._redis.getset(keys.DRIFT + self.name, text)
        return (before or b"[]").decode() != text

    @guarded
    def say_checked(self, digest: str) -> None:
        """Note that the rules with this digest were checked."""
        self._redis.hset(keys.CHECKED_RULES, self.name, digest)

    @guarded
    def checked_rules(self) -> str | None:
        """The digest of the rules that were checked last; None before the first."""
        kept: Any = self._redis.hget(keys.CHECKED_RULES, self.name)
        return kept.decode() if kept else None

    @guarded
    def in_line(self) -> int:
        """Number of pending and retrying deliveries, including those behind another of their order."""
        counts: list[int] = [self._count(keys.WAITING), self._count(keys.BLOCKED)]
        return sum(counts)

    @guarded
    def oldest_waiting_s(self, now: datetime) -> float:
        """Seconds since the oldest waiting delivery became due; 0: none waits."""
        first: Any = self._redis.zrange(keys.WAITING + self.name, 0, 0, withscores=True)
        return max(0.0, (to_ms(now) - first[0][1]) / 1000) if first else 0.0

    def _found(self, digest: str) -> str:
        return f"{keys.FOUND}{self.name}:{digest}"

    def _count(self, index: str) -> int:
        count: Any = self._redis.zcard(index + self.name)
        return int(count)
