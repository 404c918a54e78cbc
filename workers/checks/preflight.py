"""Asks a portal whether deliveries can succeed: credential, scope, administrator, templates, rules. Starts nothing.

For a terminal and for the dashboard alike, so it prints nothing. A portal that answers badly is a finding, no error.
"""

from __future__ import annotations

from dataclasses import dataclass

from relay.core.errors import RecordUnavailableError
from relay.core.reasons import explain
from relay.core.requirements import Requirement
from workers.bitrix24.answers import Answer
from workers.bitrix24.verdicts import judge
from workers.checks.drift import find_drift, read_templates
from workers.portal.context import Context

SCOPE = "bizproc"


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
    if SCOPE not in scope.result:
        return Findings((*lines, f"the credential lacks the scope {SCOPE}: add it on the portal"), is_well=False)
    line.wait()
    profile = line.call("profile", {})
    if not isinstance(profile.result, dict) or profile.result.get("ADMIN") is not True:
        wrong = "the credential's owner is no administrator: starts will be denied"
        return Findings((*lines, wrong), is_well=False)
    templates, answer = read_templates(line)
    if not isinstance(answer.result, list):
        return Findings((*lines, trouble_of(answer)), is_well=False)
    lines.append(f"{len(templates)} templates can be started")
    requirements = _requirements(context)
    if requirements is None:
        unknown = "no rules are on record yet: start the web process once, then ping again"
        return Findings((*lines, unknown), is_well=True)
    drift = find_drift(requirements, templates)
    summary = f"{len(requirements)} rules, {len(drift)} that do not fit"
    return Findings((*lines, *map(str, drift), summary), is_well=not drift)


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
