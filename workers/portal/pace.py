"""What is learned about a portal while working with it: how long a start of each template takes, how much of the
operating time is used, whether it honours our own ids, which host it has moved to. Kept for all workers.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from relay.core.ids import to_ms
from relay.store.portals.learned import OPERATING_LIMIT_S, Echo, Learned
from relay.store.portals.portal import PortalRecord
from relay.store.record.record import Load

BATCH_BUDGET_MS = 20_000
"""A third of the 60 s after which the cloud cuts a request (docs: limits.md)."""
UNKNOWN_MS = BATCH_BUDGET_MS
"""A template whose start nobody has timed takes the whole budget: it goes alone. In a batch it would, if it is slow,
make all of the batch uncertain, and teach nothing, again and again."""
WEIGHT = 0.3
"""Of the newest measurement in the moving average."""
OPERATING_RESERVE_S = 5.0
UNKNOWN_RESET = timedelta(seconds=300)
"""When the reset is where no answer has told it: newer servers ban for as long
(source: rest/lib/engine/access/loadlimiter.php)."""

HONOURED, IGNORED = Echo.HONOURED, Echo.IGNORED


def operating_left_s(learned: Learned, now: datetime) -> float:
    """How much operating time is left before the portal blocks the method, less a reserve."""
    used = learned.operating_s if learned.reset_at and now < learned.reset_at else 0.0
    return learned.operating_limit_s - OPERATING_RESERVE_S - used


def load_of(learned: Learned, limit: int, now: datetime) -> Load:
    """How much one batch may take."""
    budget_ms = min(BATCH_BUDGET_MS, max(0, int(operating_left_s(learned, now) * 1000)))
    takes_ms = {template: max(1, round(takes)) for template, takes in learned.takes_ms.items()}
    return Load(limit, budget_ms, UNKNOWN_MS, takes_ms)


class Pace:
    """Reads and writes what is learned. Methods raise RecordUnavailableError."""

    def __init__(self, kept: PortalRecord) -> None:
        self._kept = kept

    def read(self) -> Learned:
        """What is known now."""
        return self._kept.learned()

    def learn_start(self, known: Learned, template_id: int, took_ms: float) -> None:
        """A start of this template took so long."""
        before = known.takes_ms.get(template_id)
        average = took_ms if before is None else before + WEIGHT * (took_ms - before)
        self._kept.learn({f"t:{template_id}": f"{average:.3f}"})

    def learn_at_least(self, known: Learned, template_id: int, took_ms: float) -> None:
        """A start of this template took so long or longer."""
        if took_ms > known.takes_ms.get(template_id, 0.0):
            self._kept.learn({f"t:{template_id}": f"{took_ms:.3f}"})

    def learn_operating(self, known: Learned, time: Mapping[str, Any]) -> None:
        """What an answer's `time` block says: `operating` in seconds, `operating_reset_at` as unix time."""
        operating, reset_at = time.get("operating"), time.get("operating_reset_at")
        if not isinstance(operating, int | float) or not isinstance(reset_at, int | float):
            return
        fields = {"operating": str(operating), "reset_at": str(int(reset_at * 1000))}
        if operating > known.operating_limit_s - OPERATING_RESERVE_S:
            # The portal has executed a call beyond what it seemed to grant: it had refused for another reason.
            fields["operating_limit"] = str(max(OPERATING_LIMIT_S, operating + OPERATING_RESERVE_S))
        self._kept.learn(fields)

    def learn_limit(self, known: Learned, now: datetime) -> datetime:
        """The portal has refused for operating time. Until when to wait: the remembered reset, or a fixed time."""
        if known.operating_s > 0:
            self._kept.learn(
                {"operating_limit": str(min(known.operating_limit_s, known.operating_s + OPERATING_RESERVE_S))}
            )
        if known.reset_at and known.reset_at > now:
            return known.reset_at
        until = now + UNKNOWN_RESET
        self._kept.learn({"reset_at": str(to_ms(until))})
        return until

    def learn_own_id(self, known: Learned, *, honoured: bool) -> None:
        """Whether an answer repeated the id that we chose."""
        word = HONOURED if honoured else IGNORED
        if known.own_id != word:
            self._kept.learn({"own_id": word})

    def learn_host(self, host: str) -> None:
        """The portal has moved."""
        self._kept.learn({"host": host})
