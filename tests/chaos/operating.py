"""2,000 waiting events that each need a lead, on a `standard` portal that grants 480 s of adding in ten minutes, at
1.8 s an add: how long, beside what that limit allows.

The window is scaled down, so that nobody waits for more than an hour: it is a minute instead of ten. Limit, cost of an
add, pace of requests and size of batches are the real ones.
"""

from __future__ import annotations

import math
import sys
import time
from typing import Any

from tests.chaos.document import steps_of, twice
from tests.chaos.stage import Stage, doubles, make_entry, until

PLAN = "{plan: standard, own_id: echo, batch: 50, settle_after: 60s}"
LIMIT_S, WINDOW_S, ADD_S = 480.0, 60.0, 1.8


def allowed_s(count: int) -> float:
    """When the last of so many adds can be made at the earliest: when the windows before it are over.

    An add is refused when more than the limit is used up, so the last one of a window goes over it.
    """
    in_a_window = math.floor(LIMIT_S / ADD_S) + 1
    return (math.ceil(count / in_a_window) - 1) * WINDOW_S


def operating(count: int, workers: int) -> str:
    """One row."""
    with Stage() as stage:
        limits: dict[str, Any] = {
            "operating_limit_s": LIMIT_S,
            "operating_window_s": WINDOW_S,
            "operating_add_s": ADD_S,
        }
        sandbox = stage.add_portal("main", PLAN, **limits)
        stage.fill("main", count, make=lambda portal, number: make_entry(portal, number, steps_of(number)))
        begin = time.monotonic()
        stage.start_workers("main", workers)
        until(lambda: stage.open_count() == 0, "all are delivered", 3_600)
        took = time.monotonic() - begin
        counters, workflows = sandbox.counters(), sandbox.workflows()
        made, made_twice = len(sandbox.documents()), twice(sandbox)
    refused = counters["by_code"].get("OPERATION_TIME_LIMIT", 0)
    return (
        f"operating time: {count} adds of {ADD_S} s with {workers} workers, windows of {WINDOW_S:.0f} s for 600: "
        f"{took:.0f} s, the limit allows {allowed_s(count):.0f} s, ratio {took / allowed_s(count):.2f}, "
        f"{made} documents, {made_twice} made twice, {len(workflows)} workflows, {doubles(workflows)} doubled, "
        f"{refused} refused, {counters['total']} requests"
    )


if __name__ == "__main__":
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 2_000
    for workers in (1, 2):
        print(operating(count, workers), flush=True)
