"""How many deliveries a second 1, 2 and 4 workers make at a portal without limits, beside RQ's own bare worker.

RQ's worker is what people use by hand: a job for each start, one call over a pooled connection, and nothing kept but
the job. Both call the same pretend portal, which is one process and has its share of the two cores.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count as numbers

from redis import Redis
from rq import Queue

from relay.core.lifecycle import State
from tests.bench.proc import cpu_s, tree
from tests.bench.report import Table
from tests.bench.rig import UNLIMITED, say
from tests.chaos.stage import REPOSITORY, Sandbox, Stage, doubles, end, start
from tests.support.waiting import until

WORKERS = (1, 2, 4)
WAITING, WAITING_IN_FULL = 5_000, 50_000
WINDOW_S = 6.0
JOBS_A_SECOND = 700
"""More than RQ's worker does: its queue must not run empty within the window."""
PLAN = "{plan: self_hosted, own_id: off, batch: 50}"
QUEUE = "bench"
COLUMNS = {
    "of RQ's": ".2f", "deliveries/s": ",.0f", "CPU us": ",.0f", "delivered": ",", "waited": ",", "twice or lost": ",",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Pace:
    """What was done in a window of time, and the CPU of those who did it."""

    count: int
    seconds: float
    cpu_s: float

    @property
    def rate(self) -> float:
        return self.count / self.seconds


def measure(*, full: bool) -> list[Table]:
    """Each number of workers, RQ's and ours in turn."""
    waiting, window_s = (WAITING_IN_FULL, math.inf) if full else (WAITING, WINDOW_S)
    rows = {}
    with Stage() as stage:
        sandbox = stage.add_portal("main", PLAN, **UNLIMITED)
        for workers in WORKERS:
            say(f"  {workers} of RQ's, then {workers} of ours")
            theirs = by_rq(stage.url, sandbox, workers)
            rows[f"RQ's bare worker, {workers}"] = {
                "of RQ's": 1.0, "deliveries/s": theirs.rate, "CPU us": theirs.cpu_s / theirs.count * 1e6,
                "delivered": theirs.count,
            }  # fmt: skip
            ours, wrong = by_us(stage, sandbox, workers, waiting, window_s)
            rows[f"workers, {workers}"] = {
                "of RQ's": ours.rate / theirs.rate, "deliveries/s": ours.rate, "CPU us": ours.cpu_s / ours.count * 1e6,
                "delivered": ours.count, "waited": waiting, "twice or lost": wrong,
            }  # fmt: skip
    until_when = "until all are delivered" if full else f"{WINDOW_S:g} s each"
    how = f"a portal without limits; {until_when}; CPU of the workers, a delivery"
    return [Table("Delivering", how, COLUMNS, rows)]


def by_us(stage: Stage, sandbox: Sandbox, workers: int, waiting: int, window_s: float) -> tuple[Pace, int]:
    """How fast ours were, and how many they have started twice or lost."""
    sandbox.post("reset", {})
    sandbox.post("settings", UNLIMITED)
    stage.fill("main", waiting - stage.open_count(), next(FIRST))
    before = delivered(stage)
    stage.start_workers("main", workers)
    try:
        pace = timed(lambda: delivered(stage) - before, [one.pid for one in stage.supervisors], waiting, window_s)
    finally:
        for supervisor in stage.supervisors:
            end(supervisor)
        stage.supervisors.clear()
    workflows = sandbox.workflows()
    lost = abs(len(workflows) - (delivered(stage) - before))
    return pace, doubles(workflows) + lost + len(stage.ledger().imbalances)


FIRST = numbers(1_000, 100_000)
"""The number of the first lead of each filling: every delivery has a document of its own."""


def delivered(stage: Stage) -> int:
    """How many deliveries have their workflow."""
    return stage.ledger().deliveries[State.STARTED]


def by_rq(url: str, sandbox: Sandbox, workers: int) -> Pace:
    """How fast RQ's own workers were."""
    redis = Redis.from_url(url)
    queue = Queue(QUEUE, connection=redis)
    waiting = int(JOBS_A_SECOND * WINDOW_S)
    portal = f"{sandbox.url}/rest/1/sandbox/"
    jobs = [Queue.prepare_data("contenders.start_workflow", (portal, number)) for number in range(waiting)]
    queue.enqueue_many(jobs)
    path = f"{REPOSITORY}:{REPOSITORY / 'tests' / 'bench'}"
    options = ["--url", url, "--worker-class", "rq.SimpleWorker", "--quiet", "--disable-job-desc-logging"]
    running = [start(["rq.cli", "worker", *options, QUEUE], os.environ | {"PYTHONPATH": path}) for _ in range(workers)]
    try:
        return timed(lambda: waiting - queue.count, [one.pid for one in running], waiting, WINDOW_S)
    finally:
        for process in running:
            end(process)
        queue.empty()  # type: ignore[no-untyped-call]
        redis.close()


def timed(done: Callable[[], int], pids: list[int], most: int, window_s: float) -> Pace:
    """What is done from the first on, until it is everything or the time is over."""
    until(lambda: done() > 0, "the first to be delivered", 60)
    begun, first, family = time.monotonic(), done(), [one for pid in pids for one in tree(pid)]
    used = cpu_s(family)
    while (count := done()) < most and time.monotonic() - begun < window_s:
        time.sleep(0.1)
    return Pace(count - first, time.monotonic() - begun, cpu_s(family) - used)
