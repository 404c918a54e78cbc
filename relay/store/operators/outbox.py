"""The outboxes: what became of deliveries, on its way to the addresses that config/alerts.yaml gives for that.

An entry is written by the script that changes the delivery's state (`announce` in lua/common.lua), so a kill in between
loses none. It stays until its receiver took it, or it was given up. Entries hold ids, names and codes, nobody's data.

An address is subscribed for SUBSCRIBED, and again while a worker has it: after that nothing more is written for it,
and what waits is forgotten. So an address that was taken out of the file does not fill the record.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from redis import Redis

from relay.core.ids import from_ms, to_ms
from relay.core.lifecycle import State
from relay.store.redis import keys
from relay.store.redis.scripts import guarded

SUBSCRIBED = timedelta(days=3)


@dataclass(frozen=True, slots=True)
class Announcement:
    """An entry of an outbox: a delivery that has come to a state. at: when. needs_person: only one can decide it.

    raw: the entry as it is kept, by which it is found again. workflow_id, reason, template_id: empty where there is
    none.
    """

    raw: bytes
    at: datetime
    state: State
    delivery_id: str
    event_id: str
    source: str
    rule: str
    portal: str
    template_id: str
    workflow_id: str
    reason: str
    needs_person: bool


class Outbox:
    """The outboxes by the names of their addresses. Every method raises RecordUnavailableError."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    @guarded
    def subscribe(self, name: str, states: Collection[State], now: datetime) -> None:
        """From now on, keep what comes to these states for an address."""
        until = to_ms(now + SUBSCRIBED)
        words = "".join(f" {state.value}" for state in sorted(states))
        with self._redis.pipeline(transaction=True) as pipeline:
            pipeline.hset(keys.SUBSCRIBERS, name, f"{until}{words} ")
            pipeline.pexpireat(keys.OUTBOX + name, until)
            pipeline.execute()

    @guarded
    def due(self, name: str, now: datetime, limit: int) -> list[Announcement]:
        """The entries that may be sent to an address now, the longest due first."""
        found: Any = self._redis.zrangebyscore(keys.OUTBOX + name, "-inf", to_ms(now), start=0, num=limit)
        return [_announcement(raw) for raw in found]

    @guarded
    def remove(self, name: str, one: Announcement, now: datetime) -> None:
        """Forget an entry, because its address took it now."""
        with self._redis.pipeline(transaction=True) as pipeline:
            pipeline.zrem(keys.OUTBOX + name, one.raw)
            pipeline.hset(keys.CHANNEL + name, mapping={"told_at": to_ms(now), "fault": "", "fault_at": ""})
            pipeline.execute()

    @guarded
    def postpone(self, name: str, one: Announcement, until: datetime) -> None:
        """Send an entry again at this time, unless it was removed meanwhile."""
        self._redis.zadd(keys.OUTBOX + name, {one.raw: to_ms(until)}, xx=True)

    @guarded
    def give_up(self, name: str, given_up: Sequence[Announcement]) -> None:
        """Forget entries that nobody took, and count them."""
        with self._redis.pipeline(transaction=True) as pipeline:
            pipeline.zrem(keys.OUTBOX + name, *(one.raw for one in given_up))
            pipeline.hincrby(keys.EVENTS_LOST, name, len(given_up))
            pipeline.execute()


def _announcement(raw: bytes) -> Announcement:
    entry = json.loads(raw)
    return Announcement(
        raw=raw,
        at=from_ms(int(entry["at"])),
        state=State(entry["state"]),
        delivery_id=entry["id"],
        event_id=entry["event_id"],
        source=entry["source"],
        rule=entry["rule"],
        portal=entry["portal"],
        template_id=entry["template_id"],
        workflow_id=entry["workflow_id"],
        reason=entry["reason"],
        needs_person=entry["needs_person"],
    )
