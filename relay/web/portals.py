"""What the dashboard and the API show of each portal: gate, pace, what was learnt. Reads the record only."""

from __future__ import annotations

import json
from typing import Any

from relay.events import iso
from relay.ids import utc_now
from relay.store import keys
from relay.store.gate import Gate
from relay.store.learnt import read_learnt
from relay.web.house import house


def portal_wires() -> list[dict[str, Any]]:
    """Each portal as the API tells it. Raises RecordUnavailableError."""
    return [portal_wire(name) for name in house().portals]


def portal_wire(name: str) -> dict[str, Any]:
    """One portal as the API tells it."""
    record, portal, now = house().record, house().portals[name], utc_now()
    view, learnt = Gate(record.redis, name).look(), read_learnt(record.redis, name)
    drift = record.text(keys.DRIFT + name)
    return {
        "name": name,
        "plan": portal.plan,
        "gate": view.state.value,
        "reason": view.reason,
        "advice": view.advice,
        "since": iso(view.since) if view.since else None,
        "until": iso(view.until) if view.until else None,
        "waiting": record.waiting(name, now),
        "own_id": learnt.own_id if portal.own_id == "echo" else "off",
        "operating_s": learnt.operating_s if learnt.reset_at and learnt.reset_at > now else 0.0,
        "operating_limit_s": learnt.operating_limit_s,
        "drift": json.loads(drift) if drift else [],
    }
