"""Asks a portal whether deliveries can succeed: credential, scope, administrator, templates, rules. Starts nothing.

For a terminal and for the dashboard alike, so it prints nothing. A portal that answers badly is a finding, no error.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from relay.core.errors import RecordUnavailableError
from relay.core.reasons import explain
from relay.core.requirements import Requirement
from workers.bitrix24.answers import Answer
from workers.bitrix24.verdicts import judge
from workers.checks.drift import find_drift, read_templates
from workers.checks.step_drift import find_step_drift
from workers.portal.client import PacedClient
from workers.portal.context import Context

BIZPROC = ("bizproc",)


@dataclass(frozen=True, slots=True)
class Findings:
    """A sentence for each thing that was looked at."""

    lines: tuple[str, ...]
    is_well: bool


def check_up(context: Context) -> Findings:
    """Look at everything, up to the first thing that makes the rest pointless. Raises RecordUnavailableError."""
    line = context.client
    line.wait()
    scope = line.call("scope", {})
    if not isinstance(scope.result, list):
        return Findings((trouble_of(scope),), is_well=False)
    lines = [f"the credential is accepted by {context.address.host}"]
    requirements = _requirements(context)
    needed = _scopes_of(requirements)
    lacking = [wanted[0] for wanted in needed if not set(wanted) & set(scope.result)]
    if lacking:
        lines += [f"the credential lacks the scope {one}: add it on the portal" for one in lacking]
        return Findings(tuple(lines), is_well=False)
    if requirements:
        lines.append(f"the rules need {', '.join(wanted[0] for wanted in needed)}, which it may use")
    templates: Mapping[int, Mapping[str, Any]] = {}
    is_cut = False
    if BIZPROC in needed:
        if wrong := _not_an_administrator(line):
            return Findings((*lines, wrong), is_well=False)
        templates, answer, is_cut = read_templates(line)
        if not isinstance(answer.result, list):
            return Findings((*lines, trouble_of(answer)), is_well=False)
        lines.append(f"{len(templates)} templates can be started")
    if requirements is None:
        unknown = "no rules are on record yet: start the web process once, then ping again"
        return Findings((*lines, unknown), is_well=True)
    drift = find_drift(requirements, templates, is_cut=is_cut) + find_step_drift(line, requirements)
    serious = {one.rule for one in drift if one.is_serious}
    summary = f"{len(requirements)} rules, {len(serious)} that do not fit"
    return Findings((*lines, *map(str, drift), summary), is_well=not serious)


def _scopes_of(requirements: Iterable[Requirement] | None) -> list[tuple[str, ...]]:
    """What the rules need, each once; what a start needs where there are none yet."""
    found = [wanted for requirement in requirements or () for wanted in requirement.scopes]
    return list(dict.fromkeys(found)) or [BIZPROC]


def _not_an_administrator(line: PacedClient) -> str | None:
    line.wait()
    profile = line.call("profile", {})
    if isinstance(profile.result, dict) and profile.result.get("ADMIN") is True:
        return None
    return "the credential's owner is no administrator: starts will be denied"


def trouble_of(answer: Answer) -> str:
    """What an answer that is none means, for a person."""
    judgement = judge(answer)
    return f"{explain(judgement.reason, judgement.verdict)} [status {answer.status}, code {answer.code!r}]"


def _requirements(context: Context) -> list[Requirement] | None:
    try:
        published = context.store.published_rules()
    except RecordUnavailableError:
        return None
    return (
        [requirement for requirement in published[1] if requirement.portal == context.portal.name]
        if published
        else None
    )
