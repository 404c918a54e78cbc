"""What failed and waits for a person, in groups: what has reason, rule, portal and template in common is mended once.

Reads only. The groups are of the newest of each kind, so many at most: it costs the same whatever the record holds.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from redis import Redis

from relay.core.ids import iso, time_of
from relay.core.lifecycle import EventState, State
from relay.store.record.search import WAITING_FOR_A_PERSON, Filter
from relay.store.redis import keys
from relay.store.redis.guard import guarded
from relay.store.redis.scripts import Argument, Script, ScriptCall, run

GROUPS = Script.load("groups")
AT_ONCE = 2_500
"""How many one script looks at: a bound on how long others wait for the server."""
GROUPED = 5_000
"""How many of a kind are grouped, the newest: the server takes 5 us for each."""
MOST_GROUPS = 100

OF_DELIVERIES = ("reason", "rule", "portal", "template_id")
OF_EVENTS = ("source", "fault")
KINDS: dict[State | EventState, tuple[str, tuple[str, ...]]] = {
    EventState.REJECTED: (keys.EVENT, OF_EVENTS),
    State.DEAD: (keys.DELIVERY, OF_DELIVERIES),
    State.UNCERTAIN: (keys.DELIVERY, OF_DELIVERIES),
}
"""By their states: where they are, and what makes a group of them."""


@dataclass(frozen=True, slots=True)
class Group:
    """What failed alike. newest, oldest: ids, of deliveries or events. common: fields, and what is in them."""

    state: State | EventState
    count: int
    newest: str
    oldest: str
    common: tuple[tuple[str, str], ...]

    def __getitem__(self, field: str) -> str:
        """What they have in this field; empty where they have none."""
        return dict(self.common).get(field, "")

    @property
    def last_seen(self) -> datetime:
        """When the newest was received or created."""
        return time_of(self.newest)

    @property
    def first_seen(self) -> datetime:
        """When the oldest was."""
        return time_of(self.oldest)

    @property
    def filter(self) -> Filter:
        """What finds all of it, and nothing else."""
        return Filter(
            state=self.state,
            needs=True,
            code=self["reason"] or None,
            rule=self["rule"] or None,
            portal=self["portal"] or None,
            template_id=None if isinstance(self.state, EventState) else int(self["template_id"] or 0),
            source=self["source"] or None,
            fault=self["fault"] or None,
        )

    def to_wire(self) -> dict[str, Any]:
        return {
            "state": self.state.value,
            "count": self.count,
            "first_seen": iso(self.first_seen),
            "last_seen": iso(self.last_seen),
            "newest": self.newest,
            "filter": self.filter.to_query(),
        }


def states_cut(groups: Sequence[Group]) -> set[State | EventState]:
    """Of which states there may be more groups than were read: a group that is not among them may still be there."""
    found = set()
    for state in KINDS:
        own = [group for group in groups if group.state is state]
        if len(own) >= MOST_GROUPS or sum(group.count for group in own) >= GROUPED:
            found.add(state)
    return found


@guarded
def read_groups(redis: Redis) -> list[Group]:
    """The groups of all kinds, each kind's newest first. Raises RecordUnavailableError."""
    return [group for state in KINDS for group in _groups_of(redis, state)]


def _groups_of(redis: Redis, state: State | EventState) -> list[Group]:
    prefix, names = KINDS[state]
    merged: dict[tuple[str, ...], tuple[int, str, str]] = {}
    for count, newest, oldest, values in _looked_through(redis, WAITING_FOR_A_PERSON[state], prefix, names):
        known = merged.get(values)
        merged[values] = (known[0] + count, known[1], oldest) if known else (count, newest, oldest)
    found = [Group(state, *ends, common=tuple(zip(names, values, strict=True))) for values, ends in merged.items()]
    return sorted(found, key=lambda group: group.newest, reverse=True)[:MOST_GROUPS]


def _looked_through(
    redis: Redis, index: str, prefix: str, names: tuple[str, ...]
) -> Iterator[tuple[int, str, str, tuple[str, ...]]]:
    bound = "+"
    for _ in range(GROUPED // AT_ONCE):
        argv: list[Argument] = [bound, AT_ONCE, prefix, *names]
        end, *groups = run(redis, ScriptCall(GROUPS, [index], argv))
        for found in groups:
            yield _read(found)
        if not end:
            return
        bound = f"({end.decode()}"


def _read(found: list[Any]) -> tuple[int, str, str, tuple[str, ...]]:
    count, newest, oldest, *values = found
    return int(count), newest.decode(), oldest.decode(), tuple(value.decode("utf-8", "replace") for value in values)
