"""Rules on trial: what they would make of a body. Records nothing, sends nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from relay.core.call import Call
from relay.core.errors import InvalidEventError
from relay.core.events import Event
from relay.core.ids import new_event_id, utc_now
from relay.core.lifecycle import EventState
from relay.rules import Rule
from relay.sources import Source, build_context


@dataclass(frozen=True, slots=True)
class Tried:
    """What one rule makes of it: nothing, a call, or errors by field.

    found: what the rule's expressions find in the event, before it is typed.
    """

    rule: str
    matches: bool
    call: Call | None = None
    errors: Mapping[str, list[str]] = field(default_factory=dict)
    found: Mapping[str, Any] = field(default_factory=dict, repr=False)
    personal: tuple[str, ...] = field(default=(), repr=False)


def try_rules(
    source: Source, rules: Iterable[Rule], content_type: str, body: bytes, headers: Mapping[str, str]
) -> list[Tried]:
    """Each rule on this body. Raises UnreadableError and UnsupportedTypeError."""
    now = utc_now()
    event = Event(
        id=new_event_id(now),
        source=source.name,
        state=EventState.ACCEPTED,
        received_at=now,
        method="POST",
        content_type=content_type,
        query="",
        headers={name.lower(): value for name, value in headers.items()},
        body=body,
    )
    return try_event(source, rules, event)


def try_event(source: Source, rules: Iterable[Rule], event: Event) -> list[Tried]:
    """Each rule on an event as it came. Raises UnreadableError and UnsupportedTypeError."""
    parsed = source.read(event.method, event.content_type, event.query, event.body)
    context = build_context(source.name, event, parsed, event.received_at)
    return [_try(rule, context) for rule in rules]


def _try(rule: Rule, context: Mapping[str, object]) -> Tried:
    if not rule.matches(context):
        return Tried(rule.name, matches=False)
    found = rule.extractor.find(context)
    try:
        intent = rule.to_intent(context)
    except InvalidEventError as error:
        return Tried(rule.name, matches=True, errors=error.errors, found=found)
    return Tried(rule.name, matches=True, call=intent.call, found=found, personal=intent.personal)
