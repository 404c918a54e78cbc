"""A call of a portal, the steps before it, and what both require of the portal. Standard library only.

A plan is written by the web process, which evaluates rules, and carried out by a worker, which never does. All values
in it are literal; a placeholder stands where the result of a step goes. So a value from a sender that looks like a
placeholder is never taken for one.

Requirements are what a rule asks of a portal, without the rule: the web process leaves them on record, and a worker
compares them with what the portal says of itself. Numbers of types: b24restdocs, api-reference/crm/data-types.md
#object_type. Fields: crm/universal/object-fields.md.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from relay.core.placeholders import fill, from_wire, shown, to_wire

_SCRIPT = re.compile("javascript", re.IGNORECASE)

DocumentId = tuple[str, str, str]
"""Module, entity class, element id: how Bitrix24 names a document."""


_CRM_OBJECTS = r"Bitrix\Crm\Integration\BizProc\Document"

FORMS: dict[str, tuple[str, str, str]] = {
    "lead": ("crm", "CCrmDocumentLead", "LEAD_"),
    "deal": ("crm", "CCrmDocumentDeal", "DEAL_"),
    "contact": ("crm", "CCrmDocumentContact", "CONTACT_"),
    "company": ("crm", "CCrmDocumentCompany", "COMPANY_"),
    "quote": ("crm", rf"{_CRM_OBJECTS}\Quote", "QUOTE_"),
    "invoice": ("crm", rf"{_CRM_OBJECTS}\SmartInvoice", "SMART_INVOICE_"),
    "dynamic": ("crm", rf"{_CRM_OBJECTS}\Dynamic", "DYNAMIC_"),
    "feed": ("lists", "BizprocDocument", ""),
    "list": ("lists", r"Bitrix\Lists\BizprocDocumentLists", ""),
    "file": ("disk", r"Bitrix\Disk\BizProcDocument", ""),
}
"""Short form -> module, entity class, and the prefix of the number."""


@dataclass(frozen=True, slots=True)
class Call:
    """One call of Bitrix24: `bizproc.workflow.start` with these arguments on this portal.

    template_id: 0 if no workflow is started, because the rule only fires a trigger on the document.
    """

    portal: str
    template_id: int
    document_id: DocumentId
    parameters: Mapping[str, Any] = field(repr=False)

    @property
    def starts_workflow(self) -> bool:
        """Whether a workflow is started."""
        return self.template_id != 0

    @property
    def goes_alone(self) -> bool:
        """Whether it must not be in a batch, which could change its values on the way to the portal."""
        return any(is_fragile(value) for value in (*self.document_id, *self.parameters.values()))

    def to_wire(self) -> dict[str, Any]:
        return {
            "template_id": self.template_id,
            "document_id": list(self.document_id),
            "parameters": dict(self.parameters),
        }

    @classmethod
    def from_wire(cls, portal: str, wire: Mapping[str, Any]) -> Call:
        module, entity, document = wire["document_id"]
        return cls(portal, wire["template_id"], (module, entity, document), wire["parameters"])


def is_fragile(value: Any) -> bool:
    """Whether a batch could change this value on the way to the portal.

    Inside a batch, `$result[..]` cannot be escaped, a security filter may alter markup, and a query cannot express an
    empty list (docs: settings/how-to-call-rest-api/batch.md; source:
    rest/classes/general/rest_util.php ParseBatchQuery, main CSecurityFilter).
    """
    if isinstance(value, str):
        return "$" in value or "<" in value or ">" in value or "&#" in value or _names_script(value)
    if isinstance(value, list | tuple):
        return not value or any(is_fragile(entry) for entry in value)
    return not isinstance(value, int | float)


def _names_script(text: str) -> bool:
    """Whether it contains `javascript:`. A pattern over the whole text would take 40 ns for each character."""
    return ":" in text and any(_SCRIPT.fullmatch(before[-len("javascript") :]) for before in text.split(":")[:-1])


TYPE_IDS = {"lead": 1, "deal": 2, "contact": 3, "company": 4, "quote": 7, "invoice": 31}
"""CRM entities with a fixed type number. For `dynamic`, a smart process, the rule gives the number."""
DYNAMIC, USER = "dynamic", "user"
FIRST_DYNAMIC = 128
"""The smallest entityTypeId of a smart process."""
ENTITIES = (*TYPE_IDS, DYNAMIC, USER)

WITH_COMMUNICATIONS = ("lead", "contact", "company")
"""Entities with their own telephone numbers and the like; a deal has those of its contact."""
COMMUNICATIONS = ("phone", "email", "web", "im")
"""Values that go into `fm` and are not in `crm.item.fields`."""
SOUGHT_BY = ("phone", "email")
"""The ones that `crm.duplicate.findbycomm` can look for."""


def own_id_fields(entity: str, own_field: str = "") -> tuple[str, ...]:
    """The fields for the relay's own id on a document that it makes. own_field: the one that a rule names for a quote.

    Leads, deals, contacts and companies have `originatorId` and `originId`; invoices and smart processes have `xmlId`;
    a quote has neither.
    """
    if entity in {"lead", "deal", "contact", "company"}:
        return "originatorId", "originId"
    return (own_field,) if own_field else ("xmlId",)


class StepKind(StrEnum):
    """Kinds of steps."""

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
"""A call with a longer text, such as a file, goes alone: in a batch, the other calls would wait for it."""

STOP = "stop"
"""Used instead of a result: if nothing is found, the delivery ends."""


class Many(StrEnum):
    """Policies for a find with several answers."""

    NEWEST = "newest"
    OLDEST = "oldest"
    STOP = "stop"


@dataclass(frozen=True, slots=True)
class Step:
    """One step. Its name is also the name of its result.

    entity: lead, deal, contact, company, quote, invoice, dynamic or user. type_id: its entityTypeId; None for users.
    values: the fields to look for or to write, by name; for a trigger, `target` and `code`. See `filled`.
    many, none: for a find. none: its result if nothing is found: a number, STOP, or None for nothing.
    keep_s: how long an answer may be cached, in seconds. unless: a find whose result is used instead.
    is_quiet: the portal's own automation does not run. own_field: the field for our own id; "" for the default
    fields (own_id_fields).
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
        """Whether it looks for a telephone number or an e-mail; either is enough."""
        return (
            self.kind is StepKind.FIND
            and self.entity in WITH_COMMUNICATIONS
            and any(x in self.values for x in SOUGHT_BY)
        )

    @property
    def method(self) -> str:
        """The portal's method for it."""
        if self.kind is StepKind.TRIGGER:
            return FIRE
        if self.kind is StepKind.MAKE:
            return IMPORT if self.is_quiet else ADD
        if self.entity == USER:
            return USERS
        return FIND_BY_COMM if self.is_by_communication else LIST

    def filled(self, results: Mapping[str, Any]) -> dict[str, Any]:
        """The fields with results filled in, without empty ones.

        For a find, {} if an empty field would make the question wider than the rule asks: then nothing is found, and
        the portal is not asked. Of a telephone number and an e-mail, either is enough.
        """
        given = {name: value for name, value in fill(self.values, results).items() if has_content(value)}
        is_narrower = self.kind is not StepKind.FIND or self.is_by_communication or len(given) == len(self.values)
        return given if is_narrower else {}

    @property
    def goes_alone(self) -> bool:
        """Whether it must not be in a batch, which could change its values, or which it would make slow."""
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
    """The origin of a step's result."""

    FOUND = "found"
    """One was found."""
    SEVERAL = "several"
    """Several were found, and the rule takes one."""
    NOTHING = "nothing"
    """Nothing was found: the rule continues without, or gives a replacement."""
    MADE = "made"
    """It was made, and the portal has named it."""
    FOUND_AGAIN = "found_again"
    """It was made, the answer was lost, and our own id on it proves that."""
    TAKEN = "taken"
    """Nothing was made, because a find had found one."""
    KEPT = "kept"
    """The answer to the same question was cached."""
    CARRIED = "carried"
    """It was made for an earlier delivery, of which this one is a replay."""
    FIRED = "fired"
    """The trigger was fired; its effect, if any, is unknown."""


