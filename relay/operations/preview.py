"""Previews of rules: what they would make of a body, and what a draft would change. Records and sends nothing.

The result of a step, which only the portal knows, is shown as its placeholder, such as `{lead}`, or as the person who
tries the rule says: `client=17`, or that nothing is found.

A draft is tried on the newest events of its source: how many it wants, what it would start, and which calls change.
That is bounded by a number of events and by time: a page waits for it, and the process has others to serve.
"""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from relay.configuration.fields import suggestion
from relay.configuration.files import Mistakes, instead_of_files
from relay.core.errors import InvalidEventError, RelayError, UnreadableError, UnsupportedTypeError
from relay.core.events import Event
from relay.core.faults import Fault, fault
from relay.core.ids import new_event_id, utc_now
from relay.core.lifecycle import EventState
from relay.core.phrases import phrase
from relay.core.placeholders import shown, steps_in
from relay.core.plan import STOP, Call, Plan, Step, StepKind
from relay.operations.configure import load_config
from relay.operations.deciding import contexts_of
from relay.rules import Rule, RuleBook
from relay.sources import Source
from relay.store.record.record import Record
from relay.store.record.search import Filter, list_events

Given = Mapping[str, int | None]
"""Results that a person gives for steps, by name; None: nothing is found."""
_GIVEN = re.compile(r"(\w{1,64})=([1-9][0-9]{0,17}|nothing)")


class Prospect(StrEnum):
    """How much is known of a step's result."""

    UNKNOWN = "unknown"
    """Only the portal knows."""
    GIVEN = "given"
    """The person who tries the rule gave it."""
    INSTEAD = "instead"
    """Nothing is found, and the rule gives an id to use instead."""
    NOTHING = "nothing"
    """Nothing is found, or the rule has nothing to look for."""
    TAKEN = "taken"
    """Nothing is made, because something was found."""
    STOPS = "stops"
    """Nothing is found, and the delivery ends here."""


@dataclass(frozen=True, slots=True)
class StepPreview:
    """A step that would be executed, with its known fields and its expected result."""

    step: Step
    fields: Mapping[str, Any] = field(repr=False)
    prospect: Prospect
    value: int | None = None

    def to_wire(self) -> dict[str, Any]:
        step = self.step
        wire = {"name": step.name, "kind": step.kind.value, "entity": step.entity, "method": step.method}
        return wire | {"fields": dict(self.fields), "prospect": self.prospect.value, "value": self.value}


@dataclass(frozen=True, slots=True)
class RulePreview:
    """The result of one rule: nothing, a call with the steps before it, or errors by field.

    found: the values that the rule's expressions find, before they are typed. plan: as it would be recorded.
    """

    rule: str
    matches: bool
    call: Call | None = None
    errors: Mapping[str, list[str]] = field(default_factory=dict)
    found: Mapping[str, Any] = field(default_factory=dict, repr=False)
    personal: tuple[str, ...] = field(default=(), repr=False)
    plan: Plan | None = None
    steps: tuple[StepPreview, ...] = ()

    def call_after(self, results: Mapping[str, Any]) -> Call | None:
        """The call of the same rule after steps with these results."""
        return self.plan.shown(results) if self.plan else self.call


def try_rules(
    source: Source,
    rules: Iterable[Rule],
    content_type: str,
    body: bytes,
    headers: Mapping[str, str],
    *,
    given: Given | None = None,
) -> list[RulePreview]:
    """Try each rule on a body, or on each entry of a batch. Raises UnreadableError and UnsupportedTypeError."""
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


def try_event(source: Source, rules: Iterable[Rule], event: Event, given: Given | None = None) -> list[RulePreview]:
    """Try each rule on an event. Raises UnreadableError and UnsupportedTypeError."""
    every = list(rules)
    return [_try(rule, context, given or {}) for context in contexts_of(source, event) for rule in every]


def try_book(source: Source, book: RuleBook, event: Event) -> list[RulePreview]:
    """Try every rule of the source on an event, as it would be decided: a rule that cannot want it is not asked.

    Raises UnreadableError and UnsupportedTypeError.
    """
    previews: list[RulePreview] = []
    for context in contexts_of(source, event):
        asked = {rule.name for rule in book.candidates(source.name, context)}
        previews += [
            _try(rule, context, {}) if rule.name in asked else RulePreview(rule.name, matches=False)
            for rule in book.for_source(source.name)
        ]
    return previews


def read_given(texts: Iterable[str], rules: Iterable[Rule]) -> Given:
    """Read results of steps from texts such as `client=17` and `client=nothing`. Raises RelayError."""
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
    """The mistakes in given results, by name: no rule has such a step, or it cannot have this result."""
    kinds = {step.name: step.kind for rule in rules for step in rule.steps}
    known = [name for name, kind in kinds.items() if kind is not StepKind.TRIGGER]
    return {name: one for name, value in given.items() if (one := _fault(name, value, kinds, known))}


