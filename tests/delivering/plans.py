"""Deliveries with a plan, as the door would record them, and what the pretend portal has made of them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from relay.core.events import CommentProgress, Delivery, Event, Policy
from relay.core.ids import new_delivery_id, new_event_id
from relay.core.lifecycle import EventState, State
from relay.core.placeholders import Placeholder, PlaceholderValue
from relay.core.plan import TYPE_IDS, USER, Call, Plan, Step, StepKind
from relay.store.record.entries import Entry
from relay.store.record.record import Record
from tests.delivering.contexts import LEAD, _a_moment_ago
from tests.support.making import write

PHONE = "+79990000001"


def _type_id(entity: str, options: dict[str, Any]) -> int | None:
    if entity == USER:
        return None
    return TYPE_IDS[entity] if entity in TYPE_IDS else int(options.pop("type_id", 147))


def later(*parts: str | Placeholder) -> Any:
    return PlaceholderValue.of(parts)


def result(step: str) -> Any:
    """The result of a step alone."""
    return PlaceholderValue.of([Placeholder(step)])


def find(name: str, entity: str, values: Mapping[str, Any] | None = None, **options: Any) -> Step:
    return Step(name, StepKind.FIND, entity, _type_id(entity, options), dict(values or {}), **options)


def make(name: str, entity: str, values: Mapping[str, Any] | None = None, **options: Any) -> Step:
    return Step(name, StepKind.MAKE, entity, _type_id(entity, options), {"title": "T"} | dict(values or {}), **options)


def fire(target: Any = None, code: str = "nwly5") -> Step:
    values = {"target": target or later("LEAD_", Placeholder("lead")), "code": code}
    return Step("trigger", StepKind.TRIGGER, "lead", 1, values)


CLIENT = find("client", "contact", {"phone": PHONE, "email": "ada@example.com"})
OWNER = find("owner", "user", {"email": "ben@example.com"}, none=1)
MADE = make("lead", "lead", {"phone": PHONE, "contactId": result("client"), "assignedById": result("owner")})


def planned(
    record: Record,
    *steps: Step,
    lead: Any = None,
    template: int = 1,
    parameters: Mapping[str, Any] | None = None,
    policy: Policy = Policy(),  # noqa: B008 - frozen
    at: datetime | None = None,
    call: Call | None = None,
) -> Delivery:
    """Record an event with one delivery that has this plan. lead: the document, where no step makes one.

    call: instead of the one that these make.
    """
    at = at or _a_moment_ago()
    makes_lead = any(step.name == "lead" for step in steps)
    document = later("LEAD_", Placeholder("lead")) if lead is None and makes_lead else f"LEAD_{lead or 1}"
    given = {"Note": "n"} | dict(parameters or {})
    call = call or Call("main", template, (*LEAD[:2], document), given)
    event_id, delivery_id = new_event_id(at), new_delivery_id(at)
    plan = Plan(delivery_id, steps, call)
    event = Event(event_id, "website", EventState.ACCEPTED, at, "POST", "", "", {}, b"{}", deliveries=(delivery_id,))
    delivery = Delivery(
        delivery_id,
        event_id,
        "a-rule",
        plan.shown(),
        State.PENDING,
        at,
        at,
        policy=policy,
        plan=plan,
        comment=CommentProgress() if call.comment else None,
    )
    write(record, Entry(event, [delivery]))
    return delivery


def made(portal: Any, entity: str = "lead") -> list[dict[str, Any]]:
    """What calls have made of a kind, oldest first."""
    return [item for item in reversed(portal.items.to_json()) if item["entityTypeId"] == TYPE_IDS[entity]]


def outcomes(delivery: Delivery) -> dict[str, tuple[str, int | None]]:
    """How each step came to what."""
    return {one.name: (one.how.value, one.value) for one in delivery.results}


def tries(delivery: Delivery) -> list[tuple[str, str]]:
    """Each attempt: its step, and what it meant."""
    return [(attempt.step, attempt.verdict.value) for attempt in delivery.attempts]
