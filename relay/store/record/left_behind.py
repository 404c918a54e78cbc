"""How many deliveries are on their way for a portal or a rule that the configuration no longer has. Reads only."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

from redis import Redis

from relay.core.lifecycle import FINAL, State
from relay.store.record.record import Record
from relay.store.record.search import Filter, ids_of_deliveries
from relay.store.redis import keys
from relay.store.redis.guard import guarded

MOST = 1_000
"""So many of a rule are counted."""
INDEXES = (keys.WAITING, keys.BLOCKED, keys.DOUBTFUL)


@guarded
def waiting_of_other_portals(redis: Redis, portals: Collection[str]) -> dict[str, int]:
    """Of each portal but these, how many deliveries wait for it or for its word. Raises RecordUnavailableError."""
    known: Any = redis.smembers(keys.PORTALS)
    others = sorted({name.decode() for name in known} - set(portals))
    counts: dict[str, int] = {}
    for name in others:
        found: list[Any] = [redis.zcard(index + name) for index in INDEXES]
        if total := sum(found):
            counts[name] = total
    return counts


def open_of_rules(record: Record, rules: Iterable[str]) -> dict[str, int]:
    """Of each of these rules, how many deliveries are not final, of MOST at most. Raises RecordUnavailableError."""
    going = [state for state in State if state not in FINAL]
    return {
        name: sum(len(ids_of_deliveries(record, Filter(state, rule=name), MOST)) for state in going) for name in rules
    }
