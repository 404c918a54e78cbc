"""The knowledge about a portal: own ids, address, durations, pace, and operating time and blocks of its methods.

A portal counts operating time for each method (docs: limits.md), and a credential or a plan may allow one method and
not another. So an exhausted or forbidden method waits, and the others go on. Workers write it, pages show it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from relay.core.ids import from_ms, to_ms

USED_UP = "operation_time_limit"
WINDOW = timedelta(minutes=10)
"""The window in which a portal counts operating time (docs: limits.md)."""
DIRECT, NESTED = "used", "nested"
"""The counters of direct calls and of batch commands, which differ where the credential is a webhook
(source: rest/classes/general/rest_provider.php methodsBatch)."""
BLOCKED, BLOCKED_NESTED = "blocked", "blocked-nested"
"""A method that was refused; and one refused only in batches, because their time was used up."""


@dataclass(frozen=True, slots=True)
class Reading:
    """The operating time of a method in an answer: seconds used, and when the oldest of them expire."""

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
    """The block of a refused method.

    It is not called before `until`; then one call tries it, and after a refusal it waits longer. refusals: number in a
    row. since: time of the first.
    """

    reason: str
    since: datetime
    until: datetime
    refusals: int = 1

    @property
    def is_of_budget(self) -> bool:
        """Whether it was refused because its operating time is used up, which passes by itself."""
        return self.reason == USED_UP

    def to_text(self) -> str:
        return json.dumps([self.reason, to_ms(self.since), to_ms(self.until), self.refusals])

    @classmethod
    def from_text(cls, text: str) -> Block:
        reason, since, until, refusals = json.loads(text)
        return cls(reason, from_ms(since), from_ms(until), refusals)


@dataclass(frozen=True, slots=True)
class MethodState:
    """One method. direct, nested: its two counters. takes_ms: duration of a call, once measured.

    block: after a refusal; nested_block: where only the time of batch commands is used up.
    """

    name: str
    direct: Reading | None = None
    nested: Reading | None = None
    block: Block | None = None
    takes_ms: float | None = None
    nested_block: Block | None = None

    def reading(self, now: datetime) -> Reading | None:
        """The higher of the readings that are still valid; else the newest, of which some has expired."""
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
        """The block of direct calls, or of batch commands."""
        if not in_batch:
            return self.block
        # Used-up time of direct calls says nothing about that of batch commands.
        return self.nested_block if self.block is None or self.block.is_of_budget else self.block

    def waits_until(self, now: datetime, granted_s: float, *, in_batch: bool = False) -> datetime | None:
        """The time until which it waits, after a refusal or for lack of operating time; None: it may be called.

        granted_s: operating time that may be used. in_batch: for batch commands.
        """
        if block := self.block_of(in_batch=in_batch):
            return block.until if block.until > now else None
        reading = self.nested if in_batch else self.direct
        if reading and reading.reset_at > now and granted_s - reading.seconds <= (self.takes_ms or 0) / 1000:
            return reading.reset_at
        return None

    def calls_an_hour(self, granted_s: float) -> int | None:
        """Number of calls that its operating time allows in an hour."""
        if not self.takes_ms:
            return None
        return int(granted_s * 1000 / self.takes_ms * (timedelta(hours=1) / WINDOW))


def methods_in(kept: Mapping[str, str], takes_ms: Mapping[str, float]) -> Iterator[MethodState]:
    """The methods in the fields of a portal's hash."""
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


OPERATING_LIMIT_S = 480.0
"""Operating time of one method in ten minutes (docs: limits.md); an earlier refusal teaches a lower limit."""
OPERATING_RESERVE_S = 5.0
"""Distance of the last call from the limit: others may use the same credential."""

_ORIGIN = re.compile(r"https?://[A-Za-z0-9.-]{1,253}(?::[0-9]{1,5})?")


class Echo(StrEnum):
    """A portal's treatment of our own workflow ids."""

    HONOURED = "honoured"
    IGNORED = "ignored"


@dataclass(frozen=True, slots=True)
class Learned:
    """The knowledge about a portal.

    own_id: whether it honours own ids; own_id_at: the mark of the address where that was seen. Unknown again after
    starts without ids. host: where it has moved to. site: its configured address. takes_ms: durations of starts, by
    template id, and of calls, by method. methods: the states of called methods. batch_limit: calls that the portal
    takes in one request, where it has refused more; None: as configured.
    """

    own_id: Echo | None = None
    own_id_at: str = ""
    host: str | None = None
    site: str | None = None
    operating_limit_s: float = OPERATING_LIMIT_S
    batch_limit: int | None = None
    takes_ms: Mapping[str, float] = field(default_factory=dict)
    methods: Mapping[str, MethodState] = field(default_factory=dict)

    def echo_at(self, mark: str) -> Echo | None:
        """The treatment of own ids by the portal at the address of this mark; None: unknown."""
        return self.own_id if self.own_id_at == mark else None

    @property
    def address(self) -> str | None:
        """Its address in a browser, `https://HOST`. It becomes a link, so it must have this shape."""
        return next((text for text in (self.host, self.site) if text and _ORIGIN.fullmatch(text)), None)

    @property
    def granted_s(self) -> float:
        """Operating time that one method may use in a window."""
        return self.operating_limit_s - OPERATING_RESERVE_S

    def operating_s(self, now: datetime) -> float:
        """The operating time used by the method that has used most, of what the portal still counts."""
        return max([method.used_s(now) for method in self.methods.values()], default=0.0)


def learned_from_hash(kept: Mapping[bytes, bytes]) -> Learned:
    """The knowledge in a hash."""
    text = {name.decode(): value.decode() for name, value in kept.items()}
    takes_ms = {name[2:]: float(value) for name, value in text.items() if name.startswith("t:")}
    return Learned(
        own_id=Echo(text["own_id"]) if "own_id" in text else None,
        own_id_at=text.get("own_id_at", ""),
        host=text.get("host"),
        site=text.get("site"),
        operating_limit_s=float(text.get("operating_limit", OPERATING_LIMIT_S)),
        batch_limit=int(text["batch_limit"]) if "batch_limit" in text else None,
        takes_ms=takes_ms,
        methods={method.name: method for method in methods_in(text, takes_ms)},
    )
