"""What happened in the last hour, day and week, as counts by minute and by hour. For pages: the ledger is the truth.

The scripts of the record count (`tally` in lua/common.lua); this module reads, and adds up to the bars of a chart.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from redis import Redis

from relay.core.ids import from_ms, time_of, to_ms
from relay.store.record.indexes import Conditions, Indexes, walk_call, walk_from
from relay.store.redis import keys
from relay.store.redis.guard import guarded
from relay.store.redis.scripts import run_all

BOUNDS_MS = (1_000, 5_000, 30_000, 120_000, 600_000)
"""The upper bounds of the latency counts, as settle.lua has them; what took longer is in none of them."""
MINUTE_MS, HOUR_MS = 60_000, 3_600_000
MEASURED_MIN = 5
"""Over so many minutes the rate of a portal is taken."""
LOOKED_AT = 200
"""Among so many ids the newest of a kind is looked for."""


@dataclass(frozen=True, slots=True)
class Span:
    """A chart: so many bars, each of so many minutes or hours."""

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
        """How many have started of which it was counted how long they took: a person has settled none of them."""
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
        """How long a started delivery took on average; None where there was none."""
        started = self.timed
        return self.total("latency:ms") / started if started else None

    def within_ms(self, share: float) -> int | None:
        """The bound under which this share of the started deliveries stayed; None: none started, or it took longer."""
        started, seen = self.timed, 0
        for bound in BOUNDS_MS:
            seen += self.total(f"latency:{bound}")
            if started and seen >= share * started:
                return bound
        return None


@dataclass(frozen=True, slots=True)
class Presence:
    """How many there are of something, and when the newest of them was made."""

    size: int
    newest: datetime | None


@guarded
def read_series(redis: Redis, now: datetime) -> dict[str, Series]:
    """Each span by its name, in one round trip. Raises RecordUnavailableError."""
    wanted = [(span, _numbers(span, now)) for span in SPANS]
    with redis.pipeline(transaction=False) as pipeline:
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
def read_started(redis: Redis, portals: Sequence[str], now: datetime) -> dict[str, float]:
    """How many deliveries of each portal have started a minute, of late. Raises RecordUnavailableError."""
    last = to_ms(now) // MINUTE_MS
    with redis.pipeline(transaction=False) as pipeline:
        for number in range(last - MEASURED_MIN, last):
            pipeline.hmget(f"{keys.MINUTE}{number}", [f"started:{portal}" for portal in portals])
        answers: list[Any] = pipeline.execute() if portals else []
    return {
        portal: sum(int(counts[place] or 0) for counts in answers) / MEASURED_MIN
        for place, portal in enumerate(portals)
    }


@guarded
def read_presence(
    redis: Redis, everything: str, facet: str, indexes: Mapping[str, str], forgotten: str | None = None
) -> dict[str, Presence]:
    """How many ids there are of each value of a facet, and the newest, to half a minute. Raises RecordUnavailableError.

    everything: the index of all ids of this kind. indexes: of periods, by value. forgotten: where the time of the last
    one is kept of a value of which none is left.
    """
    if not indexes:
        return {}
    calls = [
        walk_call(Indexes(everything, Conditions(periods=(index,), fields=((facet, value),))), most=LOOKED_AT)
        for value, index in indexes.items()
    ]
    counts: Any = redis.hmget(keys.STANDING, [f"{facet}:{value}" for value in indexes])
    last: Any = redis.hgetall(forgotten) if forgotten else {}
    found = {}
    for value, count, answer in zip(indexes, counts, run_all(redis, calls), strict=True):
        if isinstance(answer, Exception):
            raise answer
        newest = walk_from(answer)
        # Where it was not found among very many of the same half minute, the time where the walk ended is as good.
        known = (*newest.ids, newest.end) if count else ()
        gone = from_ms(int(last[value.encode()])) if value.encode() in last else None
        found[value] = Presence(int(count or 0), time_of(known[0]) if known and known[0] else gone)
    return found


def _numbers(span: Span, now: datetime) -> list[int]:
    last = to_ms(now) // span.unit_ms
    # Bars begin at whole units of their own, so that a bar does not change what it means while one looks.
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
