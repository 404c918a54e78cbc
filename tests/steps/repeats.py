"""A connection to the record breaks once, and the client sends the same again: at each step of a journey that writes.

The process lives, so it hears something; and it must hear what it would have heard the first time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from tests.delivering.contexts import alerts
from tests.steps.promises import faults
from tests.steps.restart import go_on
from tests.steps.world import Journey, World
from tests.support.tap import Position, Step, Stop

UNHEEDED = {"wake", "pack_final"}
"""What these return is a number for a log: a worker that was woken is awake, and what was packed is packed."""


@dataclass(frozen=True, slots=True)
class Repeat:
    """A step that was sent twice, and what did not hold after it."""

    journey: str
    number: int
    step: str
    position: Position
    faults: tuple[str, ...]

    def __str__(self) -> str:
        where = f"{self.journey}, step {self.number} ({self.step}), its connection broken {self.position}"
        return f"{where}: {'; '.join(self.faults)}"


def repeats(world: World, journey: Journey, steps: Sequence[Step]) -> Iterator[Repeat]:
    """Break the connection at every step that writes, after half of its commands and after all of them."""
    wanted = _told(world, journey, None)
    for number, step in enumerate(steps, 1):
        for position in step.positions if step.writes else ():
            if position is not Position.BEFORE:
                told = _told(world, journey, Stop(number, position, breaks=True))
                go_on(world, journey, world.given)
                heard = [f"was told {told} instead of {wanted}"] if told != wanted else []
                yield Repeat(journey.name, number, step.name, position, (*heard, *faults(world, journey)))


def _told(world: World, journey: Journey, stop: Stop | None) -> tuple[Any, list[str]]:
    """What the process has heard, but for ids that are new each time; and of what it tells persons, be it twice."""
    world.given = world.begin(journey)
    world.start(journey, world.given, stop)
    ended = world.end()
    assert not ended.was_killed
    return None if journey.act in UNHEEDED else _plain(ended.result), sorted(set(alerts(world.record)))


def _plain(result: Any) -> Any:
    """An id is another each time."""
    if isinstance(result, dict):
        return {name: _plain(one) for name, one in result.items()}
    if isinstance(result, list):
        return len(result)
    return "an id" if isinstance(result, str) and "_" in result else result
