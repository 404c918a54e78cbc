"""A long time under load: numbered events at a steady rate, and every few seconds `kill -9` of one process that serves.

What is looked for is what only time shows: an event that is gone, a workflow too many, memory or files that grow.
Minutes are given: `python tests/chaos/soak.py 60`.
"""

from __future__ import annotations

import os
import random
import signal
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from relay.core.lifecycle import State
from tests.bench.proc import PROC, pss_mb, tree
from tests.chaos.failover import Senders, Site
from tests.chaos.stage import Stage, doubles, until

MINUTES = 5.0
BETWEEN_KILLS_S = (5.0, 15.0)
LOOK_S = 20.0
PATIENCE_S = 1_200.0


@dataclass(frozen=True, slots=True)
class Look:
    """Of the processes of one role at one moment: the most megabytes that one has, and the most open files."""

    mb: float
    files: int


def soak(minutes: float) -> Iterator[str]:
    """A row of what became of the events, and one for each role of how large its processes were."""
    with Stage() as stage, Site(stage.url) as site:
        senders, looks, kills = Senders(site.port), defaultdict[str, list[Look]](list), 0
        end, next_kill, next_look = time.monotonic() + 60 * minutes, time.monotonic() + BETWEEN_KILLS_S[1], 0.0
        while time.monotonic() < end:
            if time.monotonic() > next_look:
                look(site, stage, looks)
                next_look = time.monotonic() + LOOK_S
            if time.monotonic() > next_kill:
                kills += kill_one(site)
                next_kill = time.monotonic() + random.uniform(*BETWEEN_KILLS_S)
            time.sleep(0.2)
        senders.finish()
        drained = until(is_final(site), "all are final", PATIENCE_S)
        counts, workflows = site.record.counts(), site.sandbox.workflows()
        lost = site.lost(list(senders.acknowledged.values()))
    books = "balances" if not counts.imbalances else str(counts.imbalances)
    yield (
        f"soak, {minutes:g} minutes, {kills} kills: {len(senders.acknowledged):,} acknowledged, {lost} lost, "
        f"{len(workflows):,} workflows, {doubles(workflows)} twice, {counts.deliveries[State.STARTED]:,} started, "
        f"{counts.deliveries[State.UNCERTAIN]} uncertain, ledger {books}, drained {drained:.0f} s after the last"
    )
    for role, seen in looks.items():
        early, late = seen[len(seen) // 8 : len(seen) // 4 + 1], seen[-max(1, len(seen) // 8) :]
        yield (
            f"soak, {role}: {median(early, 'mb'):.0f} MB after an eighth, {median(late, 'mb'):.0f} MB at the end; "
            f"{median(early, 'files'):.0f} and {median(late, 'files'):.0f} open files"
        )


def look(site: Site, stage: Stage, looks: dict[str, list[Look]]) -> None:
    """How large the processes of each role are now."""
    for role, pids in roles(site).items():
        looks[role].append(look_at(pids))
    looks["record"].append(look_at([int(stage.record.redis.info("server")["process_id"])]))


def roles(site: Site) -> dict[str, list[int]]:
    """The processes by what they are: those that start others, and those that serve."""
    found: dict[str, list[int]] = {}
    for process, name in zip(site.processes, ("web", "workers"), strict=True):
        parent, *children = tree(process.pid)
        found |= {f"{name}, parent": [parent], f"{name}, serving": children}
    return found


def look_at(pids: list[int]) -> Look:
    return Look(max(map(pss_mb, pids), default=0.0), max(map(files_of, pids), default=0))


def files_of(pid: int) -> int:
    """How many files it has open; 0 where it has ended."""
    try:
        return sum(1 for _ in (PROC / str(pid) / "fd").iterdir())
    except OSError:
        return 0


def kill_one(site: Site) -> int:
    """One process that serves, of web or workers, by chance."""
    found = roles(site)
    serving = [pid for role, pids in found.items() if role.endswith("serving") for pid in pids]
    if not serving:
        return 0
    try:
        os.kill(random.choice(serving), signal.SIGKILL)
    except ProcessLookupError:
        return 0
    return 1


def is_final(site: Site) -> Callable[[], bool]:
    """Whether every delivery has come to its end, or waits for a person."""

    def ask() -> bool:
        counts = site.record.counts()
        return counts.total == counts.deliveries[State.STARTED] + site.record.unresolved_uncertain()

    return ask


def median(looks: list[Look], name: str) -> float:
    return float(statistics.median(getattr(look, name) for look in looks))


if __name__ == "__main__":
    for row in soak(float(sys.argv[1]) if len(sys.argv) > 1 else MINUTES):
        print(row, flush=True)
