"""Compares the steps of rules with their portal: scopes, fields, whether our own id can be looked for. Makes nothing.

Bitrix24 leaves out a field that it does not know, without a word, so a misspelled one would be missed only by whoever
waits for its value (docs: api-reference/crm/universal/crm-item-fields.md, crm-item-list.md, crm-settings-mode-get.md).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from relay.core.drift import Drift, DriftKind
from relay.core.entities import COMMUNICATIONS, DYNAMIC, own_id_fields
from relay.core.lifecycle import Verdict
from relay.core.plan import StepKind
from relay.core.requirements import Requirement, StepRequirement
from workers.bitrix24.answers import Answer
from workers.bitrix24.verdicts import judge
from workers.portal.client import PacedClient

FIELDS, ITEMS, MODE = "crm.item.fields", "crm.item.list", "crm.settings.mode.get"
WITHOUT_LEADS = 2
NOBODYS = "relay-looks-whether-it-may"
"""An own id that nothing carries."""
CUSTOM = "ufCrm"
"""How the names of custom fields begin. Of others, one that is required may have a default, such as `opened`."""

Found = tuple[Requirement, StepRequirement]


def find_missing_scopes(requirements: Iterable[Requirement], granted: Sequence[Any]) -> list[Drift]:
    """The scopes that a rule needs and the credential lacks. granted: the portal's answer to `scope`."""
    return [
        Drift(DriftKind.NO_SCOPE, requirement.rule, requirement.template_id, wanted[0])
        for requirement in requirements
        for wanted in requirement.scopes
        if not set(wanted) & set(granted)
    ]


def find_step_drift(line: PacedClient, requirements: Iterable[Requirement]) -> list[Drift]:
    """What of their steps does not fit the portal; of each kind of document it is asked once."""
    by_type: dict[int, list[Found]] = {}
    for requirement in requirements:
        for step in requirement.steps:
            if step.type_id is not None:
                by_type.setdefault(step.type_id, []).append((requirement, step))
    found = [one for type_id, steps in by_type.items() for one in _drift_of_type(line, type_id, steps)]
    return found + _leads_without_leads(line, [one for steps in by_type.values() for one in steps])


def _drift_of_type(line: PacedClient, type_id: int, steps: Sequence[Found]) -> Iterator[Drift]:
    answer = _ask(line, FIELDS, {"entityTypeId": type_id})
    described = answer.result.get("fields") if isinstance(answer.result, Mapping) else None
    if not isinstance(described, Mapping):
        if answer.code is not None and judge(answer).verdict not in {Verdict.THROTTLED, Verdict.UNREACHABLE}:
            kind = DriftKind.NO_KIND if answer.code == "NOT_FOUND" else DriftKind.UNDESCRIBED
            yield from (_drift(kind, one, answer.code or "an error") for one in steps)
        return
    for one in steps:
        yield from _drift_of_fields(one, described)
    yield from _lost_own_ids(line, type_id, steps, described)


def _drift_of_fields(found: Found, described: Mapping[str, Any]) -> Iterator[Drift]:
    _, step = found
    names = [name for name in step.fields if name not in COMMUNICATIONS]
    yield from (_drift(DriftKind.UNKNOWN_FIELD, found, name) for name in names if name not in described)
    if step.kind is not StepKind.MAKE:
        return
    for name, field in described.items():
        told = field if isinstance(field, Mapping) else {}
        if name in names and told.get("isReadOnly") is True:
            yield _drift(DriftKind.READ_ONLY_FIELD, found, name)
        is_missed = name not in names and name != step.own_field and told.get("isRequired") is True
        if is_missed and name.startswith(CUSTOM):
            yield _drift(DriftKind.REQUIRED_FIELD, found, name)


def _lost_own_ids(
    line: PacedClient, type_id: int, steps: Sequence[Found], described: Mapping[str, Any]
) -> Iterator[Drift]:
    """A field that cannot be filtered is refused by its name; what is found there is nobody's."""
    made = [one for one in steps if one[1].kind is StepKind.MAKE]
    for fields in dict.fromkeys(own_id_fields(step.entity, step.own_field) for _, step in made):
        wanted = {f"={field}": NOBODYS for field in fields}
        answer = _ask(line, ITEMS, {"entityTypeId": type_id, "filter": wanted, "select": ["id"], "start": -1})
        if answer.code == "INVALID_ARG_VALUE" or not described.keys() >= set(fields):
            carriers = [one for one in made if own_id_fields(one[1].entity, one[1].own_field) == fields]
            yield from (_drift(DriftKind.NO_OWN_ID, one, " and ".join(fields)) for one in carriers)


def _leads_without_leads(line: PacedClient, steps: Sequence[Found]) -> list[Drift]:
    leads = [one for one in steps if one[1].kind is StepKind.MAKE and one[1].entity == "lead"]
    if not leads or _ask(line, MODE, {}).result != WITHOUT_LEADS:
        return []
    return [_drift(DriftKind.NO_LEADS, one) for one in leads]


def _ask(line: PacedClient, method: str, parameters: Mapping[str, Any]) -> Answer:
    line.wait()
    return line.call(method, parameters)


def _drift(kind: DriftKind, found: Found, parameter: str = "") -> Drift:
    requirement, step = found
    document = f"smart process {step.type_id}" if step.entity == DYNAMIC else step.entity
    return Drift(kind, requirement.rule, 0, parameter, document, step.name)
