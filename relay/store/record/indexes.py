"""Walking the indexes of ids: where several conditions must hold, the server compares, and only what fits comes over.

Reads only. A walk looks at a bounded number of ids, so it costs the same whatever the record holds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from redis import Redis

from relay.store.redis import keys
from relay.store.redis.guard import guarded
from relay.store.redis.scripts import Argument, Script, ScriptCall, run

WALK = Script.load("walk")
AT_ONCE = 2_500
"""How many ids one script looks at: a bound on how long others wait for the server."""


@dataclass(frozen=True, slots=True)
class Indexes:
    """Indexes that an id must stand in. walked: the one to go along; others: of the same kind of id.

    beside: indexes of the other kind: the delivery's event, or one of the event's deliveries, must stand in them.
    """

    walked: str
    others: tuple[str, ...] = ()
    beside: tuple[str, ...] = ()

    @property
    def are_of_deliveries(self) -> bool:
        """Whether the ids are of deliveries, else of events."""
        return self.walked.startswith(keys.DELIVERIES)


@dataclass(frozen=True, slots=True)
class Walk:
    """What a walk found, newest first. end: the id where it ended; None at the end of the index."""

    ids: tuple[str, ...]
    end: str | None
    looked_at: int


@guarded
def walk(redis: Redis, indexes: Indexes, *, before: str | None, since: str | None, limit: int) -> Walk:
    """The next ids below `before` and not below `since`. It may find none and still not be at the end."""
    newest, oldest = f"({before}" if before else "+", f"[{since}" if since else "-"
    argv: list[Argument] = [newest, oldest, limit, max(AT_ONCE, limit), len(indexes.beside)]
    argv.append("deliveries" if indexes.are_of_deliveries else "events")
    call = ScriptCall(WALK, [indexes.walked, *indexes.others, *indexes.beside], argv)
    end, looked_at, *found = run(redis, call)
    return Walk(tuple(one.decode() for one in found), end.decode() or None, looked_at)


@guarded
def sizes(redis: Redis, indexes: Sequence[str]) -> list[int]:
    """How many ids each index holds."""
    with redis.pipeline(transaction=False) as pipeline:
        for index in indexes:
            pipeline.zcard(index)
        counts: Any = pipeline.execute()
    return [int(count) for count in counts]


def smallest_first(redis: Redis, indexes: Sequence[str]) -> list[str]:
    """The same indexes, the smallest first: who walks that one looks at the fewest ids."""
    if len(indexes) < 2:
        return list(indexes)
    return [index for _, index in sorted(zip(sizes(redis, indexes), indexes, strict=True))]
