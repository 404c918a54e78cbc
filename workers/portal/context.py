"""The context of a worker for one portal: built once, passed to every function. No behaviour of its own."""

from __future__ import annotations

import random
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from relay.configuration.portals import OwnIds, Portal
from relay.core.ids import utc_now
from relay.store import Store
from relay.store.portals.gate import Gate
from relay.store.portals.portal import PortalRecord, Survey
from relay.store.record.entries import Manner
from relay.store.record.record import Record
from workers.portal.client import Limiter, PacedClient
from workers.portal.credentials import Address
from workers.portal.installed import Installed
from workers.portal.pace import Pace


@dataclass(slots=True)
class Streak:
    """Repeated events of this process. denied: denials in a row, by method."""

    denied: dict[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class ClaimName:
    """The id of the next claim. If its answer is lost, this process gives back the deliveries under this id."""

    id: str = field(default_factory=lambda: secrets.token_hex(8))
    is_unanswered: bool = False

    def renew(self) -> None:
        """Choose a new id, after an answered claim."""
        self.id, self.is_unanswered = secrets.token_hex(8), False


@dataclass(frozen=True, slots=True)
class Context:
    """The store, and one portal: its address, its record, its paced client. holder: our name on leases.

    application: the client with the tokens of the portal's application, beside a webhook or as the client itself; None:
    the portal has no application.
    """

    store: Store
    address: Address
    kept: PortalRecord
    client: PacedClient
    pace: Pace
    application: PacedClient | None = None
    installed: Installed | None = None
    clock: Callable[[], datetime] = utc_now
    chance: Callable[[], float] = field(default=random.random)
    streak: Streak = field(default_factory=Streak)
    claim: ClaimName = field(default_factory=ClaimName)
    holder: str = field(default_factory=lambda: secrets.token_hex(8))

    @property
    def record(self) -> Record:
        """Events and deliveries."""
        return self.store.record

    @property
    def gate(self) -> Gate:
        """The portal's gate."""
        return self.kept.gate

    @property
    def portal(self) -> Portal:
        """The portal's configuration."""
        return self.address.portal

    @property
    def manner(self) -> Manner:
        """The manner of calling that a claim records: own ids, and the time to settle."""
        mark = self.address.mark if self.portal.own_id is OwnIds.ECHO else ""
        return Manner(mark, self.portal.settle_after_s)

    def survey(self) -> Survey:
        """The portal at this moment. Raises RecordUnavailableError."""
        return self.kept.survey(self.clock())

    @classmethod
    def open(cls, store: Store, address: Address) -> Context:
        """A context with everything in it."""
        kept = store.portal(address.portal.name)
        limiter, pace = Limiter(kept, address.portal), Pace(kept, address.mark)
        if address.local is None:
            return cls(store, address, kept, PacedClient(kept, address, limiter, pace), pace)
        installed = Installed(kept, store.applications, address.local)
        application = PacedClient(kept, address, limiter, pace, installed)
        client = application if address.is_by_installation else PacedClient(kept, address, limiter, pace)
        return cls(store, address, kept, client, pace, application, installed)
