"""Claims of this process: it renews them every few seconds, and a claim that nobody renews lapses soon.

So the work of a killed worker is found at once, and not after the hard deadline. In return, a process that was stopped,
or cut off from the record, may have lost its claim without knowing. So it sends nothing later than HOLD_S after the
claim, or its last confirmed renewal, was sent off; the claim lapses only after LAPSES_IN. The moment between that look
at the clock and the first byte is all that remains.
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

LAPSES_IN = timedelta(seconds=12)
RENEW_S = 3.0
HOLD_S = 10.0
"""Shorter than LAPSES_IN, to allow for two clocks that differ and a request's time on its way."""


@dataclass(slots=True)
class Lease:
    """One claim of this process. began: its time; until: its certain end, both by the monotonic clock.

    is_doubt: it is for reconciliation.
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
        """The deadline for sending, by the monotonic clock."""
        return min(self.until, self.began + self.send_within_s)

    def renew(self) -> None:
        """Renew the claim. If any part of it is lost, nothing more of it is sent."""
        asked = time.monotonic()
        try:
            are_ours = self.record.keep(self.deliveries, self.clock() + LAPSES_IN, is_doubt=self.is_doubt)
        except RecordUnavailableError:
            return
        self.until = asked + HOLD_S if are_ours else float("-inf")


class Keeper:
    """Renews all claims of this process, in one thread, which starts with the first claim."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._leases: list[Lease] = []
        self._thread: threading.Thread | None = None

    @contextmanager
    def holding(self, lease: Lease) -> Iterator[Lease]:
        """Renew a claim while the `with` lasts."""
        with self._guard:
            self._leases.append(lease)
            if self._thread is None:
                self._thread = keep_running("claims", self._run, threading.Event())
        try:
            yield lease
        finally:
            with self._guard:
                self._leases.remove(lease)

    def _run(self, stop: threading.Event) -> None:
        while not stop.wait(RENEW_S):
            with self._guard:
                leases = list(self._leases)
            for one in leases:
                # After the hard deadline the sweeper decides, whatever this process does.
                if time.monotonic() - one.began < HARD_DEADLINE.total_seconds():
                    one.renew()


KEEPER = Keeper()
