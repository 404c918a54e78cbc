"""How deliveries went in each hour, by source, rule, portal and template: made, dead, started within which time.

The scripts of the record count (`number` in lua/common.lua); this module reads, and forgets with the events. Counted is
what happened in an hour, so an hour that has passed does not change any more, whatever is replayed or erased later. It
is a statistic: the ledger is the truth.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from redis import Redis

from relay.core.ids import to_ms
from relay.store.record.record import Record
from relay.store.redis import keys
from relay.store.redis.guard import guarded

HOUR = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Count:
    """So many of one kind. template: its number, or empty for a trigger.

    what: `made`, `dead`, or where they have started, the one of BUCKETS (latency.py) for how long that took; `settled`
    where a person has settled them.
    """

    count: int
    source: str
    rule: str
    portal: str
    template: str
    what: str


@dataclass(frozen=True, slots=True)
class Counts:
    """What was counted from one whole hour to another. first: the first hour that is counted; None: there is none."""

    since: datetime
    until: datetime
    found: tuple[Count, ...]
    first: datetime | None


@guarded
def read_counts(record: Record, since: datetime, until: datetime) -> Counts:
    """The counts of the hours between two moments, or the whole hours nearest. Raises RecordUnavailableError."""
    begin, end = _nearest(since), _nearest(until)
    with record.redis.pipeline(transaction=False) as pipeline:
        pipeline.zrange(keys.NUMBERED, 0, 0)
        for hour in range(begin, end):
            pipeline.hgetall(f"{keys.NUMBERS}{hour}")
        first, *hashes = pipeline.execute()
    total: Counter[bytes] = Counter()
    for kept in hashes:
        total.update({field: int(count) for field, count in kept.items()})
    found = tuple(Count(count, *field.decode().split(":")) for field, count in total.items())
    return Counts(_at(begin), _at(end), found, _at(int(first[0])) if first else None)


@guarded
def forget_counts(redis: Redis, before: datetime) -> None:
    """Forget the hours that ended before this time. Raises RecordUnavailableError."""
    hours: Any = redis.zrange(keys.NUMBERED, "-inf", f"({_hour(before)}", byscore=True)
    if hours:
        with redis.pipeline(transaction=True) as pipeline:
            pipeline.delete(*(f"{keys.NUMBERS}{hour.decode()}" for hour in hours))
            pipeline.zrem(keys.NUMBERED, *hours)
            pipeline.execute()


def _hour(moment: datetime) -> int:
    return to_ms(moment) // (HOUR // timedelta(milliseconds=1))


def _nearest(moment: datetime) -> int:
    return _hour(moment + HOUR / 2)


def _at(hour: int) -> datetime:
    return datetime.fromtimestamp(hour * HOUR.total_seconds(), UTC)
