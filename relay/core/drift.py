"""What of a rule does not fit its template: a fact that workers leave, and its words for people."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any


class DriftKind(StrEnum):
    """What does not fit."""

    NO_TEMPLATE = "no_template"
    OTHER_DOCUMENT = "other_document"
    REQUIRED = "required"
    OPTIONAL = "optional"
    UNDECLARED = "undeclared"


WORDS = {
    DriftKind.NO_TEMPLATE: "the portal has no such template (or it is a robot's)",
    DriftKind.OTHER_DOCUMENT: "the template is for {parameter}, the rule names a {document}",
    DriftKind.REQUIRED: "the template requires {parameter}, the rule does not send it",
    DriftKind.OPTIONAL: "the template declares {parameter}, the rule does not send it",
    DriftKind.UNDECLARED: "the rule sends {parameter}, the template does not declare it",
}


@dataclass(frozen=True, slots=True)
class Drift:
    """One thing. parameter: its name, or the kind of document the template is for. document: what the rule names."""

    kind: DriftKind
    rule: str
    template_id: int
    parameter: str = ""
    document: str = ""

    @property
    def is_serious(self) -> bool:
        """Whether a call would fail or lose a value; else the template only has an optional parameter more."""
        return self.kind is not DriftKind.OPTIONAL

    @property
    def words(self) -> str:
        """What does not fit, without where."""
        return WORDS[self.kind].format(parameter=self.parameter, document=self.document)

    def __str__(self) -> str:
        return f"rule {self.rule}, template {self.template_id}: {self.words}"

    def to_wire(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_wire(cls, wire: Mapping[str, Any]) -> Drift:
        return cls(**{**wire, "kind": DriftKind(wire["kind"])})
