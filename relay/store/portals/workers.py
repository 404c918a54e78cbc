"""The workers as RQ has them registered, with their heartbeats. Reads only."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from redis import Redis

from relay.queue.jobs import WORKERS_KEY, portal_of
from relay.store.redis.guard import guarded


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
