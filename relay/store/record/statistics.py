"""Counters for pages: by minute and hour for charts, and hourly by source, rule, portal and template.

The scripts of the record count (`count_final` and `tally` in lua/common.lua). The counts of an hour that has passed
never change, whatever is replayed or erased later. Statistics are for pages: the ledger is the truth.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from redis import Redis

from relay.core.ids import from_ms, time_of, to_ms
from relay.store.record.ledger import BOUNDS_MS
from relay.store.record.search import Conditions, Indexes, walk_call, walk_from
from relay.store.redis import keys
from relay.store.redis.scripts import guarded, run_all

SAID_MS = frozenset({1_000, 5_000, 30_000, 120_000, 600_000})
"""The bounds that a chart says, of those that are counted; earlier versions counted these alone."""
MINUTE_MS, HOUR_MS = 60_000, 3_600_000
HOUR = timedelta(hours=1)
MEASURED_MIN = 5
"""Minutes over which a portal's rate is measured."""
LOOKED_AT = 200
"""Ids among which the newest of a kind is looked for."""


@dataclass(frozen=True, slots=True)
class Span:
    """The span of a chart: its bars, each of some minutes or hours."""

    name: str
    unit_ms: int
    units_a_bar: int
    bars: int


SPANS = (Span("hour", MINUTE_MS, 2, 30), Span("day", HOUR_MS, 1, 24), Span("week", HOUR_MS, 6, 28))


@dataclass(frozen=True, slots=True)
class Bar:
    """The counts between two moments."""

    since: datetime
    counts: Mapping[str, int]

    def count(self, name: str) -> int:
        return self.counts.get(name, 0)

    @property
    def timed(self) -> int:
        """Number of started deliveries with a counted latency: without those that a person settled."""
        return self.count("delivery:started") - self.count("latency:settled")


@dataclass(frozen=True, slots=True)
class Series:
    """The bars of one span, oldest first."""

    span: Span
    bars: tuple[Bar, ...]

    def total(self, name: str) -> int:
        """The count over the whole span."""
        return sum(bar.count(name) for bar in self.bars)

    @property
    def timed(self) -> int:
        """The same over the whole span."""
        return sum(bar.timed for bar in self.bars)

    @property
    def mean_latency_ms(self) -> float | None:
        """Mean latency of started deliveries; None without any."""
        started = self.timed
        return self.total("latency:ms") / started if started else None

    def within_ms(self, share: float) -> int | None:
        """The bound for this share of the started deliveries; None: none started, or it took longer."""
        started, seen = self.timed, 0
        for bound in BOUNDS_MS:
            seen += self.total(f"latency:{bound}")
            if bound in SAID_MS and started and seen >= share * started:
                return bound
        return None


@dataclass(frozen=True, slots=True)
class Presence:
    """The number of ids, and the time of the newest."""

    size: int
    newest: datetime | None


@dataclass(frozen=True, slots=True)
class Count:
    """A count of one kind. template: its number, or empty for a trigger. rule: empty for a count of events.

    what: of events, their first state or `duplicate`; of deliveries, `made`, `uncertain`, `dead`, or for started ones
    the one of BUCKETS (ledger.py) for their latency; `settled` for those that a person settled.
    """

    count: int
    source: str
    rule: str
    portal: str
    template: str
    what: str


@dataclass(frozen=True, slots=True)
class Counts:
    """The counts from one whole hour to another. first: the first hour with counts; None: there is none.

    hours: the counts of each hour by what they count.
    """

    since: datetime
    until: datetime
    found: tuple[Count, ...]
    first: datetime | None
    hours: tuple[Mapping[str, int], ...] = ()


