"""What memory the processes take: at rest, after many events, and the workers' with 1, 20 and 100 portals.

Counted as PSS: what several processes share is divided among them, so that the sum is what they take together. The
record's own memory is not among it: sizes.py measures that.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from relay.queue.jobs import WORKERS_KEY
from tests.bench.load import lead_post, need_wrk, press
from tests.bench.proc import pss_mb, tree
from tests.bench.report import Table, Value
from tests.bench.rig import Rig, say
from tests.support.folders import copy_config
from tests.support.processes import Running
from tests.support.waiting import until

EVENTS, EVENTS_IN_FULL = 20_000, 100_000
WARM_SHARE = 0.5
"""So many come first: what a process takes once and keeps, such as connections, caches and pools, is no growth."""
DELIVERING_S = 20.0
PORTALS = (1, 20, 100)
STEADY_S, STEADY_MB = 2.0, 0.5
PORTAL = "  {name}: {{plan: self_hosted, own_id: off}}\n"


@dataclass(frozen=True, slots=True)
class Held:
    """What a command takes with its children."""

    processes: int
    mb: float


def measure(*, full: bool) -> list[Table]:
    """Growth, then portals."""
    need_wrk()
    # In full, all are delivered; else as many as there is time for.
    return [growth(EVENTS_IN_FULL, 3600.0) if full else growth(EVENTS, DELIVERING_S), of_portals()]


def growth(events: int, delivering_s: float) -> Table:
    """The processes at rest, after half of the events, and after all of them."""
    with Rig() as rig:
        roles = {"web": rig.start_web(), "workers": rig.start_workers(rig.start_sandbox())}
        until(lambda: queues_served(rig) == 1, "the worker to listen", 60)
        seen = [{role: settled(running) for role, running in roles.items()}]
        for count in (int(events * WARM_SHARE), events):
            say(f"  {count:,} events")
            receive_and_deliver(rig, roles["web"].url, count, delivering_s)
            seen.append({role: settled(running) for role, running in roles.items()})
        counts = {"web": rig.ledger().total_events, "workers": rig.started()}
    rows: dict[str, dict[str, Value]] = {}
    for role in roles:
        rest, warm, last = (one[role] for one in seen)
        rows[role] = {
            "growth MB": last.mb - warm.mb, "MB at rest": rest.mb, "MB after half": warm.mb,
            "MB after all": last.mb, "processes": last.processes, "events": counts[role],
        }  # fmt: skip
    columns = {
        "growth MB": "+.1f", "MB at rest": ".1f", "MB after half": ".1f", "MB after all": ".1f",
        "processes": "", "events": ",",
    }  # fmt: skip
    how = "PSS of a command with its children; growth: from half of the events to all; events: received, delivered"
    return Table("Memory of processes", how, columns, rows)


def of_portals() -> Table:
    """The workers at rest, with few portals and with many."""
    rows = {}
    for count in PORTALS:
        say(f"  {count} portal{'s' if count > 1 else ''}")
        names = [f"p{number}" for number in range(count)]
        with Rig(partial(config_with, names)) as rig:
            workers = rig.start_workers(rig.start_sandbox(), *names)
            until(partial(serves_all, rig, count), f"workers to listen for all {count}\n{workers.log()[-500:]}", 300)
            held = settled(workers)
        rows[f"portals: {count}"] = {"MB a portal": held.mb / count, "MB": held.mb, "processes": held.processes}
    columns = {"MB a portal": ".1f", "MB": ",.0f", "processes": ""}
    return Table("Memory of workers", "PSS at rest of all their processes, nothing waits", columns, rows)


def config_with(portals: list[str], folder: Path) -> Path:
    """A configuration with these portals, and no rules: they would call for others."""
    config = copy_config(folder)
    for rule in (config / "rules").iterdir():
        rule.unlink()
    (config / "portals.yaml").write_text("portals:\n" + "".join(PORTAL.format(name=name) for name in portals), "utf-8")
    return config


def receive_and_deliver(rig: Rig, url: str, events: int, delivering_s: float) -> None:
    """Post until so many have been received, and wait for the workers, but no longer than that."""
    while rig.ledger().total_events < events:
        press(f"{url}/hooks/website", lead_post(), 64, 2, rig.folder)
    end = time.monotonic() + delivering_s
    while rig.started() < rig.ledger().total_events and time.monotonic() < end:
        time.sleep(0.5)


def queues_served(rig: Rig) -> int:
    """How many queues a worker of RQ listens to."""
    redis: Any = rig.valkey.redis
    lists = [redis.hget(key, "queues") or b"" for key in redis.smembers(WORKERS_KEY)]
    return len({name for names in lists for name in names.split(b",") if name})


def serves_all(rig: Rig, count: int) -> bool:
    """Whether every portal has a worker."""
    return queues_served(rig) == count


def settled(running: Running, timeout_s: float = 120.0) -> Held:
    """What it takes as soon as that does not change any more, or after this time."""
    end, before = time.monotonic() + timeout_s, 0.0
    while True:
        pids = tree(running.pid)
        mb = sum(map(pss_mb, pids))
        if abs(mb - before) < STEADY_MB or time.monotonic() > end:
            return Held(len(pids), mb)
        before = mb
        time.sleep(STEADY_S)
