"""The calls of the scripts that carry a delivery on: what claiming and settling hand to Lua. Pure: no I/O."""

from __future__ import annotations

from datetime import datetime, timedelta

from relay.core.ids import to_ms
from relay.core.lifecycle import FINAL, State, advance, states_before
from relay.store.record import codec
from relay.store.record.entries import Load, Settlement
from relay.store.redis import keys
from relay.store.redis.scripts import Argument, Script, ScriptCall, pairs

HARD_DEADLINE = timedelta(seconds=120)
"""How long a delivery may be `sending`. A call ends after 70 s at most (workers/bitrix24/client.py)."""

CLAIM, SETTLE = Script.load("claim"), Script.load("settle")


def claim_call(portal: str, claim_id: str, now: datetime, load: Load) -> ScriptCall:
    """Take the oldest that may be sent to a portal now, as many as the load allows."""
    claimable = states_before(State.SENDING)
    argv: list[Argument] = [portal, to_ms(now), to_ms(now + HARD_DEADLINE), _ms(HARD_DEADLINE)]
    argv += [load.limit, load.budget_ms, load.unknown_ms, len(claimable), *claimable, len(load.allowances)]
    for method, allowance in load.allowances.items():
        argv += (method, allowance.limit, allowance.left_ms, to_ms(allowance.until))
    for key, takes_ms in load.takes_ms.items():
        argv += (key, takes_ms)
    return ScriptCall(CLAIM, [keys.WAITING + portal, keys.CLAIM + claim_id], argv)


def settle_call(settlement: Settlement, now: datetime) -> ScriptCall:
    """Write what became of a delivery. Raises IllegalTransitionError."""
    delivery, state = settlement.delivery, settlement.state
    # What is swapped is what was read, not whatever may come before: a step is legal from one state only.
    before = (state,) if settlement.looks is not None else (delivery.state,)
    if settlement.looks is None:
        advance(delivery.state, state)
    next_at = to_ms(settlement.next_at) if settlement.next_at and state not in FINAL else ""
    fields: list[tuple[str, Argument]] = [("next_attempt_at", next_at), ("reason", settlement.reason)]
    if settlement.workflow_id:
        fields.append(("workflow_id", settlement.workflow_id))
    if settlement.looks is not None:
        fields.append(("looks", settlement.looks))
    if settlement.after:
        fields += codec.next_fields(settlement.after)
    argv: list[Argument] = [delivery.id, delivery.turn, state.value, to_ms(now), _due_at(settlement, next_at, now)]
    argv += [codec.attempt_to_json(settlement.attempt) if settlement.attempt else ""]
    argv += [len(before), *before, *pairs(fields)]
    return ScriptCall(SETTLE, [keys.DELIVERY + delivery.id], argv)


def _due_at(settlement: Settlement, next_at: Argument, now: datetime) -> Argument:
    if next_at or settlement.state is State.UNCERTAIN:
        return next_at
    # Nothing has gone wrong with what is pending again: it keeps its place in the line.
    return to_ms(min(settlement.delivery.created_at, now) if settlement.state is State.PENDING else now)


def _ms(duration: timedelta) -> int:
    return int(duration.total_seconds() * 1000)
