"""A failover to a replica that lacks the last commands: at every step of a journey, as many of them as it has written.

The server is put back to where the journey began, and what the process had written by then is written again, but for
the last of it. Then the process goes on in front of it, or has died with the machine. This shows which writes have to
be waited for (WAIT) before anything follows from them: those without which a promise breaks.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from tests.steps.promises import faults
from tests.steps.restart import go_on
from tests.steps.world import Journey, World
from tests.support.tap import Position, Step, Stop


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
        where = f"{self.journey}, promoted {forgot} before step {self.number}, the process {process}"
        return f"{where}: {'; '.join(self.faults)}"

    def is_possible(self, waited: Iterable[str]) -> bool:
        """Whether it can happen where the process waits for these writes."""
        return not set(self.lost) & set(waited)


def failovers(world: World, journey: Journey, steps: Sequence[Step], *, is_short: bool = False) -> Iterator[Failover]:
    """Every failover of a journey of these steps. is_short: after each that writes or calls."""
    for number, before in enumerate(steps, 2):
        writes = [name for step in steps[: number - 1] for name, _ in step.writes]
        for count in range(len(writes) + 1) if before.leaves_something or not is_short else ():
            for lives in (True, False):
                found = _fail_over(world, journey, number, count, lives=lives)
                yield Failover(journey.name, number, tuple(writes[len(writes) - count :]), lives, found)


def writes_to_wait_for(tried: Iterable[Failover]) -> set[str]:
    """The writes that break a promise where they are forgotten, and what came after them does not."""
    tried, found = list(tried), set[str]()
    while broken := next((one for one in tried if one.faults and one.lost and one.is_possible(found)), None):
        later = {(one.number, one.lives, len(one.lost)): one.faults for one in tried}
        lost = len(broken.lost)
        while lost > 1 and later[broken.number, broken.lives, lost - 1]:
            lost -= 1
        found.add(broken.lost[-lost])
    return found


def _fail_over(world: World, journey: Journey, number: int, count: int, *, lives: bool) -> tuple[str, ...]:
    """One failover that forgets so many writes; what does not hold after it."""
    given = world.begin(journey)
    put_back = world.snapshot()

    def promote() -> bool:
        writes = world.writes_before(number)
        put_back(writes[: len(writes) - count])
        return lives

    world.start(journey, given, Stop(number, Position.BEFORE, promote))
    world.end()
    if len(world.taps[0].steps) < number:
        promote()  # after its end: it was answered
    go_on(world, journey, given)
    # What a person has ordered by a filter may be forgotten: it stands there as not done, and nothing of it is lost.
    is_order = journey.act.startswith("step_bulks")
    return tuple(faults(world, replace(journey, workflows=None) if is_order else journey))
