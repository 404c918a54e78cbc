"""What a delivery does before its call: finds and makes documents on the portal, in order. Standard library only.

A plan is written by the web process, which evaluates rules, and carried out by a worker, which never does: all values
in it are literal, and where the result of a step goes there is a Later. So a value from a sender that looks like a
placeholder is never taken for one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from relay.core.call import Call
from relay.core.entities import SOUGHT_BY, USER, WITH_COMMUNICATIONS


class StepKind(StrEnum):
    """What a step does."""

    FIND = "find"
    """Reads: crm.duplicate.findbycomm, crm.item.list, user.get."""
    MAKE = "make"
    """Makes one document, once: crm.item.add, or crm.item.import."""
    TRIGGER = "trigger"
    """Fires an automation trigger: crm.automation.trigger."""


STOP = "stop"
"""In the place of a result: where nothing is found, the delivery ends."""


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

    parts: tuple[str | Result, ...] = field(repr=False)
    has_value: bool = False
    """Whether a value of the event is in the texts: without one, texts around results of nothing say nothing."""

    @classmethod
    def of(cls, parts: Iterable[str | Result], *, has_value: bool = False) -> str | Later:
        """Texts beside each other are one; without a result among the parts, it is a text and nothing more."""
        merged: list[str | Result] = []
        for part in parts:
            if isinstance(part, str) and merged and isinstance(merged[-1], str):
                merged[-1] += part
            else:
                merged.append(part)
        if any(isinstance(part, Result) for part in merged):
            return cls(tuple(merged), has_value)
        return "".join(str(part) for part in merged)

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


@dataclass(frozen=True, slots=True)
class Step:
    """One of them. Its name is that of its result.

    entity: lead, deal, contact, company, quote, invoice, dynamic or user. type_id: its entityTypeId; None for users.
    values: the fields to look for or to write, by name; of a trigger, `target` and `code`. See `filled`.
    many, none: of a find. none: its result where nothing is found: a number, STOP, or None, which is nothing.
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

    @property
    def is_by_communication(self) -> bool:
        """Whether it looks for a telephone number or an e-mail, of which either is enough."""
        return (
            self.kind is StepKind.FIND
            and self.entity in WITH_COMMUNICATIONS
            and any(x in self.values for x in SOUGHT_BY)
        )

    @property
    def method(self) -> str:
        """The method of the portal that does it."""
        if self.kind is StepKind.TRIGGER:
            return "crm.automation.trigger"
        if self.kind is StepKind.MAKE:
            return "crm.item.import" if self.is_quiet else "crm.item.add"
        if self.entity == USER:
            return "user.get"
        return "crm.duplicate.findbycomm" if self.is_by_communication else "crm.item.list"

    def filled(self, results: Mapping[str, Any]) -> dict[str, Any]:
        """The fields with the results in their places, without those that have no content.

        Of a find, {} where one without content would leave a wider question than the rule asks: nothing is found then,
        and the portal need not be asked. Of a telephone number and an e-mail either is enough.
        """
        given = {name: value for name, value in fill(self.values, results).items() if value not in (None, "", [])}
        is_narrower = self.kind is not StepKind.FIND or self.is_by_communication or len(given) == len(self.values)
        return given if is_narrower else {}

    def to_wire(self) -> dict[str, Any]:
        wire = {name: getattr(self, name) for name in self.__slots__}
        return wire | {"values": to_wire(self.values)}

    @classmethod
    def from_wire(cls, wire: Mapping[str, Any]) -> Step:
        kinds = {"kind": StepKind(wire["kind"]), "many": Many(wire["many"]), "values": from_wire(wire["values"])}
        return cls(**(dict(wire) | kinds))


class How(StrEnum):
    """How a step came to its result."""

    FOUND = "found"
    """One was found."""
    SEVERAL = "several"
    """Several were found, of which the rule takes one."""
    NOTHING = "nothing"
    """Nothing was found: the rule goes on without, or says what stands for it."""
    MADE = "made"
    """It was made, and the portal has named it."""
    FOUND_AGAIN = "found_again"
    """It was made, the answer was lost, and our own id on it has proven it."""
    TAKEN = "taken"
    """Nothing was made: what a find had found was taken."""
    KEPT = "kept"
    """The answer to the same question was remembered."""
    CARRIED = "carried"
    """It was made for an earlier delivery of the same event, of which this is a replay."""
    FIRED = "fired"
    """The trigger was fired; what it has moved, if anything, is not known."""


@dataclass(frozen=True, slots=True)
class StepResult:
    """What a step came to. value: the id, or None: nothing. attempts: how often it was tried."""

    name: str
    kind: StepKind
    entity: str
    type_id: int | None
    value: int | None
    how: How
    at: datetime
    attempts: int = 0

    def to_wire(self) -> dict[str, Any]:
        wire = {name: getattr(self, name) for name in self.__slots__}
        return wire | {"at": self.at.isoformat(timespec="milliseconds")}

    @classmethod
    def from_wire(cls, wire: Mapping[str, Any]) -> StepResult:
        typed = {"kind": StepKind(wire["kind"]), "how": How(wire["how"]), "at": datetime.fromisoformat(wire["at"])}
        return cls(**(dict(wire) | typed))


@dataclass(frozen=True, slots=True)
class Plan:
    """The steps of a delivery, and its call with places for their results.

    origin: the delivery whose id what is made carries: the first of a chain of replays, so that none makes it anew.
    call: of template 0 where no workflow is started, because the last step is a trigger.
    """

    origin: str
    steps: tuple[Step, ...]
    call: Call

    def shown(self, known: Mapping[str, Any] | None = None) -> Call:
        """The call for people, until all results are known: other places are text, such as `LEAD_{lead}`."""
        results = known or {}
        module, entity, document = (str(shown(member, results)) for member in self.call.document_id)
        parameters = shown(self.call.parameters, results)
        return replace(self.call, document_id=(module, entity, document), parameters=parameters)

    def filled(self, results: Mapping[str, Any]) -> Call:
        """The call with the results of all steps in their places.

        Its document always has a number: `rules check` refuses a rule in which it could be nothing.
        """
        module, entity, document = (str(fill(member, results)) for member in self.call.document_id)
        parameters = fill(self.call.parameters, results)
        return replace(self.call, document_id=(module, entity, document), parameters=parameters)

    def to_wire(self) -> dict[str, Any]:
        steps = [step.to_wire() for step in self.steps]
        return {"origin": self.origin, "steps": steps, "call": to_wire(self.call.to_wire())}

    @classmethod
    def from_wire(cls, portal: str, wire: Mapping[str, Any]) -> Plan:
        steps = tuple(Step.from_wire(step) for step in wire["steps"])
        return cls(wire["origin"], steps, Call.from_wire(portal, from_wire(wire["call"])))


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
