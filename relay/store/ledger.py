"""The books of the record: what must add up, whatever was killed. Data and sums only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from relay.lifecycle import FINAL, EventState, State


@dataclass(frozen=True, slots=True)
class Ledger:
    """Every delivery is in exactly one state, and every one that is not final is on the clock."""

    deliveries: Mapping[State, int]
    events: Mapping[EventState, int]
    total: int
    total_events: int
    on_clock: int
    since_start: Mapping[str, int]

    @property
    def imbalances(self) -> list[str]:
        """What does not add up, in words; empty where the books balance."""
        found = []
        if (by_state := sum(self.deliveries.values())) != self.total:
            found.append(f"{self.total} deliveries, but {by_state} in all states together")
        if (by_state := sum(self.events.values())) != self.total_events:
            found.append(f"{self.total_events} events, but {by_state} in all states together")
        open_ones = sum(count for state, count in self.deliveries.items() if state not in FINAL)
        if open_ones != self.on_clock:
            found.append(f"{open_ones} deliveries are not final, but {self.on_clock} are on the clock")
        return found

    def to_wire(self) -> dict[str, Any]:
        return {
            "balanced": not self.imbalances,
            "imbalances": self.imbalances,
            "deliveries": {"total": self.total, **{state.value: count for state, count in self.deliveries.items()}},
            "events": {"total": self.total_events, **{state.value: count for state, count in self.events.items()}},
            "since_start": dict(self.since_start),
        }
