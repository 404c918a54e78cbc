"""What the rules of a source make of one event: calls, or errors by field. Records nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from relay.core.errors import InvalidEventError
from relay.core.events import Delivery, Intent
from relay.core.ids import new_delivery_id
from relay.core.lifecycle import EventState, State
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
        if not rule.matches(context):
            continue
        try:
            intents.append(rule.to_intent(context))
            personal += intents[-1].personal
        except InvalidEventError as error:
            personal += error.personal
            for name, messages in error.errors.items():
                errors.setdefault(name, []).extend(messages)
    return Decision(tuple(intents), errors, tuple(personal))


def deliveries_of(event_id: str, intents: Iterable[Intent], now: datetime) -> list[Delivery]:
    """A fresh pending delivery for each intent."""
    return [
        Delivery(
            id=new_delivery_id(now),
            event_id=event_id,
            rule=intent.rule,
            call=intent.call,
            policy=intent.policy,
            state=State.PENDING,
            created_at=now,
            updated_at=now,
        )
        for intent in intents
    ]
