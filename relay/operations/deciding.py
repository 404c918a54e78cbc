"""What the rules of a source make of one event: calls, or errors by field. Records nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from relay.core.errors import InvalidEventError, NoAddressError
from relay.core.events import Delivery, Intent
from relay.core.ids import new_delivery_id
from relay.core.lifecycle import EventState, State
from relay.core.phrases import phrase
from relay.core.progress import go_on
from relay.core.watching import Watched, watched_under
from relay.rules import RuleBook


@dataclass(frozen=True, slots=True)
class Decision:
    """What the rules of a source make of one event: calls, and errors by field of the rules that cannot be filled.

    State: accepted where there is at least one call, rejected where there are only errors, else ignored.
    personal: the texts of a person that rules have found, whether they could be filled or not.
    """

    intents: tuple[Intent, ...] = ()
    errors: Mapping[str, list[str]] = field(default_factory=dict)
    personal: tuple[str, ...] = field(default=(), repr=False)

    @property
    def state(self) -> EventState:
        if self.intents:
            return EventState.ACCEPTED
        return EventState.REJECTED if self.errors else EventState.IGNORED


def decide(rules: RuleBook, source: str, context: Mapping[str, Any]) -> Decision:
    """Ask every rule of the source that can want it."""
    intents: list[Intent] = []
    errors: dict[str, list[str]] = {}
    personal: list[str] = []
    for rule in rules.candidates(source, context):
        try:
            if intent := rule.intent_of(context):
                intents.append(intent)
                personal += intent.personal
        except InvalidEventError as error:
            personal += error.personal
            for name, messages in error.errors.items():
                errors.setdefault(name, []).extend(messages)
    return Decision(tuple(intents), errors, tuple(personal))


def deliveries_of(event_id: str, intents: Iterable[Intent], now: datetime, base: str | None = None) -> list[Delivery]:
    """A fresh pending delivery for each intent. What its plan makes carries its id, unless it is another's already.

    base: the relay's own address (RELAY_PUBLIC_URL): where the end is watched for, each start has one of its own
    under it. Raises NoAddressError where it is needed and not known.
    """
    deliveries = []
    for intent in intents:
        delivery_id, plan = new_delivery_id(now), intent.plan
        delivery = Delivery(
            id=delivery_id,
            event_id=event_id,
            rule=intent.rule,
            call=intent.call,
            policy=intent.policy,
            state=State.PENDING,
            created_at=now,
            updated_at=now,
            plan=replace(plan, origin=plan.origin or delivery_id) if plan else None,
            results=intent.results,
            unsure=intent.unsure,
            watched=_watched(base) if intent.policy.watch else None,
        )
        # Where all of its plan was done before, only the start is left, and its call is filled.
        deliveries.append(go_on(delivery).delivery if plan else delivery)
    return deliveries


def _watched(base: str | None) -> Watched:
    if not base:
        raise NoAddressError(
            phrase("RELAY_PUBLIC_URL is needed: the rule watches for the end, and its start has no address")
        )
    return watched_under(base)
