"""Brings a record that an earlier version has written into the layout of this one, before anything is done with it.

Layout 1 had a job of RQ for each turn of a delivery, and one clock of all that were not final. Layout 2 has one job for
a portal where there is work, and an index for each thing that may be next. Layout 3 has fewer fields (codec.py) and
fewer indexes of ids (indexes.py). The processes of the earlier version should have ended; what they write afterwards
is laid out within a minute (Store.begin). It may be killed anywhere and run again, and by two at once.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

from redis import Redis

from relay.core.errors import ConfigError, Mistake
from relay.core.faults import fault
from relay.core.ids import DELIVERY_PREFIX, EVENT_PREFIX, to_ms, utc_now
from relay.core.lifecycle import FINAL, EventState, State
from relay.core.telemetry import get_logger
from relay.queue.jobs import JOB_KEY_PREFIX, QUEUE_KEY_PREFIX, QUEUE_PREFIX
from relay.store.record.ledger import read_ledger
from relay.store.record.record import HARD_DEADLINE
from relay.store.redis import keys
from relay.store.redis.guard import guarded
from relay.store.redis.scripts import Argument, Script, ScriptCall, run
from relay.store.redis.snapshot import is_restoring

LAYOUT = 3
ONLY_BEFORE_3 = (
    keys.CLOCK,
    keys.EVENTS_BY_STATE + EventState.ACCEPTED,
    keys.DELIVERIES_BY_STATE + State.STARTED,
)
"""What only the layouts before the third have."""
UPGRADE, LAY_OUT, UNINDEX = (Script.load(name) for name in ("upgrade", "layout", "unindex"))
AT_ONCE, UNINDEXED_AT_ONCE = 500, 5_000
"""How many one script lays out, or takes out of an index: a bound on how long it keeps the server."""
TOLD_EVERY = 50_000
"""After so many the log says how far it is."""
SCHEDULED = f"rq:scheduled:{QUEUE_PREFIX}"

log = get_logger()


@guarded
def upgrade(redis: Redis) -> int:
    """How many events and deliveries were laid out anew; 0 where the layout was this one's.

    Raises ConfigError before a newer one's, RecordUnavailableError.
    """
    if is_restoring(redis):
        raise ConfigError([Mistake("record", 0, fault("restore_broken_off"))])
    kept: Any = redis.get(keys.FORMAT)
    layout = int(kept or 1)
    if layout > LAYOUT:
        raise ConfigError([Mistake("record", 0, fault("newer_record"))])
    # Processes of an earlier version that went on after the upgrade have written as they used to: there is what only
    # they have, or something of theirs stands nowhere.
    is_mixed = layout == LAYOUT and bool(redis.exists(*ONLY_BEFORE_3) or read_ledger(redis).imbalances)
    if layout == LAYOUT and not is_mixed:
        return 0
    if layout == 1 or is_mixed:
        _leave_the_clock(redis, only_lost=is_mixed)
    laid_out = _lay_out(redis)
    _forget_indexes(redis)
    redis.set(keys.FORMAT, LAYOUT)
    return laid_out


def _leave_the_clock(redis: Redis, *, only_lost: bool) -> None:
    """From the first layout to the second. only_lost: what stands nowhere, for most has left the clock before."""
    states = [keys.DELIVERIES_BY_STATE + state for state in (*sorted(set(State) - FINAL), State.DEAD)]
    for ids in _ids(redis, states):
        argv: list[Argument] = [to_ms(utc_now()), int(HARD_DEADLINE.total_seconds() * 1000), int(only_lost), *ids]
        run(redis, ScriptCall(UPGRADE, [], argv))
    _open_gates(redis)
    _forget_jobs(redis)
    with redis.pipeline(transaction=True) as pipeline:
        pipeline.delete(keys.CLOCK)
        if not only_lost:
            pipeline.set(keys.FORMAT, 2)
        pipeline.execute()


def _lay_out(redis: Redis) -> int:
    """From the second to the third: what an event and a delivery are; how many were not yet."""
    laid_out = 0
    for kind, index in (("events", keys.EVENTS), ("deliveries", keys.DELIVERIES)):
        total: Any = redis.zcard(index)
        seen = 0
        for ids in _ids(redis, [index]):
            laid_out += int(run(redis, ScriptCall(LAY_OUT, [], [kind, *ids])))
            seen += len(ids)
            if seen % TOLD_EVERY < len(ids):
                log.info("record.upgrading", kind=kind, seen=seen, total=total)
    return laid_out


def _forget_indexes(redis: Redis) -> None:
    """And what stands in its indexes: of what most have in common, periods and counts, which are there already."""
    by_event = {keys.EVENTS_BY_STATE + EventState.ACCEPTED: EventState.ACCEPTED.value}
    by_delivery = {keys.DELIVERIES_BY_STATE + State.STARTED: State.STARTED.value}
    for key in redis.scan_iter(f"{keys.EVENTS_BY_SOURCE}*", count=UNINDEXED_AT_ONCE):
        by_event[key.decode()] = f"source:{key.decode().removeprefix(keys.EVENTS_BY_SOURCE)}"
    rules = f"{keys.DELIVERIES_BY}rule:"
    for key in redis.scan_iter(f"{keys.DELIVERIES_BY}*", count=UNINDEXED_AT_ONCE):
        name = key.decode()
        if not name.startswith(keys.DELIVERIES_BY_DOCUMENT):
            by_delivery[name] = f"rule:{name.removeprefix(rules)}" if name.startswith(rules) else ""
    for prefix, indexes in ((EVENT_PREFIX, by_event), (DELIVERY_PREFIX, by_delivery)):
        for index, field in indexes.items():
            while run(redis, ScriptCall(UNINDEX, [index], [prefix, UNINDEXED_AT_ONCE, field])):
                pass


def _ids(redis: Redis, indexes: Collection[str]) -> Iterator[list[str]]:
    """The ids in each of these indexes, some at a time."""
    for index in indexes:
        after = "-"
        while True:
            ids: Any = redis.zrange(index, after, "+", bylex=True, offset=0, num=AT_ONCE)
            if not ids:
                break
            yield [one.decode() for one in ids]
            after = f"({ids[-1].decode()}"


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
