"""What a delivery does before its call: finds and makes documents on the portal, in order. Standard library only.

A plan is written by the web process, which evaluates rules, and carried out by a worker, which never does: all values
in it are literal, and where the result of a step goes there is a Later. So a value from a sender that looks like a
placeholder is never taken for one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from relay.core.call import Call, is_fragile
from relay.core.entities import SOUGHT_BY, USER, WITH_COMMUNICATIONS
from relay.core.places import fill, from_wire, shown, to_wire


class StepKind(StrEnum):
    """What a step does."""

    FIND = "find"
    """Reads: crm.duplicate.findbycomm, crm.item.list, user.get."""
    MAKE = "make"
    """Makes one document, once: crm.item.add, or crm.item.import."""
    TRIGGER = "trigger"
    """Fires an automation trigger: crm.automation.trigger."""


FIND_BY_COMM, LIST, USERS = "crm.duplicate.findbycomm", "crm.item.list", "user.get"
ADD, IMPORT, FIRE = "crm.item.add", "crm.item.import", "crm.automation.trigger"
"""The methods of the steps (docs: api-reference/crm, api-reference/user/user-get.md)."""
LONGEST_IN_BATCH = 10_000
"""A longer text, such as a file, goes alone: a batch is one request, and others would wait for it."""

STOP = "stop"
"""In the place of a result: where nothing is found, the delivery ends."""


class Many(StrEnum):
    """What follows where a find has several answers."""

    NEWEST = "newest"
    OLDEST = "oldest"
    STOP = "stop"


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
            return FIRE
        if self.kind is StepKind.MAKE:
            return IMPORT if self.is_quiet else ADD
        if self.entity == USER:
            return USERS
        return FIND_BY_COMM if self.is_by_communication else LIST

    def filled(self, results: Mapping[str, Any]) -> dict[str, Any]:
        """The fields with the results in their places, without those that have no content.

        Of a find, {} where one without content would leave a wider question than the rule asks: nothing is found then,
        and the portal need not be asked. Of a telephone number and an e-mail either is enough.
        """
        given = {name: value for name, value in fill(self.values, results).items() if has_content(value)}
        is_narrower = self.kind is not StepKind.FIND or self.is_by_communication or len(given) == len(self.values)
        return given if is_narrower else {}

    @property
    def goes_alone(self) -> bool:
        """Whether a batch could change its values on the way to the portal, or they would make it slow."""
        given = [value for value in shown(self.values, {}).values() if has_content(value)]
        return any(is_fragile(value) or _is_long(value) for value in given)

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


def has_content(value: Any) -> bool:
    """Whether a value says anything: an empty text, an empty list and nothing do not."""
    return value is not None and value not in ("", [], ())


def _is_long(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return any(_is_long(entry) for entry in value)
    return isinstance(value, str) and len(value) > LONGEST_IN_BATCH
