"""`python -m tests.support.shifted SECONDS MODULE ...`: runs a module on a machine whose clock is so much ahead.

SECONDS may be a file that says it: whoever writes it sets the clock while the module runs. With the folder `machine` on
PYTHONPATH, every Python that is started is shifted by SHIFTED_BY, children too.
"""

from __future__ import annotations

import runpy
import sys
import time
from collections.abc import Callable
from pathlib import Path


def shift(ahead: str) -> None:
    real, real_ns, ahead_s = time.time, time.time_ns, _reader(ahead)
    time.time = lambda: real() + ahead_s()
    time.time_ns = lambda: real_ns() + int(ahead_s() * 1_000_000_000)


def _reader(ahead: str) -> Callable[[], float]:
    try:
        seconds = float(ahead)
    except ValueError:
        path = Path(ahead)
        return lambda: float(path.read_text("ascii")) if path.exists() else 0.0
    return lambda: seconds


if __name__ == "__main__":
    shift(sys.argv[1])
    sys.argv[:] = sys.argv[2:]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
