"""Every state that a crash leaves behind, every meeting of two processes, every failover that forgets, and all that may
change around a process at each of its steps: a row each.

The short form of it is a test (tests/steps). A row that ends in `all held` is a complete list of what can happen to
that journey; anything else is named by its step.
"""

from __future__ import annotations

import logging
import os
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import Protocol

import structlog

from tests.steps.around import attempt, states
from tests.steps.beginnings import config_for_steps
from tests.steps.changes import CHANGES
from tests.steps.crashes import crashes, trace
from tests.steps.journeys import JOURNEYS, ROUND_TRIPS
from tests.steps.meetings import PAIRS
from tests.steps.pairs import schedules
from tests.steps.promotion import failovers, writes_to_wait_for
from tests.steps.world import World
from tests.support.folders import SECRETS, WEB_SECRETS

WAITED = ("record", "claim")
"""The writes that a process waits for, once it has replicas to wait for."""
TOO_LONG = {"find, make and start"}
"""Its failovers are those of its turns one by one, which other journeys have; together they are thousands."""


class CallAttempt(Protocol):
    """A state that was tried."""

    @property
    def faults(self) -> tuple[str, ...]: ...


def steps() -> Iterator[str]:
    """Crashes, meetings and failovers."""
    with _world() as world:
        yield from _crashes(world)
        yield from _meetings(world)
        yield from _failovers(world)


def around() -> Iterator[str]:
    """A row for each change, and one for all axes. Each core has a world of its own."""
    counts, began = Counter[str](), time.monotonic()
    with get_context("spawn").Pool(os.cpu_count()) as pool:
        for name, count, verdict in pool.imap(_try_change, CHANGES):
            counts[CHANGES[name].axis] += count
            yield f"around, {name}: {count} states, {verdict}"
    yield f"around: {', '.join(f'{count} of {axis}' for axis, count in counts.items())}"
    yield f"around: {counts.total()} states, {time.monotonic() - began:.0f} s"


def _try_change(name: str) -> tuple[str, int, str]:
    """The same name, how many states the change has, and what came of them."""
    with _world() as world:
        taken = {journey: trace(world, JOURNEYS[journey]) for journey in JOURNEYS}
        every = [one for journey in JOURNEYS for one in states(JOURNEYS[journey], taken[journey], CHANGES[name])]
        return name, len(every), _verdict([attempt(world, one) for one in every])


@contextmanager
def _world() -> Iterator[World]:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    os.environ.update(SECRETS | WEB_SECRETS)
    with tempfile.TemporaryDirectory() as folder, _world_in(Path(folder)) as world:
        yield world


def _world_in(folder: Path) -> World:
    return World(config_for_steps(folder), SECRETS | WEB_SECRETS, processes=2)


def _crashes(world: World) -> Iterator[str]:
    count, began = 0, time.process_time()
    for name, journey in JOURNEYS.items():
        taken = trace(world, journey)
        tried = list(crashes(world, journey, taken))
        count += len(tried)
        trips = "" if len(taken) == ROUND_TRIPS[name] else f" (written down: {ROUND_TRIPS[name]})"
        yield f"steps, {name}: {len(taken)} round trips{trips}, killed in {len(tried)} ways, {_verdict(tried)}"
    yield f"steps: {len(JOURNEYS)} journeys, {count} kills, {time.process_time() - began:.0f} s of this process"


def _meetings(world: World) -> Iterator[str]:
    count = 0
    for name, pair in PAIRS.items():
        tried = list(schedules(world, pair))
        count += len(tried)
        yield f"two at once, {name}: {len(tried)} schedules, {_verdict(tried)}"
    yield f"two at once: {len(PAIRS)} pairs, {count} schedules"


def _failovers(world: World) -> Iterator[str]:
    needed: set[str] = set()
    for name, journey in JOURNEYS.items():
        if name in TOO_LONG:
            continue
        tried = list(failovers(world, journey, trace(world, journey), is_short=True))
        waited = [one for one in tried if one.is_possible(WAITED)]
        needed |= (must := writes_to_wait_for(tried))
        row = f"must be waited for: {', '.join(sorted(must)) or 'nothing'}"
        yield f"forgetful failover, {name}: {len(tried)} ways; {row}; with WAIT {len(waited)} ways, {_verdict(waited)}"
    yield f"forgetful failover: writes that have to be waited for in all: {', '.join(sorted(needed))}"


def _verdict(tried: Iterable[CallAttempt]) -> str:
    failed = [str(one) for one in tried if one.faults]
    return "".join(f"\n    {one}" for one in failed) or "all held"
