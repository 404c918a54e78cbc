"""What the rules of a source make of one event: calls, or errors by field. Records nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from relay.core.call import Call
from relay.core.errors import InvalidEventError, NoAddressError
from relay.core.events import Delivery, Intent
from relay.core.faults import fault
from relay.core.ids import new_delivery_id
from relay.core.lifecycle import EventState, State
from relay.core.progress import go_on
from relay.core.watching import Watched, watched_under
from relay.rules import RuleBook

NOT_FILLED = "rule_not_filled"
"""The reason of a rejected event, and of a delivery for which there is no call."""


@dataclass(frozen=True, slots=True)
class Unfilled:
    """A rule that wanted the event and could not be filled. portal, template_id: of its call. errors: by field."""

    rule: str
    portal: str
    template_id: int
    errors: Mapping[str, list[str]]


@dataclass(frozen=True, slots=True)
class Decision:
    """What the rules of a source make of one event: calls, and the rules that cannot be filled.

    State: accepted where there is at least one call, rejected where there are only errors, else ignored.
    personal: the texts of a person that rules have found, whether they could be filled or not.
    """

    intents: tuple[Intent, ...] = ()
    unfilled: tuple[Unfilled, ...] = ()
    personal: tuple[str, ...] = field(default=(), repr=False)

    @property
    def errors(self) -> dict[str, list[str]]:
        """What is wrong, by field, of all rules that cannot be filled."""
        return errors_of(self.unfilled)

    @property
    def state(self) -> EventState:
        if self.intents:
            return EventState.ACCEPTED
        return EventState.REJECTED if self.unfilled else EventState.IGNORED


def decide(rules: RuleBook, source: str, context: Mapping[str, Any]) -> Decision:
    """Ask every rule of the source that can want it."""
    intents: list[Intent] = []
    unfilled: list[Unfilled] = []
    personal: list[str] = []
    for rule in rules.candidates(source, context):
        try:
            if intent := rule.intent_of(context):
                intents.append(intent)
                personal += intent.personal
        except InvalidEventError as error:
            personal += error.personal
            call = rule.composer
            unfilled.append(Unfilled(rule.name, call.portal, call.template_id, error.errors))
    return Decision(tuple(intents), tuple(unfilled), tuple(personal))


def errors_of(unfilled: Iterable[Unfilled]) -> dict[str, list[str]]:
    """What is wrong, by field, of all of them."""
    errors: dict[str, list[str]] = {}
    for one in unfilled:
        for name, messages in one.errors.items():
            errors.setdefault(name, []).extend(messages)
    return errors


def made_of(event_id: str, decisions: Iterable[Decision], now: datetime, base: str | None = None) -> list[Delivery]:
    """Every delivery of an event: of each call, and of each rule that could not be filled beside one that could.

    An event from which there is no call has none: it is rejected, or ignored, as a whole. Raises NoAddressError.
    """
    decided = list(decisions)
    if not any(one.intents for one in decided):
        return []
    intents = [intent for one in decided for intent in one.intents]
    unfilled = [one for decision in decided for one in decision.unfilled]
    return [*deliveries_of(event_id, intents, now, base), *(_of_unfilled(event_id, one, now) for one in unfilled)]


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


def _of_unfilled(event_id: str, unfilled: Unfilled, now: datetime) -> Delivery:
    """A fact of its own, so that the call which was not made is found, counted, told and made up for."""
    return Delivery(
        id=new_delivery_id(now),
        event_id=event_id,
        rule=unfilled.rule,
        call=Call(unfilled.portal, unfilled.template_id, ("", "", ""), {}),
        state=State.DEAD,
        reason=NOT_FILLED,
        created_at=now,
        updated_at=now,
        errors=unfilled.errors,
    )


def _watched(base: str | None) -> Watched:
    if not base:
        raise NoAddressError(fault("address_needed"))
    return watched_under(base)
