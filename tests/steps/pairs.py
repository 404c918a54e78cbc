"""Two processes at once: one is held before each of its steps while the other runs, to its end or to a step of its own.

A step is atomic for whoever else is there, so these are all schedules of two processes with at most two switches.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from tests.steps.promises import faults
from tests.steps.restart import ask_again, go_on
from tests.steps.world import Journey, World
from tests.support.nursery import Ended
from tests.support.tap import Position, Step, Stop

HELD_S = 60.0


@dataclass(frozen=True, slots=True)
class Pair:
    """Two acts on one world.

    journey: where it begins, the first act, and what has to hold. other: the second act; what the beginning returns for
    each act stands under its name, where they are given different things. passed_s: so much time passes for all while
    the first is held. since: the step of the first after which the other can be there at all. asks: who asks again,
    because the other may have been in the way.
    """

    journey: Journey
    other: str
    passed_s: float = 0.0
    since: str = ""
    asks: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return self.journey.name

    def given(self, begun: Mapping[str, Any], act: str) -> Mapping[str, Any]:
        is_apart = begun.keys() and begun.keys() <= {self.journey.act, self.other}
        return begun[act] if is_apart else begun


@dataclass(frozen=True, slots=True)
class Schedule:
    """A schedule, and what did not hold after it. until: the step before which the other was held; None: its end."""

    pair: str
    number: int
    step: str
    until: int | None
    faults: tuple[str, ...]

    def __str__(self) -> str:
        other = f"held before its step {self.until}" if self.until else "done"
        return f"{self.pair}, the first before step {self.number} ({self.step}), the other {other}: " + "; ".join(
            self.faults
        )


@dataclass(slots=True)
class Hold:
    """Holds a process at a step. reached: it is there, or has ended before."""

    reached: threading.Event = field(default_factory=threading.Event)
    release: threading.Event = field(default_factory=threading.Event)

    def __call__(self) -> bool:
        self.reached.set()
        return self.release.wait(HELD_S)


class Both:
    """The two processes of one schedule."""

    def __init__(self, world: World, pair: Pair, pool: ThreadPoolExecutor, bug: str) -> None:
        self.world, self.pair, self._pool, self._bug = world, pair, pool, bug
        self._begun = world.begin(pair.journey)

    def given(self, act: str) -> Mapping[str, Any]:
        return self.pair.given(self._begun, act)

    def start(self, at: int, act: str, number: int | None) -> tuple[Hold, Future[Ended]]:
        """Have one begin, and wait until it is held before this step, or has ended; None: it is not held."""
        hold = Hold()
        stop = Stop(number, Position.BEFORE, hold) if number else None
        self.world.order(at, act, self.given(act), stop, bug=self._bug)
        ended = self._pool.submit(self.world.end, at)
        ended.add_done_callback(lambda _: hold.reached.set())
        hold.reached.wait()
        return hold, ended


def steps_alone(world: World, pair: Pair, act: str, bug: str = "") -> list[Step]:
    """The steps of one of the two, where the other is not there."""
    given = pair.given(world.begin(pair.journey), act)
    if pair.passed_s and act == pair.other:
        world.let_pass_for_all(pair.passed_s)
    world.order(0, act, given, bug=bug)
    world.end()
    return list(world.taps[0].steps)


def schedules(world: World, pair: Pair, *, bug: str = "", is_short: bool = False) -> Iterator[Schedule]:
    """Try every schedule; is_short: those where the other runs to its end."""
    steps = steps_alone(world, pair, pair.journey.act, bug)
    others = 0 if is_short else len(steps_alone(world, pair, pair.other, bug))
    first = next((number for number, step in enumerate(steps, 2) if step.name == pair.since), 1)
    with ThreadPoolExecutor(2) as pool:
        for number, step in list(enumerate(steps, 1))[first - 1 :]:
            if pair.passed_s and not step.commands:
                continue  # a call that is under way for minutes is none: the portal's front end ends it after one
            for until in (*range(1, others + 1), None):
                found = _try(Both(world, pair, pool, bug), number, until)
                yield Schedule(pair.name, number, step.name, until, found)


def _try(both: Both, number: int, until: int | None) -> tuple[str, ...]:
    world, pair = both.world, both.pair
    hold, first = both.start(0, pair.journey.act, number)
    if pair.passed_s:
        world.let_pass_for_all(pair.passed_s)
    other_hold, other = both.start(1, pair.other, until)
    hold.release.set()
    first.result()
    other_hold.release.set()
    other.result()
    for act in pair.asks:
        ask_again(world, act, both.given(act))
    go_on(world, pair.journey, both.given(pair.journey.act))
    return tuple(faults(world, pair.journey))
