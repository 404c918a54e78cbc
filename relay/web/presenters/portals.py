"""What the dashboard and the API show of each portal: gate, pace, what was learned. Reads the record only."""

from __future__ import annotations

from typing import Any

from relay.core.drift import Drift
from relay.core.events import iso
from relay.core.ids import utc_now
from relay.web.services import services


def portal_wires() -> list[dict[str, Any]]:
    """Each portal as the API tells it. Raises RecordUnavailableError."""
    return [portal_wire(name) for name in services().portals]


def portal_wire(name: str) -> dict[str, Any]:
    """One portal as the API tells it."""
    kept, portal, now = services().store.portal(name), services().portals[name], utc_now()
    view, learned = kept.gate.look(), kept.learned()
    return {
        "name": name,
        "plan": portal.plan,
        "gate": view.state.value,
        "reason": view.reason,
        "advice": view.advice,
        "since": iso(view.since) if view.since else None,
        "until": iso(view.until) if view.until else None,
        "waiting": kept.in_line(),
        "due": services().record.due(name, now),
        "own_id": learned.own_id if portal.own_id == "echo" else "off",
        "operating_s": learned.operating_s if learned.reset_at and learned.reset_at > now else 0.0,
        "operating_limit_s": learned.operating_limit_s,
        "drift": [str(one) for one in drift_of(name)],
    }


def drift_of(name: str) -> list[Drift]:
    """What of the rules does not fit a portal's templates, as the workers have found it."""
    return [Drift.from_wire(wire) for wire in services().store.portal(name).drift()]


def portal_views() -> list[dict[str, Any]]:
    """Each portal as pages show it: what the API tells, and how full its bucket is. Raises RecordUnavailableError."""
    views = []
    for name, portal in services().portals.items():
        bucket = services().store.portal(name).bucket(portal.rate_per_s)
        pace = {"rate_per_s": portal.rate_per_s, "burst": portal.burst, "batch": portal.batch}
        drift = {"drift": drift_of(name)}
        views.append(portal_wire(name) | pace | drift | {"filled": bucket.filled, "factor": bucket.factor})
    return views
