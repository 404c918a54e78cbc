"""An end to everything that is waited for of another side, however slowly it answers.

A timeout of a socket is one between two bytes: whoever answers a byte at a time is never too late for it. So one thread
looks at all that goes on, and closes what lasts too long.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from relay.core.threads import keep_running

LOOK_S = 0.5
"""By so much an end may be late."""


class Deadline:
    """The end of one exchange. due: by the monotonic clock, in seconds."""

    def __init__(self, due: float) -> None:
        self.due = due
        self.is_over = False
        self._guard = threading.Lock()
        self._watched: socket.socket | None = None

    def watch(self, connection: socket.socket) -> None:
        """From now on the exchange goes over this connection, or over another handle of it (`socket.dup`)."""
        with self._guard:
            self._watched = connection
            if self.is_over:
                self._shut()

    def end(self) -> None:
        """Whoever reads or writes finds the connection closed; is_over says that it was us."""
        with self._guard:
            self.is_over = True
            self._shut()

    def _shut(self) -> None:
        if self._watched:
            with suppress(OSError):
                self._watched.shutdown(socket.SHUT_RDWR)


class Deadlines:
    """All exchanges of this process. Their thread is there when it is first needed."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._begun: set[Deadline] = set()
        self._thread: threading.Thread | None = None

    @contextmanager
    def within(self, seconds: float) -> Iterator[Deadline]:
        """An exchange that may last so long."""
        deadline = Deadline(time.monotonic() + seconds)
        with self._guard:
            self._begun.add(deadline)
            if self._thread is None:
                self._thread = keep_running("deadlines", self._run, threading.Event())
        try:
            yield deadline
        finally:
            with self._guard:
                self._begun.discard(deadline)

    def _run(self, stop: threading.Event) -> None:
        while not stop.wait(LOOK_S):
            now = time.monotonic()
            with self._guard:
                over = [one for one in self._begun if one.due < now and not one.is_over]
            for one in over:
                one.end()


DEADLINES = Deadlines()
