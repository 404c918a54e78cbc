"""Compares the rules with their portal: what would fail, or silently go wrong, at the next start.

Asks only, and starts and makes nothing. Bitrix24 checks no parameter on start, so a wrong one shows only inside the
workflow, or never (docs: api-reference/bizproc/template/bizproc-workflow-template-list.md). It drops a field that it
does not know, without an error (docs: api-reference/crm/universal/crm-item-fields.md, crm-item-list.md,
crm-settings-mode-get.md).

The watch runs beside the workers. It checks hourly, and within seconds of a change of the rules or the portal. It
reports drift once, and again when it changes. It also keeps the places where an application is shown in step with
portals.yaml, and its tokens alive.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from relay.core.errors import RecordUnavailableError
from relay.core.lifecycle import Verdict
from relay.core.plan import COMMUNICATIONS, DYNAMIC, Requirement, StepKind, StepRequirement, own_id_fields
from relay.core.telemetry import get_logger
from relay.core.templates import Drift, DriftKind
from relay.core.threads import where_of
from workers.bitrix24 import bizproc
from workers.bitrix24.client import Answer
from workers.bitrix24.verdicts import judge
from workers.portal import placing
from workers.portal.client import PacedClient
from workers.portal.context import Context

EVERY = timedelta(hours=1)
LOOK_S = 5.0
"""The web process, started at the same time, has published its requirements by then."""
MOST_TOLD = 10
"""The number of drifts that one alert names."""

log = get_logger()


def run_watch(contexts: Sequence[Context], stop: threading.Event) -> None:
    """Check each portal soon after the start and after a change, then hourly.

    contexts: read anew at each look.
    """
    checked: dict[str, tuple[Context, str, datetime]] = {}
    looking: dict[str, threading.Thread] = {}
    while not stop.wait(LOOK_S):
        for context in tuple(contexts):
            name, now = context.portal.name, context.clock()
            if name in looking and looking[name].is_alive():
                continue
            try:
                digest = context.store.rules.digest() or ""
            except RecordUnavailableError as error:
                log.warning("drift.unchecked", portal=name, reason=str(error))
                continue
            before, of_rules, at = checked.get(name, (None, "", now))
            if before is not context or of_rules != digest or now - at >= EVERY:
                checked[name] = context, digest, now
                # A portal that answers slowly keeps its own thread, and no other portal.
                looking[name] = threading.Thread(target=_check, args=(context,), name=f"watch-{name}", daemon=True)
                looking[name].start()


def _check(context: Context) -> None:
    try:
        placing.keep_in_step(context)
        if context.installed:
            context.installed.keep_alive(context.clock())
        check(context)
    except Exception as error:  # noqa: BLE001 - whatever it is, without its values
        log.warning("drift.unchecked", portal=context.portal.name, kind=type(error).__name__, where=where_of(error))


def check(context: Context) -> list[Drift]:
    """The drift of the rules from this portal. It is kept on record, and reported when it changes."""
    published = context.store.rules.read()
    if published is None:
        return []
    requirements = [requirement for requirement in published[1] if requirement.portal == context.portal.name]
    drift = _look(context, requirements)
    if drift is None:
        return []
    context.kept.say_checked(published[0])
    if context.kept.keep_drift([one.to_wire() for one in drift]):
        log.warning("rules.drifted", portal=context.portal.name, found=[str(one) for one in drift])
        if serious := [one.to_wire() for one in drift if one.is_serious]:
            context.gate.alert("drift", context.clock(), drift=serious[:MOST_TOLD])
    return drift


def _look(context: Context, requirements: Sequence[Requirement]) -> list[Drift] | None:
    """The drift; None where the portal does not answer, which is the gate's business."""
    client = context.client
    client.wait()
    scope = client.call("scope", {})
    if not isinstance(scope.result, list):
        return None
    missing = find_missing_scopes(requirements, scope.result)
    # Without its scope, nothing of a rule can be compared.
    lacking = {one.rule for one in missing}
    requirements = [requirement for requirement in requirements if requirement.rule not in lacking]
    templates: Mapping[int, Mapping[str, Any]] = {}
    is_cut = False
    if any(requirement.template_id for requirement in requirements):
        templates, answer, is_cut = read_templates(context)
        if not isinstance(answer.result, list):
            return None
    return [*missing, *find_drift(requirements, templates, is_cut=is_cut), *find_step_drift(client, requirements)]


