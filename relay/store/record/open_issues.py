"""Open issues: failures that need a person, in groups, and deliveries of removed portals and rules. Reads only.

Failures with the same reason, rule, portal and template are one group, to be resolved at once. Only the newest of each
kind are grouped, so it costs the same whatever the record holds.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from redis import Redis

from relay.core.ids import DELIVERY_PREFIX, EVENT_PREFIX, earliest_id, iso, time_of
from relay.core.lifecycle import FINAL, EventState, State
from relay.store.record.record import Record
from relay.store.record.search import WAITING_FOR_A_PERSON, Filter, ids_of_deliveries
from relay.store.redis import keys
from relay.store.redis.scripts import Argument, Script, ScriptCall, guarded, run

GROUPS = Script.load("groups")
AT_ONCE = 2_500
"""Ids that one script looks at: a bound on how long others wait for the server."""
GROUPED = 5_000
"""The newest of a kind that are grouped: the server takes 5 us for each."""
MOST_GROUPS = 100

MOST_OPEN = 1_000
"""The most deliveries of a rule that are counted."""
OPEN_INDEXES = (keys.WAITING, keys.BLOCKED, keys.DOUBTFUL)

OF_DELIVERIES = ("reason", "rule", "portal", "template_id")
OF_EVENTS = ("source", "fault")
KINDS: dict[State | EventState, tuple[str, tuple[str, ...]]] = {
    EventState.REJECTED: (keys.EVENT, OF_EVENTS),
    State.DEAD: (keys.DELIVERY, OF_DELIVERIES),
    State.UNCERTAIN: (keys.DELIVERY, OF_DELIVERIES),
}
"""By state: the prefix of their keys, and the fields that make a group."""
OF_PREFIX = {keys.EVENT: EVENT_PREFIX, keys.DELIVERY: DELIVERY_PREFIX}
"""The prefix of ids, by that of keys."""


@dataclass(frozen=True, slots=True)
class Group:
    """A group of like failures. newest, oldest: ids, of deliveries or events. common: their shared fields."""

    state: State | EventState
    count: int
    newest: str
    oldest: str
    common: tuple[tuple[str, str], ...]

    def __getitem__(self, field: str) -> str:
        """Their common value of this field; empty without one."""
        return dict(self.common).get(field, "")

    @property
    def last_seen(self) -> datetime:
        """Time at which the newest was received or created."""
        return time_of(self.newest)

    @property
    def first_seen(self) -> datetime:
        """Time at which the oldest was received or created."""
        return time_of(self.oldest)

    @property
    def filter(self) -> Filter:
        """A filter that finds exactly this group."""
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
    """The states of which some groups were not read: a group that is missing here may still exist."""
    found = set()
    for state in KINDS:
        own = [group for group in groups if group.state is state]
        if len(own) >= MOST_GROUPS or sum(group.count for group in own) >= GROUPED:
            found.add(state)
    return found


class OpenIssues:
    """Open issues on record. Every method raises RecordUnavailableError."""

    def __init__(self, record: Record) -> None:
        self._record, self._redis = record, record.redis

    @guarded
    def groups(self, since: datetime | None = None) -> list[Group]:
        """The groups of all kinds, each kind's newest first. since: only of what came or was made since then."""
        return [group for state in KINDS for group in _groups_of(self._redis, state, since)]

    @guarded
    def of_other_portals(self, portals: Collection[str]) -> dict[str, int]:
        """Number of waiting and uncertain deliveries of each portal except these."""
        known: Any = self._redis.smembers(keys.PORTALS)
        others = sorted({name.decode() for name in known} - set(portals))
        counts: dict[str, int] = {}
        for name in others:
            found: list[Any] = [self._redis.zcard(index + name) for index in OPEN_INDEXES]
            if total := sum(found):
                counts[name] = total
        return counts

    def of_rules(self, rules: Iterable[str]) -> dict[str, int]:
        """Number of deliveries of each of these rules that are not final, up to MOST_OPEN."""
        going = [state for state in State if state not in FINAL]
        return {
            name: sum(len(ids_of_deliveries(self._record, Filter(state, rule=name), MOST_OPEN)) for state in going)
            for name in rules
        }


def _groups_of(redis: Redis, state: State | EventState, since: datetime | None) -> list[Group]:
    prefix, names = KINDS[state]
    merged: dict[tuple[str, ...], tuple[int, str, str]] = {}
    oldest_bound = f"[{earliest_id(OF_PREFIX[prefix], since)}" if since else "-"
    for count, newest, oldest, values in _looked_through(
        redis, WAITING_FOR_A_PERSON[state], oldest_bound, prefix, names
    ):
        known = merged.get(values)
        merged[values] = (known[0] + count, known[1], oldest) if known else (count, newest, oldest)
    found = [Group(state, *ends, common=tuple(zip(names, values, strict=True))) for values, ends in merged.items()]
    return sorted(found, key=lambda group: group.newest, reverse=True)[:MOST_GROUPS]


def _looked_through(
    redis: Redis, index: str, oldest_bound: str, prefix: str, names: tuple[str, ...]
) -> Iterator[tuple[int, str, str, tuple[str, ...]]]:
    bound = "+"
    for _ in range(GROUPED // AT_ONCE):
        argv: list[Argument] = [bound, oldest_bound, AT_ONCE, prefix, *names]
        end, *groups = run(redis, ScriptCall(GROUPS, [index], argv))
        for found in groups:
            yield _read(found)
        if not end:
            return
        bound = f"({end.decode()}"


def _read(found: list[Any]) -> tuple[int, str, str, tuple[str, ...]]:
    count, newest, oldest, *values = found
    return int(count), newest.decode(), oldest.decode(), tuple(value.decode("utf-8", "replace") for value in values)
