"""How long `serve`, `workers` and `up` take from their start until they do what they are for, and the CPU of it.

serve: until it answers that it can take events. workers: until a delivery that waited has its workflow. up: until its
web process answers so, with a record of its own that was empty.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from functools import partial

import requests

from tests.bench.proc import cpu_s, tree
from tests.bench.report import Table, Value
from tests.bench.rig import Rig, say
from tests.support.processes import Running
from tests.support.senders import SEED, website
from tests.support.waiting import until

ROUNDS = 3
COLUMNS = {"s": ".2f", "spread": ".2f", "CPU s": ".2f"}


def has_started(rig: Rig) -> bool:
    return rig.started() > 0


def measure(*, full: bool) -> list[Table]:
    """Each in turn, three times."""
    taken: dict[str, list[tuple[float, float]]] = {"serve": [], "workers": [], "up": []}
    for round_ in range(1, ROUNDS + 1):
        say(f"  round {round_} of {ROUNDS}")
        with Rig() as rig:
            web = rig.processes.start("relay", "serve", REDIS_URL=rig.valkey.url)
            taken["serve"].append(timed(web, partial(is_ready, web.url)))
            requests.post(f"{web.url}/hooks/website", json=SEED, headers=website(), timeout=10).raise_for_status()
            workers = rig.start_workers(rig.start_sandbox())
            taken["workers"].append(timed(workers, partial(has_started, rig)))
            workers.stop()
            web.stop()
            up = rig.processes.start("relay", "up", "--sandbox")
            taken["up"].append(timed(up, partial(is_ready, up.url)))
    rows: dict[str, Mapping[str, Value]] = {
        name: {
            "s": statistics.median(seconds for seconds, _ in each),
            "spread": [seconds for seconds, _ in each],
            "CPU s": statistics.median(cpu for _, cpu in each),
        }
        for name, each in taken.items()
    }
    how = f"medians of {ROUNDS} rounds; serve and up: ready for events; workers: first delivery started"
    return [Table("Start", how, COLUMNS, rows)]


def timed(running: Running, is_done: Callable[[], bool]) -> tuple[float, float]:
    """Seconds since it was started just now, and its CPU so far."""
    begun = time.monotonic()
    until(is_done, f"it to be ready\n{running.log()}", 60)
    return time.monotonic() - begun, cpu_s(tree(running.pid))


def is_ready(url: str) -> bool:
    """Whether it can take events."""
    try:
        return requests.get(f"{url}/readyz", timeout=1).ok
    except requests.RequestException:
        return False
