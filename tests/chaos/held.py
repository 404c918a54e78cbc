"""A held portal with 5,000 waiting beside a healthy one: the healthy one's latency must not move."""

from __future__ import annotations

import statistics
import sys
import time

from relay.store.portals.gate import Gate, GateState
from relay.store.record.collector import Collector
from tests.chaos.stage import Stage, make_entry, until

CONFIG = "{plan: self_hosted, own_id: echo, batch: 50, settle_after: 60s}"


def measure(stage: Stage, count: int, first: int) -> list[float]:
    """Milliseconds from recording to `started`, one delivery at a time."""
    times = []
    for number in range(first, first + count):
        entry = make_entry("healthy", number)
        begin = time.perf_counter()
        Collector(stage.record).record(entry)
        delivery_id = entry.deliveries[0].id
        key = f"relay:delivery:{delivery_id}"
        while stage.record.redis.hget(key, "state") != b"started":
            time.sleep(0.0005)
        times.append((time.perf_counter() - begin) * 1000)
        time.sleep(0.01)
    return times


def held(waiting: int, count: int) -> str:
    """One row. Both measurements in one run, in turns, for the machine is shared."""
    with Stage() as stage:
        stage.add_portal("healthy", CONFIG, rate=None)
        broken = stage.add_portal("broken", CONFIG, rate=None)
        stage.start_workers("healthy", 1)
        measure(stage, 50, 1)
        before = measure(stage, count, 1_000)
        broken.post("faults", [{"kind": "error", "code": "INVALID_CREDENTIALS", "status": 401, "times": 1_000_000}])
        stage.fill("broken", waiting, 100_000)
        stage.start_workers("broken", 1)
        gate = Gate(stage.record.redis, "broken")
        until(lambda: gate.look().state is GateState.HELD, "the broken portal is held", 60)
        during = measure(stage, count, 10_000)
        left = stage.record.redis.zcard("relay:waiting:broken")
    p95 = [statistics.quantiles(times, n=20)[18] for times in (before, during)]
    p50 = [statistics.median(times) for times in (before, during)]
    return (
        f"held portal with {left} waiting: healthy p50 {p50[0]:.1f} -> {p50[1]:.1f} ms, "
        f"p95 {p95[0]:.1f} -> {p95[1]:.1f} ms, ratio {p95[1] / p95[0]:.2f}"
    )


if __name__ == "__main__":
    waiting, count = (int(sys.argv[1]), int(sys.argv[2])) if len(sys.argv) > 2 else (5_000, 300)
    print(held(waiting, count), flush=True)
