"""10,000 waiting deliveries on a `standard` portal: how long, beside what the portal's limits allow."""

from __future__ import annotations

import sys
import time

from tests.chaos.stage import Stage, doubles, until

PLAN = "{plan: standard, own_id: echo, batch: 50, settle_after: 60s}"
RATE, BURST, BATCH = 2.0, 50, 50


def drain(count: int, workers: int) -> str:
    """One row."""
    with Stage() as stage:
        sandbox = stage.add_portal("main", PLAN)
        stage.fill("main", count)
        begin = time.monotonic()
        stage.start_workers("main", workers)
        until(lambda: stage.open_count() == 0, "all are delivered", 600)
        took = time.monotonic() - begin
        counters = sandbox.counters()
        workflows = sandbox.workflows()
    allowed = max(0.0, (count / BATCH - BURST) / RATE)
    return (
        f"drain {count:6} with {workers} workers: {took:6.1f} s, the limits allow {allowed:6.1f} s, "
        f"ratio {took / allowed if allowed else float('nan'):.2f}, {len(workflows)} workflows, "
        f"{doubles(workflows)} doubled, requests {counters}"
    )


if __name__ == "__main__":
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    for workers in (2, 4):
        print(drain(count, workers), flush=True)
