"""What the workers serve, and the look at the files that follows a change without a restart.

A few processes serve all portals. Where a portal is new or gone, or its address, pace or credential has changed, the
processes whose share that touches finish their calls and others take their place; so do those who are told. Files with
a mistake change nothing: the record says since when they wait and why.
"""

from __future__ import annotations

import math
import os
import socket
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from relay.configuration.alerts import Alerting
from relay.configuration.file_set import FileSet, FileWatch
from relay.configuration.mistakes import Mistakes
from relay.configuration.settings import Settings
from relay.core.errors import Mistake, RecordUnavailableError
from relay.core.ids import utc_now
from relay.core.processes import Child, Supervisor
from relay.core.telemetry import get_logger
from relay.core.threads import keep_running
from relay.store import Store
from workers.alerts.watchman import Watchman
from workers.bitrix24.client import CONNECT_TIMEOUT_S, READ_TIMEOUT_S
from workers.delivery.worker import work
from workers.portal.context import Context
from workers.portal.credentials import Address

FEWEST, MOST, PORTALS_A_PROCESS = 2, 4, 50
"""How many processes serve all portals, and more only where one of them would have more than so many portals."""

STOP_S = CONNECT_TIMEOUT_S + READ_TIMEOUT_S + 5
"""A call in flight may take this long; killing it earlier would make it uncertain."""
INTERVAL_S = 1.0
SAID_EVERY = timedelta(seconds=15)

log = get_logger()


@dataclass(frozen=True, slots=True)
class Found:
    """What environment and files say: the addresses of the portals by name, and who is told."""

    settings: Settings
    addresses: Mapping[str, Address]
    alerting: Alerting | None


def children_of(addresses: Mapping[str, Address], *, burst: bool) -> list[Child]:
    """The worker processes, each with its share of the portals: another share, or another address in it, is another."""
    shares = share_out(list(addresses), os.cpu_count() or 1)
    return [
        Child(f"worker-{name}", work, (name, {one: addresses[one] for one in own}, burst), STOP_S, once=burst)
        for name, own in shares.items()
    ]


def share_out(portals: Sequence[str], cores: int) -> dict[str, list[str]]:
    """The portals of each worker process, by its name: that of its portal where it has only one.

    A few processes, for what dies or is busy is one of them; and no more than the cores can use, for each costs memory.
    """
    wanted = min(len(portals), max(FEWEST, min(cores, MOST)))
    count = max(wanted, math.ceil(len(portals) / PORTALS_A_PROCESS))
    shares = [list(portals[first::count]) for first in range(count)]
    return {own[0] if len(own) == 1 else str(number): own for number, own in enumerate(shares, 1)}


class Serving:
    """names, portals and contexts are changed in place, for whoever looks at them again and again.

    watchmen: makes those who tell persons.
    """

    def __init__(
        self, found: Found, store: Store, supervisor: Supervisor, watchmen: Callable[[Found], list[Watchman]]
    ) -> None:
        self._found, self._store, self._supervisor, self._watchmen = found, store, supervisor, watchmen
        self._told_to_end = threading.Event()
        self._who = f"workers@{socket.gethostname()}"
        self._mistakes: tuple[Mistake, ...] = ()
        self._said_at: datetime | None = None
        self.names = list(found.addresses)
        self.portals = {name: address.portal for name, address in found.addresses.items()}
        self.contexts = [Context.open(store, address) for address in found.addresses.values()]
        self._start_watchmen()

    def follow(self, read: Callable[[Mistakes], Found], stop: threading.Event) -> None:
        """Look every second, until told to stop. The target of a thread."""
        watch = FileWatch(self._found.settings.config, os.environ)
        while not stop.wait(INTERVAL_S):
            if watch.has_changed():
                self.look(read)
            self._say()

    def look(self, read: Callable[[Mistakes], Found]) -> None:
        """Once: serve what is on disk now, if all of it is right."""
        mistakes = Mistakes()
        with FileSet.read(self._found.settings.config).in_place():
            fresh = read(mistakes)
        self._mistakes, self._said_at = tuple(mistakes), None
        if mistakes:
            log.error("configuration.waiting", mistakes=[str(one) for one in self._mistakes])
        else:
            self._put(fresh)

    def _put(self, fresh: Found) -> None:
        before, self._found = self._found, fresh
        if fresh.addresses != before.addresses:
            self._supervisor.keep(children_of(fresh.addresses, burst=False))
            known = {one.portal.name: one for one in self.contexts}
            self.contexts[:] = [
                known[name] if before.addresses.get(name) == address else Context.open(self._store, address)
                for name, address in fresh.addresses.items()
            ]
            self.names[:] = list(fresh.addresses)
            self.portals.update({name: address.portal for name, address in fresh.addresses.items()})
            for gone in before.addresses.keys() - fresh.addresses.keys():
                del self.portals[gone]
        if (fresh.alerting, fresh.addresses) != (before.alerting, before.addresses):
            self._start_watchmen()
        log.info("configuration.swapped", portals=self.names)

    def _start_watchmen(self) -> None:
        """Those of what is in force; the ones before end when they have told what they are telling."""
        self._told_to_end.set()
        self._told_to_end = threading.Event()
        for watchman in self._watchmen(self._found):
            keep_running(watchman.lease, watchman.run, self._told_to_end)

    def _say(self) -> None:
        now = utc_now()
        if self._said_at and (not self._mistakes or now - self._said_at < SAID_EVERY):
            return
        try:
            if self._mistakes:
                self._store.files.say_waiting(self._who, self._mistakes, now)
            else:
                self._store.files.say_settled(self._who)
            self._said_at = now
        except RecordUnavailableError as error:
            log.warning("configuration.unsaid", reason=str(error))
