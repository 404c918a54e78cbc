"""What the dashboard and the API show of each portal: gate, pace, what was learnt. Reads the record only."""

from __future__ import annotations

import json
from typing import Any

from relay.core.events import iso
from relay.core.ids import utc_now
from relay.health.snapshot import in_line
from relay.store.portals.gate import Gate
from relay.store.portals.learned import Bucket, read_bucket, read_learnt
from relay.store.redis import keys
from relay.web.services import house


def portal_wires() -> list[dict[str, Any]]:
    """Each portal as the API tells it. Raises RecordUnavailableError."""
    return [portal_wire(name) for name in house().portals]


def portal_wire(name: str) -> dict[str, Any]:
    """One portal as the API tells it."""
    record, portal, now = house().record, house().portals[name], utc_now()
    view, learnt = Gate(record.redis, name).look(), read_learnt(record.redis, name)
    return {
        "name": name,
        "plan": portal.plan,
        "gate": view.state.value,
        "reason": view.reason,
        "advice": view.advice,
        "since": iso(view.since) if view.since else None,
        "until": iso(view.until) if view.until else None,
        "waiting": in_line(record, name),
        "due": record.due(name, now),
        "own_id": learnt.own_id if portal.own_id == "echo" else "off",
        "operating_s": learnt.operating_s if learnt.reset_at and learnt.reset_at > now else 0.0,
        "operating_limit_s": learnt.operating_limit_s,
        "drift": drift_of(name),
    }


def drift_of(name: str) -> list[str]:
    """What of the rules does not fit a portal's templates, as the workers have found it."""
    drift = house().record.text(keys.DRIFT + name)
    found: list[str] = json.loads(drift) if drift else []
    return found


def is_serious(drift: str) -> bool:
    """Whether a call would fail or lose a value; else the template only has an optional parameter more."""
    return "the template declares" not in drift


def portal_views() -> list[dict[str, Any]]:
    """Each portal as pages show it: what the API tells, and how full its bucket is. Raises RecordUnavailableError."""
    views = []
    for name, portal in house().portals.items():
        bucket = read_bucket(house().record.redis, name, portal.rate_per_s) if portal.rate_per_s else Bucket()
        pace = {"rate_per_s": portal.rate_per_s, "burst": portal.burst, "batch": portal.batch}
        views.append(portal_wire(name) | pace | {"filled": bucket.filled, "factor": bucket.factor})
    return views
