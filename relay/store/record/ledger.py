"""The books of the record: what must add up, whatever was killed. Data and sums only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from relay.core.lifecycle import EventState, State


@dataclass(frozen=True, slots=True)
class Ledger:
    """Every delivery is in exactly one state, and every one that is not final stands where somebody finds it.

    in_line: waiting to be sent. claimed: being sent. in_doubt: to be looked into, or left to a person.
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
        """What does not add up, in words; empty where the books balance."""
        found = []
        if (by_state := sum(self.deliveries.values())) != self.total:
            found.append(f"{self.total} deliveries, but {by_state} in all states together")
        if (by_state := sum(self.events.values())) != self.total_events:
            found.append(f"{self.total_events} events, but {by_state} in all states together")
        for states, placed, where in (
            ((State.PENDING, State.RETRYING), self.in_line, "wait in line"),
            ((State.SENDING,), self.claimed, "are claimed"),
            ((State.UNCERTAIN,), self.in_doubt, "are looked into or left to a person"),
        ):
            if (count := sum(self.deliveries[state] for state in states)) != placed:
                found.append(f"{count} deliveries are {' or '.join(states)}, but {placed} {where}")
        return found

    def to_wire(self) -> dict[str, Any]:
        return {
            "balanced": not self.imbalances,
            "imbalances": self.imbalances,
            "deliveries": {"total": self.total, **{state.value: count for state, count in self.deliveries.items()}},
            "events": {"total": self.total_events, **{state.value: count for state, count in self.events.items()}},
            "since_start": dict(self.since_start),
        }
