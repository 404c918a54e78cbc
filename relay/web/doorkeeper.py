"""Open connections that wait for bytes from strangers, and the choice of those to close when there are too many.

A stranger may open connections and say nothing, or announce a body and never send it. A deadline ends each of them (see
relay/runtime/web_worker.py). Before that, this module makes room, so that new senders get in. It knows neither gunicorn
nor gevent: sockets and events come from outside.
"""

from __future__ import annotations

import contextlib
import socket
from collections import Counter
from collections.abc import Callable, Collection

CONNECTION = "relay.connection"
"""The key of a WSGI environment for its connection, if gunicorn serves it."""
MOST_BYTES = 64_000_000
"""How many bytes of unfinished bodies one process may hold in memory."""


class Connection:
    """One open connection.

    is_proven: a webhook on it was verified, so it is closed last. is_late: its body did not come in time.
    is_shed: it was closed, and nobody reads an answer. has_more: it was answered before its whole body was read.
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
        """Note that its sender was verified."""
        self.is_proven = True


class Doorkeeper:
    """The open connections of one process. most: how many there may be."""

    def __init__(self, most: int, most_bytes: int = MOST_BYTES) -> None:
        self._most = most
        self._most_bytes = most_bytes
        self._received = 0
        self._open: set[Connection] = set()
        self._waiting: dict[Connection, bool] = {}
        """Connections that wait for bytes, the longest wait first, and whether each is proven."""
        self._strangers: Counter[str] = Counter()
        """The number of unproven waiting connections, by address."""

    @property
    def is_crowded(self) -> bool:
        """Whether more than half of the room is taken."""
        return 2 * len(self._open) > self._most

    def admit(self, client: socket.socket, address: str) -> Connection:
        """Add a new connection; if it is one too many, close another."""
        connection = Connection(client, address)
        self._open.add(connection)
        self.wait(connection)
        if len(self._open) > self._most:
            self._shed(self._waiting)
        return connection

    def read(self, connection: Connection, size: int) -> None:
        """Count bytes of a body that have come; while they are too many, close other connections."""
        connection.received += size
        self._received += size
        while self._received > self._most_bytes and self._shed([one for one in self._waiting if one.received]):
            pass

    def serve(self, connection: Connection) -> None:
        """Note that its whole request has come: it waits for us now, and is not closed."""
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
