"""A failover to a replica that lacks the last commands: at every step of a journey, as many of them as it has written.

The server is put back to where the journey began, and what the process had written by then is written again, but for
the last of it. Then the process goes on in front of it, or has died with the machine. Which writes have to be waited
for (WAIT) is what this shows: those without which a promise breaks, if they are the first to be forgotten.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from tests.steps.promises import faults
from tests.steps.restart import go_on
from tests.steps.world import Journey, World
from tests.support.tap import Position, Stop


@dataclass(frozen=True, slots=True)
class Write:
    """A command of a step that may change something."""

    step: str
    command: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Failover:
    """A promotion, and what did not hold after it.

    number: before this step of the journey. lost: the names of the writes that were forgotten, the oldest first.
    lives: the process goes on.
    """

    journey: str
    number: int
    lost: tuple[str, ...]
    lives: bool
    faults: tuple[str, ...]

    def __str__(self) -> str:
        forgot = f"without {', '.join(self.lost)}" if self.lost else "with all"
        process = "goes on" if self.lives else "dies"
        return f"{self.journey}, promoted {forgot} before step {self.number}, the process {process}: " + "; ".join(
            self.faults
        )


def failovers(world: World, journey: Journey, waited: frozenset[str], steps: int) -> Iterator[Failover]:
    """Every failover of a journey of so many steps. waited: writes that the process waits for, and so are not lost."""
    for number in range(2, steps + 2):
        for lives in (True, False):
            count, is_more = 0, True
            while is_more:
                found, is_more = _fail_over(world, journey, number, count, waited, lives=lives)
                yield found
                count += 1


def needed(world: World, journey: Journey, steps: int) -> set[str]:
    """The writes that have to be waited for: forgotten first of all, each breaks a promise, and what follows it does not."""
    held: dict[tuple[int, bool], tuple[str, ...]] = {}
    found = set()
    for one in failovers(world, journey, frozenset(), steps):
        before = held.get((one.number, one.lives))
        if one.faults and before is not None and len(before) == len(one.lost) - 1:
            found.add(one.lost[0])
        elif not one.faults:
            held[one.number, one.lives] = one.lost
    return found


def _fail_over(
    world: World, journey: Journey, number: int, count: int, waited: frozenset[str], *, lives: bool
) -> tuple[Failover, bool]:
    """One failover that forgets so many writes, and whether more of them could be forgotten."""
    given = world.begin(journey)
    snapshot = _snapshot(world)
    lost: list[Write] = []
    left: list[Write] = []

    def promote() -> bool:
        done = world.taps[0].steps[: number - 1]
        writes = [Write(step.name, command) for step in done for command in step.writes]
        cut = len(writes) - count
        safe = max((at for at, one in enumerate(writes, 1) if one.step in waited), default=0)
        lost[:], left[:] = writes[cut:], writes[safe:cut]
        snapshot()
        for one in writes[:cut]:
            world.valkey.redis.execute_command(*one.command)
        return lives

    world.start(journey, given, Stop(number, Position.BEFORE, promote))
    if not world.end().was_killed and len(world.taps[0].steps) < number:
        promote()  # it has ended, and was answered
    go_on(world, journey, given)
    names = tuple(one.step for one in lost)
    return Failover(journey.name, number, names, lives, tuple(faults(world, journey))), bool(left)


def _snapshot(world: World) -> Callable[[], None]:
    """What puts the server back to where it is now."""
    redis: Any = world.valkey.redis
    kept = [(key, max(redis.pttl(key), 0), redis.dump(key)) for key in redis.keys("*")]

    def restore() -> None:
        with redis.pipeline(transaction=False) as pipeline:
            pipeline.flushall()
            for key, ttl_ms, dumped in kept:
                pipeline.restore(key, ttl_ms, dumped)
            pipeline.execute()

    return restore