@dataclass(frozen=True, slots=True)
class StepResult:
    """The result of a step. value: the id; None: nothing. attempts: how often it was tried."""

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

    origin: the delivery whose id is written on new documents: the first of a chain of replays, so that no replay makes
    them again. call: has template 0 if no workflow is started, because the last step is a trigger.
    """

    origin: str
    steps: tuple[Step, ...]
    call: Call

    def shown(self, known: Mapping[str, Any] | None = None) -> Call:
        """The call for people while results are missing: placeholders are text, such as `LEAD_{lead}`."""
        results = known or {}
        module, entity, document = (str(shown(member, results)) for member in self.call.document_id)
        parameters = shown(self.call.parameters, results)
        return replace(self.call, document_id=(module, entity, document), parameters=parameters)

    def filled(self, results: Mapping[str, Any]) -> Call:
        """The call with the results of all steps filled in.

        The document always has a number: `rules check` refuses a rule whose document could be nothing.
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
    """Whether a value is neither None nor an empty text or list."""
    return value is not None and value not in ("", [], ())


def _is_long(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return any(_is_long(entry) for entry in value)
    return isinstance(value, str) and len(value) > LONGEST_IN_BATCH


@dataclass(frozen=True, slots=True)
class StepRequirement:
    """The fields that one step looks for or writes. own_field: a quote's field for the relay's id."""

    name: str
    kind: StepKind
    entity: str
    type_id: int | None
    fields: tuple[str, ...]
    own_field: str = ""

    @classmethod
    def from_wire(cls, wire: Mapping[str, Any]) -> StepRequirement:
        return cls(**(dict(wire) | {"kind": StepKind(wire["kind"]), "fields": tuple(wire["fields"])}))


@dataclass(frozen=True, slots=True)
class Requirement:
    """The requirements of one rule's `start` and the steps before it.

    template_id: 0 if no workflow is started. document: module, entity class, and the fixed part of the id, such as
    `LEAD_`.
    """

    rule: str
    portal: str
    template_id: int
    document: tuple[str, str, str]
    parameters: tuple[str, ...]
    steps: tuple[StepRequirement, ...] = ()

    @property
    def scopes(self) -> tuple[tuple[str, ...], ...]:
        """The scopes that the credential needs: any one of each entry (b24restdocs,
        api-reference/scopes/permissions.md).

        `user_brief` allows `user.get`, too, but without the fields by which people are found.
        """
        by_user = [step.entity == USER for step in self.steps]
        needed = {
            ("bizproc",): self.template_id != 0,
            ("crm",): not all(by_user),
            ("user_basic", "user"): any(by_user),
        }
        return tuple(scope for scope, is_needed in needed.items() if is_needed)

    def to_wire(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_wire(cls, wire: Mapping[str, Any]) -> Requirement:
        module, entity, fixed = wire["document"]
        return cls(
            rule=wire["rule"],
            portal=wire["portal"],
            template_id=wire["template_id"],
            document=(module, entity, fixed),
            parameters=tuple(wire["parameters"]),
            # Missing in records of earlier versions.
            steps=tuple(StepRequirement.from_wire(step) for step in wire.get("steps", ())),
        )