def _fault(name: str, value: int | None, kinds: Mapping[str, StepKind], known: Collection[str]) -> Fault | None:
    if name not in known:
        return fault("step_unknown", hint=suggestion(name, known))
    if value is None and kinds[name] is StepKind.MAKE:
        return fault("step_never_nothing")
    return None


def _try(rule: Rule, context: Mapping[str, object], given: Given) -> RulePreview:
    try:
        intent = rule.intent_of(context)
    except InvalidEventError as error:
        return RulePreview(rule.name, matches=True, errors=error.errors, found=rule.extractor.find(context))
    if intent is None:
        return RulePreview(rule.name, matches=False)
    found = rule.extractor.find(context)
    plan = intent.plan
    steps = tuple(_steps_of(plan, given)) if plan else ()
    known = {one.step.name: one.value for one in steps if one.prospect is not Prospect.UNKNOWN}
    call = plan.shown(known) if plan else intent.call
    return RulePreview(
        rule.name, matches=True, call=call, found=found, personal=intent.personal, plan=plan, steps=steps
    )


def _steps_of(plan: Plan, given: Given) -> Iterable[StepPreview]:
    """The steps in order, up to the one where the delivery would end."""
    known: dict[str, int | None] = {}
    for step in plan.steps:
        prospect, value = _prospect(step, given, known)
        yield StepPreview(step, _fields(step, known), prospect, value)
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
    """The fields that would be looked for or written, without empty ones."""
    return {name: value for name, value in shown(step.values, known).items() if value not in (None, "", [])}


LATEST = 200
LEFT_OVER = 300
"""How many ignored and how many rejected events are tried."""
SHOWN = 8
SHOWN_CALLS = 4
PATIENCE_S = 0.9
"""Seconds after which it stops and reports how far it came."""
A_PAGE = 50
A_TURN = 10
"""Events after which other requests get a turn."""
LEFT = (EventState.REJECTED, EventState.IGNORED)


@dataclass(frozen=True, slots=True)
class Change:
    """An event with another call from the draft than from the rule in force. parts: name, before, after; None: no
    call.
    """

    event_id: str
    parts: tuple[tuple[str, Any, Any], ...] = field(repr=False)


@dataclass(frozen=True, slots=True)
class CallPreview:
    """The preview of a draft with one event. at: when the event came."""

    event_id: str
    at: datetime
    tried: RulePreview


@dataclass(frozen=True, slots=True)
class LeftOver:
    """Counts for the newest events of one state: how many were tried, and for how many the draft makes a call."""

    looked_at: int
    would_start: int


@dataclass(frozen=True, slots=True)
class DraftPreview:
    """The preview of a draft on the events of the record.

    looked_at: newest events of its source that were tried. unreadable: those whose body is missing or unreadable.
    wanted: those for which its `when` is true. filled: those with a call. errors: by field and message, how often.
    calls: what becomes of the first event that was asked for, then calls of the newest others.
    is_whole: whether the time was enough for all events.
    """

    looked_at: int
    unreadable: int
    wanted: int
    filled: int
    errors: Mapping[tuple[str, str], int]
    changed: int
    changes: tuple[Change, ...]
    left: Mapping[EventState, LeftOver]
    calls: tuple[CallPreview, ...]
    is_whole: bool
    took_s: float


def read_draft(name: str, text: str, folder: Path, base: str | None = None) -> Rule | None:
    """Read a draft as a rule of this configuration; None if it has mistakes. base: see load_rules."""
    path = folder / "rules" / f"{name}.yaml"
    with instead_of_files({path: text.encode("utf-8", "replace")}):
        found = load_config(folder, None, Mistakes(), rules=path, base=base).rules.all()
    return found[0] if found else None


def preview_on_record(
    record: Record,
    source: Source,
    rule: Rule,
    before: Rule | None,
    clock: Callable[[], float] = time.monotonic,
    *,
    first: Event | None = None,
) -> DraftPreview:
    """Try a draft on the newest events of its source. before: the rule of this name in force, if there is one.

    first: an event whose call is shown before the others, whatever comes of it.
    """
    return _DraftPreview(record, source, rule, before, clock).run(first)


