"""What the children of a supervisor do in tests. A spawned process finds them by module and name."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from pathlib import Path

from relay.core.threads import SignalledEvent


def note(notes: str | Path, line: str) -> None:
    with Path(notes).open("a") as file:
        file.write(f"{line}\n")


def stay(notes: str | Path, name: str) -> None:
    """Say so, and stay until asked to end."""
    stop = SignalledEvent()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    note(notes, f"{name} {os.getpid()}")
    while not stop.wait(0.05):
        pass
    note(notes, f"end-of-{name}")


def stay_for_all(notes: str | Path, name: str, count: int) -> None:
    """Say so, and when asked to end say that too, and end when so many have been asked."""
    stop = SignalledEvent()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    note(notes, f"{name} {os.getpid()}")
    while not stop.wait(0.05):
        pass
    note(notes, f"told-{name}")
    while sum(line.startswith("told-") for line in Path(notes).read_text().splitlines()) < count:
        time.sleep(0.05)
    note(notes, f"end-of-{name}")


def stay_deaf(notes: str | Path) -> None:
    """Stay, whatever is asked."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    note(notes, f"deaf {os.getpid()}")
    threading.Event().wait()


def end(status: int) -> None:
    """End with this status."""
    sys.exit(status)
