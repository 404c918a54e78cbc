"""Many portals on one machine: what they cost at rest, how fast all are served, and that one that hangs delays none.

All share one pretend portal, which has no limit of its own: what paces each is its bucket, in the record.
"""

from __future__ import annotations

import statistics
import sys
import time
from pathlib import Path
from typing import Any

from relay.store.record.collector import Collector
from tests.chaos.stage import Sandbox, Stage, doubles, make_entry, until

PLAN = "{plan: standard, own_id: echo, batch: 50, settle_after: 60s}"
RATE, BURST = 2.0, 40
HANGS_S = 60


def served(portals: int, events: int) -> str:
    """A row: so many portals at rest, then with so many events each."""
    with Stage() as stage:
        names = add_portals(stage, portals)
        begin = time.monotonic()
        stage.start_workers(None, 1)
        until(lambda: listened_to(stage) == portals, "every portal has a worker", 300)
        ready_s = time.monotonic() - begin
        time.sleep(8)  # what comes soon after the start: drift, the first pass of the sweeper
        processes, memory, cpu_s = family(stage)
        time.sleep(10)
        idle = (family(stage)[2] - cpu_s) / 10
        begin, cpu_s = time.monotonic(), family(stage)[2]
        for index, name in enumerate(names):
            stage.fill(name, events, first=1_000 * (index + 1))
        until(lambda: stage.open_count() == 0, "all are delivered", 600)
        took, (_, busy, spent_s) = time.monotonic() - begin, family(stage)
        workflows = stage.portals[names[0]].workflows()
    allowed = max(0.0, (events - BURST) / RATE)
    return (
        f"portals: {portals} in {processes} processes, ready in {ready_s:.1f} s, {memory:.0f} MB at rest, "
        f"{busy:.0f} MB after {portals} x {events} events, {100 * idle:.1f} % of a core at rest; all started in "
        f"{took:.1f} s and {spent_s - cpu_s:.1f} s of CPU (one by one the limits allow {allowed:.1f} s), "
        f"{len(workflows)} workflows, {doubles(workflows)} doubled"
    )


def hanging(portals: int, count: int) -> str:
    """A row: the time from record to start at a healthy portal, while another of its process answers after a minute."""
    with Stage() as stage:
        names = add_portals(stage, portals)
        broken = stage.add_portal("broken", PLAN)
        broken.post("faults", [{"kind": "slow", "seconds": HANGS_S, "times": 1_000_000}])
        stage.start_workers(None, 1)
        until(lambda: listened_to(stage) == portals + 1, "every portal has a worker", 300)
        measure(stage, names, 20, 1)
        before = measure(stage, names, count, 1_000)
        stage.fill("broken", 50, 900_000)
        until(lambda: stage.record.redis.zcard("relay:sending") > 0, "the call that hangs", 30)
        during = measure(stage, names, count, 100_000)
        is_hanging = stage.record.redis.zcard("relay:sending") > 0
    p50, p95 = ([statistics.quantiles(times, n=20)[at] for times in (before, during)] for at in (9, 18))
    return (
        f"portals: one of {portals + 1} {'hangs' if is_hanging else 'DOES NOT HANG'} {HANGS_S} s a call: the others' "
        f"p50 {p50[0]:.1f} -> {p50[1]:.1f} ms, p95 {p95[0]:.1f} -> {p95[1]:.1f} ms, ratio {p95[1] / p95[0]:.2f}"
    )


def add_portals(stage: Stage, count: int) -> list[str]:
    """So many portals before one sandbox."""
    sandbox = Sandbox(rate=None)
    names = [f"p{number}" for number in range(count)]
    for name in names:
        stage.add_portal(name, PLAN, sandbox)
    return names


def listened_to(stage: Stage) -> int:
    """How many queues some worker listens to."""
    redis: Any = stage.record.redis
    queues = [redis.hget(key, "queues") or b"" for key in redis.smembers("rq:workers")]
    return len({name for text in queues for name in text.split(b",") if name})


def measure(stage: Stage, portals: list[str], count: int, first: int) -> list[float]:
    """Milliseconds from recording to `started`, one delivery at a time, each portal in its turn."""
    times = []
    for number in range(first, first + count):
        entry = make_entry(portals[number % len(portals)], number)
        begin = time.perf_counter()
        Collector(stage.record).record(entry)
        key = f"relay:delivery:{entry.deliveries[0].id}"
        while stage.record.redis.hget(key, "state") != b"started":
            time.sleep(0.0005)
        times.append((time.perf_counter() - begin) * 1000)
        time.sleep(0.01)
    return times


def family(stage: Stage) -> tuple[int, float, float]:
    """How many processes the workers are with their supervisor, their memory (PSS) in MB, and their CPU seconds."""
    pids = [*(process.pid for process in stage.supervisors), *stage.worker_pids()]
    memory_kb, ticks = 0, 0
    for pid in pids:
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
        memory_kb += next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:"))
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return len(pids), memory_kb / 1024, ticks / 100


if __name__ == "__main__":
    portals, events, count = map(int, sys.argv[1:4]) if len(sys.argv) > 3 else (100, 50, 300)
    print(served(portals, events), flush=True)
    print(hanging(min(portals, 10), count), flush=True)
