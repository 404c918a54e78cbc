"""The portals of one worker process: a thread for each, as long as there is work at it.

A thread has its portal to itself: order, pace, claims and connections are its own, so a portal that hangs delays no
other. Two threads never work at one portal here; that processes may, is the record's business (its claims).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from rq.timeouts import JobTimeoutException, TimerDeathPenalty

from relay.core.telemetry import get_logger
from relay.core.threads import where_of
from relay.queue.jobs import JOB_TIMEOUT_S

AGAIN_S = 1.0

log = get_logger()


class Shifts:
    """Begins shifts, and knows which are on.

    serve: works at a portal until there is nothing to do, or `is_stopping`. ended: called after a shift, on its thread.
    """

    def __init__(self, serve: Callable[[str], object], ended: Callable[[], object] = lambda: None) -> None:
        self._serve = serve
        self._ended = ended
        self._change = threading.Condition()
        self._threads: dict[str, threading.Thread] = {}
        self._deaths: dict[str, Exception] = {}
        self._penalties: dict[str, tuple[float, TimerDeathPenalty]] = {}
        self.is_stopping = False
        """Whether nothing new is to be begun."""

    def may_begin(self, portal: str) -> bool:
        """Whether its last shift has ended well."""
        return portal not in self._deaths

    def begin(self, portal: str) -> None:
        """Work at a portal, unless a thread does. Raises what the shift before has died of, once: a job fails by it."""
        with self._change:
            if death := self._deaths.pop(portal, None):
                raise death
            if portal in self._threads or self.is_stopping:
                return
            # One that the process need not wait for: who ends it by force cuts the call, as ever.
            thread = threading.Thread(target=self._work, args=(portal,), name=f"shift-{portal}", daemon=True)
            self._threads[portal] = thread
        thread.start()

    def is_on(self, portal: str) -> bool:
        """Whether a thread works at a portal."""
        return portal in self._threads

    @property
    def are_on(self) -> bool:
        """Whether any thread works."""
        return bool(self._threads)

    def wait_for_an_end(self, timeout_s: float | None = None) -> None:
        """Wait until one of those that are on has ended, or this time is over; not at all where none is."""
        with self._change:
            if self._threads:
                self._change.wait(timeout_s)

    def end_overdue(self) -> None:
        """End each that lasts too long, by RQ's own means: no timeout of a socket sees who answers drop by drop."""
        with self._change:
            now = time.monotonic()
            for portal, (end, penalty) in list(self._penalties.items()):
                if now > end:
                    # Again a second later, should the thread be where an exception goes no further.
                    self._penalties[portal] = (now + AGAIN_S, penalty)
                    penalty.handle_death_penalty()  # type: ignore[no-untyped-call] # rq

    def stop(self) -> None:
        """Begin nothing new. A handler of signals may call it: it takes no lock."""
        self.is_stopping = True

    def finish(self) -> None:
        """Wait until each has ended its call, beginning nothing new."""
        self.stop()
        while self.are_on:
            self.wait_for_an_end()

    def _work(self, portal: str) -> None:
        penalty = TimerDeathPenalty(JOB_TIMEOUT_S, JobTimeoutException)  # type: ignore[no-untyped-call] # rq
        self._penalties[portal] = (time.monotonic() + JOB_TIMEOUT_S, penalty)
        try:
            try:
                self._serve(portal)
            finally:
                self._penalties.pop(portal, None)  # what follows is not to be ended
        except Exception as death:  # noqa: BLE001 - whatever it is: the next job of the portal fails by it
            kind, where = type(death).__name__, where_of(death)
            log.error("shift.died", portal=portal, kind=kind, where=where)  # noqa: TRY400 - no values
            self._deaths[portal] = death
        finally:
            with self._change:
                del self._threads[portal]
                self._change.notify_all()
            self._ended()
