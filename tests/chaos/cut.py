"""1,000 deliveries while 5 % of calls are cut after execution: with an own id none is doubled and none stays uncertain;
without, none is doubled and what is not certain says so."""

from __future__ import annotations

import sys

from relay.core.lifecycle import State
from tests.chaos.stage import Stage, doubles, until

SHARE = 0.05


def cut(count: int, own_id: str, batch: int) -> str:
    """One row."""
    config = f"{{plan: standard, rate: 200, burst: 50, own_id: {own_id}, batch: {batch}, settle_after: 1s}}"
    with Stage() as stage:
        sandbox = stage.add_portal("main", config, rate=None, instances_visible=False)
        sandbox.post("faults", [{"kind": "drop_after_start", "share": SHARE}])
        stage.fill("main", count)
        stage.start_workers("main", 2)

        def is_over() -> bool:
            counts = stage.ledger().deliveries
            moving = counts[State.PENDING] + counts[State.SENDING] + counts[State.RETRYING]
            if own_id == "echo":
                return moving + counts[State.UNCERTAIN] == 0
            return moving == 0 and stage.record.redis.zcard("relay:doubtful:main") == 0

        took = until(is_over, "all are final, or left to a person", 300)
        ledger, workflows = stage.ledger(), sandbox.workflows()
    uncertain = ledger.deliveries[State.UNCERTAIN]
    return (
        f"cut 5 % of {count}, own id {own_id:4}, batches of {batch:2}: {len(workflows)} workflows, "
        f"{doubles(workflows)} doubled, {ledger.deliveries[State.STARTED]} started, {uncertain} uncertain, "
        f"{ledger.deliveries[State.DEAD]} dead, ledger {'balances' if not ledger.imbalances else ledger.imbalances}, "
        f"{took:.0f} s"
    )


if __name__ == "__main__":
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000
    for own_id in ("echo", "off"):
        for batch in (1, 10):
            print(cut(count, own_id, batch), flush=True)
