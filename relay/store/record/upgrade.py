"""Brings a record that an earlier version has written into the layout of this one, before anything else reads it.

The record keeps the number of its layout, and each layout has one step from the one before it (STEPS):

1. a job of RQ for each turn of a delivery, and one clock of all that were not final
2. one job for a portal where there is work, and an index for each thing that may be next
3. fewer fields (codec.py) and fewer indexes of ids (search.py)

A step may be killed anywhere and run again, and by two processes at once. A record of a newer layout is refused. The
processes of an earlier version should have ended; what they write afterwards is laid out within a minute (Store.begin).

A new layout is a further function in STEPS. Before that, tests/chaos/dumps.py keeps what this version leaves.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

from redis import Redis

from relay import __version__
from relay.core.errors import ConfigError, Mistake
from relay.core.faults import fault
from relay.core.ids import DELIVERY_PREFIX, EVENT_PREFIX, to_ms, utc_now
from relay.core.lifecycle import FINAL, EventState, State
from relay.core.telemetry import get_logger
from relay.queue.jobs import JOB_KEY_PREFIX, QUEUE_KEY_PREFIX, QUEUE_PREFIX
from relay.store.record.ledger import read_ledger
from relay.store.record.record import HARD_DEADLINE
from relay.store.redis import keys
from relay.store.redis.scripts import Argument, Script, ScriptCall, guarded, run
from relay.store.redis.snapshot import is_restoring

ONLY_BEFORE_3 = (
    keys.CLOCK,
    keys.EVENTS_BY_STATE + EventState.ACCEPTED,
    keys.DELIVERIES_BY_STATE + State.STARTED,
)
"""Keys of the layouts before the third."""
UPGRADE, LAY_OUT, UNINDEX = (Script.load(name) for name in ("upgrade", "layout", "unindex"))
AT_ONCE, UNINDEXED_AT_ONCE = 500, 5_000
"""Ids that one script lays out, or removes from an index: a bound on the use of the server."""
TOLD_EVERY = 50_000
"""Interval of progress in the log."""
SCHEDULED = f"rq:scheduled:{QUEUE_PREFIX}"

log = get_logger()


@guarded
def upgrade(redis: Redis) -> int:
    """Take the steps that are missing; how many events and deliveries were laid out anew.

    Raises ConfigError where a newer version has written the record, RecordUnavailableError.
    """
    if is_restoring(redis):
        raise ConfigError([Mistake("record", 0, fault("restore_broken_off"))])
    kept: Any = redis.get(keys.FORMAT)
    layout = int(kept or 1)
    if layout > LAYOUT:
        values = {"layout": layout, "version": __version__, "known": LAYOUT}
        raise ConfigError([Mistake("record", 0, fault("newer_record", **values))])
    if layout == LAYOUT and _is_mixed(redis):
        log.warning("record.mixed", layout=layout)
        _place_what_is_lost(redis)
        return _to_third(redis)
    laid_out = 0
    for number, step in STEPS.items():
        if layout < number:
            laid_out += step(redis)
            redis.set(keys.FORMAT, number)
    return laid_out


def _is_mixed(redis: Redis) -> bool:
    """Whether processes of an earlier version went on after the upgrade, and have written as they used to.

    Then there is what only they have, or something of theirs stands nowhere.
    """
    return bool(redis.exists(*ONLY_BEFORE_3) or read_ledger(redis).imbalances)


def _to_second(redis: Redis) -> int:
    """Take deliveries off the clock and give each its place. None is laid out anew by it."""
    _place(redis, only_lost=False)
    _open_gates(redis)
    _forget_jobs(redis)
    with redis.pipeline(transaction=True) as pipeline:
        # Together: without the clock, a record of the first layout has no place for what is not final.
        pipeline.delete(keys.CLOCK)
        pipeline.set(keys.FORMAT, 2)
        pipeline.execute()
    return 0


def _place_what_is_lost(redis: Redis) -> None:
    """The same for what processes of an earlier version have left without a place; most left the clock before."""
    _place(redis, only_lost=True)
    _open_gates(redis)
    _forget_jobs(redis)
    redis.delete(keys.CLOCK)


def _place(redis: Redis, *, only_lost: bool) -> None:
    states = [keys.DELIVERIES_BY_STATE + state for state in (*sorted(set(State) - FINAL), State.DEAD)]
    for ids in _ids(redis, states):
        argv: list[Argument] = [to_ms(utc_now()), int(HARD_DEADLINE.total_seconds() * 1000), int(only_lost), *ids]
        run(redis, ScriptCall(UPGRADE, [], argv))


def _to_third(redis: Redis) -> int:
    """Lay out events and deliveries with fewer fields, and empty the indexes that are gone; how many were laid out."""
    laid_out = _lay_out(redis)
    _forget_indexes(redis)
    return laid_out


def _lay_out(redis: Redis) -> int:
    """Give events and deliveries the fields of the third layout; how many did not have them yet."""
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
    """From the second to the third: common values lose their indexes of ids; periods and counts exist already."""
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
    """Give held gates a time for their next question, which the first layout did not record."""
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


STEPS: Mapping[int, Callable[[Redis], int]] = {2: _to_second, 3: _to_third}
"""By the number of the layout that a step leads to; each tells how many events and deliveries it laid out anew."""
LAYOUT = max(STEPS)
"""The layout of this version."""