FIELDS = ["ID", "NAME", "DOCUMENT_TYPE", "PARAMETERS"]
LONGEST_NAME = 200
PAGES = 20
"""Fifty templates a page: a portal with more than a thousand is read in part."""


class Templates(NamedTuple):
    """The templates of a portal, by id. answer: the last one, for its error if there is one. is_cut: there are more."""

    by_id: dict[int, Mapping[str, Any]]
    answer: Answer
    is_cut: bool


def read_templates(context: Context) -> Templates:
    """The templates of the portal, up to PAGES pages. Their names are kept for the pages."""
    client = context.client
    templates: dict[int, Mapping[str, Any]] = {}
    start: Any = 0
    for _ in range(PAGES):
        client.wait()
        answer = client.call(bizproc.TEMPLATES, {"SELECT": FIELDS, "start": start})
        rows = answer.result if isinstance(answer.result, list) else []
        listed = [row for row in rows if isinstance(row, dict) and str(row.get("ID")).isdigit()]
        templates.update({int(row["ID"]): row for row in listed})
        start = answer.payload.get("next")
        if not isinstance(start, int):
            break
    names = {number: str(row.get("NAME") or number)[:LONGEST_NAME] for number, row in templates.items()}
    with contextlib.suppress(RecordUnavailableError):  # without names, pages show numbers
        context.kept.keep_template_names(names)
    return Templates(templates, answer, isinstance(start, int))


def find_drift(
    requirements: Iterable[Requirement], templates: Mapping[int, Mapping[str, Any]], *, is_cut: bool = False
) -> list[Drift]:
    """The drift between rules and templates. A rule that starts no workflow needs no template.

    is_cut: the portal has more templates than were read, so a missing one is no drift.
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
        # A missing optional parameter is no drift: few starts fill in all of them.
        required = isinstance(parameter, dict) and parameter.get("Required") in (True, 1, "1", "Y")
        if required and name not in requirement.parameters:
            found.append(drift(DriftKind.REQUIRED, str(name)))
    unknown = [name for name in requirement.parameters if name not in declared]
    return found + [drift(DriftKind.UNDECLARED, name) for name in unknown]


def _fits(document: Sequence[str], kind: Sequence[Any]) -> bool:
    """Whether a template of this document type can be started on the document."""
    if list(document[:2]) != [str(part) for part in kind[:2]]:
        return False
    fixed, name = document[2], str(kind[2])
    # Only CRM ids begin with their type; the rest of `fixed` may be a `{value}`.
    return document[0] != "crm" or fixed.startswith(f"{name}_") or f"{name}_".startswith(fixed)


FIELDS_METHOD, ITEMS_METHOD, MODE_METHOD = "crm.item.fields", "crm.item.list", "crm.settings.mode.get"
WITHOUT_LEADS = 2
NOBODYS = "relay-looks-whether-it-may"
"""An own id that no document carries."""
CUSTOM = "ufCrm"
"""The prefix of custom fields. Other required fields may have a default, such as `opened`."""

StepOfRule = tuple[Requirement, StepRequirement]


def find_missing_scopes(requirements: Iterable[Requirement], granted: Sequence[Any]) -> list[Drift]:
    """The scopes that a rule needs and the credential lacks. granted: the portal's answer to `scope`."""
    return [
        Drift(DriftKind.NO_SCOPE, requirement.rule, requirement.template_id, wanted[0])
        for requirement in requirements
        for wanted in requirement.scopes
        if not set(wanted) & set(granted)
    ]


