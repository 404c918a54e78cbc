"""Every crash of a journey: at each of its steps, in each position, the process is killed; then all has to come right.

All that a process does to the world are commands of Redis and calls of a portal, so these are all the states that its
death can leave behind: a complete list, not a sample.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from tests.steps.promises import faults, faults_at_once
from tests.steps.restart import go_on
from tests.steps.world import Journey, World
from tests.support.tap import Position, Step, Stop


@dataclass(frozen=True, slots=True)
class Crash:
    """A kill, and what did not hold after it."""

    journey: str
    number: int
    step: str
    position: Position
    faults: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.journey}, step {self.number} ({self.step}), killed {self.position}: {'; '.join(self.faults)}"


def trace(world: World, journey: Journey, bug: str = "") -> list[Step]:
    """The steps of a journey that nobody disturbs. AssertionError where the promises do not hold even then."""
    given = world.begin(journey)
    world.start(journey, given, bug=bug)
    ended = world.end()
    assert not ended.was_killed
    steps = list(world.taps[0].steps)
    go_on(world, journey, given)
    found = faults(world, journey)
    assert not found, f"{journey.name}, undisturbed: {'; '.join(found)}"
    return steps


def crashes(
    world: World, journey: Journey, steps: list[Step], bug: str = "", *, is_short: bool = False
) -> Iterator[Crash]:
    """Kill it at every step, in every position; what became of it.

    is_short: each state of the world once. Before a step it is as after the one before it, for nothing else is done
    to the world; and a step that only reads leaves it as it was, wherever it is killed.
    """
    for number, step in enumerate(steps, 1):
        new = [one for one in step.positions if one is not Position.BEFORE and (step.leaves_something or number == 1)]
        for position in new if is_short else step.positions:
            yield Crash(journey.name, number, step.name, position, crash(world, journey, number, position, bug))


def crash(world: World, journey: Journey, number: int, position: Position, bug: str = "") -> tuple[str, ...]:
    """Kill it there, restart and drain; what does not hold."""
    given = world.begin(journey)
    world.start(journey, given, Stop(number, position), bug=bug)
    if not world.end().was_killed:
        return ("it has ended before this step: its steps are not the same each time",)
    at_once = faults_at_once(world, journey)
    go_on(world, journey, given)
    return (*at_once, *faults(world, journey))
