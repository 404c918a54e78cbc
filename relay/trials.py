"""Rules on trial: what they would make of a body. Records nothing, sends nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from relay.errors import InvalidEventError
from relay.events import Call, Event
from relay.ids import new_event_id, utc_now
from relay.lifecycle import EventState
from relay.rules import Rule
from relay.sources import Source, build_context


@dataclass(frozen=True, slots=True)
class Tried:
    """What one rule makes of it: nothing, a call, or errors by field."""

    rule: str
    matches: bool
    call: Call | None = None
    errors: Mapping[str, list[str]] = field(default_factory=dict)


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
    parsed = source.read(event.method, content_type, event.query, body)
    context = build_context(source.name, event, parsed, now)
    return [_try(rule, context) for rule in rules]


def _try(rule: Rule, context: Mapping[str, object]) -> Tried:
    if not rule.matches(context):
        return Tried(rule.name, matches=False)
    try:
        return Tried(rule.name, matches=True, call=rule.to_call(context))
    except InvalidEventError as error:
        return Tried(rule.name, matches=True, errors=error.errors)
