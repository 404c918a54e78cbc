"""Brings a record that an earlier version has written into the layout of this one, before anything is done with it.

Layout 1 had a job of RQ for each turn of a delivery, and one clock of all that were not final. Layout 2 has one job for
a portal where there is work, and an index for each thing that may be next (redis/keys.py). The processes of the earlier
version must have ended. It may be killed anywhere and run again, and by two at once.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

from redis import Redis

from relay.core.errors import ConfigError, Mistake
from relay.core.ids import to_ms, utc_now
from relay.core.lifecycle import FINAL, State
from relay.queue.jobs import JOB_KEY_PREFIX, QUEUE_KEY_PREFIX, QUEUE_PREFIX
from relay.store.record.record import HARD_DEADLINE
from relay.store.redis import keys
from relay.store.redis.guard import guarded
from relay.store.redis.scripts import Argument, Script, ScriptCall, run

LAYOUT = 2
UPGRADE = Script.load("upgrade")
AT_ONCE = 500
SCHEDULED = f"rq:scheduled:{QUEUE_PREFIX}"


@guarded
def upgrade(redis: Redis) -> int:
    """How many deliveries were moved; 0 where the layout was this one's. Raises ConfigError before a newer one's.

    Raises RecordUnavailableError.
    """
    kept: Any = redis.get(keys.FORMAT)
    layout = int(kept or 1)
    if layout > LAYOUT:
        raise ConfigError(
            [Mistake("record", 0, "a newer version has written it: expected that version or a later one")]
        )
    if layout == LAYOUT:
        return 0
    moved = sum(_move(redis, ids) for ids in _ids(redis, set(State) - FINAL))
    for dead in _ids(redis, {State.DEAD}):
        _move(redis, dead)
    _open_gates(redis)
    _forget_jobs(redis)
    redis.delete(keys.CLOCK)
    redis.set(keys.FORMAT, LAYOUT)
    return moved


def _ids(redis: Redis, states: Collection[State]) -> Iterator[list[str]]:
    """The ids of every delivery in one of these states, some at a time."""
    for state in states:
        after = "-"
        while True:
            ids: Any = redis.zrange(keys.DELIVERIES_BY_STATE + state, after, "+", bylex=True, offset=0, num=AT_ONCE)
            if not ids:
                break
            yield [one.decode() for one in ids]
            after = f"({ids[-1].decode()}"


def _move(redis: Redis, ids: list[str]) -> int:
    argv: list[Argument] = [to_ms(utc_now()), int(HARD_DEADLINE.total_seconds() * 1000), *ids]
    return int(run(redis, ScriptCall(UPGRADE, [], argv)))


def _open_gates(redis: Redis) -> None:
    """A held gate said by itself when it was asked about; now its time says so."""
    for key in redis.scan_iter(f"{keys.GATE}*"):
        kept: Any = redis.hmget(key, ["state", "until"])
        if kept[0] == b"held" and not kept[1]:
            redis.hset(key, "until", str(to_ms(utc_now())))


def _forget_jobs(redis: Redis) -> None:
    """The jobs of single deliveries: the record says itself what is due."""
    for key in redis.scan_iter(f"{QUEUE_KEY_PREFIX}{QUEUE_PREFIX}*"):
        while True:
            queued: Any = redis.lpop(key, AT_ONCE)
            if not queued:
                break
            redis.delete(*[JOB_KEY_PREFIX + job.decode() for job in queued])
    for key in redis.scan_iter(f"{SCHEDULED}*"):
        while True:
            scheduled: Any = redis.zpopmin(key, AT_ONCE)
            if not scheduled:
                break
            redis.delete(*[JOB_KEY_PREFIX + job.decode() for job, _ in scheduled])