def find_step_drift(client: PacedClient, requirements: Iterable[Requirement]) -> list[Drift]:
    """The drift of the rules' steps. The portal is asked once for each kind of document."""
    by_type: dict[int, list[StepOfRule]] = {}
    for requirement in requirements:
        for step in requirement.steps:
            if step.type_id is not None:
                by_type.setdefault(step.type_id, []).append((requirement, step))
    found = [one for type_id, steps in by_type.items() for one in _drift_of_type(client, type_id, steps)]
    return found + _leads_without_leads(client, [one for steps in by_type.values() for one in steps])


def _drift_of_type(client: PacedClient, type_id: int, steps: Sequence[StepOfRule]) -> Iterator[Drift]:
    answer = _ask(client, FIELDS_METHOD, {"entityTypeId": type_id})
    described = answer.result.get("fields") if isinstance(answer.result, Mapping) else None
    if not isinstance(described, Mapping):
        if answer.code is not None and judge(answer).verdict not in {Verdict.THROTTLED, Verdict.UNREACHABLE}:
            kind = DriftKind.NO_KIND if answer.code == "NOT_FOUND" else DriftKind.UNDESCRIBED
            yield from (_step_drift(kind, one, answer.code or "an error") for one in steps)
        return
    for one in steps:
        yield from _drift_of_fields(one, described)
    yield from _lost_own_ids(client, type_id, steps, described)


def _drift_of_fields(found: StepOfRule, described: Mapping[str, Any]) -> Iterator[Drift]:
    _, step = found
    names = [name for name in step.fields if name not in COMMUNICATIONS]
    yield from (_step_drift(DriftKind.UNKNOWN_FIELD, found, name) for name in names if name not in described)
    if step.kind is not StepKind.MAKE:
        return
    for name, field in described.items():
        told = field if isinstance(field, Mapping) else {}
        if name in names and told.get("isReadOnly") is True:
            yield _step_drift(DriftKind.READ_ONLY_FIELD, found, name)
        is_missed = name not in names and name != step.own_field and told.get("isRequired") is True
        if is_missed and name.startswith(CUSTOM):
            yield _step_drift(DriftKind.REQUIRED_FIELD, found, name)


def _lost_own_ids(
    client: PacedClient, type_id: int, steps: Sequence[StepOfRule], described: Mapping[str, Any]
) -> Iterator[Drift]:
    """Rules whose own id cannot be looked up: the portal refuses a filter on the field, or does not have it."""
    made = [one for one in steps if one[1].kind is StepKind.MAKE]
    for fields in dict.fromkeys(own_id_fields(step.entity, step.own_field) for _, step in made):
        wanted = {f"={field}": NOBODYS for field in fields}
        answer = _ask(client, ITEMS_METHOD, {"entityTypeId": type_id, "filter": wanted, "select": ["id"], "start": -1})
        if answer.code == "INVALID_ARG_VALUE" or not described.keys() >= set(fields):
            carriers = [one for one in made if own_id_fields(one[1].entity, one[1].own_field) == fields]
            yield from (_step_drift(DriftKind.NO_OWN_ID, one, " and ".join(fields)) for one in carriers)


def _leads_without_leads(client: PacedClient, steps: Sequence[StepOfRule]) -> list[Drift]:
    leads = [one for one in steps if one[1].kind is StepKind.MAKE and one[1].entity == "lead"]
    if not leads or _ask(client, MODE_METHOD, {}).result != WITHOUT_LEADS:
        return []
    return [_step_drift(DriftKind.NO_LEADS, one) for one in leads]


def _ask(client: PacedClient, method: str, parameters: Mapping[str, Any]) -> Answer:
    client.wait()
    return client.call(method, parameters)


def _step_drift(kind: DriftKind, found: StepOfRule, parameter: str = "") -> Drift:
    requirement, step = found
    document = f"smart process {step.type_id}" if step.entity == DYNAMIC else step.entity
    return Drift(kind, requirement.rule, 0, parameter, document, step.name)
