"""`python -m tests.support.shifted SECONDS MODULE ...`: runs a module on a machine whose clock is so much ahead."""

from __future__ import annotations

import runpy
import sys
import time


def shift(seconds: float) -> None:
    real, real_ns = time.time, time.time_ns
    time.time = lambda: real() + seconds
    time.time_ns = lambda: real_ns() + int(seconds * 1_000_000_000)


if __name__ == "__main__":
    shift(float(sys.argv[1]))
    sys.argv[:] = sys.argv[2:]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
