"""What a worker has claimed is its own while it lives: it says so every few seconds, and a claim that nobody speaks for
lapses soon. So the work of a worker that was killed is found at once, and not after the hard deadline.

The other side of it: who was stopped, or cut off from the record, may have lost its claim without knowing. So nothing
is sent later than HOLD_S after the claim, or the last word about it that the record has confirmed, was sent off; the
claim lapses only after LEASE. What is left is the moment between that look at the clock and the first byte.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from relay.core.errors import RecordUnavailableError
from relay.core.events import Delivery
from relay.core.threads import keep_running
from relay.store.record.record import HARD_DEADLINE, Record

LEASE = timedelta(seconds=12)
RENEW_S = 3.0
HOLD_S = 10.0
"""Shorter than LEASE by what two clocks may differ in, and a request may take on its way."""


@dataclass(slots=True)
class Held:
    """One claim in hand. began: when it was made; until: until when it is certainly ours, both by the monotonic clock.

    is_doubt: it was taken to be looked into.
    """

    record: Record
    clock: Callable[[], datetime]
    deliveries: Sequence[Delivery]
    began: float
    send_within_s: float
    is_doubt: bool = False
    until: float = field(init=False)

    def __post_init__(self) -> None:
        self.until = self.began + HOLD_S

    def not_after(self) -> float:
        """Until when a call may be sent, by the monotonic clock."""
        return min(self.until, self.began + self.send_within_s)

    def renew(self) -> None:
        """Say that we live. Whoever has lost a part of a claim sends nothing of it."""
        asked = time.monotonic()
        try:
            are_ours = self.record.keep(self.deliveries, self.clock() + LEASE, is_doubt=self.is_doubt)
        except RecordUnavailableError:
            return
        self.until = asked + HOLD_S if are_ours else float("-inf")


class Keeper:
    """Speaks for all claims of this process, in one thread, which is there when it is first needed."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._held: list[Held] = []
        self._thread: threading.Thread | None = None

    @contextmanager
    def holding(self, held: Held) -> Iterator[Held]:
        """Keep a claim while the `with` lasts."""
        with self._guard:
            self._held.append(held)
            if self._thread is None:
                self._thread = keep_running("claims", self._run, threading.Event())
        try:
            yield held
        finally:
            with self._guard:
                self._held.remove(held)

    def _run(self, stop: threading.Event) -> None:
        while not stop.wait(RENEW_S):
            with self._guard:
                held = list(self._held)
            for one in held:
                # Somebody else decides after the hard deadline, whatever this process does.
                if time.monotonic() - one.began < HARD_DEADLINE.total_seconds():
                    one.renew()


KEEPER = Keeper()
