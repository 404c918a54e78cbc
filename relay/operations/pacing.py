"""How the door treats those who send more than they may: they wait, so that nobody else does. Holds no event.

Whoever is over a limit is answered late, for a stranger who waits for the answer asks no more meanwhile. What nobody
has proven is read in turn where it is large, because a process reads one thing at a time, and others wait for it.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TypeVar

from relay.core.errors import LimitedError

T = TypeVar("T")
LATE_S = 0.2
"""So late the answer comes."""
MOST_WAITING = 50
"""So many may wait at once, for their turn or late; they hold connections that nobody can close meanwhile."""
SMALL = 20_000
"""Bytes of a body that is read at once."""
LONGEST_REST_S = 0.5


A_ROW = 50
"""So many entries of a batch are worked on before everybody else has a turn."""


def in_rows(entries: Iterable[T]) -> Iterator[T]:
    """The entries, with a turn for everybody else after each row of them: a process does one thing at a time."""
    for number, entry in enumerate(entries, 1):
        yield entry
        if number % A_ROW == 0:
            time.sleep(0)


class Pauses:
    """Until when nothing is recorded of a source, or of its refusals: known here, it costs the record nothing."""

    def __init__(self) -> None:
        self._until: dict[tuple[str, bool], float] = {}
        self._waiting = 0

    def begin(self, source: str, seconds: int, *, refused: bool) -> None:
        """The record has said so."""
        self._until[source, refused] = time.monotonic() + seconds

    def sit_out(self, source: str, *, refused: bool) -> int:
        """The seconds that a pause still lasts, after some waiting; 0, at once, where there is none."""
        until = self._until.get((source, refused))
        seconds = math.ceil(until - time.monotonic()) if until else 0
        if seconds <= 0:
            return 0
        if self._waiting < MOST_WAITING:
            self._waiting += 1
            try:
                time.sleep(LATE_S)
            finally:
                self._waiting -= 1
        return seconds


_AT_ONCE = nullcontext()


class Turns:
    """One large body after the other, and between them as much time as each took, for everybody else."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # looked up when made: gevent puts its own in place
        self._waiting = 0

    def taken(self, size: int) -> AbstractContextManager[None]:
        """size: bytes of the body. Entering raises LimitedError where too many wait before it."""
        return _AT_ONCE if size <= SMALL else self._taken()

    @contextmanager
    def _taken(self) -> Iterator[None]:
        if self._waiting >= MOST_WAITING:
            raise LimitedError(1)
        self._waiting += 1
        try:
            with self._lock:
                begin = time.perf_counter()
                try:
                    yield
                finally:
                    time.sleep(min(time.perf_counter() - begin, LONGEST_REST_S))
        finally:
            self._waiting -= 1
