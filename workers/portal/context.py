"""What a worker process has at hand for its portal: built once, given to every job. No behaviour of its own."""

from __future__ import annotations

import random
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from relay.configuration.portals import Portal
from relay.core.ids import utc_now
from relay.store.portals.gate import Gate
from relay.store.record.record import Record
from workers.portal.client import Line
from workers.portal.credentials import Address
from workers.portal.limiter import Limiter
from workers.portal.pace import Pace


@dataclass(slots=True)
class Streak:
    """What has happened several times in a row to this process."""

    denied: int = 0


@dataclass(slots=True)
class ClaimSlip:
    """The name of the claim to come. While the answer to it is lost, what it took is this process's to give back."""

    id: str = field(default_factory=lambda: secrets.token_hex(8))
    is_unanswered: bool = False

    def renew(self) -> None:
        """The claim was answered: the next one has another name."""
        self.id, self.is_unanswered = secrets.token_hex(8), False


@dataclass(frozen=True, slots=True)
class Desk:
    """The record, and one portal with its gate, pace and line. holder: the name of this desk on leases."""

    record: Record
    address: Address
    line: Line
    gate: Gate
    pace: Pace
    clock: Callable[[], datetime] = utc_now
    chance: Callable[[], float] = field(default=random.random)
    streak: Streak = field(default_factory=Streak)
    slip: ClaimSlip = field(default_factory=ClaimSlip)
    holder: str = field(default_factory=lambda: secrets.token_hex(8))

    @property
    def portal(self) -> Portal:
        """The portal's configuration."""
        return self.address.portal

    @classmethod
    def open(cls, record: Record, address: Address) -> Desk:
        """A desk with everything on it."""
        name, redis = address.portal.name, record.redis
        limiter, pace = Limiter(redis, address.portal), Pace(redis, name)
        return cls(record, address, Line(redis, address, limiter, pace), Gate(redis, name), pace)
