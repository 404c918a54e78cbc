"""The clock of the workers' machine is set while they run: nothing is forgotten, and no portal is kept waiting."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator

from relay.core.lifecycle import State
from tests.chaos.stage import REPOSITORY, Stage, until

CONFIG = "{plan: standard, rate: 1000, burst: 50, own_id: echo, batch: 50, settle_after: 1s}"
MACHINE = f"{REPOSITORY}:{REPOSITORY / 'tests' / 'support' / 'machine'}"


def forgotten(count: int, ahead_s: int, lasts_s: float, times: int) -> str:
    """So many events are final when the clock is set ahead for a while, several times, so that retention looks then."""
    with Stage() as stage:
        _start(stage)
        stage.fill("main", count)
        until(lambda: stage.open_count() == 0, "all are final", 120)
        for _ in range(times):
            _set_clock(stage, ahead_s)
            time.sleep(lasts_s)
            _set_clock(stage, 0)
            time.sleep(lasts_s)
        left = stage.record.event_count()
    days = ahead_s // 86_400
    return f"clock {days} days ahead for {times} x {lasts_s:.0f} s: {count - left} of {count} final events forgotten"


def delayed(ahead_s: int, lasts_s: float) -> str:
    """A portal fails while the clock is ahead; how long it is kept waiting when both are well again."""
    with Stage() as stage:
        sandbox = _start(stage)
        stage.fill("main", 1, first=1)
        until(lambda: stage.ledger().deliveries[State.STARTED] == 1, "the first to start")
        _set_clock(stage, ahead_s)
        sandbox.post("faults", [{"kind": "html_502", "times": 10_000}])
        stage.fill("main", 1, first=2)
        time.sleep(lasts_s)
        _set_clock(stage, 0)
        sandbox.clear_faults()
        stage.fill("main", 1, first=3)
        begin = time.monotonic()
        try:
            until(lambda: stage.ledger().deliveries[State.STARTED] >= 2, "another to start", 180)
        except TimeoutError:
            return f"clock {ahead_s} s ahead for {lasts_s:.0f} s with a fault: nothing was sent for 180 s after it"
        return (
            f"clock {ahead_s} s ahead for {lasts_s:.0f} s with a fault: sending after {time.monotonic() - begin:.0f} s"
        )


def clocks(count: int = 1_000) -> Iterator[str]:
    """A row for each."""
    yield forgotten(count, 100 * 86_400, 11, 4)
    yield delayed(3_600, 6)
    yield delayed(-3_600, 6)


def _start(stage: Stage):  # type: ignore[no-untyped-def] # the sandbox
    sandbox = stage.add_portal("main", CONFIG, rate=None)
    os.environ |= {"PYTHONPATH": MACHINE, "SHIFTED_BY": str(stage.folder / "ahead")}
    try:
        stage.start_workers("main", 1)
    finally:
        del os.environ["PYTHONPATH"], os.environ["SHIFTED_BY"]
    return sandbox


def _set_clock(stage: Stage, ahead_s: int) -> None:
    written = stage.folder / "ahead.new"
    written.write_text(str(ahead_s), "ascii")
    written.rename(stage.folder / "ahead")


if __name__ == "__main__":
    for row in clocks(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000):
        print(row, flush=True)
