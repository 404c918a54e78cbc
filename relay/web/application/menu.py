"""A portal's last day in numbers, for the page in its left menu."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta

from relay.store.portals.gate import GateState
from relay.store.record.ledger import BUCKETS
from relay.web.services import services
from relay.web.zone import local

DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Day:
    """The last 24 hours, in whole hours. came: for this portal; waiting: now; is_closed: nothing is sent now."""

    came: int
    started: int
    nothing: int
    doubt: int
    waiting: int
    is_closed: bool
    as_of: str


def day_of_portal(portal: str, now: datetime) -> Day:
    """The numbers of a portal. Raises RecordUnavailableError."""
    store = services().store
    counts: Counter[str] = Counter()
    # The hour that runs is counted, too.
    for count in store.statistics.counts(now - DAY, now + timedelta(hours=1)).found:
        if count.portal == portal:
            counts[count.what] += count.count
    kept = store.portal(portal)
    return Day(
        came=counts["made"],
        started=sum(counts[bucket] for bucket in BUCKETS) + counts["settled"],
        nothing=counts["dead"],
        doubt=counts["uncertain"],
        waiting=kept.in_line(),
        is_closed=kept.gate.look().state is not GateState.OPEN,
        as_of=f"{local(now):%H:%M}",
    )
