"""The workers of a day: which host serves which portals, and the one clock by which all of them, and the portals, go.

One worker acts at a time, but over a call it may wait, stand still or die, and then the others act meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

from relay.configuration.portals import OwnIds, Portal
from relay.store.record.record import Record
from tests.days.chances import HOSTS, Habits
from tests.delivering.contexts import SECRET, Clock, make_context
from workers.portal.claims import RENEW_S, Lease
from workers.portal.context import Context
from workers.portal.credentials import Address


class Killed(BaseException):
    """The worker dies here: no `except Exception` sees it."""


class DayClock(Clock):
    """The clock of everybody. Stands in for the module `time` as well, where workers use it."""

    def __init__(self) -> None:
        super().__init__()
        self.began = self.now

    @property
    def passed_s(self) -> float:
        return (self.now - self.began).total_seconds()

    def monotonic(self) -> float:
        return self.passed_s

    def time(self) -> float:
        return self.now.timestamp()

    def sleep(self, seconds: float) -> None:
        self.advance(seconds)


@dataclass
class Host:
    """One machine with a worker: a context for each portal that it serves. A kill ends all of them.

    life: how often it has begun anew. is_frozen: nothing on it moves.
    """

    name: str
    portals: dict[str, Portal]
    addresses: Mapping[str, str]
    record: Record
    clock: Clock
    contexts: dict[str, Context] = field(default_factory=dict)
    life: int = 0
    is_frozen: bool = False

    @classmethod
    def all_of(
        cls, record: Record, clock: Clock, addresses: Mapping[str, str], habits: Mapping[str, Habits]
    ) -> dict[str, Host]:
        hosts = {}
        for name, served in HOSTS.items():
            portals = {portal: _portal(portal, habits[portal]) for portal in served}
            hosts[name] = cls(name, portals, addresses, record, clock)
            hosts[name].begin()
        return hosts

    def begin(self) -> None:
        """As a new process, whatever was before."""
        self.life += 1
        for name in self.portals:
            self._open(name)

    def configure(self, portal: str, own_id: str) -> None:
        """Go on with another setting, as a process does that has read the file again."""
        self.portals[portal] = replace(self.portals[portal], own_id=OwnIds(own_id))
        self._open(portal)

    def close(self) -> None:
        for context in self.contexts.values():
            context.client.close()

    def _open(self, portal: str) -> None:
        if before := self.contexts.get(portal):
            before.client.close()
        url = f"{self.addresses[portal]}/rest/1/{SECRET}/"
        self.contexts[portal] = make_context(self.record, Address(self.portals[portal], url), self.clock)


def _portal(name: str, habits: Habits) -> Portal:
    options: dict[str, Any] = {"rate_per_s": None, "burst": 1, **habits.options}
    return Portal(name, "self_hosted", **options | {"own_id": OwnIds(options["own_id"])})


@dataclass
class Keeper:
    """Speaks for the claims of every host, as the thread of each does, whenever the clock moves."""

    held: list[tuple[Host, Lease]] = field(default_factory=list)
    host: Host | None = None
    """On which somebody acts now."""

    @contextmanager
    def holding(self, held: Lease) -> Iterator[Lease]:
        assert self.host
        mine = (self.host, held)
        self.held.append(mine)
        try:
            yield held
        finally:
            self.held.remove(mine)

    def pass_time(self, clock: Clock, seconds: float) -> Iterator[None]:
        """Move the clock, and stop whenever the hosts have said that they live."""
        end = clock.now + timedelta(seconds=seconds)
        while clock.now < end:
            clock.now = min(end, clock.now + timedelta(seconds=RENEW_S))
            for host, held in list(self.held):
                if not host.is_frozen:
                    held.renew()
            yield
