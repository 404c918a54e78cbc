"""Which open connections wait for bytes of a stranger, and which of them has to go where there are too many.

A stranger may open connections and say nothing, or announce a body and never send it. A deadline ends each of them (see
relay/serving.py), and before that, this module makes room: whoever comes finds the door open. Knows neither gunicorn
nor gevent: the sockets and the moments come from outside.
"""

from __future__ import annotations

import contextlib
import socket
from collections import Counter
from collections.abc import Callable, Iterable

CONNECTION = "relay.connection"
"""Under this name the environment of a request holds its connection, where gunicorn serves it."""
MOST_BYTES = 64_000_000
"""So much of bodies that are not whole yet may be in the memory of one process."""


class Connection:
    """One open connection.

    is_proven: a webhook that came over it was verified, so it goes last. is_late: its body did not come in time.
    received: bytes of the body that is being read.
    """

    __slots__ = ("address", "is_late", "is_proven", "received", "socket")

    def __init__(self, client: socket.socket, address: str) -> None:
        self.socket = client
        self.address = address
        self.is_proven = False
        self.is_late = False
        self.received = 0

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
        self._waiting: dict[Connection, None] = {}
        """Those that wait for bytes, the one that waits longest first; what is shed is no longer among them."""

    def admit(self, client: socket.socket, address: str) -> Connection:
        """A new connection; where it is one too many, another goes."""
        connection = Connection(client, address)
        self._open.add(connection)
        self._waiting[connection] = None
        self._make_room(lambda: len(self._open) > self._most, self._waiting)
        return connection

    def read(self, connection: Connection, size: int) -> None:
        """So many bytes of a body have come; where they are too many, another connection goes."""
        connection.received += size
        self._received += size
        holders = [one for one in self._waiting if one.received] if self._received > self._most_bytes else ()
        self._make_room(lambda: self._received > self._most_bytes, holders)

    def serve(self, connection: Connection) -> None:
        """Its request is here as a whole: now it waits for us, and is not shed."""
        self._waiting.pop(connection, None)
        self._forget_bytes(connection)

    def wait(self, connection: Connection) -> None:
        """It was answered, and may send the next request."""
        self.serve(connection)
        if connection in self._open:
            self._waiting[connection] = None

    def forget(self, connection: Connection) -> None:
        """It is closed."""
        self.serve(connection)
        self._open.discard(connection)

    def _make_room(self, is_over: Callable[[], bool], among: Iterable[Connection]) -> None:
        if not is_over():
            return
        among = list(among)
        while is_over() and among:
            victim = _next_to_go(among)
            among.remove(victim)
            self.forget(victim)
            with contextlib.suppress(OSError):
                # Whoever reads from it finds its end, and closes it.
                victim.socket.shutdown(socket.SHUT_RDWR)

    def _forget_bytes(self, connection: Connection) -> None:
        self._received -= connection.received
        connection.received = 0


def _next_to_go(waiting: list[Connection]) -> Connection:
    """Of the unproven, the one that waits longest from the address that has most of them; the proven go last."""
    unproven = [one for one in waiting if not one.is_proven] or waiting
    heaviest, _ = Counter(one.address for one in unproven).most_common(1)[0]
    return next(one for one in unproven if one.address == heaviest)
