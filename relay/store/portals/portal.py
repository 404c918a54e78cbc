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
from relay.store.portals.learned import Learned, learned_from_hash
from relay.store.redis import keys
from relay.store.redis.scripts import Argument, Script, ScriptCall, guarded, lease, run, write_fields


@dataclass(frozen=True, slots=True)
class Survey:
    """A portal at one moment: waiting questions, openings of its application, due uncertain deliveries, due deliveries,
    the gate, the knowledge.
    """

    questions: int
    openings: int
    doubtful: int
    due: int
    gate: View
    learned: Learned


@dataclass(frozen=True, slots=True)
class RecentCode:
    """One reason among the last twenty. at: its last time."""

    reason: str
    count: int
    at: datetime


TAKE, SLOW = Script.load("take"), Script.load("slow")
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


@dataclass(frozen=True, slots=True)
class Bucket:
    """A portal's pace now. filled: requests that its bucket holds; factor: below 1 where the portal has slowed us."""

    filled: float = 0.0
    factor: float = 1.0


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

    @guarded
    def learned(self) -> Learned:
        """The knowledge about it."""
        kept: Any = self._redis.hgetall(keys.PACE + self.name)
        return learned_from_hash(kept)

    @guarded
    def survey(self, now: datetime) -> Survey:
        """The portal at one moment, in one round trip."""
        with self._redis.pipeline(transaction=False) as pipeline:
            pipeline.llen(keys.QUESTIONS + self.name)
            pipeline.zcount(keys.OPENINGS + self.name, "-inf", to_ms(now))
            pipeline.zcount(keys.DOUBTFUL + self.name, "-inf", to_ms(now))
            pipeline.zcount(keys.WAITING + self.name, "-inf", to_ms(now))
            pipeline.hgetall(keys.GATE + self.name)
            pipeline.hgetall(keys.PACE + self.name)
            answers: list[Any] = pipeline.execute()
        questions, openings, doubtful, due, gate, learned = answers
        return Survey(questions, openings, doubtful, due, view_from_hash(gate), learned_from_hash(learned))

    def learn(self, fields: Mapping[str, str]) -> None:
        """Keep knowledge, by the fields of the hash (learned.py)."""
        write_fields(self._redis, keys.PACE + self.name, fields)

    @guarded
    def forget(self, *names: str) -> None:
        """Forget these fields."""
        self._redis.hdel(keys.PACE + self.name, *names)

    @guarded
    def bucket(self, rate_per_s: float | None) -> Bucket:
        """Its bucket; empty for a portal without a limit."""
        if not rate_per_s:
            return Bucket()
        with self._redis.pipeline(transaction=False) as pipeline:
            pipeline.hmget(keys.BUCKET + self.name, ["tat", "factor", "slowed_at"])
            pipeline.time()
            answers: list[Any] = pipeline.execute()
        (tat, factor, slowed_at), (seconds, microseconds) = answers
        now_ms = seconds * 1000 + microseconds / 1000
        kept = 1.0
        if factor and slowed_at:
            kept = min(1.0, float(factor) * 2 ** min((now_ms - float(slowed_at)) / keys.RECOVERY_MS, 60))
        return Bucket(max(0.0, (float(tat or 0) - now_ms) * rate_per_s * kept / 1000), kept)

    @guarded
    def take_slot(self, rate_per_s: float, burst: int, patience_ms: int) -> tuple[bool, int, int]:
        """Reserve a request. Returns whether it is reserved, milliseconds until it, and how many more are free."""
        argv: list[Argument] = [str(rate_per_s), burst, patience_ms]
        reserved, wait_ms, free = run(self._redis, ScriptCall(TAKE, [keys.BUCKET + self.name], argv))
        return bool(reserved), int(wait_ms), int(free)

    @guarded
    def slow_down(self, rate_per_s: float, burst: int) -> float:
        """Halve the pace. Returns the new pace, from 0 to 1."""
        return int(run(self._redis, ScriptCall(SLOW, [keys.BUCKET + self.name], [str(rate_per_s), burst]))) / 1000

    @guarded
    def codes(self) -> list[RecentCode]:
        """The codes of its latest failures."""
        found: Any = self._redis.lrange(keys.CODES + self.name, 0, -1)
        newest: dict[str, datetime] = {}
        counts: dict[str, int] = {}
        for entry in found:
            at, _, reason = entry.decode("utf-8", "replace").partition(" ")
            newest.setdefault(reason, from_ms(int(at)))
            counts[reason] = counts.get(reason, 0) + 1
        return [RecentCode(reason, counts[reason], at) for reason, at in newest.items()]

    @guarded
    def jobs(self) -> Jobs:
        """Its jobs in RQ."""
        queue = Queue(queue_name(self.name), connection=self._redis, serializer=JSONSerializer)
        failed = FailedJobRegistry(queue=queue)
        with self._redis.pipeline(transaction=False) as pipeline:
            pipeline.llen(queue.key)
            # The scores are expiry times; RQ removes expired jobs some time later.
            pipeline.zcount(failed.key, to_ms(utc_now()) / 1000, "+inf")
            pipeline.zrevrange(failed.key, 0, FAILURES_SHOWN - 1)
            answers: list[Any] = pipeline.execute()
        waiting, count, newest = answers
        names = [name.decode("utf-8", "replace")[:100] for name in newest[:count]]
        return Jobs(waiting, count, tuple(Failure(name, _error_of(self._redis, name)) for name in names))

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
        """The drift that the workers have found (core/templates.py)."""
        kept: Any = self._redis.get(keys.DRIFT + self.name)
        return [one for one in json.loads(kept or "[]") if isinstance(one, dict)]

    @guarded
    def keep_drift(self, drift: Sequence[Mapping[str, Any]]) -> bool:
        """Keep the drift. Returns whether it has changed."""
        text = json.dumps([dict(one) for one in drift])
        before: Any = self._redis.getset(keys.DRIFT + self.name, text)
        return (before or b"[]").decode() != text

    @guarded
    def template_names(self) -> dict[int, str]:
        """The names of the portal's templates by number, as they were read last; empty before the first time."""
        kept: Any = self._redis.hgetall(keys.TEMPLATE_NAMES + self.name)
        return {int(number): name.decode() for number, name in kept.items()}

    @guarded
    def keep_template_names(self, names: Mapping[int, str]) -> None:
        """Keep the names of the portal's templates. Those that are gone stay: older deliveries name them."""
        if names:
            self._redis.hset(keys.TEMPLATE_NAMES + self.name, mapping={str(one): name for one, name in names.items()})

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
