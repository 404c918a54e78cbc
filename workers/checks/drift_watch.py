"""Beside the workers, now and then: does every rule still fit its template and its portal?

Reports drift once, and when it changes. Other rules, or another portal, are looked at within seconds.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from relay.core.drift import Drift
from relay.core.errors import RecordUnavailableError
from relay.core.requirements import Requirement
from relay.core.telemetry import get_logger
from relay.core.threads import where_of
from workers.checks.drift import find_drift, read_templates
from workers.checks.step_drift import find_missing_scopes, find_step_drift
from workers.portal.client import PacedClient
from workers.portal.context import Context

EVERY = timedelta(hours=1)
LOOK_S = 5.0
MOST_TOLD = 10
"""The web process, started at the same time, has left its requirements by then."""

log = get_logger()


def run_watch(contexts: Sequence[Context], stop: threading.Event) -> None:
    """Check soon after the start and after a change, then hourly, each portal by itself.

    contexts: may be others each time.
    """
    checked: dict[str, tuple[Context, str, datetime]] = {}
    looking: dict[str, threading.Thread] = {}
    while not stop.wait(LOOK_S):
        for context in tuple(contexts):
            name, now = context.portal.name, context.clock()
            if name in looking and looking[name].is_alive():
                continue
            try:
                digest = context.store.rules_digest() or ""
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
        check(context)
    except Exception as error:  # noqa: BLE001 - whatever it is, without its values
        log.warning("drift.unchecked", portal=context.portal.name, kind=type(error).__name__, where=where_of(error))


def check(context: Context) -> list[Drift]:
    """What of the rules does not fit this portal; kept on record, reported where it has changed."""
    published = context.store.published_rules()
    if published is None:
        return []
    requirements = [requirement for requirement in published[1] if requirement.portal == context.portal.name]
    drift = _look(context.client, requirements)
    if drift is None:
        return []
    context.kept.say_checked(published[0])
    if context.kept.keep_drift([one.to_wire() for one in drift]):
        log.warning("rules.drifted", portal=context.portal.name, found=[str(one) for one in drift])
        if serious := [one.to_wire() for one in drift if one.is_serious]:
            context.gate.alert("drift", context.clock(), drift=serious[:MOST_TOLD])
    return drift


def _look(client: PacedClient, requirements: Sequence[Requirement]) -> list[Drift] | None:
    """None where the portal does not answer: its trouble is the gate's business."""
    client.wait()
    scope = client.call("scope", {})
    if not isinstance(scope.result, list):
        return None
    missing = find_missing_scopes(requirements, scope.result)
    # Without its scope, a rule has nothing that could be compared.
    lacking = {one.rule for one in missing}
    requirements = [requirement for requirement in requirements if requirement.rule not in lacking]
    templates: Mapping[int, Mapping[str, Any]] = {}
    is_cut = False
    if any(requirement.template_id for requirement in requirements):
        templates, answer, is_cut = read_templates(client)
        if not isinstance(answer.result, list):
            return None
    return [*missing, *find_drift(requirements, templates, is_cut=is_cut), *find_step_drift(client, requirements)]