class Statistics:
    """The counters on record. Every method raises RecordUnavailableError."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    def of_sources(self, names: Sequence[str]) -> dict[str, Presence]:
        """Number of events of each source, and the time of the newest, even if it was forgotten."""
        indexes = {name: keys.EVENTS_BY_SOURCE + name for name in names}
        return self._presence(keys.EVENTS, "source", indexes, keys.LAST_HEARD)

    def of_rules(self, names: Sequence[str]) -> dict[str, Presence]:
        """Number of deliveries of each rule, and the time of the newest."""
        indexes = {name: f"{keys.DELIVERIES_BY}rule:{name}" for name in names}
        return self._presence(keys.DELIVERIES, "rule", indexes)

    @guarded
    def series(self, now: datetime) -> dict[str, Series]:
        """Each span by its name, in one round trip."""
        wanted = [(span, _numbers(span, now)) for span in SPANS]
        with self._redis.pipeline(transaction=False) as pipeline:
            for span, numbers in wanted:
                prefix = keys.MINUTE if span.unit_ms == MINUTE_MS else keys.HOUR
                for number in numbers:
                    pipeline.hgetall(f"{prefix}{number}")
            answers: list[Any] = pipeline.execute()
        series = {}
        for span, numbers in wanted:
            hashes, answers = answers[: len(numbers)], answers[len(numbers) :]
            series[span.name] = Series(span, tuple(_bars(span, numbers, hashes)))
        return series

    @guarded
    def answered(self, now: datetime) -> dict[str, Counter[str]]:
        """How many requests of each source ended in which state of events, over the last hour."""
        last = to_ms(now) // MINUTE_MS
        with self._redis.pipeline(transaction=False) as pipeline:
            for number in range(last - 59, last + 1):
                pipeline.hgetall(f"{keys.MINUTE}{number}")
            answers: list[Any] = pipeline.execute()
        counted: dict[str, Counter[str]] = {}
        for kept in answers:
            for name, count in kept.items():
                kind, _, rest = name.decode().partition(":")
                if kind == "source":
                    source, _, state = rest.rpartition(":")
                    counted.setdefault(source, Counter())[state] += int(count)
        return counted

    @guarded
    def started_a_minute(self, portals: Sequence[str], now: datetime) -> dict[str, float]:
        """Recent rate of starts of each portal, in deliveries a minute."""
        last = to_ms(now) // MINUTE_MS
        with self._redis.pipeline(transaction=False) as pipeline:
            for number in range(last - MEASURED_MIN, last):
                pipeline.hmget(f"{keys.MINUTE}{number}", [f"started:{portal}" for portal in portals])
            answers: list[Any] = pipeline.execute() if portals else []
        return {
            portal: sum(int(counts[place] or 0) for counts in answers) / MEASURED_MIN
            for place, portal in enumerate(portals)
        }

    @guarded
    def _presence(
        self, everything: str, facet: str, indexes: Mapping[str, str], forgotten: str | None = None
    ) -> dict[str, Presence]:
        """Number of ids of each value of a facet, and the time of the newest, to half a minute.

        everything: the index of all ids of this kind. indexes: of periods, by value. forgotten: the key with the last
        times of values without ids.
        """
        if not indexes:
            return {}
        calls = [
            walk_call(Indexes(everything, Conditions(periods=(index,), fields=((facet, value),))), most=LOOKED_AT)
            for value, index in indexes.items()
        ]
        counts: Any = self._redis.hmget(keys.COUNTERS, [f"{facet}:{value}" for value in indexes])
        last: Any = self._redis.hgetall(forgotten) if forgotten else {}
        found = {}
        for value, count, answer in zip(indexes, counts, run_all(self._redis, calls), strict=True):
            if isinstance(answer, Exception):
                raise answer
            newest = walk_from(answer)
            # If the walk ended before it found one, its end is in the same half minute, which is close enough.
            known = (*newest.ids, newest.end) if count else ()
            gone = from_ms(int(last[value.encode()])) if value.encode() in last else None
            found[value] = Presence(int(count or 0), time_of(known[0]) if known and known[0] else gone)
        return found

    @guarded
    def counts(self, since: datetime, until: datetime) -> Counts:
        """The hourly counts between two moments, rounded to whole hours."""
        begin, end = _nearest(since), _nearest(until)
        with self._redis.pipeline(transaction=False) as pipeline:
            pipeline.zrange(keys.HOURS_COUNTED, 0, 0)
            for hour in range(begin, end):
                pipeline.hgetall(f"{keys.HOURLY}{hour}")
            first, *hashes = pipeline.execute()
        total: Counter[bytes] = Counter()
        hours = []
        for kept in hashes:
            of_hour: Counter[str] = Counter()
            for field, count in kept.items():
                total[field] += int(count)
                of_hour[field.rpartition(b":")[2].decode()] += int(count)
            hours.append(of_hour)
        found = tuple(Count(count, *field.decode().split(":")) for field, count in total.items())
        return Counts(_at(begin), _at(end), found, _at(int(first[0])) if first else None, tuple(hours))

    @guarded
    def forget_counts(self, before: datetime) -> None:
        """Forget the hourly counts before this time."""
        hours: Any = self._redis.zrange(keys.HOURS_COUNTED, "-inf", f"({_hour(before)}", byscore=True)
        if hours:
            with self._redis.pipeline(transaction=True) as pipeline:
                pipeline.delete(*(f"{keys.HOURLY}{hour.decode()}" for hour in hours))
                pipeline.zrem(keys.HOURS_COUNTED, *hours)
                pipeline.execute()


def _numbers(span: Span, now: datetime) -> list[int]:
    last = to_ms(now) // span.unit_ms
    # Bars begin at whole units, so that a bar keeps its meaning while somebody looks.
    end = (last // span.units_a_bar + 1) * span.units_a_bar
    return list(range(end - span.units_a_bar * span.bars, end))


def _bars(span: Span, numbers: Sequence[int], hashes: Sequence[Mapping[bytes, bytes]]) -> list[Bar]:
    bars = []
    for start in range(0, len(numbers), span.units_a_bar):
        counts: Counter[str] = Counter()
        for kept in hashes[start : start + span.units_a_bar]:
            counts.update({name.decode(): int(value) for name, value in kept.items()})
        bars.append(Bar(from_ms(numbers[start] * span.unit_ms), dict(counts)))
    return bars


def _hour(moment: datetime) -> int:
    return to_ms(moment) // (HOUR // timedelta(milliseconds=1))


def _nearest(moment: datetime) -> int:
    return _hour(moment + HOUR / 2)


def _at(hour: int) -> datetime:
    return datetime.fromtimestamp(hour * HOUR.total_seconds(), UTC)
