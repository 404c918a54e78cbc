"""Which open connections wait for bytes of a stranger, and which of them has to go where there are too many.

A stranger may open connections and say nothing, or announce a body and never send it. A deadline ends each of them (see
relay/runtime/web_worker.py), and before that, this module makes room: whoever comes finds the door open. Knows neither
gunicorn nor gevent: the sockets and the moments come from outside.
"""

from __future__ import annotations

import contextlib
import socket
from collections import Counter
from collections.abc import Callable, Collection

CONNECTION = "relay.connection"
"""Under this name the environment of a request holds its connection, where gunicorn serves it."""
MOST_BYTES = 64_000_000
"""So much of bodies that are not whole yet may be in the memory of one process."""


class Connection:
    """One open connection.

    is_proven: a webhook that came over it was verified, so it goes last. is_late: its body did not come in time.
    is_shed: it had to go, and nobody reads an answer. has_more: it was answered before all of its body was read.
    received: bytes of the body that is being read. requests: how many have come over it. say_last: makes the answer say
    that no other follows.
    """

    __slots__ = ("address", "has_more", "is_late", "is_proven", "is_shed", "received", "requests", "say_last", "socket")

    def __init__(self, client: socket.socket, address: str) -> None:
        self.socket = client
        self.address = address
        self.is_proven = False
        self.is_late = False
        self.is_shed = False
        self.has_more = False
        self.say_last: Callable[[], object] = bool
        self.received = 0
        self.requests = 0

    def prove(self) -> None:
        """Its sender is known."""
        self.is_proven = True


class Doorkeeper:
    """The open connections of one process. most: how many there may be."""

    def __init__(self, most: int, most_bytes: int = MOST_BYTES) -> None:
        self._most = most
        self._most_bytes = most_bytes
        self._received = 0
        self._open: set[Connection] = set()
        self._waiting: dict[Connection, bool] = {}
        """Those that wait for bytes, the one that waits longest first, and whether each is proven."""
        self._strangers: Counter[str] = Counter()
        """How many of those that wait unproven come from an address."""

    @property
    def is_crowded(self) -> bool:
        """Whether more than half of the room is taken."""
        return 2 * len(self._open) > self._most

    def admit(self, client: socket.socket, address: str) -> Connection:
        """A new connection; where it is one too many, another goes."""
        connection = Connection(client, address)
        self._open.add(connection)
        self.wait(connection)
        if len(self._open) > self._most:
            self._shed(self._waiting)
        return connection

    def read(self, connection: Connection, size: int) -> None:
        """So many bytes of a body have come; where they are too many, others go."""
        connection.received += size
        self._received += size
        while self._received > self._most_bytes and self._shed([one for one in self._waiting if one.received]):
            pass

    def serve(self, connection: Connection) -> None:
        """Its request is here as a whole: now it waits for us, and is not shed."""
        self._received -= connection.received
        connection.received = 0
        if self._waiting.pop(connection, True):
            return
        self._strangers[connection.address] -= 1
        if not self._strangers[connection.address]:
            del self._strangers[connection.address]

    def wait(self, connection: Connection) -> None:
        """It is new, or was answered, and may send the next request."""
        self.serve(connection)
        if connection not in self._open:
            return
        self._waiting[connection] = connection.is_proven
        if not connection.is_proven:
            self._strangers[connection.address] += 1

    def forget(self, connection: Connection) -> None:
        """It is closed."""
        self.serve(connection)
        self._open.discard(connection)

    def _shed(self, among: Collection[Connection]) -> bool:
        """Close the one that goes first, if there is one: the longest waiting stranger of the address that has most."""
        heaviest = max(self._strangers, key=self._strangers.__getitem__, default=None)
        ways = (
            lambda one: not self._waiting[one] and one.address == heaviest,
            lambda one: not self._waiting[one],
            lambda _one: True,
        )
        victim = next((one for is_next in ways for one in among if is_next(one)), None)
        if victim is None:
            return False
        self.forget(victim)
        victim.is_shed = True
        with contextlib.suppress(OSError):
            # Whoever reads from it finds its end, and closes it.
            victim.socket.shutdown(socket.SHUT_RDWR)
        return True
