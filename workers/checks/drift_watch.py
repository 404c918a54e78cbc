"""Beside the workers, now and then: does every rule still fit its template? Reports drift once, and when it changes."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from datetime import timedelta

from relay.core.drift import Drift
from relay.core.errors import RecordUnavailableError
from relay.core.telemetry import get_logger
from workers.checks.drift import find_drift, read_templates
from workers.portal.context import Context

EVERY = timedelta(hours=1)
FIRST_AFTER_S = 5.0
"""The web process, started at the same time, has left its requirements by then."""

log = get_logger()


def run_watch(contexts: Sequence[Context], stop: threading.Event) -> None:
    """Check soon after the start, then hourly."""
    pause_s = FIRST_AFTER_S
    while not stop.wait(pause_s):
        for context in contexts:
            try:
                check(context)
            except RecordUnavailableError as error:
                log.warning("drift.unchecked", portal=context.portal.name, reason=str(error))
        pause_s = EVERY.total_seconds()


def check(context: Context) -> list[Drift]:
    """What of the rules does not fit this portal; kept on record, reported where it has changed."""
    published = context.store.published_rules()
    if published is None:
        return []
    templates, answer = read_templates(context.client)
    if not isinstance(answer.result, list):
        return []  # the portal's trouble is the gate's business
    drift = find_drift(
        [requirement for requirement in published[1] if requirement.portal == context.portal.name], templates
    )
    if context.kept.keep_drift([one.to_wire() for one in drift]):
        log.warning("rules.drifted", portal=context.portal.name, found=[str(one) for one in drift])
        if drift:
            context.gate.alert("drift", "; ".join(map(str, drift))[:1000], context.clock())
    return drift
