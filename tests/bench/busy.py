"""How long the door takes while 10,000 deliveries wait and the workers run, beside the same door before that.

The portal grants two requests a second, as most plans do, so the workers send in batches and never come to an end.
"""

from __future__ import annotations

import statistics
from pathlib import Path

from relay.core.lifecycle import State
from tests.bench.load import Load, lead_post, need_wrk, press
from tests.bench.report import Table
from tests.bench.rig import Rig, say
from tests.support.folders import copy_config
from tests.support.waiting import until

WAITING = 10_000
CONNECTIONS = (16, 64)
ROUNDS = 3
PACED = "portals:\n  main: {plan: standard, own_id: off, batch: 50, burst: 4}\n"
COLUMNS = {"p99 of idle": ".2f", "p50 ms": ".1f", "p99 ms": ".1f", "spread of p99": ",.0f", "posts/s": ",.0f"}


def measure(*, full: bool) -> list[Table]:
    """First idle, then busy."""
    need_wrk()
    seconds = 4 if full else 2
    with Rig(paced) as rig:
        web = rig.start_web()
        press(f"{web.url}/hooks/website", lead_post(), CONNECTIONS[0], 1, rig.folder)
        idle = {count: rounds(rig, web.url, count, seconds) for count in CONNECTIONS}
        while (waiting := rig.ledger().deliveries[State.PENDING]) < WAITING:
            say(f"  {waiting:,} of {WAITING:,} wait")
            press(f"{web.url}/hooks/website", lead_post(), 64, 3, rig.folder)
        rig.start_workers(rig.start_sandbox(rate=2.0, burst=5))
        until(lambda: rig.started() > 0, "the workers to deliver")
        busy = {count: rounds(rig, web.url, count, seconds) for count in CONNECTIONS}
        waiting = rig.ledger().deliveries[State.PENDING]
    how = f"{ROUNDS} rounds of {seconds} s; busy: {waiting:,} wait at last, and workers send 2 requests a second"
    rows = {}
    for count in CONNECTIONS:
        rows[f"{count} connections, idle"] = row(idle[count], idle[count])
        rows[f"{count} connections, busy"] = row(busy[count], idle[count])
    return [Table("The door while many wait", how, COLUMNS, rows)]


def paced(folder: Path) -> Path:
    """The configuration with a portal that has a plan's limits."""
    config = copy_config(folder)
    (config / "portals.yaml").write_text(PACED, "utf-8")
    return config


def rounds(rig: Rig, url: str, connections: int, seconds: float) -> list[Load]:
    """So many runs, one after the other."""
    return [press(f"{url}/hooks/website", lead_post(), connections, seconds, rig.folder) for _ in range(ROUNDS)]


def row(loads: list[Load], idle: list[Load]) -> dict[str, float | list[float]]:
    """The medians."""
    p99 = statistics.median(one.p99 for one in loads)
    return {
        "p99 of idle": p99 / statistics.median(one.p99 for one in idle),
        "p50 ms": statistics.median(one.p50 for one in loads),
        "p99 ms": p99,
        "spread of p99": [one.p99 for one in loads],
        "posts/s": statistics.median(one.rate for one in loads),
    }
