"""What a delivery does before its call: finds and makes documents on the portal, in order. Standard library only.

A plan is written by the web process, which evaluates rules, and carried out by a worker, which never does: all values
in it are literal, and where the result of a step goes there is a Later. So a value from a sender that looks like a
placeholder is never taken for one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from relay.core.events import Call


class StepKind(StrEnum):
    """What a step does."""

    FIND = "find"
    """Reads: crm.duplicate.findbycomm, crm.item.list, user.get."""
    MAKE = "make"
    """Makes one document, once: crm.item.add, or crm.item.import."""
    TRIGGER = "trigger"
    """Fires an automation trigger: crm.automation.trigger."""


class Many(StrEnum):
    """What follows where a find has several answers."""

    NEWEST = "newest"
    OLDEST = "oldest"
    STOP = "stop"


@dataclass(frozen=True, slots=True)
class Result:
    """The place of a step's result."""

    step: str


@dataclass(frozen=True, slots=True)
class Later:
    """A value that only the portal knows: texts and results in turn. One result alone keeps its type."""

    parts: tuple[str | Result, ...]

    @property
    def steps(self) -> tuple[str, ...]:
        """The steps whose results it needs."""
        return tuple(part.step for part in self.parts if isinstance(part, Result))

    def fill(self, results: Mapping[str, Any]) -> Any:
        """The value. A result of nothing alone is an empty text, as a parameter without a value is."""
        values = [results.get(part.step) if isinstance(part, Result) else part for part in self.parts]
        values = ["" if value is None else value for value in values]
        return values[0] if len(values) == 1 else "".join(str(value) for value in values)

    def __str__(self) -> str:
        return "".join(part if isinstance(part, str) else f"{{{part.step}}}" for part in self.parts)

    def to_wire(self) -> dict[str, Any]:
        return {"later": [part if isinstance(part, str) else {"step": part.step} for part in self.parts]}


@dataclass(frozen=True, slots=True)
class Step:
    """One of them. Its name is that of its result.

    entity: lead, deal, contact, company, quote, invoice, dynamic or user. type_id: its entityTypeId; None for users.
    values: the fields to look for or to write, by name; of a trigger, `target` and `code`.
    many, none: of a find. none: what its result is where nothing is found (None: nothing), or "stop".
    keep_s: how long an answer may be remembered, in seconds. unless: a find whose result is taken instead.
    is_quiet: the portal's own automation does not run. own_field: the field that carries our own id; "" where the
    originator's pair or `xmlId` does.
    """

    name: str
    kind: StepKind
    entity: str
    type_id: int | None
    values: Mapping[str, Any] = field(repr=False)
    many: Many = Many.NEWEST
    none: int | str | None = None
    keep_s: int = 0
    unless: str | None = None
    is_quiet: bool = False
    own_field: str = ""

    def to_wire(self) -> dict[str, Any]:
        wire = {name: getattr(self, name) for name in self.__slots__}
        return wire | {"values": to_wire(self.values)}

    @classmethod
    def from_wire(cls, wire: Mapping[str, Any]) -> Step:
        kinds = {"kind": StepKind(wire["kind"]), "many": Many(wire["many"]), "values": from_wire(wire["values"])}
        return cls(**(dict(wire) | kinds))


@dataclass(frozen=True, slots=True)
class Plan:
    """The steps of a delivery, and its call with places for their results.

    origin: the delivery whose id what is made carries: the first of a chain of replays, so that none makes it anew.
    """

    origin: str
    steps: tuple[Step, ...]
    call: Call | None

    def filled(self, results: Mapping[str, Any]) -> Call | None:
        """The call with the results of all steps in their places; None where the plan ends with a trigger."""
        if self.call is None:
            return None
        module, entity, document = (str(fill(member, results)) for member in self.call.document_id)
        return replace(
            self.call, document_id=(module, entity, document), parameters=fill(self.call.parameters, results)
        )


def fill(value: Any, results: Mapping[str, Any]) -> Any:
    """A value, a map or a list with the results in their places."""
    if isinstance(value, Later):
        return value.fill(results)
    if isinstance(value, Mapping):
        return {name: fill(inner, results) for name, inner in value.items()}
    return [fill(inner, results) for inner in value] if isinstance(value, list | tuple) else value


def steps_in(value: Any) -> Iterator[str]:
    """The steps whose results a value, a map or a list needs."""
    if isinstance(value, Later):
        yield from value.steps
    elif isinstance(value, Mapping | list | tuple):
        for inner in value.values() if isinstance(value, Mapping) else value:
            yield from steps_in(inner)


def to_wire(value: Any) -> Any:
    """Values as JSON can carry them. No literal value is a map, so a map with `later` is always a place."""
    if isinstance(value, Later):
        return value.to_wire()
    if isinstance(value, Mapping):
        return {"map": {name: to_wire(inner) for name, inner in value.items()}}
    return [to_wire(inner) for inner in value] if isinstance(value, list | tuple) else value


def from_wire(wire: Any) -> Any:
    """The same back."""
    if isinstance(wire, Mapping) and "later" in wire:
        return Later(tuple(part if isinstance(part, str) else Result(part["step"]) for part in wire["later"]))
    if isinstance(wire, Mapping):
        return {name: from_wire(inner) for name, inner in wire["map"].items()}
    return [from_wire(inner) for inner in wire] if isinstance(wire, list) else wire
