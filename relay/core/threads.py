"""Threads that must keep running: one that ends with an exception is restarted, and that is logged; and how a signal
tells threads to stop.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable

from relay.core.telemetry import get_logger

RESTART_PAUSES_S = (1.0, 5.0, 15.0, 60.0)

log = get_logger()


class SignalledEvent(threading.Event):
    """An event that a signal handler may set.

    A handler runs between two lines of the main thread. If it interrupts that thread's `Event.wait`, which holds the
    event's lock, then `Event.set` waits for this lock for ever. `SimpleQueue.put` may interrupt anything
    (docs.python.org/3.11/library/queue.html). It is set once, and not cleared.
    """

    def __init__(self) -> None:
        super().__init__()
        self._told = False
        self._wakes: queue.SimpleQueue[None] = queue.SimpleQueue()

    def set(self) -> None:
        """Set it. Safe in a signal handler."""
        self._told = True
        self._wakes.put(None)

    def is_set(self) -> bool:
        """Whether it has been set."""
        return self._told

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until it is set, or this time, in seconds, is over. Returns whether it is set."""
        if not self._told:
            try:
                self._wakes.get(timeout=timeout)
            except queue.Empty:
                return self._told
            self._wakes.put(None)  # for the others that wait
        return self._told


def keep_running(name: str, task: Callable[[threading.Event], object], stop: threading.Event) -> threading.Thread:
    """Run a task in a thread until it is told to stop. A bug must not end a thread that repairs things.

    The thread ends with the process. Only the kind of an exception is logged: its text may contain what a person sent.
    """
    thread = threading.Thread(target=_keep, args=(name, task, stop), daemon=True, name=name)
    thread.start()
    return thread


def _keep(name: str, task: Callable[[threading.Event], object], stop: threading.Event) -> None:
    deaths = 0
    while not stop.is_set():
        try:
            task(stop)
        except Exception as error:  # noqa: BLE001 - whatever it is
            pause_s = RESTART_PAUSES_S[min(deaths, len(RESTART_PAUSES_S) - 1)]
            deaths += 1
            kind, where = type(error).__name__, where_of(error)
            log.error("thread.died", name=name, kind=kind, where=where, restart_in_s=pause_s)  # noqa: TRY400 - no values
            stop.wait(pause_s)


def where_of(error: BaseException) -> str:
    """File and line of the innermost frame: enough to find the bug, without any value."""
    frame = error.__traceback__
    while frame and frame.tb_next:
        frame = frame.tb_next
    return f"{frame.tb_frame.f_code.co_filename.rpartition('/')[2]}:{frame.tb_lineno}" if frame else "?"
