"""What changes around a process: each change of the table, at each step of a journey; afterwards the promises hold.

The process is held before the step, the change begins, and something new comes in. Then the process goes on, or has
died; or it has died over a call that its portal carries out all the same, a while later. Others do what is theirs while
the change lasts, and after it has ended, until all has come to rest.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Any

import pytest

from relay.core.errors import RecordUnavailableError
from tests.delivering.contexts import add
from tests.steps import acts, bugs
from tests.steps.changes import Change
from tests.steps.promises import NEWCOMER, done, faults, forgotten
from tests.steps.restart import RECEIVING, ask_again, go_on, is_at_rest, work
from tests.steps.world import Journey, World
from tests.support.tap import Position, Step, Stop

GIVES_ORDER = "begin_bulk"
CAME_AGO = timedelta(seconds=5)
ARRIVES_IN_S = 43.0
"""A call may take a minute."""


class Fate(StrEnum):
    """What becomes of the process that is held."""

    LIVES = "which goes on"
    DIES = "which dies"
    LATE = "which dies, its call on its way"


@dataclass(frozen=True, slots=True)
class State:
    """Where something changes."""

    journey: Journey
    number: int
    step: str
    change: Change
    fate: Fate

    def __str__(self) -> str:
        return f"{self.journey.name}, before step {self.number} ({self.step}) of one {self.fate}; {self.change}"


@dataclass(frozen=True, slots=True)
class CallAttempt:
    """A state, and what did not hold after it."""

    state: State
    faults: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.state}: {'; '.join(self.faults)}"


def states(journey: Journey, steps: Sequence[Step], change: Change) -> Iterator[State]:
    """Every state of a journey of these steps, in which this may change; none where it does not matter.

    Where one that dies has left nothing since the step before, it is as if it had died there.
    """
    if not change.fits(journey):
        return
    for number, step in enumerate(steps, 1):
        yield State(journey, number, step.name, change, Fate.LIVES)
        if number == 1 or steps[number - 2].leaves_something:
            yield State(journey, number, step.name, change, Fate.DIES)
        if not step.commands:
            yield State(journey, number, step.name, change, Fate.LATE)
    yield State(journey, len(steps) + 1, "its end", change, Fate.LIVES)


def sample(all_states: Sequence[State], count: int) -> list[State]:
    """So many of those of a change, the same each time."""
    chance = random.Random(str(all_states[0].change))  # noqa: S311 - no secrets
    return chance.sample(all_states, min(count, len(all_states)))


def attempt(world: World, state: State, bug: str = "") -> CallAttempt:
    """Bring the world into a state, and on to rest; what did not hold. bug: put into everybody."""
    with pytest.MonkeyPatch.context() as patch:
        if bug:
            bugs.BUGS[bug](patch)
        try:
            return CallAttempt(state, tuple(_faults_of(world, state, bug)))
        finally:
            world.be_as_usual()


def _faults_of(world: World, state: State, bug: str) -> Iterator[str]:
    journey, change, is_there = state.journey, state.change, False
    given = world.begin(journey)
    world.put_back = world.snapshot()
    known = set(world.event_ids())

    def happen() -> bool:
        nonlocal is_there
        is_there = True
        change.begin(world, state.number)
        with suppress(RecordUnavailableError):
            add(world.record, lead=NEWCOMER, at=world.clock.now - CAME_AGO)
        return state.fate is Fate.LIVES

    world.start(journey, given, Stop(state.number, Position.BEFORE, happen), bug=bug)
    world.end()
    if not is_there:
        happen()  # after its end: it was answered
    if state.fate is Fate.LATE:
        world.arrives_in_s = ARRIVES_IN_S
    yield from _meanwhile(world, state, given)
    change.end(world)
    if change.loses:
        world.acknowledged.clear()
        known.clear()
    go_on(world, journey, given)
    yield from faults(world, journey, loses=change.loses)
    yield from forgotten(world, journey, known)


def _meanwhile(world: World, state: State, given: Mapping[str, Any]) -> Iterator[str]:
    """While it lasts, the others do what is theirs."""
    journey, change = state.journey, state.change
    if journey.is_asked and not change.is_still and not (journey.act in RECEIVING and world.acknowledged):
        ask_again(world, journey.act, given)
    may_go_on = not change.is_still or journey.act == GIVES_ORDER  # what is ordered after that is a person's word
    for seconds in change.lasts:
        was_done = done(world)
        with suppress(RecordUnavailableError):
            work(world)
            acts.forget_by_the_servers_clock(world.hands)
        if not may_go_on and done(world) != was_done and world.store.portal("main").gate.look().by_person:
            yield "something went on by itself"
        world.let_pass(seconds)
        if not world.arrives_in_s and is_at_rest(world):
            break
    yield from change.meanwhile(world)
