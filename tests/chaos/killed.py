"""`kill -9` of a worker 30 times during 2,000 deliveries: none lost, none doubled."""

from __future__ import annotations

import sys

from relay.core.lifecycle import State
from tests.chaos.stage import Stage, doubles, until

CONFIG = "{plan: standard, rate: 100, burst: 1, own_id: echo, batch: 1, settle_after: 1s}"
"""Slow enough that the kills fall among the deliveries; 20 ms of latency so that many fall in mid-call."""


def killed(count: int, kills: int) -> str:
    """One row."""
    with Stage() as stage:
        sandbox = stage.add_portal("main", CONFIG, rate=None, latency_ms=20)
        stage.fill("main", count)
        stage.start_workers("main", 2)
        done = stage.kill_workers(kills)
        took = until(lambda: stage.open_count() == 0, "all are final", 500)
        ledger, workflows = stage.ledger(), sandbox.workflows()
    return (
        f"kill -9 {done} times during {count}: {len(workflows)} workflows, {doubles(workflows)} doubled, "
        f"{ledger.deliveries[State.STARTED]} started, {ledger.deliveries[State.UNCERTAIN]} uncertain, "
        f"ledger {'balances' if not ledger.imbalances else ledger.imbalances}, {took:.0f} s after the last kill"
    )


if __name__ == "__main__":
    count, kills = (int(sys.argv[1]), int(sys.argv[2])) if len(sys.argv) > 2 else (2_000, 30)
    print(killed(count, kills), flush=True)
