"""What is known of single methods of a portal: how much operating time each has used, and which may not be called.

A portal counts operating time for each method by itself (docs: limits.md), and a credential or a plan may allow one and
not another. So a method that is used up or forbidden waits, and the others go on. Workers write it, pages show it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from relay.core.ids import from_ms, to_ms

USED_UP = "operation_time_limit"
WINDOW = timedelta(minutes=10)
"""In which a portal counts operating time (docs: limits.md)."""
DIRECT, NESTED = "used", "nested"
"""The counter of plain calls and that of a batch's commands, which are two where the credential is a webhook
(source: rest/classes/general/rest_provider.php methodsBatch)."""
BLOCKED, BLOCKED_NESTED = "blocked", "blocked-nested"
"""A method that was refused; and one of which the commands of a batch were, because their time was used up."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What an answer has said of a method's operating time: seconds used, and when the oldest of them is forgotten."""

    seconds: float
    reset_at: datetime

    def to_text(self) -> str:
        return f"{self.seconds:g} {to_ms(self.reset_at)}"

    @classmethod
    def from_text(cls, text: str) -> Reading:
        seconds, reset_at = text.split()
        return cls(float(seconds), from_ms(int(reset_at)))


@dataclass(frozen=True, slots=True)
class Block:
    """A method that was refused. Until then it is not called; then one call tries it, and where that is refused as well
    it waits again, longer each time. refusals: how many there were in a row. since: when the first came.
    """

    reason: str
    since: datetime
    until: datetime
    refusals: int = 1

    @property
    def is_of_budget(self) -> bool:
        """Whether it was refused because its operating time is used up: that mends itself."""
        return self.reason == USED_UP

    def to_text(self) -> str:
        return json.dumps([self.reason, to_ms(self.since), to_ms(self.until), self.refusals])

    @classmethod
    def from_text(cls, text: str) -> Block:
        reason, since, until, refusals = json.loads(text)
        return cls(reason, from_ms(since), from_ms(until), refusals)


@dataclass(frozen=True, slots=True)
class MethodState:
    """One method. direct, nested: what was said of its two counters. takes_ms: how long a call takes, once seen.

    block: where it was refused; nested_block: where only the time of a batch's commands is used up.
    """

    name: str
    direct: Reading | None = None
    nested: Reading | None = None
    block: Block | None = None
    takes_ms: float | None = None
    nested_block: Block | None = None

    def reading(self, now: datetime) -> Reading | None:
        """The higher of those that still hold; where none does, the newest: since then some of it was forgotten."""
        readings = [reading for reading in (self.direct, self.nested) if reading]
        holding = [reading for reading in readings if reading.reset_at > now]
        if holding:
            return max(holding, key=lambda reading: reading.seconds)
        return max(readings, key=lambda reading: reading.reset_at, default=None)

    def used_s(self, now: datetime) -> float:
        """The operating time used, of what the portal still counts for certain."""
        reading = self.reading(now)
        return reading.seconds if reading and reading.reset_at > now else 0.0

    def block_of(self, *, in_batch: bool) -> Block | None:
        """What blocks calls of their own, or the commands of a batch."""
        if not in_batch:
            return self.block
        # That the time of calls is used up says nothing of that of commands.
        return self.nested_block if self.block is None or self.block.is_of_budget else self.block

    def waits_until(self, now: datetime, granted_s: float, *, in_batch: bool = False) -> datetime | None:
        """Until when no call of it is made, because it was refused, or the next would be too much; None: it is called.

        granted_s: how much operating time may be used. in_batch: asked of the commands of a batch.
        """
        if block := self.block_of(in_batch=in_batch):
            return block.until if block.until > now else None
        reading = self.nested if in_batch else self.direct
        if reading and reading.reset_at > now and granted_s - reading.seconds <= (self.takes_ms or 0) / 1000:
            return reading.reset_at
        return None

    def calls_an_hour(self, granted_s: float) -> int | None:
        """How many calls of it its operating time carries in an hour."""
        if not self.takes_ms:
            return None
        return int(granted_s * 1000 / self.takes_ms * (timedelta(hours=1) / WINDOW))


def methods_in(kept: Mapping[str, str], takes_ms: Mapping[str, float]) -> Iterator[MethodState]:
    """The methods of which something is kept, by the fields of the portal's hash (learned.py)."""
    kinds = (DIRECT, NESTED, BLOCKED, BLOCKED_NESTED)
    parts = [name.partition(":") for name in kept]
    for name in dict.fromkeys(method for kind, _, method in parts if kind in kinds):
        direct, nested, blocked, blocked_nested = (kept.get(f"{kind}:{name}") for kind in kinds)
        yield MethodState(
            name,
            Reading.from_text(direct) if direct else None,
            Reading.from_text(nested) if nested else None,
            Block.from_text(blocked) if blocked else None,
            takes_ms.get(name),
            Block.from_text(blocked_nested) if blocked_nested else None,
        )
