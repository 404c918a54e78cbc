"""What goes into the record and what comes back at once: entries, receipts, and how much a claim takes. Data only."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from relay.core.errors import LostRace, WorkflowTaken
from relay.core.events import SETTLE_S, Attempt, Delivery, Event
from relay.core.lifecycle import EventState, State
from relay.store.record.unproven import UNBOUNDED, Bounds


@dataclass(frozen=True, slots=True)
class Claim:
    """A digest that an event claims: within the window no other event of its source has it.

    more: so many others may have it all the same, where something else tells them apart.
    """

    digest: str
    window: timedelta
    more: int = 0


@dataclass(frozen=True, slots=True)
class Entry:
    """What is to be recorded at once: an event, its deliveries, and what it claims: its dedup key.

    further: what it claims beside: of an entry of a batch its content, of a signed webhook its signature.
    """

    event: Event
    deliveries: Sequence[Delivery] = ()
    dedup_digest: str | None = None
    dedup_window: timedelta = timedelta(0)
    bounds: Bounds = UNBOUNDED
    further: Sequence[Claim] = ()

    @property
    def claims(self) -> Sequence[Claim]:
        """All of them, in the order in which they are compared."""
        own = [Claim(self.dedup_digest, self.dedup_window)] if self.dedup_digest else []
        return [*own, *self.further]


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
    def from_answer(cls, entry: Entry, answer: Any) -> Receipt:
        """What lua/record.lua answers of one entry."""
        if answer == 0:  # it stands as it was sent
            return cls(entry.event.id, entry.event.state, entry.event.deliveries, duplicate=False)
        event_id, state, deliveries, seen = answer
        return cls(event_id.decode(), EventState(state.decode()), tuple(json.loads(deliveries or b"[]")), bool(seen))


@dataclass(frozen=True, slots=True)
class Settlement:
    """What became of a delivery, ready to be written.

    next_at: when it may be sent, or looked into, again; absent: now, in its old place in the line, or for an uncertain
    one never: it is left to a person. looks: given, the delivery stays as uncertain as it is, and was looked into so
    often. after: the delivery with what its steps have come to, where that has changed. steps_back: it was to prove a
    gate or a method, in vain: those that have not tried come before it.
    """

    delivery: Delivery
    state: State
    reason: str = ""
    attempt: Attempt | None = None
    workflow_id: str | None = None
    next_at: datetime | None = None
    looks: int | None = None
    after: Delivery | None = None
    steps_back: bool = False

    def result_of(self, answer: int) -> LostRace | None:
        """What the script's answer means: why nothing was written, if so."""
        if answer == -1:
            return WorkflowTaken(self.delivery.id)
        return None if answer else LostRace(self.delivery.id)


@dataclass(frozen=True, slots=True)
class Allowance:
    """What a portal grants one method now.

    limit: how many of its calls may go at once. left_ms: how long they may take together. until: when more is granted;
    what does not fit waits until then; None: it stays in line. is_alone: a call of it goes in a request of its own.
    """

    limit: int
    left_ms: int
    until: datetime | None
    is_alone: bool = False


@dataclass(frozen=True, slots=True)
class Load:
    """How much one claim may take.

    limit: deliveries. budget_ms: how long their calls may take together, at takes_ms by template id or method, or
    unknown_ms. allowances: what the portal grants of single methods now; "" is the start of workflows.
    """

    limit: int = 1
    budget_ms: int = 0
    unknown_ms: int = 0
    takes_ms: Mapping[str, int] = field(default_factory=dict)
    allowances: Mapping[str, Allowance] = field(default_factory=dict)


SINGLE = Load()


@dataclass(frozen=True, slots=True)
class Manner:
    """How the claimer calls, as far as it has to be known of the call afterwards, whatever is configured then.

    own_id_at: the mark of the portal's address, where a start carries a workflow id of ours; empty: it carries none.
    settle_s: how long, in seconds, a call may still be running on the portal.
    """

    own_id_at: str = ""
    settle_s: float = SETTLE_S


PLAINLY = Manner()
