"""Values that only the portal knows yet: places for what the steps of a plan come to. Standard library only.

A place is an object, never a text that looks like one, so nothing that a sender sends can be taken for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Result:
    """The place of a step's result."""

    step: str


@dataclass(frozen=True, slots=True)
class Later:
    """A value that only the portal knows: texts and results in turn. One result alone keeps its type."""

    parts: tuple[str | Result, ...] = field(repr=False)
    has_value: bool = False
    """Whether a value of the event is in the texts: without one, texts around results of nothing say nothing."""

    @classmethod
    def of(cls, parts: Iterable[str | Result], *, has_value: bool = False) -> str | Later:
        """Texts beside each other are one; without a result among the parts, it is a text and nothing more."""
        given = list(parts)
        if Result not in map(type, given):
            return "".join(map(str, given))
        merged: list[str | Result] = []
        for part in given:
            if isinstance(part, str) and merged and isinstance(merged[-1], str):
                merged[-1] += part
            else:
                merged.append(part)
        return cls(tuple(merged), has_value)

    @property
    def steps(self) -> tuple[str, ...]:
        """The steps whose results it needs."""
        return tuple(part.step for part in self.parts if isinstance(part, Result))

    def fill(self, results: Mapping[str, Any]) -> Any:
        """The value. Where all of its results are nothing, it is an empty text, as a parameter without a value is."""
        if not self.has_value and all(results.get(step) is None for step in self.steps):
            return ""
        values = [results.get(part.step) if isinstance(part, Result) else part for part in self.parts]
        return values[0] if len(values) == 1 else "".join("" if value is None else str(value) for value in values)

    def __str__(self) -> str:
        return "".join(part if isinstance(part, str) else f"{{{part.step}}}" for part in self.parts)

    def to_wire(self) -> dict[str, Any]:
        parts = [part if isinstance(part, str) else {"step": part.step} for part in self.parts]
        return {"later": parts, "has_value": self.has_value}

    @classmethod
    def from_wire(cls, wire: Mapping[str, Any]) -> Later:
        parts = (part if isinstance(part, str) else Result(part["step"]) for part in wire["later"])
        return cls(tuple(parts), wire["has_value"])


def fill(value: Any, results: Mapping[str, Any]) -> Any:
    """A value, a map or a list with the results in their places."""
    if isinstance(value, Later):
        return value.fill(results)
    if isinstance(value, Mapping):
        return {name: fill(inner, results) for name, inner in value.items()}
    if not isinstance(value, list | tuple):
        return value
    # As everywhere in a list, what has no value is left out.
    filled = [(inner, fill(inner, results)) for inner in value]
    return [new for old, new in filled if not (isinstance(old, Later) and new == "")]


def shown(value: Any, known: Mapping[str, Any]) -> Any:
    """The same with the places of results that are not known as text."""
    if isinstance(value, Later):
        parts = (part if isinstance(part, str) or part.step in known else f"{{{part.step}}}" for part in value.parts)
        left = Later.of(parts, has_value=value.has_value or any(step not in known for step in value.steps))
        return left if isinstance(left, str) else left.fill(known)
    if isinstance(value, Mapping):
        return {name: shown(inner, known) for name, inner in value.items()}
    if not isinstance(value, list | tuple):
        return value
    entries = [(inner, shown(inner, known)) for inner in value]
    return [new for old, new in entries if not (isinstance(old, Later) and new == "")]


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
        return Later.from_wire(wire)
    if isinstance(wire, Mapping):
        return {name: from_wire(inner) for name, inner in wire["map"].items()}
    return [from_wire(inner) for inner in wire] if isinstance(wire, list) else wire
