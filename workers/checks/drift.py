"""Compares rules with the templates of a portal: what would fail, or quietly go wrong, at the next start.

Asks, starts nothing. Bitrix24 checks no parameter on start, so a wrong one shows only inside the process, or never
(docs: api-reference/bizproc/template/bizproc-workflow-template-list.md lists parameters with type and Required).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from relay.core.requirements import Outline
from workers.bitrix24 import bizproc
from workers.bitrix24.answers import Answer
from workers.portal.client import Line

FIELDS = ["ID", "NAME", "DOCUMENT_TYPE", "PARAMETERS"]
PAGES = 20
"""Fifty templates a page: a portal with more than a thousand is read in part."""


def read_templates(line: Line) -> tuple[dict[int, Mapping[str, Any]], Answer]:
    """Every template of the portal by id, and the last answer, which tells why there are none."""
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
    return templates, answer


def find_drift(outlines: Iterable[Outline], templates: Mapping[int, Mapping[str, Any]]) -> list[str]:
    """What does not fit, a sentence each."""
    return [text for outline in outlines for text in _drift_of(outline, templates.get(outline.template_id))]


def _drift_of(outline: Outline, template: Mapping[str, Any] | None) -> list[str]:
    where = f"rule {outline.rule}, template {outline.template_id}"
    if template is None:
        return [f"{where}: the portal has no such template (or it is a robot's)"]
    found = []
    kind = template.get("DOCUMENT_TYPE")
    if isinstance(kind, list) and len(kind) == 3 and not _fits(outline.document, kind):
        found.append(f"{where}: the template is for {kind[-1]}, the rule names a {outline.document[1]}")
    declared = template.get("PARAMETERS")
    if not isinstance(declared, dict):
        declared = {}
    for name, parameter in declared.items():
        required = isinstance(parameter, dict) and parameter.get("Required") in (True, 1, "1", "Y")
        if name not in outline.parameters:
            needed = "requires" if required else "declares"
            found.append(f"{where}: the template {needed} {name}, the rule does not send it")
    unknown = [name for name in outline.parameters if name not in declared]
    return found + [f"{where}: the rule sends {name}, the template does not declare it" for name in unknown]


def _fits(document: Sequence[str], kind: Sequence[Any]) -> bool:
    """Whether a template of this type can be started on such a document."""
    if list(document[:2]) != [str(part) for part in kind[:2]]:
        return False
    fixed, name = document[2], str(kind[2])
    # Only ids of CRM begin with their type; a `{value}` may stand where it is not fixed.
    return document[0] != "crm" or fixed.startswith(f"{name}_") or f"{name}_".startswith(fixed)
