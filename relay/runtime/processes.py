"""Keeps child processes running: starts them, restarts those that die, stops them together.

Used by `up` (record, sandbox, web, workers) and by `python -m workers` (a few for all portals). A child ends when its
parent is gone for any reason. A Ctrl-C reaches the parent only, which then asks each child once.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.context import SpawnProcess
from pathlib import Path
from types import FrameType
from typing import Any

from relay.core.telemetry import get_logger
from relay.core.threads import SignalledEvent

POLL_S = 0.2
RESTART_PAUSES_S = (0.2, 1.0, 5.0, 15.0)
FIRST_START_S = 5.0
STEADY_S = 30.0
"""After this many seconds, a child's next death counts as the first."""

log = get_logger()


@dataclass(slots=True)
class Child:
    """One process to keep.

    target: a function at module level, because the child imports it.
    stop_s: seconds to finish after SIGTERM before it is killed.
    without: prefixes of environment variables that it must not see. besides: variables that it alone has.
    log: a file for its stdout and stderr; None: those of this process.
    once: it is not restarted.
    is_needed: the others need it until they end, so it is stopped last.
    is_hung_up: a SIGHUP is passed on to it, which makes it restart without a break.
    must_start: if its first start fails, everything stops, because it would fail again.
    """

    name: str
    target: Callable[..., object]
    arguments: Sequence[Any] = ()
    stop_s: float = 10.0
    once: bool = False
    is_needed: bool = False
    is_hung_up: bool = False
    must_start: bool = False
    without: Sequence[str] = ()
    besides: Mapping[str, str] = field(default_factory=dict)
    log: Path | None = None
    process: SpawnProcess | None = field(default=None, repr=False)
    started_at: float = 0.0
    deaths: int = 0
    restart_at: float | None = None
    is_finished: bool = False

    @property
    def is_alive(self) -> bool:
        """Whether it is running."""
        return self.process is not None and self.process.exitcode is None

    def is_as(self, other: Child) -> bool:
        """Whether the other describes the same process."""
        mine, others = (
            (one.name, one.target, tuple(one.arguments), tuple(one.without), one.once) for one in (self, other)
        )
        return mine == others

    def start(self) -> None:
        """Start it, in a session of its own."""
        context = multiprocessing.get_context("spawn")
        self.process = context.Process(
            target=_enter, args=(self.log, self.target, tuple(self.arguments)), name=self.name
        )
        with _environment_of(self.without, self.besides):
            self.process.start()
        self.started_at, self.restart_at = time.monotonic(), None

    def tell(self) -> None:
        """Ask it to end."""
        if self.process is not None and self.process.exitcode is None:
            self.process.terminate()

    def wait(self, told_at: float) -> None:
        """Wait for its end, and kill it if it takes too long. told_at: time of the request, by the monotonic clock."""
        if self.process is None or self.process.exitcode is not None:
            return
        self.process.join(max(0.0, told_at + self.stop_s - time.monotonic()))
        if self.process.exitcode is None:
            log.warning("process.killed", name=self.name, waited_s=self.stop_s)
            self.process.kill()
            self.process.join()


