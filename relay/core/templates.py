"""A template of a portal as it describes itself: name, kind of document, parameters. Standard library only.

A worker asks for them and leaves them on record; the web process reads them there (store/portals/questions.py). Shape:
b24restdocs, api-reference/bizproc/template/bizproc-workflow-template-list.md.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


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
        """A row of the portal's answer; what is not as documented is left out."""
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
    """The templates of a worker's answer, by their names."""
    found = [PortalTemplate.from_wire(wire) for wire in json.loads(text)]
    return sorted(found, key=lambda one: (one.name.casefold(), one.id))


def _parameter(name: str, described: Mapping[str, Any]) -> TemplateParameter:
    def is_set(key: str) -> bool:
        return described.get(key) in (True, 1, "1", "Y")

    title = str(described.get("Name") or name)
    return TemplateParameter(name, title, str(described.get("Type") or ""), is_set("Required"), is_set("Multiple"))
