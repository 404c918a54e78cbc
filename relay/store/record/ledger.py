"""The books of the record: numbers that must add up after any crash, and the histograms counted with them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from redis import Redis

from relay.core.lifecycle import EventState, State
from relay.core.phrases import phrase
from relay.store.redis import keys
from relay.store.redis.scripts import as_hash, read_together

BOUNDS_MS = (100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000, 60_000, 120_000, 600_000, 3_600_000)
"""The upper bounds, as in common.lua; longer ones are counted as `more`."""
BUCKETS = (*map(str, BOUNDS_MS), "more")
PREFIX = "latency:"
_OF_DELIVERIES = "%(count)s deliveries, but %(other)s in all states together"
_OF_EVENTS = "%(count)s events, but %(other)s in all states together"
_IN_LINE = "%(count)s deliveries are pending or retrying, but %(other)s wait in line"
_CLAIMED = "%(count)s deliveries are sending, but %(other)s are claimed"
_IN_DOUBT = "%(count)s deliveries are uncertain, but %(other)s are looked into or left to a person"
IMBALANCES = (_OF_DELIVERIES, _OF_EVENTS, _IN_LINE, _CLAIMED, _IN_DOUBT)
"""The imbalances of the ledger, in words."""


@dataclass(frozen=True, slots=True)
class Histogram:
    """counts: by bound, and at last of longer ones; each is counted once. sum_ms: of all together."""

    counts: Sequence[int]
    sum_ms: int

    def within(self) -> list[int]:
        """Cumulative counts: up to each bound, and all at last."""
        return [sum(self.counts[: place + 1]) for place in range(len(self.counts))]


def histograms_in(counted: Mapping[str, int], portals: Sequence[str]) -> dict[str, Histogram]:
    """The histogram of each portal. counted: the ledger since its start."""
    found = {}
    for portal in portals:
        field = f"{PREFIX}{portal}:"
        counts = [counted.get(f"{field}{bound}", 0) for bound in BUCKETS]
        found[portal] = Histogram(counts, counted.get(f"{field}ms", 0))
    return found


def percentile(counts: Sequence[int], share: float) -> float | None:
    """The percentile in ms, interpolated between two bounds like `histogram_quantile` of Prometheus.

    counts: by BUCKETS. None where nothing was counted; the highest bound where it took longer.
    """
    wanted, seen, lower = share * sum(counts), 0, 0
    for count, bound in zip(counts, BOUNDS_MS, strict=False):
        if count and seen + count >= wanted:
            return lower + (bound - lower) * (wanted - seen) / count
        seen, lower = seen + count, bound
    return float(BOUNDS_MS[-1]) if sum(counts) else None


PLACES = (keys.WAITING, keys.BLOCKED, keys.DOUBTFUL)
"""The indexes of a portal's deliveries that are neither claimed nor final."""
INDEXED: tuple[State, ...] = tuple(state for state in State if state is not State.STARTED)
INDEXED_EVENTS: tuple[EventState, ...] = tuple(state for state in EventState if state is not EventState.ACCEPTED)
"""The states that have an index; of the others scripts keep the count (`enter_state` in lua/common.lua)."""


@dataclass(frozen=True, slots=True)
class Ledger:
    """The numbers. Every delivery is in exactly one state, and every open one is in an index.

    in_line: waiting to be sent. claimed: being sent. in_doubt: to be reconciled, or left to a person.
    """

    deliveries: Mapping[State, int]
    events: Mapping[EventState, int]
    total: int
    total_events: int
    in_line: int
    claimed: int
    in_doubt: int
    since_start: Mapping[str, int]

    @property
    def imbalances(self) -> list[str]:
        """The numbers that do not add up, in words; empty where the books balance."""
        sums = {state: self.deliveries[state] for state in State}
        compared = (
            (_OF_DELIVERIES, self.total, sum(sums.values())),
            (_OF_EVENTS, self.total_events, sum(self.events.values())),
            (_IN_LINE, sums[State.PENDING] + sums[State.RETRYING], self.in_line),
            (_CLAIMED, sums[State.SENDING], self.claimed),
            (_IN_DOUBT, sums[State.UNCERTAIN], self.in_doubt),
        )
        return [phrase(message, count=one, other=other) for message, one, other in compared if one != other]

    def to_wire(self) -> dict[str, Any]:
        return {
            "balanced": not self.imbalances,
            "imbalances": self.imbalances,
            "deliveries": {"total": self.total, **{state.value: count for state, count in self.deliveries.items()}},
            "events": {"total": self.total_events, **{state.value: count for state, count in self.events.items()}},
            "since_start": {name: count for name, count in self.since_start.items() if not name.startswith(PREFIX)},
        }


def read_ledger(redis: Redis) -> Ledger:
    """Every number that must agree, read at one moment. Raises redis.exceptions.RedisError."""
    portals: set[bytes] | None = None
    while True:
        indexes = [keys.DELIVERIES_BY_STATE + state for state in INDEXED]
        indexes += [keys.EVENTS_BY_STATE + state for state in INDEXED_EVENTS]
        indexes += [keys.DELIVERIES, keys.EVENTS, keys.SENDING, keys.UNDECIDED]
        indexes += [index + name.decode() for name in sorted(portals or ()) for index in PLACES]
        *counts, standing, since_start, found = read_together(
            redis,
            *(("ZCARD", index) for index in indexes),
            ("HMGET", keys.COUNTERS, State.STARTED, EventState.ACCEPTED),
            ("HGETALL", keys.LEDGER),
            ("SMEMBERS", keys.PORTALS),
        )
        if set(found) == portals:  # else a portal was added since they were listed
            return _ledger_of(counts, standing, as_hash(since_start))
        portals = set(found)


def _ledger_of(counts: list[int], standing: list[bytes | None], since_start: dict[bytes, bytes]) -> Ledger:
    numbers = iter(counts)
    states: dict[State, int] = {state: next(numbers) for state in INDEXED}
    events: dict[EventState, int] = {state: next(numbers) for state in INDEXED_EVENTS}
    total, total_events, sending, undecided, *of_portals = numbers
    started, accepted = (int(count or 0) for count in standing)
    return Ledger(
        deliveries={**states, State.STARTED: started},
        events={**events, EventState.ACCEPTED: accepted},
        total=total,
        total_events=total_events,
        in_line=sum(of_portals[0::3]) + sum(of_portals[1::3]),
        claimed=sending,
        in_doubt=undecided + sum(of_portals[2::3]),
        since_start={name.decode(): int(value) for name, value in since_start.items()},
    )
