"""`ping` and `probe`: can deliveries to a portal succeed? Checks credential, scope, rights, templates and rules.

The check itself prints nothing: the dashboard uses it too. A portal that answers badly is a finding, not an error. Only
`probe` starts anything, on purpose.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from relay.core.errors import RecordUnavailableError
from relay.core.findings import Finding, finding
from relay.core.ids import clock_ahead_ms, new_delivery_id, utc_now
from relay.core.plan import Call, DocumentId, Requirement
from relay.core.printing import say
from relay.health.assessment import DEFAULT, IssueCode, Thresholds, assess_clock, assess_portal, snapshot_of_portal
from relay.health.words import sentence_of
from relay.store.portals.applications import InstallationState
from workers.bitrix24 import bizproc, placements
from workers.bitrix24.client import Answer
from workers.bitrix24.verdicts import judge
from workers.checks.drift import find_drift, find_step_drift, read_templates
from workers.portal import placing
from workers.portal.client import PacedClient
from workers.portal.context import Context


def ping(context: Context, thresholds: Thresholds = DEFAULT) -> int:
    """Check credential, scope, administrator, plan, templates and the state of the portal. Starts nothing.

    Returns 0 if all is well, else 1.
    """
    name, now = context.portal.name, context.clock()
    findings = check_up(context)
    for one in findings.found:
        _say(name, one.words)
    # The same needs as on the first page, except drift: the findings are newer.
    needs = [
        *assess_clock(timedelta(milliseconds=clock_ahead_ms())),
        *assess_portal(name, snapshot_of_portal(context.store, name, now), thresholds, now),
    ]
    sentences = [sentence_of(need) for need in needs if need.code is not IssueCode.DRIFT]
    for sentence in sentences:
        say(sentence)
    return 0 if findings.is_well and not sentences else 1


def probe(context: Context, template_id: int, document: DocumentId) -> int:
    """Start one workflow twice under one own id, to see whether the portal honours it: 0 if it does, else 1."""
    name, client = context.portal.name, context.client
    own_id = bizproc.own_id_of(new_delivery_id(utc_now()) + secrets.token_hex(4))
    parameters = bizproc.start_parameters(Call(name, template_id, document, {}), own_id)
    client.wait()
    first = client.call(bizproc.START, parameters)
    verdict = judge(first)
    if verdict.workflow_id is None:
        return _say(name, f"the workflow did not start: {trouble_of(first)}", 1)
    if first.result != own_id:
        context.pace.learn_own_id(context.pace.read(), honoured=False)
        return _say(name, f"own ids are ignored: asked for {own_id}, started {first.result}. Say own_id: off", 1)
    client.wait()
    second = client.call(bizproc.START, parameters)
    if second.description != "WorkflowAlreadyExists":
        return _say(name, f"the id was taken, but a second start was not refused: {trouble_of(second)}", 1)
    context.pace.learn_own_id(context.pace.read(), honoured=True)
    return _say(name, f"own ids are honoured: {own_id} was started once and refused the second time", 0)


def read_document(text: str) -> DocumentId | None:
    """A document as `["crm", "CCrmDocumentLead", "LEAD_1"]` or `crm,CCrmDocumentLead,LEAD_1`."""
    try:
        parts = json.loads(text) if text.startswith("[") else text.split(",")
    except ValueError:
        return None
    if not isinstance(parts, list) or len(parts) != 3 or not all(isinstance(part, str) and part for part in parts):
        return None
    return parts[0], parts[1], parts[2]


def _say(portal: str, text: str, status: int = 0) -> int:
    say(f"{portal}: {text}")
    return status


BIZPROC = ("bizproc",)
FEWEST_ADMINISTRATORS = 2
"""A local application loses its token with its administrator."""


@dataclass(frozen=True, slots=True)
class Findings:
    """A finding of each check."""

    found: tuple[Finding, ...]
    is_well: bool


def check_up(context: Context) -> Findings:
    """Check everything, up to the first failure that makes the rest pointless. Raises RecordUnavailableError."""
    client = context.client
    client.wait()
    scope = client.call("scope", {})
    if not isinstance(scope.result, list):
        return Findings((trouble_of(scope),), is_well=False)
    found = [finding("accepted", host=context.client.host), *_of_application(context)]
    requirements = _requirements(context)
    needed = _scopes_of(requirements)
    lacking = [wanted[0] for wanted in needed if not set(wanted) & set(scope.result)]
    if lacking:
        found += [finding("scope_missing", scope=one) for one in lacking]
        return Findings(tuple(found), is_well=False)
    if requirements:
        found.append(finding("scopes", scopes=[wanted[0] for wanted in needed]))
    templates: Mapping[int, Mapping[str, Any]] = {}
    is_cut = False
    if BIZPROC in needed:
        if wrong := _not_an_administrator(client):
            return Findings((*found, wrong), is_well=False)
        templates, answer, is_cut = read_templates(context)
        if not isinstance(answer.result, list):
            return Findings((*found, trouble_of(answer)), is_well=False)
        found.append(finding("templates", count=len(templates)))
    if requirements is None:
        return Findings((*found, finding("no_rules")), is_well=True)
    drift = find_drift(requirements, templates, is_cut=is_cut) + find_step_drift(client, requirements)
    serious = {one.rule for one in drift if one.is_serious}
    summary = finding("rules", count=len(requirements), misfits=len(serious))
    return Findings((*found, *(Finding("drift", one.to_wire()) for one in drift), summary), is_well=not serious)


def _of_application(context: Context) -> list[Finding]:
    """Whose tokens the portal's application has, and where it is shown."""
    local = context.address.local
    if local is None:
        return []
    by_webhook = [finding("webhook_calls")] if context.address.base_url else []
    placing.keep_in_step(context)
    found = context.store.applications.installation(context.portal.name)
    if found is None or found.state is InstallationState.WAITING:
        return [*by_webhook, finding("application_not_connected")]
    working = [one for one in found.admins if not one.trouble]
    findings = [*by_webhook, finding("administrators", count=len(working))]
    if len(working) < FEWEST_ADMINISTRATORS:
        findings.append(finding("one_administrator"))
    wanted = placements.wanted_of(context.portal.card, menu=context.portal.menu).values()
    if found.placements:
        findings.append(finding("shown", places=list(found.placements)))
    if wanted and not local.handler:
        findings.append(finding("no_handler"))
    elif missing := [name for name in wanted if name not in found.placements]:
        findings.append(finding("not_shown", places=missing))
    return findings


def _scopes_of(requirements: Iterable[Requirement] | None) -> list[tuple[str, ...]]:
    """The scopes that the rules need, each once; the scope of a start where there are no rules yet."""
    found = [wanted for requirement in requirements or () for wanted in requirement.scopes]
    return list(dict.fromkeys(found)) or [BIZPROC]


def _not_an_administrator(client: PacedClient) -> Finding | None:
    client.wait()
    profile = client.call("profile", {})
    if isinstance(profile.result, dict) and profile.result.get("ADMIN") is True:
        return None
    return finding("no_administrator")


def trouble_of(answer: Answer) -> Finding:
    """The meaning of a failed answer, for a person."""
    judgement = judge(answer)
    return finding(
        "trouble",
        reason=judgement.reason,
        verdict=judgement.verdict,
        status=answer.status,
        code=repr(answer.code),
    )


def _requirements(context: Context) -> list[Requirement] | None:
    try:
        published = context.store.rules.read()
    except RecordUnavailableError:
        return None
    return (
        [requirement for requirement in published[1] if requirement.portal == context.portal.name]
        if published
        else None
    )
