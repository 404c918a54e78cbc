"""`make chaos`: the fault suite, a row a scene. Arguments (drain cut killed document operating ...) choose."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator

from tests.chaos import (
    application,
    clocks,
    commented,
    cut,
    days,
    document,
    drain,
    failover,
    foreign,
    frozen,
    handover,
    held,
    killed,
    operating,
    ordered,
    outage,
    portals,
    properties,
    refresh,
    soak,
    steps,
    stranger,
    swapped,
    upgraded,
    waiting,
)


def scenes() -> dict[str, Callable[[], Iterator[str]]]:
    """Each scene with what it prints."""
    return {
        "drain": _drain,
        "cut": _cut,
        "commented": commented.rows,
        "killed": lambda: iter([killed.killed(2_000, 30)]),
        "ordered": lambda: (ordered.ordered(50, 3, settle_after) for settle_after in ("1s", "60s")),
        "document": lambda: (document.document(1_000, 20, own_id) for own_id in ("echo", "off")),
        "operating": lambda: iter([operating.operating(2_000, 2)]),
        "held": lambda: iter([held.held(5_000, 300)]),
        "application": lambda: iter([application.application(600, 20, 2)]),
        "portals": _portals,
        "properties": properties.properties,
        "refresh": lambda: iter([refresh.refresh(10, 5, 500)]),
        "outage": _outage,
        "stranger": stranger.stranger,
        "steps": steps.steps,
        "around": steps.around,
        "days": days.days,
        "soak": lambda: soak.soak(soak.MINUTES),
        "failover": failover.rows,
        "frozen": lambda: frozen.frozen(frozen.POINTS),
        "waiting": lambda: iter([waiting.waiting()]),
        "clocks": clocks.clocks,
        "upgraded": lambda: upgraded.upgraded(2_000),
        "handover": handover.rows,
        "swapped": lambda: iter([swapped.swapped(20, 2)]),
    }


def _drain() -> Iterator[str]:
    for workers in (2, 4):
        yield drain.drain(10_000, workers)
    yield foreign.foreign(10_000)


def _cut() -> Iterator[str]:
    for own_id in ("echo", "off"):
        for batch in (1, 10):
            yield cut.cut(1_000, own_id, batch)
    yield foreign.foreign_cut(1_000, 10)


def _outage() -> Iterator[str]:
    for trouble in outage.TROUBLES:
        for batch in (50, 5):
            yield outage.outage(trouble, batch)


def _portals() -> Iterator[str]:
    yield portals.served(100, 50)
    yield portals.hanging(10, 300)


def main(names: list[str]) -> int:
    """Run what is named, or everything. 2 for an unknown name."""
    known = scenes()
    unknown = [name for name in names if name not in known]
    if unknown:
        print(f"unknown: {', '.join(unknown)}; there are {', '.join(known)}", file=sys.stderr)
        return 2
    for name in names or known:
        begin = time.monotonic()
        for row in known[name]():
            print(row, flush=True)
        print(f"  ({name}: {time.monotonic() - begin:.0f} s)", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
