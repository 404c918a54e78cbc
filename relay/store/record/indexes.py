"""Walking the indexes of ids: where several conditions must hold, the server compares, and only what fits comes over.

What few have in common has an index of ids. What very many have in common has one of periods, half a minute each, in
which there are such ids: a walk goes through the periods that all conditions have, and reads the fields of what it
finds. Reads only. A walk looks at a bounded number of ids, so it costs the same whatever the record holds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from redis import Redis

from relay.core.ids import ms_of
from relay.store.redis import keys
from relay.store.redis.guard import guarded
from relay.store.redis.scripts import Argument, Script, ScriptCall, run

WALK = Script.load("walk")
AT_ONCE = 2_500
"""How many ids one script looks at: a bound on how long others wait for the server."""
PERIOD_MS = 32**3
"""An id's time has ten digits in base 32; a period is named by the first seven."""


@dataclass(frozen=True, slots=True)
class Conditions:
    """What must hold of one kind of id, events or deliveries.

    ids: indexes in which it must stand. periods: indexes in which its period must stand. fields: of its hash, with the
    values that they must have; what stands in `periods` is among them.
    """

    ids: tuple[str, ...] = ()
    periods: tuple[str, ...] = ()
    fields: tuple[tuple[str, str], ...] = ()

    def __bool__(self) -> bool:
        return bool(self.ids or self.fields)


@dataclass(frozen=True, slots=True)
class Indexes:
    """What a walk goes along, and what it keeps.

    walked: an index of ids, of events or deliveries. own: what must hold of an id. beside: what must hold of the
    delivery's event, or of one of the event's deliveries.
    """

    walked: str
    own: Conditions = Conditions()
    beside: Conditions = Conditions()

    @property
    def are_of_deliveries(self) -> bool:
        """Whether the ids are of deliveries, else of events."""
        return self.walked.startswith((keys.DELIVERIES, keys.OVERDUE, keys.BURIED, keys.UNDECIDED, keys.MADE))


@dataclass(frozen=True, slots=True)
class Walk:
    """What a walk found, newest first. end: the id where it ended; None at the end of the index."""

    ids: tuple[str, ...]
    end: str | None
    looked_at: int


@guarded
def walk(redis: Redis, indexes: Indexes, *, before: str | None, since: str | None, limit: int) -> Walk:
    """The next ids below `before` and not below `since`. It may find none and still not be at the end."""
    return walk_from(run(redis, walk_call(indexes, before=before, since=since, limit=limit)))


def walk_call(
    indexes: Indexes, *, before: str | None = None, since: str | None = None, limit: int = 1, most: int | None = None
) -> ScriptCall:
    """The call of a walk, for whoever makes several in one round trip. most: how many ids it may look at."""
    own, beside = indexes.own, indexes.beside
    newest, oldest = _bounds(before, since)
    argv: list[Argument] = [newest, oldest, limit, max(most or AT_ONCE, limit)]
    argv += ["deliveries" if indexes.are_of_deliveries else "events", len(own.ids), len(own.periods), len(own.fields)]
    for field in (*own.fields, *beside.fields):
        argv += field
    return ScriptCall(WALK, [indexes.walked, *own.ids, *own.periods, *beside.ids], argv)


def walk_from(answer: Any) -> Walk:
    """What a walk's answer means."""
    end, looked_at, *found = answer
    return Walk(tuple(one.decode() for one in found), end.decode() or None, looked_at)


@guarded
def plan_walk(redis: Redis, everything: str, own: Conditions, beside: Conditions) -> Indexes:
    """How to walk: along the smallest index of ids, and through periods only where they are fewer than its ids."""
    sizes = _sizes(redis, [everything, *own.ids, *own.periods])
    by_size = sorted(own.ids, key=lambda index: sizes[index])
    walked = by_size[0] if by_size else everything
    periods = tuple(index for index in own.periods if sizes[index] < sizes[walked])
    return Indexes(walked, Conditions(tuple(by_size[1:]), periods, own.fields), beside)


@guarded
def count_between(redis: Redis, index: str, *, before: str | None, since: str | None) -> int:
    """How many ids of an index there are below `before` and not below `since`."""
    newest, oldest = _bounds(before, since)
    found: Any = redis.zlexcount(index, oldest, newest)
    return int(found)


@guarded
def stands(redis: Redis, places: Sequence[tuple[str, str]]) -> bool:
    """Whether each id stands in its index; True of none. places: index and id."""
    with redis.pipeline(transaction=False) as pipeline:
        for index, one in places:
            pipeline.zscore(index, one)
        return None not in pipeline.execute()


@guarded
def looks(redis: Redis, everything: str, conditions: Conditions) -> float:
    """How many ids a walk under these conditions looks at, about, if it goes to the end."""
    sizes = _sizes(redis, [everything, *conditions.ids, *conditions.periods])
    a_period = _ids_a_period(redis, everything, sizes[everything]) if conditions.periods else 1.0
    through = [sizes[index] * a_period for index in conditions.periods]
    return min([sizes[everything], *(sizes[index] for index in conditions.ids), *through])


def _bounds(before: str | None, since: str | None) -> tuple[str, str]:
    return f"({before}" if before else "+", f"[{since}" if since else "-"


def _sizes(redis: Redis, indexes: Sequence[str]) -> dict[str, int]:
    with redis.pipeline(transaction=False) as pipeline:
        for index in indexes:
            pipeline.zcard(index)
        return dict(zip(indexes, pipeline.execute(), strict=True))


def _ids_a_period(redis: Redis, everything: str, size: int) -> float:
    with redis.pipeline(transaction=False) as pipeline:
        pipeline.zrange(everything, 0, 0)
        pipeline.zrange(everything, -1, -1)
        oldest, newest = pipeline.execute()
    if not oldest or not newest:
        return 1.0
    periods = (ms_of(newest[0].decode()) - ms_of(oldest[0].decode())) // PERIOD_MS + 1
    return max(1.0, size / periods)
