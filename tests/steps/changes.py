"""What may change around a process at any of its steps: a table. What is done with it is in around.py.

A change begins while a process is held before a step, and ends a while later: a setting is changed and changed back,
another host is there alone, the server is full and has room again, the record goes back and a person resumes, a clock
is set wrong and set right, a portal refuses something and does not any more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from typing import Any

from relay.core.errors import RelayError
from relay.core.events import Delivery
from relay.core.lifecycle import State
from relay.store.redis import keys
from tests.days.promises import untold
from tests.delivering.contexts import BATCHING
from tests.steps import acts
from tests.steps.restart import unclaimed
from tests.steps.world import Journey, World
from workers.bitrix24.bizproc import INSTANCES, START
from workers.bitrix24.client import BATCH

AT_ONCE, BRIEFLY = (13.0, 1.0), (13.0, 40.0, 20.0)
"""Seconds that pass: a claim of 12 s lapses, and a call may be running for a minute."""
HOUR, DAY = 3_600.0, 86_400.0
FOR_LONG = (*BRIEFLY, *(min(125.0 * 1.5**number, 4 * HOUR) for number in range(32)))
"""Three days: longer than the twelve attempts of a delivery take, or twelve questions about it."""
SETTLES_IN_S = 5.0

Faults = list[str]
Begin = Callable[[World, int], None]
"""Given the number of the step before which it happens."""


@dataclass(frozen=True, slots=True)
class Change:
    """A row of the table.

    axis: what of the world it is about. end: everything is as before, and persons do what is theirs. lasts: the seconds
    that pass meanwhile, each after the others have done what is theirs. meanwhile: what is wrong before it ends. fits:
    the journeys in which it matters. loses: what was acknowledged may be gone. is_still: nobody asks again meanwhile,
    and nothing goes on before a gate that only a person opens.
    """

    axis: str
    name: str
    begin: Begin
    end: Callable[[World], None]
    lasts: tuple[float, ...] = FOR_LONG
    meanwhile: Callable[[World], Faults] = lambda _world: []
    fits: Callable[[Journey], bool] = lambda _journey: True
    loses: bool = False
    is_still: bool = False

    def __str__(self) -> str:
        return f"{self.axis}: {self.name}"


def ended_or_told(world: World) -> Faults:
    """Nothing waits of which nobody is told, and no gate is closed but by a person."""
    gate = world.store.portal("main").gate.look()
    if gate.by_person:
        return []
    found = [f"{one.id} is {one.state} ({one.reason}), and nobody is told" for one in untold(world)]
    return found if gate.is_open else [*found, f"the gate is {gate.state}: {gate.reason}"]


# --- a setting changes ---


def _set(**changes: Any) -> Begin:
    return lambda world, _: world.configure(**changes)


def _turn_own_ids(world: World, _number: int) -> None:
    world.configure(own_id="off" if world.options.get("own_id") == "echo" else "echo")


def _change_rules(world: World, _number: int) -> None:
    world.configure(world.other_config)


def _as_before(world: World) -> None:
    world.configure()


def _reads_rules(journey: Journey) -> bool:
    return journey.act.startswith(("receive", "replay", "erase"))


def _setting(name: str, begin: Begin, **more: Any) -> Change:
    return Change("a setting", name, begin, _as_before, meanwhile=ended_or_told, **more)


SETTINGS = (
    _setting("own_id is turned", _turn_own_ids),
    _setting("settle_after_s is 5", _set(settle_after_s=SETTLES_IN_S)),
    _setting("batch is 1", _set(batch=1), fits=lambda journey: journey.options == BATCHING),
    _setting("on_uncertain is resend, and ordered", _change_rules, fits=_reads_rules),
)

# --- another host, the server, the clock ---


def _fill(world: World, _number: int) -> None:
    world.valkey.make_full()


def _make_room(world: World) -> None:
    world.valkey.redis.config_set("maxmemory", "0")


def _set_clock(seconds: float) -> Begin:
    return lambda world, _: world.set_clock_by(seconds)


def _set_right(world: World) -> None:
    world.set_clock_by(0)


OTHER_HOST = Change(
    "another host", "it serves other portals", _set(name="other"), _as_before, lasts=AT_ONCE, is_still=True
)
FULL = Change("the server", "it is full", _fill, _make_room, meanwhile=ended_or_told)
CLOCKS = tuple(
    Change("the clock", name, _set_clock(seconds), _set_right, meanwhile=ended_or_told)
    for name, seconds in {"an hour ahead": HOUR, "an hour back": -HOUR, "100 days ahead": 100 * DAY}.items()
)

# --- the record goes back ---


def _restore(share: float) -> Begin:
    """A backup of when so much of what the process has written until now was written, as `restore` puts it back."""

    def restore(world: World, number: int) -> None:
        writes = world.writes_before(number)
        world.put_back(writes[: int(len(writes) * share)])
        world.store.hold_what_may_have_been_sent(world.clock())

    return restore


def _lose_the_end(world: World, number: int) -> None:
    """The server comes back without the last that was written, and whoever looks notices, if it was a promise."""
    world.store.reached(world.clock())
    world.put_back(world.writes_before(number)[:-1])
    world.store.reached(world.clock())


def _resume(world: World) -> None:
    """A person resumes, and lets orders go on, or replays one by one what the portal has not seen of them."""
    if not world.store.portal("main").gate.look().is_open:
        acts.resume(world.hands)
    left = [one for one in world.deliveries() if one.state is State.DEAD]
    begun = [one for one in left if unclaimed(world, one)]
    if acts.end_held_bulks(world.hands, goes_on=not begun) and begun:
        _replay(world, [one for one in left if one not in begun])


def _replay(world: World, wanted: Iterable[Delivery]) -> None:
    for one in wanted:
        with suppress(RelayError):
            acts.replay(world.hands, one.id)


def _restored(name: str, begin: Begin) -> Change:
    return Change("restored", name, begin, _resume, lasts=BRIEFLY, loses=True, is_still=True)


RESTORED = (
    _restored("to the beginning", _restore(0.0)),
    _restored("to the middle", _restore(0.5)),
    _restored("to how it is", _restore(1.0)),
    _restored("without the last write", _lose_the_end),
)

# --- the portal refuses something ---


def _refuse(**fault: Any) -> Begin:
    def refuse(world: World, _number: int) -> None:
        world.portal.add_faults({"share": 1.0, **fault})

    return refuse


def _be_well(world: World) -> None:
    """The portal is well, and a person replays what has died of it."""
    world.portal.faults.clear()
    world.wall = lambda _body: None
    _resume(world)
    redis: Any = world.valkey.redis
    dead = {one.decode() for one in redis.zrange(keys.BURIED, 0, -1)}
    _replay(world, [one for one in world.deliveries() if one.state is State.DEAD and one.id in dead])


def _block(status: int, *parts: bytes) -> Begin:
    """A firewall refuses every request in which all of this stands."""

    def block(world: World, _number: int) -> None:
        world.wall = lambda body: status if all(part in body for part in parts) else None

    return block


def _refused(name: str, begin: Begin, fits: Callable[[Journey], bool] = lambda _: True) -> Change:
    return Change("the portal", name, begin, _be_well, meanwhile=ended_or_told, fits=fits)


METHODS: Mapping[str, Callable[[Journey], bool]] = {
    START: lambda _: True,
    INSTANCES: lambda _: True,
    BATCH: lambda journey: journey.options == BATCHING,
}
REFUSALS: Mapping[str, Mapping[str, Any]] = {
    "denies": {"kind": "error", "code": "ACCESS_DENIED", "description": "Access denied!", "status": 403},
    "does not know": {"kind": "error", "code": "ERROR_METHOD_NOT_FOUND", "status": 404},
    "answers with a page to": {"kind": "html_502"},
}


def _refusals() -> Iterator[Change]:
    for method, fits in METHODS.items():
        for name, fault in REFUSALS.items():
            yield _refused(f"it {name} {method}", _refuse(**fault, method=method), fits)


CONTENTS = (
    _refused("a firewall answers 403 to one document", _block(403, b"LEAD_1")),
    _refused("it answers 413 to a batch", _block(413, b'"cmd"'), METHODS[BATCH]),
)
CHANGES = {str(one): one for one in chain(SETTINGS, (OTHER_HOST, FULL), CLOCKS, RESTORED, _refusals(), CONTENTS)}
