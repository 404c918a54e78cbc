"""The calls of the scripts that record events and carry deliveries on: what is handed to Lua. Pure: no I/O."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from relay.core.events import SETTLE_S, Delivery, Event
from relay.core.ids import to_ms
from relay.core.lifecycle import FINAL, State, advance, states_before
from relay.store.record import codec
from relay.store.record.entries import Entry, Load, Manner, Settlement
from relay.store.redis import keys
from relay.store.redis.scripts import Argument, Script, ScriptCall, pairs

HARD_DEADLINE = timedelta(seconds=120)
"""How long a delivery may be `sending`. A call ends after 70 s at most (workers/bitrix24/client.py)."""

RECORD, CLAIM, SETTLE = (Script.load(name) for name in ("record", "claim", "settle"))
SETTLE_ONE = Script.load("settle", tells_again=True)


def record_call(requests: Sequence[Sequence[Entry]]) -> ScriptCall:
    """Record what several requests hold: of each request all of it, or nothing."""
    argv: list[Argument] = [len(requests)]
    for entries in requests:
        argv.append(len(entries))
        for entry in entries:
            _add_entry(argv, entry)
    return ScriptCall(RECORD, (), argv)


def _add_entry(argv: list[Argument], entry: Entry) -> None:
    """An event with its deliveries, in the order that `entry_at` in lua/record.lua reads."""
    event, claims = entry.event, entry.claims
    argv += (event.id, event.state.value, event.source, len(claims))
    for claim in claims:
        argv += (keys.dedup(event.source, claim.digest), _ms(claim.window), claim.more)
    argv += (
        entry.bounds.to_json(),
        event.body,
        codec.event_facts(event),
        codec.ids_to_json(event.deliveries),
        *pairs(codec.further_event_fields(event)),
        len(entry.deliveries),
    )
    for delivery in entry.deliveries:
        add_delivery(argv, delivery)


def fields_of_new(event: Event) -> list[Argument]:
    """An event to be recorded by the script that adds its deliveries (lua/replay.lua)."""
    fields: list[tuple[str, Argument]] = [("state", event.state.value), ("source", event.source)]
    fields += [("body", event.body), ("facts", codec.event_facts(event)), *codec.further_event_fields(event)]
    return pairs(fields)


def add_delivery(argv: list[Argument], delivery: Delivery) -> None:
    """A new delivery, in the order that `create` in lua/common.lua reads."""
    call = delivery.call
    argv += (
        delivery.id,
        "" if delivery.errors else to_ms(delivery.created_at),
        delivery.event_id,
        delivery.rule,
        call.portal,
        call.template_id or "",
        call.document_id[2],
        codec.order_key(delivery),
        codec.call_to_json(call),
        codec.delivery_facts(delivery),
        *pairs(codec.further_delivery_fields(delivery)),
    )


def claim_call(
    portal: str, claim_id: str, now: datetime, load: Load, *, manner: Manner, lapses_in: timedelta
) -> ScriptCall:
    """Take the oldest that may be sent to a portal now, as many as the load allows."""
    claimable = states_before(State.SENDING)
    settle_ms = "" if manner.settle_s == SETTLE_S else round(manner.settle_s * 1000)
    argv: list[Argument] = [portal, to_ms(now), to_ms(now + lapses_in), _ms(HARD_DEADLINE), manner.own_id_at, settle_ms]
    argv += [load.limit, load.budget_ms, load.unknown_ms, len(claimable), *claimable, len(load.allowances)]
    for method, allowance in load.allowances.items():
        until = to_ms(allowance.until) if allowance.until else ""
        argv += (method, allowance.limit, allowance.left_ms, until, int(allowance.is_alone))
    for key, takes_ms in load.takes_ms.items():
        argv += (key, takes_ms)
    return ScriptCall(CLAIM, [keys.WAITING + portal, keys.CLAIM + claim_id], argv)


def settle_call(settlement: Settlement, now: datetime, *, tells_again: bool) -> ScriptCall:
    """Write what became of a delivery. tells_again: see Script. Raises IllegalTransitionError."""
    delivery, state = settlement.delivery, settlement.state
    # What is swapped is what was read, not whatever may come before: a step is legal from one state only.
    before = (state,) if settlement.looks is not None else (delivery.state,)
    if settlement.looks is None:
        advance(delivery.state, state)
    next_at = to_ms(settlement.next_at) if settlement.next_at and state not in FINAL else ""
    fields: list[tuple[str, Argument]] = [("next_attempt_at", next_at), ("reason", settlement.reason)]
    fields.append(("stepped_at", to_ms(now) if settlement.steps_back else ""))
    if settlement.workflow_id:
        fields.append(("workflow_id", settlement.workflow_id))
    if settlement.looks is not None:
        fields.append(("looks", settlement.looks))
    if settlement.after:
        fields += codec.next_fields(settlement.after)
        fields.append(("own_id_at", settlement.after.own_id_at))
    argv: list[Argument] = [delivery.id, delivery.turn, state.value, to_ms(now), _due_at(settlement, next_at, now)]
    argv += [codec.attempt_to_json(settlement.attempt) if settlement.attempt else ""]
    argv += [len(before), *before, *pairs(fields)]
    return ScriptCall(SETTLE_ONE if tells_again else SETTLE, [keys.DELIVERY + delivery.id], argv)


def _due_at(settlement: Settlement, next_at: Argument, now: datetime) -> Argument:
    if next_at or settlement.state is State.UNCERTAIN:
        return next_at
    # Nothing has gone wrong with what is pending again: it keeps its place in the line.
    return to_ms(min(settlement.delivery.created_at, now) if settlement.state is State.PENDING else now)


def _ms(duration: timedelta) -> int:
    return int(duration.total_seconds() * 1000)
