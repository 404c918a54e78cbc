"""The templates of a portal as it describes them, and what of a rule does not fit its template or its portal.

Workers ask for templates, find drift and leave both on record; the web process reads them there
(store/portals/questions.py). Shape: b24restdocs, api-reference/bizproc/template/bizproc-workflow-template-list.md.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from relay.core.phrases import Phrase, phrase, verbatim
from relay.core.plan import TYPE_IDS, USER


@dataclass(frozen=True, slots=True)
class TemplateParameter:
    """One parameter. id: what a rule writes; title: what people read on the portal; kind: user, string, and so on."""

    id: str
    title: str
    kind: str
    is_required: bool
    is_multiple: bool


@dataclass(frozen=True, slots=True)
class PortalTemplate:
    """One template. document_type: module, entity class and type, such as LEAD."""

    id: int
    name: str
    document_type: tuple[str, ...]
    parameters: tuple[TemplateParameter, ...] = ()

    @classmethod
    def from_row(cls, number: int, row: Mapping[str, Any]) -> PortalTemplate:
        """Read a row of the portal's answer; undocumented values are left out."""
        kind, declared = row.get("DOCUMENT_TYPE"), row.get("PARAMETERS")
        parameters = declared.items() if isinstance(declared, dict) else ()
        return cls(
            number,
            str(row.get("NAME") or number),
            tuple(str(part) for part in kind) if isinstance(kind, list) else (),
            tuple(_parameter(str(name), one if isinstance(one, dict) else {}) for name, one in parameters),
        )

    def to_wire(self) -> dict[str, Any]:
        parameters = [[one.id, one.title, one.kind, one.is_required, one.is_multiple] for one in self.parameters]
        return {"id": self.id, "name": self.name, "type": list(self.document_type), "parameters": parameters}

    @classmethod
    def from_wire(cls, wire: Mapping[str, Any]) -> PortalTemplate:
        parameters = tuple(TemplateParameter(*one) for one in wire["parameters"])
        return cls(wire["id"], wire["name"], tuple(wire["type"]), parameters)


def templates_of(text: str) -> list[PortalTemplate]:
    """The templates in a worker's answer, sorted by name."""
    found = [PortalTemplate.from_wire(wire) for wire in json.loads(text)]
    return sorted(found, key=lambda one: (one.name.casefold(), one.id))


def _parameter(name: str, described: Mapping[str, Any]) -> TemplateParameter:
    def is_set(key: str) -> bool:
        return described.get(key) in (True, 1, "1", "Y")

    title = str(described.get("Name") or name)
    return TemplateParameter(name, title, str(described.get("Type") or ""), is_set("Required"), is_set("Multiple"))


def name_of_document(kind: str) -> Phrase:
    """A kind of documents as people call it; a smart process has the name of its kind only."""
    return phrase(kind) if kind in TYPE_IDS or kind == USER else verbatim(kind)


class DriftKind(StrEnum):
    """Kinds of drift."""

    NO_TEMPLATE = "no_template"
    OTHER_DOCUMENT = "other_document"
    REQUIRED = "required"
    UNDECLARED = "undeclared"
    NO_SCOPE = "no_scope"
    NO_KIND = "no_kind"
    UNDESCRIBED = "undescribed"
    UNKNOWN_FIELD = "unknown_field"
    READ_ONLY_FIELD = "read_only_field"
    REQUIRED_FIELD = "required_field"
    NO_OWN_ID = "no_own_id"
    NO_LEADS = "no_leads"


WORDS = {
    DriftKind.NO_TEMPLATE: "the portal has no such template (or it is a robot's)",
    DriftKind.OTHER_DOCUMENT: "the template is for %(parameter)s, the rule names a %(document)s",
    DriftKind.REQUIRED: "the template requires %(parameter)s, the rule does not send it",
    DriftKind.UNDECLARED: "the rule sends %(parameter)s, the template does not declare it",
    DriftKind.NO_SCOPE: "the credential lacks the scope %(parameter)s: add it on the portal",
    DriftKind.NO_KIND: "the portal has no %(document)s",
    DriftKind.UNDESCRIBED: "the portal does not describe its %(document)s, and says %(parameter)s: a right, or its "
    "plan",
    DriftKind.UNKNOWN_FIELD: "the portal knows no field %(parameter)s of a %(document)s",
    DriftKind.READ_ONLY_FIELD: "nobody can write %(parameter)s of a %(document)s: the portal would leave it out",
    DriftKind.REQUIRED_FIELD: "the portal requires %(parameter)s of a %(document)s, the rule does not write it",
    DriftKind.NO_OWN_ID: "the portal does not look for %(parameter)s of a %(document)s: after a lost answer, "
    "nobody could tell whether it was made",
    DriftKind.NO_LEADS: "the portal works without leads: it turns a new one into a deal at once",
}
LIGHT = frozenset({DriftKind.NO_LEADS})
"""Drift that may be intended: a call succeeds and loses nothing."""


@dataclass(frozen=True, slots=True)
class Drift:
    """One mismatch. parameter: its name, or the kind of document of the template. document: the one that the rule
    names.

    step: the name of a find or a make; template_id is 0 then, parameter is a field, a scope or the portal's code, and
    document is the kind.
    """

    kind: DriftKind
    rule: str
    template_id: int
    parameter: str = ""
    document: str = ""
    step: str = ""

    @property
    def is_serious(self) -> bool:
        """Whether a call would fail or lose a value."""
        return self.kind not in LIGHT

    @property
    def words(self) -> Phrase:
        """The mismatch, without its place."""
        return phrase(WORDS[self.kind], parameter=self.parameter, document=name_of_document(self.document))

    def __str__(self) -> str:
        return self.sentence

    @property
    def sentence(self) -> Phrase:
        """The place and the mismatch."""
        if self.step:
            return phrase("rule %(rule)s, step %(step)s: %(what)s", rule=self.rule, step=self.step, what=self.words)
        place = {"rule": self.rule, "template": self.template_id}
        return phrase("rule %(rule)s, template %(template)s: %(what)s", **place, what=self.words)

    def to_wire(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_wire(cls, wire: Mapping[str, Any]) -> Drift:
        return cls(**{**wire, "kind": DriftKind(wire["kind"])})


def read_drift(wires: Iterable[Mapping[str, Any]]) -> list[Drift]:
    """Read what workers left on record. Kinds that only another version knows are left out."""
    known = set(DriftKind)
    return [Drift.from_wire(wire) for wire in wires if wire["kind"] in known]
