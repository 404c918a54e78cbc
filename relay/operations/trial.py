"""A draft of a rule on what is on record: how many events it wants, what it would start, and which calls change.

Reads the record; writes nothing, sends nothing. Bounded by a number of events and by time: a page waits for it, and
the process has others to serve.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from relay.configuration.mistakes import Mistakes
from relay.configuration.texts import instead_of_files
from relay.core.call import Call
from relay.core.errors import InvalidEventError, UnreadableError, UnsupportedTypeError
from relay.core.events import Event
from relay.core.lifecycle import EventState
from relay.operations.batches import contexts_of
from relay.operations.configure import load_config
from relay.rules import Rule
from relay.sources import Source
from relay.store.record.record import Record
from relay.store.record.search import Filter, list_events

LATEST = 200
LEFT_OVER = 300
"""Of those that no rule wanted, and of those that none could use: so many of each are looked at."""
SHOWN = 8
PATIENCE_S = 0.9
"""Then it says how far it came."""
A_PAGE = 50
A_TURN = 10
"""After so many events everybody else has a turn."""
LEFT = (EventState.REJECTED, EventState.IGNORED)


@dataclass(frozen=True, slots=True)
class Change:
    """An event of which the draft makes another call than the rule in force: part, before and after; None: no call."""

    event_id: str
    parts: tuple[tuple[str, Any, Any], ...] = field(repr=False)


@dataclass(frozen=True, slots=True)
class LeftOver:
    """Of the newest events of one state: how many were looked at, and how many the draft makes a call of."""

    looked_at: int
    would_start: int


@dataclass(frozen=True, slots=True)
class Trial:
    """What a draft comes to.

    looked_at: of the newest events of its source; unreadable: of these, whose body is not kept or cannot be read;
    wanted: its `when` holds; filled: it makes a call of them; errors: why not, by field, and how often.
    is_whole: whether there was time for all that is looked at.
    """

    looked_at: int
    unreadable: int
    wanted: int
    filled: int
    errors: Mapping[tuple[str, str], int]
    changed: int
    changes: tuple[Change, ...]
    left: Mapping[EventState, LeftOver]
    is_whole: bool
    took_s: float


def read_draft(name: str, text: str, folder: Path, base: str | None = None) -> Rule | None:
    """The rule that a draft would be in this configuration; None where it has mistakes. base: see load_rules."""
    path = folder / "rules" / f"{name}.yaml"
    with instead_of_files({path: text.encode("utf-8", "replace")}):
        found = load_config(folder, None, Mistakes(), rules=path, base=base).rules.all()
    return found[0] if found else None


def try_on_record(
    record: Record,
    source: Source,
    rule: Rule,
    before: Rule | None,
    clock: Callable[[], float] = time.monotonic,
) -> Trial:
    """The draft on the newest events of its source. before: the rule of this name in force, if there is one."""
    return _Trial(record, source, rule, before, clock).run()


class _Trial:
    def __init__(
        self, record: Record, source: Source, rule: Rule, before: Rule | None, clock: Callable[[], float]
    ) -> None:
        self.record, self.source, self.rule, self.before, self.clock = record, source, rule, before, clock
        self.began = clock()
        self.is_whole = True
        self.counts: Counter[str] = Counter()
        self.errors: Counter[tuple[str, str]] = Counter()
        self.changes: list[Change] = []

    def run(self) -> Trial:
        for event in self._events(Filter(source=self.source.name), LATEST):
            self._look(event)
        left = {state: self.left_over(state) for state in LEFT}
        return Trial(
            looked_at=self.counts["looked_at"],
            unreadable=self.counts["unreadable"],
            wanted=self.counts["wanted"],
            filled=self.counts["filled"],
            errors=dict(self.errors.most_common(SHOWN)),
            changed=self.counts["changed"],
            changes=tuple(self.changes),
            left=left,
            is_whole=self.is_whole,
            took_s=self.clock() - self.began,
        )

    def _events(self, wanted: Filter, most: int) -> Iterator[Event]:
        """The newest, a page at a time, until time is up."""
        cursor: str | None = None
        given = 0
        while given < most:
            if self._is_late():  # a page may be long to find, and empty
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
        if self.before is None:
            return
        then = [call for context in self._in_time(contexts) if (call := self._call(self.before, context))]
        if then != after and not (len(contexts) > 1 and self._is_late()):
            self.counts["changed"] += 1
            if len(self.changes) < SHOWN:
                self.changes.append(Change(event.id, _differences(then, after)))

    def left_over(self, state: EventState) -> LeftOver:
        looked_at = would_start = 0
        for event in self._events(Filter(source=self.source.name, state=state), LEFT_OVER):
            looked_at += 1
            contexts = self._contexts(event) or []
            would_start += any(self._call(self.rule, context) is not None for context in self._in_time(contexts))
        return LeftOver(looked_at, would_start)

    def _in_time(self, contexts: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        """The entries of a batch, until time is up: there may be thousands."""
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
    """What differs, of the first call of each: a batch that is one event has more, and they differ alike."""
    then, now = (_parts(calls[0]) if calls else {} for calls in (before, after))
    if not then or not now:
        return (("call", "a call" if then else None, "a call" if now else None),)
    names = dict.fromkeys([*then, *now])
    return tuple((name, then.get(name), now.get(name)) for name in names if then.get(name) != now.get(name))


def _parts(call: Call) -> dict[str, Any]:
    start = {"portal": call.portal, "template": call.template_id, "document": " · ".join(call.document_id)}
    return start | dict(call.parameters)


def left_over(record: Record, source: Source, rule: Rule) -> Mapping[EventState, LeftOver]:
    """Of the newest that are rejected and ignored: how many this rule makes a call of."""
    trial = _Trial(record, source, rule, None, time.monotonic)
    return {state: trial.left_over(state) for state in LEFT}