class _DraftPreview:
    def __init__(
        self, record: Record, source: Source, rule: Rule, before: Rule | None, clock: Callable[[], float]
    ) -> None:
        self.record, self.source, self.rule, self.before, self.clock = record, source, rule, before, clock
        self.began = clock()
        self.is_whole = True
        self.counts: Counter[str] = Counter()
        self.errors: Counter[tuple[str, str]] = Counter()
        self.changes: list[Change] = []
        self.calls: list[CallPreview] = []

    def run(self, first: Event | None = None) -> DraftPreview:
        if first and (contexts := self._contexts(first)):
            self.calls.append(CallPreview(first.id, first.received_at, _try(self.rule, contexts[0], {})))
        for event in self._events(Filter(source=self.source.name), LATEST):
            self._look(event)
        left = {state: self.left_over(state) for state in LEFT}
        return DraftPreview(
            looked_at=self.counts["looked_at"],
            unreadable=self.counts["unreadable"],
            wanted=self.counts["wanted"],
            filled=self.counts["filled"],
            errors=dict(self.errors.most_common(SHOWN)),
            changed=self.counts["changed"],
            changes=tuple(self.changes),
            left=left,
            calls=tuple(self.calls),
            is_whole=self.is_whole,
            took_s=self.clock() - self.began,
        )

    def _events(self, wanted: Filter, most: int) -> Iterator[Event]:
        """The newest events, a page at a time, until the time is up."""
        cursor: str | None = None
        given = 0
        while given < most:
            if self._is_late():  # finding a page may take long, and it may be empty
                return
            page = list_events(self.record, wanted, cursor, min(A_PAGE, most - given))
            for row in page.rows:
                if self._is_late():
                    return
                given += 1
                if given % A_TURN == 0:
                    time.sleep(0)
                yield row.event
            cursor = page.cursor
            if cursor is None:
                return

    def _is_late(self) -> bool:
        if self.clock() - self.began > PATIENCE_S:
            self.is_whole = False
        return not self.is_whole

    def _look(self, event: Event) -> None:
        self.counts["looked_at"] += 1
        contexts = self._contexts(event)
        if contexts is None:
            self.counts["unreadable"] += 1
            return
        if any(self.rule.matches(context) for context in self._in_time(contexts)):
            self.counts["wanted"] += 1
        after = [call for context in self._in_time(contexts) if (call := self._call(self.rule, context, self.errors))]
        self.counts["filled"] += bool(after)
        if after and len(self.calls) < SHOWN_CALLS and all(one.event_id != event.id for one in self.calls):
            self._show_call(event, contexts)
        if self.before is None:
            return
        then = [call for context in self._in_time(contexts) if (call := self._call(self.before, context))]
        if then != after and not (len(contexts) > 1 and self._is_late()):
            self.counts["changed"] += 1
            if len(self.changes) < SHOWN:
                self.changes.append(Change(event.id, _differences(then, after)))

    def _show_call(self, event: Event, contexts: list[dict[str, Any]]) -> None:
        for context in self._in_time(contexts):
            if (tried := _try(self.rule, context, {})).call:
                self.calls.append(CallPreview(event.id, event.received_at, tried))
                return

    def left_over(self, state: EventState) -> LeftOver:
        looked_at = would_start = 0
        for event in self._events(Filter(source=self.source.name, state=state), LEFT_OVER):
            looked_at += 1
            contexts = self._contexts(event) or []
            would_start += any(self._call(self.rule, context) is not None for context in self._in_time(contexts))
        return LeftOver(looked_at, would_start)

    def _in_time(self, contexts: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        """The entries of a batch, which may be thousands, until the time is up."""
        for place, context in enumerate(contexts):
            if place and self._is_late():
                return
            yield context

    def _contexts(self, event: Event) -> list[dict[str, Any]] | None:
        if event.body_removed_at or not (event.body or event.query):
            return None
        try:
            return contexts_of(self.source, event)
        except (UnreadableError, UnsupportedTypeError):
            return None

    @staticmethod
    def _call(rule: Rule, context: Mapping[str, Any], errors: Counter[tuple[str, str]] | None = None) -> Call | None:
        try:
            intent = rule.intent_of(context)
        except InvalidEventError as wrong:
            if errors is not None:
                errors.update((name, message) for name, messages in wrong.errors.items() for message in messages)
            return None
        return intent.call if intent else None


def _differences(before: list[Call], after: list[Call]) -> tuple[tuple[str, Any, Any], ...]:
    """The differences between the first calls. A batch that is one event has more calls, which differ in the same
    way.
    """
    then, now = (_parts(calls[0]) if calls else {} for calls in (before, after))
    if not then or not now:
        return (("call", "a call" if then else None, "a call" if now else None),)
    names = dict.fromkeys([*then, *now])
    return tuple((name, then.get(name), now.get(name)) for name in names if then.get(name) != now.get(name))


def _parts(call: Call) -> dict[str, Any]:
    start = {"portal": call.portal, "template": call.template_id, "document": " · ".join(call.document_id)}
    comment = {"comment": call.comment.text} if call.comment else {}
    return start | comment | dict(call.parameters)


def left_over(record: Record, source: Source, rule: Rule) -> Mapping[EventState, LeftOver]:
    """For the newest rejected and ignored events: how many this rule makes a call for."""
    trial = _DraftPreview(record, source, rule, None, time.monotonic)
    return {state: trial.left_over(state) for state in LEFT}
