"""What the dashboard and the API show of each portal: gate, pace, what was learned. Reads the record only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from relay.configuration.portals import OwnIds
from relay.core.drift import Drift
from relay.core.events import iso
from relay.core.ids import utc_now
from relay.store.portals.gate import View
from relay.web.services import services


@dataclass(frozen=True, slots=True)
class PortalView:
    """One portal. drift: what of the rules does not fit its templates. filled, factor: of its bucket."""

    name: str
    plan: str
    gate: View
    waiting: int
    due: int
    own_id: str | None
    operating_s: float
    operating_limit_s: float
    drift: tuple[Drift, ...]
    rate_per_s: float | None
    burst: int
    batch: int
    filled: float
    factor: float

    def to_wire(self) -> dict[str, Any]:
        """As the API tells it."""
        return {
            "name": self.name,
            "plan": self.plan,
            "gate": self.gate.state.value,
            "reason": self.gate.reason,
            "advice": self.gate.advice,
            "since": iso(self.gate.since) if self.gate.since else None,
            "until": iso(self.gate.until) if self.gate.until else None,
            "waiting": self.waiting,
            "due": self.due,
            "own_id": self.own_id,
            "operating_s": self.operating_s,
            "operating_limit_s": self.operating_limit_s,
            "drift": [str(one) for one in self.drift],
        }


def portal_views() -> list[PortalView]:
    """Each portal. Raises RecordUnavailableError."""
    return [portal_view(name) for name in services().portals]


def portal_view(name: str) -> PortalView:
    """One portal, as it is now. Raises RecordUnavailableError."""
    kept, portal, now = services().store.portal(name), services().portals[name], utc_now()
    learned, bucket = kept.learned(), kept.bucket(portal.rate_per_s)
    return PortalView(
        name=name,
        plan=portal.plan,
        gate=kept.gate.look(),
        waiting=kept.in_line(),
        due=services().record.due(name, now),
        own_id=learned.own_id if portal.own_id is OwnIds.ECHO else OwnIds.OFF,
        operating_s=learned.operating_s(now),
        operating_limit_s=learned.operating_limit_s,
        drift=tuple(drift_of(name)),
        rate_per_s=portal.rate_per_s,
        burst=portal.burst,
        batch=portal.batch,
        filled=bucket.filled,
        factor=bucket.factor,
    )


def drift_of(name: str) -> list[Drift]:
    """What of the rules does not fit a portal's templates, as the workers have found it."""
    return [Drift.from_wire(wire) for wire in services().store.portal(name).drift()]
