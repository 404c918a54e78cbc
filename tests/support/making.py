"""Makes events, calls and deliveries as the door would make them."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from relay.core.events import Attempt, Delivery, Event
from relay.core.ids import new_delivery_id, new_event_id
from relay.core.lifecycle import EventState, State, Verdict
from relay.core.plan import Call
from relay.store.portals.gate import Gate
from relay.store.record.collector import Collector
from relay.store.record.entries import PLAINLY, Entry, Manner, Receipt
from relay.store.record.record import Record
from relay.store.redis import keys

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)


def make_call(portal: str = "main", lead: int = 1, parameters: Mapping[str, Any] | None = None) -> Call:
    triple = ("crm", "CCrmDocumentLead", f"LEAD_{lead}")
    return Call(portal, 1, triple, {"Parameter1": "user_1"} if parameters is None else parameters)


def make_delivery(event_id: str, rule: str = "a-rule", at: datetime = NOON, call: Call | None = None) -> Delivery:
    return Delivery(
        id=new_delivery_id(at),
        event_id=event_id,
        rule=rule,
        call=call or make_call(),
        state=State.PENDING,
        created_at=at,
        updated_at=at,
    )


def make_entry(
    rules: Sequence[str] = ("a-rule",),
    *,
    at: datetime = NOON,
    state: EventState | None = None,
    source: str = "website",
    digest: str | None = None,
    window: timedelta = DAY,
    body: bytes = b'{"lead": {"id": 1}}',
    portal: str = "main",
) -> Entry:
    event_id = new_event_id(at)
    deliveries = [make_delivery(event_id, rule, at, make_call(portal)) for rule in rules]
    event = Event(
        id=event_id,
        source=source,
        state=state or (EventState.ACCEPTED if deliveries else EventState.IGNORED),
        received_at=at,
        method="POST",
        content_type="application/json",
        query="a=1",
        headers={"content-type": "application/json", "x-kind": "tést"},
        body=body,
        deliveries=tuple(delivery.id for delivery in deliveries),
    )
    return Entry(event, deliveries, digest, window if digest else timedelta(0))


def make_attempt(verdict: Verdict = Verdict.STARTED, number: int = 1) -> Attempt:
    return Attempt(number=number, at=NOON, duration_ms=12, verdict=verdict, status=200, code=None, description="täxt")


def write(record: Record, entry: Entry) -> Receipt:
    """Record an entry at once, without a collector."""
    return Collector(record).record(entry)


def write_one(record: Record, at: datetime = NOON, **options: Any) -> Delivery:
    """Record an event with one delivery; the delivery."""
    entry = make_entry(at=at, **options)
    write(record, entry)
    return entry.deliveries[0]


def bring_to(
    record: Record, state: State, at: datetime = NOON, *, claimed_at: datetime | None = None, **options: Any
) -> Delivery:
    """A delivery on record in this state, as it reads then.

    claimed_at: the real time, where workers run: they take a claim of minutes ago for one that has lapsed.
    """
    delivery = write_one(record, at, **options)
    if state is State.PENDING:
        return delivery
    claimed = claim_one(record, delivery, claimed_at or at)
    if state is State.SENDING:
        return claimed
    workflow_id = f"wf-{delivery.id}" if state is State.STARTED else ""
    record.settle(claimed, state, at, reason="because", workflow_id=workflow_id)
    return record.delivery(delivery.id)


def claim_one(record: Record, delivery: Delivery, at: datetime = NOON, manner: Manner = PLAINLY) -> Delivery:
    """Claim this delivery, as if it were the oldest that waits, and the gate of its portal open."""
    redis, portal = record.redis, delivery.call.portal
    redis.zadd(keys.WAITING + portal, {delivery.id: 0})
    gate: Any = redis.hgetall(keys.GATE + portal)
    redis.delete(keys.GATE + portal)
    (claimed,) = record.claim(portal, secrets.token_hex(8), at, manner=manner)
    if gate:
        redis.hset(keys.GATE + portal, mapping=gate)
    assert claimed.id == delivery.id
    return claimed


def hold(redis: Any, portal: str, reason: str, at: datetime) -> bool:
    """Hold a portal, as a worker does."""
    gate = Gate(redis, portal)
    return gate.hold(gate.look(), reason, at)


def count_in_hour(record: Record, hour: datetime, **counts: int) -> None:
    """Count deliveries of one rule, as the record's scripts have done it in an earlier hour."""
    number = int(hour.timestamp() // 3600)
    found: dict[Any, Any] = {f"website:a-rule:main:1:{what}": count for what, count in counts.items()}
    record.redis.hset(f"{keys.HOURLY}{number}", mapping=found)
    record.redis.zadd(keys.HOURS_COUNTED, {str(number): number})


def with_turn(delivery: Delivery, turn: int) -> Delivery:
    return replace(delivery, turn=turn)