class Supervisor:
    """Runs children until told to stop, or until every `once` child is done."""

    def __init__(self, children: Sequence[Child]) -> None:
        self.children = list(children)
        self.stopping = SignalledEvent()
        self.failed: str | None = None
        self._wanted: Sequence[Child] | None = None
        self._leaving: list[tuple[Child, float]] = []

    def listen_for_signals(self) -> None:
        """Stop on SIGTERM and SIGINT; pass SIGHUP on. Call it in the main thread.

        A SIGHUP from a closed terminal is no request to restart: it ends the process, as usual.
        """
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        if signal.getsignal(signal.SIGHUP) is signal.SIG_DFL and not (sys.stdin and sys.stdin.isatty()):
            signal.signal(signal.SIGHUP, self._on_hang_up)

    def keep(self, children: Sequence[Child]) -> None:
        """Change the set of children: new ones are started, missing ones are stopped, the others continue.

        May be called from any thread; `run` does the work.
        """
        self._wanted = children

    def run(self) -> int:
        """Start the children, watch them, then stop them. Returns the exit status."""
        for child in self.children:
            if child.process is None:
                child.start()
        while not self.stopping.is_set() and not all(child.is_finished for child in self.children):
            self._keep_wanted()
            for child in self.children:
                self._look_after(child)
            self.stopping.wait(POLL_S)
        self.stop()
        if self.failed:
            return 1
        return max((child.process.exitcode or 0 for child in self.children if child.process and child.once), default=0)

    def stop(self) -> None:
        """Stop all children at once; those that others need are stopped after them."""
        self.stopping.set()
        for is_needed in (False, True):
            told = [child for child in self.children if child.is_needed is is_needed]
            told_at = time.monotonic()
            for child in told:
                child.tell()
            for child in told:
                child.wait(told_at)
        for child, told_at in self._leaving:
            child.wait(told_at)

    def _keep_wanted(self) -> None:
        for child, told_at in self._leaving:
            if time.monotonic() - told_at > child.stop_s:
                child.wait(told_at)
        self._leaving = [(child, told_at) for child, told_at in self._leaving if child.is_alive]
        wanted, self._wanted = self._wanted, None
        if wanted is None:
            return
        kept = [child for child in self.children if any(child.is_as(one) for one in wanted)]
        for child in self.children:
            if child not in kept:
                child.tell()
                self._leaving.append((child, time.monotonic()))
        fresh = [one for one in wanted if not any(one.is_as(child) for child in kept)]
        self.children = [*kept, *fresh]
        for child in fresh:
            child.start()

    def _look_after(self, child: Child) -> None:
        if child.is_finished or child.process is None or child.process.exitcode is None:
            return
        if child.once:
            child.is_finished = True
            return
        now = time.monotonic()
        if child.restart_at is not None:
            if now >= child.restart_at:
                child.start()
            return
        if child.must_start and child.deaths == 0 and now - child.started_at < FIRST_START_S:
            log.error("process.unstartable", name=child.name, exitcode=child.process.exitcode)
            self.failed = child.name
            self.stopping.set()
            return
        child.deaths = 1 if now - child.started_at > STEADY_S else child.deaths + 1
        pause_s = RESTART_PAUSES_S[min(child.deaths, len(RESTART_PAUSES_S)) - 1]
        child.restart_at = now + pause_s
        log.warning("process.died", name=child.name, exitcode=child.process.exitcode, restart_in_s=pause_s)

    def _on_hang_up(self, _number: int, _frame: FrameType | None) -> None:
        for child in self.children:
            if child.is_hung_up and child.process and child.process.pid and child.is_alive:
                os.kill(child.process.pid, signal.SIGHUP)

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self.stopping.set()


@contextmanager
def _environment_of(without: Sequence[str], besides: Mapping[str, str]) -> Iterator[None]:
    """Hide and add variables while a child starts, so that what is hidden is not in its /proc entry either."""
    changed = [name for name in os.environ if name.startswith(tuple(without)) or name in besides]
    before = {name: os.environ.pop(name) for name in changed}
    os.environ.update(besides)
    try:
        yield
    finally:
        for name in besides:
            del os.environ[name]
        os.environ.update(before)


def _enter(log: Path | None, target: Callable[..., object], arguments: tuple[Any, ...]) -> None:
    if log:
        with log.open("ab") as file:
            os.dup2(file.fileno(), sys.stdout.fileno())
            os.dup2(file.fileno(), sys.stderr.fileno())
    os.setsid()  # a Ctrl-C in the terminal reaches the parent only; it asks us once
    threading.Thread(target=_end_with_parent, daemon=True, name="end-with-parent").start()
    status = target(*arguments)
    sys.exit(status if isinstance(status, int) else 0)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is None:
        return
    parent.join()
    os.kill(os.getpid(), signal.SIGTERM)
