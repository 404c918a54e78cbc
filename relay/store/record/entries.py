"""Data that goes into the record and comes back at once: entries, their bounds, receipts, settlements, loads. No I/O.

The bounds limit what unauthenticated senders can store, by number and size, for each source. lua/record.lua enforces
them. An event with deliveries is never removed to make room.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

from relay.core.errors import LimitedError, LostRace, WorkflowTaken
from relay.core.events import SETTLE_S, Attempt, Delivery, Event
from relay.core.lifecycle import EventState, State

LIMITED = "LIMITED "
"""The prefix of record.lua's answer for a source over its limit; the seconds to wait follow."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """The bounds of a source, as stored with one event. 0: unlimited.

    kept, kept_bytes: unproven events without deliveries that stay on record. events, bytes: accepted in a minute.
    """

    kept: int = 0
    kept_bytes: int = 0
    events: int = 0
    bytes: int = 0

    def to_json(self) -> str:
        """The bounds as JSON; empty without any."""
        return _as_json(self)


@lru_cache(1_024)
def _as_json(bounds: Bounds) -> str:
    """Cached, for every event carries one of a few."""
    return json.dumps(asdict(bounds), separators=(",", ":")) if bounds != UNBOUNDED else ""


UNBOUNDED = Bounds()


def limited(error: Exception) -> LimitedError | None:
    """The error in an answer of record.lua, if a limit is reached; else None."""
    text = str(error)
    return LimitedError(int(text.removeprefix(LIMITED))) if text.startswith(LIMITED) else None


@dataclass(frozen=True, slots=True)
class Claim:
    """A digest that an event claims: within the window no other event of its source may have it.

    more: number of others that may have it, where something else distinguishes them.
    """

    digest: str
    window: timedelta
    more: int = 0


@dataclass(frozen=True, slots=True)
class Entry:
    """An event to be recorded, with its deliveries and its dedup key.

    further: other claims: the content of an entry of a batch, the signature of a signed webhook.
    """

    event: Event
    deliveries: Sequence[Delivery] = ()
    dedup_digest: str | None = None
    dedup_window: timedelta = timedelta(0)
    bounds: Bounds = UNBOUNDED
    further: Sequence[Claim] = ()

    @property
    def claims(self) -> Sequence[Claim]:
        """All claims, in the order in which they are compared."""
        own = [Claim(self.dedup_digest, self.dedup_window)] if self.dedup_digest else []
        return [*own, *self.further]


@dataclass(frozen=True, slots=True)
class Receipt:
    """The answer of the record: the recorded event, which is the first one for a duplicate."""

    event_id: str
    state: EventState
    deliveries: tuple[str, ...]
    duplicate: bool

    def to_wire(self) -> dict[str, Any]:
        """The receipt for the sender."""
        return {
            "event_id": self.event_id,
            "state": self.state.value,
            "deliveries": list(self.deliveries),
            "duplicate": self.duplicate,
        }

    @classmethod
    def from_answer(cls, entry: Entry, answer: Any) -> Receipt:
        """The receipt in an answer of lua/record.lua."""
        if answer == 0:  # recorded as it was sent
            return cls(entry.event.id, entry.event.state, entry.event.deliveries, duplicate=False)
        event_id, state, deliveries, seen = answer
        return cls(event_id.decode(), EventState(state.decode()), tuple(json.loads(deliveries or b"[]")), bool(seen))


@dataclass(frozen=True, slots=True)
class Settlement:
    """The outcome of a turn of a delivery, ready to be written.

    next_at: when it may be sent, or reconciled, again; None: now, in its old order, or never for an uncertain one,
    which is left to a person. looks: given, the delivery stays uncertain after this many looks. after: the delivery
    with changed results of its steps. steps_back: it failed to prove a gate or a method, so others come before it.
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
        """The reason why nothing was written, from the script's answer; None: it was written."""
        if answer == -1:
            return WorkflowTaken(self.delivery.id)
        return None if answer else LostRace(self.delivery.id)


@dataclass(frozen=True, slots=True)
class Allowance:
    """The allowance of one method of a portal.

    limit: calls that may go at once. left_ms: their duration together. until: deliveries that do not fit wait until
    then; None: they keep their order. is_alone: each call goes in a request of its own.
    """

    limit: int
    left_ms: int
    until: datetime | None
    is_alone: bool = False


@dataclass(frozen=True, slots=True)
class Load:
    """The load that one claim may take.

    limit: deliveries. budget_ms: duration of their calls together, at takes_ms by template id or method, or
    unknown_ms. allowances: by method; "" is the start of workflows.
    """

    limit: int = 1
    budget_ms: int = 0
    unknown_ms: int = 0
    takes_ms: Mapping[str, int] = field(default_factory=dict)
    allowances: Mapping[str, Allowance] = field(default_factory=dict)


SINGLE = Load()


@dataclass(frozen=True, slots=True)
class Manner:
    """The manner of a call, recorded with the claim because the configuration may change afterwards.

    own_id_at: the mark of the portal's address, where a start carries an own id; empty: it carries none.
    settle_s: seconds for which a call may still be running on the portal.
    """

    own_id_at: str = ""
    settle_s: float = SETTLE_S


PLAINLY = Manner()
