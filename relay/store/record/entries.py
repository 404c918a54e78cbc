"""What goes into the record and what comes back at once: entries, receipts, and how much a claim takes. Data only."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from relay.core.errors import LostRace, WorkflowTaken
from relay.core.events import Attempt, Delivery, Event
from relay.core.lifecycle import EventState, State
from relay.store.record.unproven import UNBOUNDED, Bounds


@dataclass(frozen=True, slots=True)
class Entry:
    """What is to be recorded at once: an event, its deliveries, and the dedup key that it claims."""

    event: Event
    deliveries: Sequence[Delivery] = ()
    dedup_digest: str | None = None
    dedup_window: timedelta = timedelta(0)
    bounds: Bounds = UNBOUNDED


@dataclass(frozen=True, slots=True)
class Receipt:
    """What the record answers: the event that stands, which is the first one where this one is a duplicate."""

    event_id: str
    state: EventState
    deliveries: tuple[str, ...]
    duplicate: bool

    def to_wire(self) -> dict[str, Any]:
        """As the sender is told."""
        return {
            "event_id": self.event_id,
            "state": self.state.value,
            "deliveries": list(self.deliveries),
            "duplicate": self.duplicate,
        }

    @classmethod
    def from_answer(cls, answer: Sequence[Any]) -> Receipt:
        event_id, state, deliveries, seen = answer
        return cls(event_id.decode(), EventState(state.decode()), tuple(json.loads(deliveries)), bool(seen))


@dataclass(frozen=True, slots=True)
class Settlement:
    """What became of a delivery, ready to be written.

    next_at: when it may be sent, or looked into, again; absent: now, or for an uncertain one never: it is left to a
    person. looks: given, the delivery stays as uncertain as it is, and was looked into so often.
    """

    delivery: Delivery
    state: State
    reason: str = ""
    attempt: Attempt | None = None
    workflow_id: str | None = None
    next_at: datetime | None = None
    looks: int | None = None

    def result_of(self, answer: int) -> LostRace | None:
        """What the script's answer means: why nothing was written, if so."""
        if answer == -1:
            return WorkflowTaken(self.delivery.id)
        return None if answer else LostRace(self.delivery.id)


@dataclass(frozen=True, slots=True)
class Load:
    """How much one claim may take.

    limit: deliveries. budget_ms: how long their starts may take together, at takes_ms by template, or unknown_ms.
    """

    limit: int = 1
    budget_ms: int = 0
    unknown_ms: int = 0
    takes_ms: Mapping[int, int] = field(default_factory=dict)


SINGLE = Load()
