"""Beside the workers, now and then: does every rule still fit its template? Reports drift once, and when it changes."""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from relay.core.errors import RecordUnavailableError
from relay.core.telemetry import get_logger
from relay.store.portals.requirements import published_rules
from relay.store.redis import keys
from relay.store.redis.guard import guarded
from workers.checks.drift import find_drift, read_templates
from workers.portal.context import Desk

EVERY = timedelta(hours=1)
FIRST_AFTER_S = 5.0
"""The web process, started at the same time, has left its outlines by then."""

log = get_logger()


def run_watch(desks: Sequence[Desk], stop: threading.Event) -> None:
    """Check soon after the start, then hourly."""
    pause_s = FIRST_AFTER_S
    while not stop.wait(pause_s):
        for desk in desks:
            try:
                check(desk)
            except RecordUnavailableError as error:
                log.warning("drift.unchecked", portal=desk.portal.name, reason=str(error))
        pause_s = EVERY.total_seconds()


def check(desk: Desk) -> list[str]:
    """What of the rules does not fit this portal; kept on record, reported where it has changed."""
    published = published_rules(desk.record.redis)
    if published is None:
        return []
    templates, answer = read_templates(desk.line)
    if not isinstance(answer.result, list):
        return []  # the portal's trouble is the gate's business
    drift = find_drift([outline for outline in published[1] if outline.portal == desk.portal.name], templates)
    if _keep(desk, drift):
        log.warning("rules.drifted", portal=desk.portal.name, found=drift)
        if drift:
            desk.gate.alert("drift", "; ".join(drift)[:1000], desk.clock())
    return drift


@guarded
def _keep(desk: Desk, drift: list[str]) -> bool:
    key, text = keys.DRIFT + desk.portal.name, json.dumps(drift)
    before: Any = desk.record.redis.getset(key, text)
    return (before or b"[]").decode() != text
