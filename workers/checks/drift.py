"""Compares rules with the templates of a portal: what would fail, or quietly go wrong, at the next start.

Asks, starts nothing. Bitrix24 checks no parameter on start, so a wrong one shows only inside the process, or never
(docs: api-reference/bizproc/template/bizproc-workflow-template-list.md lists parameters with type and Required).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from relay.core.drift import Drift, DriftKind
from relay.core.requirements import Requirement
from workers.bitrix24 import bizproc
from workers.bitrix24.answers import Answer
from workers.portal.client import PacedClient

FIELDS = ["ID", "NAME", "DOCUMENT_TYPE", "PARAMETERS"]
PAGES = 20
"""Fifty templates a page: a portal with more than a thousand is read in part."""


class Templates(NamedTuple):
    """What a portal has, by id. answer: the last one, which tells why there are none. is_cut: it has more."""

    by_id: dict[int, Mapping[str, Any]]
    answer: Answer
    is_cut: bool


def read_templates(line: PacedClient) -> Templates:
    """The templates of the portal, so many at most."""
    templates: dict[int, Mapping[str, Any]] = {}
    start: Any = 0
    for _ in range(PAGES):
        line.wait()
        answer = line.call(bizproc.TEMPLATES, {"SELECT": FIELDS, "start": start})
        rows = answer.result if isinstance(answer.result, list) else []
        listed = [row for row in rows if isinstance(row, dict) and str(row.get("ID")).isdigit()]
        templates.update({int(row["ID"]): row for row in listed})
        start = answer.payload.get("next")
        if not isinstance(start, int):
            break
    return Templates(templates, answer, isinstance(start, int))


def find_drift(
    requirements: Iterable[Requirement], templates: Mapping[int, Mapping[str, Any]], *, is_cut: bool = False
) -> list[Drift]:
    """What does not fit. A rule that starts no workflow needs no template.

    is_cut: the portal has more templates than were read, and one that is not among them is no drift.
    """
    return [
        one
        for requirement in requirements
        if requirement.template_id and not (is_cut and requirement.template_id not in templates)
        for one in _drift_of(requirement, templates.get(requirement.template_id))
    ]


def _drift_of(requirement: Requirement, template: Mapping[str, Any] | None) -> list[Drift]:
    def drift(kind: DriftKind, parameter: str = "", document: str = "") -> Drift:
        return Drift(kind, requirement.rule, requirement.template_id, parameter, document)

    if template is None:
        return [drift(DriftKind.NO_TEMPLATE)]
    found = []
    kind = template.get("DOCUMENT_TYPE")
    if isinstance(kind, list) and len(kind) == 3 and not _fits(requirement.document, kind):
        found.append(drift(DriftKind.OTHER_DOCUMENT, str(kind[-1]), requirement.document[1]))
    declared = template.get("PARAMETERS")
    if not isinstance(declared, dict):
        declared = {}
    for name, parameter in declared.items():
        # An optional one that is not sent is no trouble: a template has many that only some who start it fill in.
        required = isinstance(parameter, dict) and parameter.get("Required") in (True, 1, "1", "Y")
        if required and name not in requirement.parameters:
            found.append(drift(DriftKind.REQUIRED, str(name)))
    unknown = [name for name in requirement.parameters if name not in declared]
    return found + [drift(DriftKind.UNDECLARED, name) for name in unknown]


def _fits(document: Sequence[str], kind: Sequence[Any]) -> bool:
    """Whether a template of this type can be started on such a document."""
    if list(document[:2]) != [str(part) for part in kind[:2]]:
        return False
    fixed, name = document[2], str(kind[2])
    # Only ids of CRM begin with their type; a `{value}` may stand where it is not fixed.
    return document[0] != "crm" or fixed.startswith(f"{name}_") or f"{name}_".startswith(fixed)
