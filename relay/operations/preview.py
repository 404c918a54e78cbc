"""Rules on trial: what they would make of a body. Records nothing, sends nothing, asks no portal.

What a rule finds or makes first, only the portal knows: it is shown as its place, such as `{lead}`, or as whoever tries
the rule says: given `client=17`, or that nothing is found.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from relay.configuration.fields import suggestion
from relay.core.call import Call
from relay.core.errors import InvalidEventError, RelayError
from relay.core.events import Event
from relay.core.faults import Fault, fault
from relay.core.ids import new_event_id, utc_now
from relay.core.lifecycle import EventState
from relay.core.phrases import phrase
from relay.core.places import shown, steps_in
from relay.core.plan import STOP, Plan, Step, StepKind
from relay.operations.batches import contexts_of
from relay.rules import Rule
from relay.sources import Source

Given = Mapping[str, int | None]
"""What steps are to come to, by their names; None: nothing is found."""
_GIVEN = re.compile(r"(\w{1,64})=([1-9][0-9]{0,17}|nothing)")


class Prospect(StrEnum):
    """How much is known of what a step comes to."""

    UNKNOWN = "unknown"
    """Only the portal knows."""
    GIVEN = "given"
    """Whoever tries the rule has said it."""
    INSTEAD = "instead"
    """Nothing is found, and the rule says which id is taken then."""
    NOTHING = "nothing"
    """Nothing is found, or there is nothing to look for."""
    TAKEN = "taken"
    """Nothing is made: what was found is taken."""
    STOPS = "stops"
    """Nothing is found, and the delivery ends here."""


@dataclass(frozen=True, slots=True)
class Foreseen:
    """A step that would be taken, with its fields as far as they are known, and what it would come to."""

    step: Step
    fields: Mapping[str, Any] = field(repr=False)
    prospect: Prospect
    value: int | None = None

    def to_wire(self) -> dict[str, Any]:
        step = self.step
        wire = {"name": step.name, "kind": step.kind.value, "entity": step.entity, "method": step.method}
        return wire | {"fields": dict(self.fields), "prospect": self.prospect.value, "value": self.value}


@dataclass(frozen=True, slots=True)
class Tried:
    """What one rule makes of it: nothing, a call with the steps before it, or errors by field.

    found: what the rule's expressions find in the event, before it is typed. plan: as it would be recorded.
    """

    rule: str
    matches: bool
    call: Call | None = None
    errors: Mapping[str, list[str]] = field(default_factory=dict)
    found: Mapping[str, Any] = field(default_factory=dict, repr=False)
    personal: tuple[str, ...] = field(default=(), repr=False)
    plan: Plan | None = None
    steps: tuple[Foreseen, ...] = ()

    def call_after(self, results: Mapping[str, Any]) -> Call | None:
        """The call of the same rule where steps of these names have come to these results."""
        return self.plan.shown(results) if self.plan else self.call


def try_rules(
    source: Source,
    rules: Iterable[Rule],
    content_type: str,
    body: bytes,
    headers: Mapping[str, str],
    *,
    given: Given | None = None,
) -> list[Tried]:
    """Each rule on this body, and on each entry of a batch. Raises UnreadableError and UnsupportedTypeError."""
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
    return try_event(source, rules, event, given)


def try_event(source: Source, rules: Iterable[Rule], event: Event, given: Given | None = None) -> list[Tried]:
    """Each rule on an event as it came. Raises UnreadableError and UnsupportedTypeError."""
    every = list(rules)
    return [_try(rule, context, given or {}) for context in contexts_of(source, event) for rule in every]


def read_given(texts: Iterable[str], rules: Iterable[Rule]) -> Given:
    """What steps are to come to, from texts such as `client=17` and `client=nothing`. Raises RelayError."""
    given: dict[str, int | None] = {}
    for text in texts:
        if not (match := _GIVEN.fullmatch(text.strip())):
            raise RelayError(
                phrase("%(text)r: expected what a step comes to, such as client=17 or client=nothing", text=text)
            )
        given[match[1]] = None if match[2] == "nothing" else int(match[2])
    for name, wrong in faults_in(given, rules).items():
        raise RelayError(phrase("%(name)s: %(why)s", name=name, why=wrong))
    return given


def faults_in(given: Given, rules: Iterable[Rule]) -> dict[str, Fault]:
    """What is wrong with what was given, by name: no rule has such a step, or it never comes to that."""
    kinds = {step.name: step.kind for rule in rules for step in rule.steps}
    known = [name for name, kind in kinds.items() if kind is not StepKind.TRIGGER]
    return {name: one for name, value in given.items() if (one := _fault(name, value, kinds, known))}


def _fault(name: str, value: int | None, kinds: Mapping[str, StepKind], known: Collection[str]) -> Fault | None:
    if name not in known:
        return fault("step_unknown", hint=suggestion(name, known))
    if value is None and kinds[name] is StepKind.MAKE:
        return fault("step_never_nothing")
    return None


def _try(rule: Rule, context: Mapping[str, object], given: Given) -> Tried:
    try:
        intent = rule.intent_of(context)
    except InvalidEventError as error:
        return Tried(rule.name, matches=True, errors=error.errors, found=rule.extractor.find(context))
    if intent is None:
        return Tried(rule.name, matches=False)
    found = rule.extractor.find(context)
    plan = intent.plan
    steps = tuple(_foresee(plan, given)) if plan else ()
    known = {one.step.name: one.value for one in steps if one.prospect is not Prospect.UNKNOWN}
    call = plan.shown(known) if plan else intent.call
    return Tried(rule.name, matches=True, call=call, found=found, personal=intent.personal, plan=plan, steps=steps)


def _foresee(plan: Plan, given: Given) -> Iterable[Foreseen]:
    """The steps in order, up to the one at which the delivery would end."""
    known: dict[str, int | None] = {}
    for step in plan.steps:
        prospect, value = _prospect(step, given, known)
        yield Foreseen(step, _fields(step, known), prospect, value)
        if prospect is Prospect.STOPS:
            return
        if prospect is not Prospect.UNKNOWN:
            known[step.name] = value


def _prospect(step: Step, given: Given, known: Given) -> tuple[Prospect, int | None]:
    if step.unless and known.get(step.unless) is not None:
        return Prospect.TAKEN, known[step.unless]
    if given.get(step.name) is not None:
        return Prospect.GIVEN, given[step.name]
    asks_nothing = not step.filled(known) and set(steps_in(step.values)) <= known.keys()
    if step.kind is not StepKind.FIND or not (step.name in given or asks_nothing):
        return Prospect.UNKNOWN, None
    if step.none == STOP:
        return Prospect.STOPS, None
    return (Prospect.INSTEAD, step.none) if isinstance(step.none, int) else (Prospect.NOTHING, None)


def _fields(step: Step, known: Given) -> dict[str, Any]:
    """What would be looked for or written, without what has no content."""
    return {name: value for name, value in shown(step.values, known).items() if value not in (None, "", [])}
