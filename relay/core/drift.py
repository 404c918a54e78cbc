"""What of a rule does not fit its template or its portal: a fact that workers leave, and its words for people."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from relay.core.phrases import Phrase, phrase


class DriftKind(StrEnum):
    """What does not fit."""

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
"""What may be meant so: a call succeeds and loses nothing."""


@dataclass(frozen=True, slots=True)
class Drift:
    """One thing. parameter: its name, or the kind of document the template is for. document: what the rule names.

    step: where it is one of a find or a make; template_id is 0 then. There, parameter is a field, a scope or the
    portal's code, and document the kind.
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
        """What does not fit, without where."""
        return phrase(WORDS[self.kind], parameter=self.parameter, document=self.document)

    def __str__(self) -> str:
        return self.sentence

    @property
    def sentence(self) -> Phrase:
        """Where it is, and what does not fit."""
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
    """What workers have left; what another version calls a drift, and this one does not, is left out."""
    known = set(DriftKind)
    return [Drift.from_wire(wire) for wire in wires if wire["kind"] in known]
