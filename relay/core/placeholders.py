"""Values that only the portal knows yet: placeholders for the results of a plan's steps. Standard library only.

A placeholder is an object, never a text that looks like one, so nothing that a sender sends can be taken for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Placeholder:
    """The placeholder of a step's result."""

    step: str


@dataclass(frozen=True, slots=True)
class PlaceholderValue:
    """A value with placeholders: texts and results in turn. A single result keeps its type. On disk it is called
    `later`.
    """

    parts: tuple[str | Placeholder, ...] = field(repr=False)
    has_value: bool = False
    """Whether the texts contain a value of the event. Without one, texts around empty results are dropped."""

    @classmethod
    def of(cls, parts: Iterable[str | Placeholder], *, has_value: bool = False) -> str | PlaceholderValue:
        """Join adjacent texts. Without a result among the parts, the value is a plain text."""
        given = list(parts)
        if Placeholder not in map(type, given):
            return "".join(map(str, given))
        merged: list[str | Placeholder] = []
        for part in given:
            if isinstance(part, str) and merged and isinstance(merged[-1], str):
                merged[-1] += part
            else:
                merged.append(part)
        return cls(tuple(merged), has_value)

    @property
    def steps(self) -> tuple[str, ...]:
        """The steps whose results it needs."""
        return tuple(part.step for part in self.parts if isinstance(part, Placeholder))

    def fill(self, results: Mapping[str, Any]) -> Any:
        """Fill in results. If all of them are nothing, the value is an empty text, like a parameter without a value."""
        if not self.has_value and all(results.get(step) is None for step in self.steps):
            return ""
        values = [results.get(part.step) if isinstance(part, Placeholder) else part for part in self.parts]
        return values[0] if len(values) == 1 else "".join("" if value is None else str(value) for value in values)

    def __str__(self) -> str:
        return "".join(part if isinstance(part, str) else f"{{{part.step}}}" for part in self.parts)

    def to_wire(self) -> dict[str, Any]:
        parts = [part if isinstance(part, str) else {"step": part.step} for part in self.parts]
        return {"later": parts, "has_value": self.has_value}

    @classmethod
    def from_wire(cls, wire: Mapping[str, Any]) -> PlaceholderValue:
        parts = (part if isinstance(part, str) else Placeholder(part["step"]) for part in wire["later"])
        return cls(tuple(parts), wire["has_value"])


def fill(value: Any, results: Mapping[str, Any]) -> Any:
    """Fill the results into a value, a map or a list."""
    if isinstance(value, PlaceholderValue):
        return value.fill(results)
    if isinstance(value, Mapping):
        return {name: fill(inner, results) for name, inner in value.items()}
    if not isinstance(value, list | tuple):
        return value
    # Entries without a value are left out of lists.
    filled = [(inner, fill(inner, results)) for inner in value]
    return [new for old, new in filled if not (isinstance(old, PlaceholderValue) and new == "")]


def shown(value: Any, known: Mapping[str, Any]) -> Any:
    """Fill in known results, and show the other placeholders as text."""
    if isinstance(value, PlaceholderValue):
        parts = (part if isinstance(part, str) or part.step in known else f"{{{part.step}}}" for part in value.parts)
        left = PlaceholderValue.of(parts, has_value=value.has_value or any(step not in known for step in value.steps))
        return left if isinstance(left, str) else left.fill(known)
    if isinstance(value, Mapping):
        return {name: shown(inner, known) for name, inner in value.items()}
    if not isinstance(value, list | tuple):
        return value
    entries = [(inner, shown(inner, known)) for inner in value]
    return [new for old, new in entries if not (isinstance(old, PlaceholderValue) and new == "")]


def steps_in(value: Any) -> Iterator[str]:
    """The steps whose results a value, a map or a list needs."""
    if isinstance(value, PlaceholderValue):
        yield from value.steps
    elif isinstance(value, Mapping | list | tuple):
        for inner in value.values() if isinstance(value, Mapping) else value:
            yield from steps_in(inner)


def to_wire(value: Any) -> Any:
    """Convert values for JSON. No literal value is a map, so a map with `later` is always a placeholder."""
    if isinstance(value, PlaceholderValue):
        return value.to_wire()
    if isinstance(value, Mapping):
        return {"map": {name: to_wire(inner) for name, inner in value.items()}}
    return [to_wire(inner) for inner in value] if isinstance(value, list | tuple) else value


def from_wire(wire: Any) -> Any:
    """Read what `to_wire` wrote."""
    if isinstance(wire, Mapping) and "later" in wire:
        return PlaceholderValue.from_wire(wire)
    if isinstance(wire, Mapping):
        return {name: from_wire(inner) for name, inner in wire["map"].items()}
    return [from_wire(inner) for inner in wire] if isinstance(wire, list) else wire
