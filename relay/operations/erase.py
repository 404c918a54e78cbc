"""Removes a person from the record and proves it: every place with the value is found, emptied and searched again.

It searches the record and, if there is one here, the archive.

An event with the value is removed as a whole, with its deliveries, attempts and index entries: a remainder would be a
pseudonym. The value is found as it is, percent-encoded and in JSON's escapes, in any case and charset; a phone number
with any punctuation. It is not found in content that only a program can read, such as a picture or an archive.
Documents on the portal stay: it is another system, with its own way to erase.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from urllib.parse import unquote_to_bytes

from relay.core.errors import LostRace, RelayError
from relay.core.events import Delivery, Event
from relay.core.faults import Fault, fault
from relay.core.ids import EVENT_PREFIX, utc_now
from relay.core.lifecycle import FINAL, State
from relay.core.phones import SHORTEST_LOCAL, digits_of, find_phones, is_same_phone
from relay.core.phrases import Phrase, phrase, phrases
from relay.core.spellings import forms_of
from relay.sources.charsets import guesses
from relay.store import Store
from relay.store.archive.archive import Archive
from relay.store.operators.audit_log import Act
from relay.store.record.persons import PersonIndex
from relay.store.record.record import Record

AT_ONCE = 500
SHORTEST = 4
"""A shorter value would be in many events by chance."""


Progress = Callable[[int, int], None]
Finder = Callable[[Event, Sequence[Delivery]], bool]
"""Whether an event with its deliveries belongs to the person."""


class NotErasableError(RelayError):
    """The erasure is not possible now; the text says why."""


class Needle:
    """Finds the value in texts, but not as a part of another person's value."""

    def __init__(self, value: str) -> None:
        text = value.strip().casefold()
        if len(text) < SHORTEST:
            raise NotErasableError(
                phrase("a value of fewer than %(count)s characters is in too much by chance", count=SHORTEST)
            )
        self._pattern = re.compile(rf"(?<![\w.+-]){re.escape(text)}(?![\w-])(?!\.\w)")
        self._digits = (digits_of(text) or "").lstrip("+")
        self._unbroken = re.compile(rf"(?<![0-9]){self._digits}(?![0-9])")
        self._value = text

    def is_in(self, text: str) -> bool:
        """Whether a text contains it in one of the spellings of senders."""
        return any(self._is_in(form.casefold()) for form in forms_of(text))

    def is_number_in(self, text: str) -> bool:
        """Whether a text contains an equivalent phone number. It is slow: only for events that the index names."""
        return any(
            is_same_phone(self._value, one.text) for form in forms_of(text) for one in find_phones(form, SHORTEST_LOCAL)
        )

    def _is_in(self, text: str) -> bool:
        if self._pattern.search(text):
            return True
        if not self._digits:
            return False
        return bool(self._unbroken.search(text)) or any(
            phone.digits == self._digits for phone in find_phones(text, SHORTEST_LOCAL)
        )


@dataclass(slots=True)
class Traces:
    """The places at which the value was found.

    open: deliveries that are not final. keys: cached answers and questions. drafts: unfinished rules. entries: of the
    audit log and of the alerts, by stream. archived: ids of events, by file of the archive.
    """

    events: list[str] = field(default_factory=list)
    deliveries: int = 0
    open: list[Delivery] = field(default_factory=list)
    keys: list[bytes] = field(default_factory=list)
    drafts: list[tuple[bytes, bytes]] = field(default_factory=list)
    entries: list[tuple[str, bytes]] = field(default_factory=list)
    archived: dict[Path, set[str]] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.events or self.keys or self.drafts or self.entries or self.archived)

    def __str__(self) -> str:
        return self.in_words

    @property
    def counted(self) -> Fault:
        """The counts, for the audit log."""
        return fault(
            "erased",
            events=len(self.events),
            deliveries=self.deliveries,
            entries=len(self.entries),
            answers=len(self.keys) + len(self.drafts),
            archived=sum(map(len, self.archived.values())),
        )

    @property
    def in_words(self) -> Phrase:
        """The counts, in words."""
        here = phrase(
            "%(events)s with %(deliveries)s, %(entries)s of logs, %(answers)s",
            events=phrases("%(count)s event", "%(count)s events", len(self.events)),
            deliveries=_deliveries(self.deliveries),
            entries=phrases("%(count)s entry", "%(count)s entries", len(self.entries)),
            answers=phrases(
                "%(count)s kept answer or draft",
                "%(count)s kept answers and drafts",
                len(self.keys) + len(self.drafts),
            ),
        )
        if not self.archived:
            return here
        return phrase(
            "%(here)s, %(events)s in %(files)s",
            here=here,
            events=phrases(
                "%(count)s archived event", "%(count)s archived events", sum(map(len, self.archived.values()))
            ),
            files=phrases("%(count)s file", "%(count)s files", len(self.archived)),
        )


@dataclass(frozen=True, slots=True)
class Eraser:
    """Finds a value and removes it. persons: the index of extracted values, keyed with RELAY_SECRET_KEY."""

    store: Store
    persons: PersonIndex
    archive: Archive | None = None
    clock: Callable[[], datetime] = utc_now

    @property
    def record(self) -> Record:
        """Events and deliveries."""
        return self.store.record

    def find(self, value: str, progress: Progress, progress_of_files: Progress | None = None) -> Traces:
        """Find everything that contains the value.

        progress: called with the number of searched events and the total; progress_of_files: the same for the archive.
        Raises NotErasableError, ArchiveError, RecordUnavailableError.
        """
        needle, traces = Needle(value), Traces()
        is_his = self._finder(value, needle)
        total, seen = self.record.event_count(), 0
        for ids in self._all_ids():
            self._look(ids, is_his, traces)
            seen += len(ids)
            progress(seen, total)
        traces.entries = self.store.traces.entries(needle.is_in)
        traces.keys = self.store.traces.texts(needle.is_in, set(traces.events))
        traces.drafts = self.store.operators.drafts.holding(needle.is_in)
        if self.archive:
            self._look_in(self.archive, is_his, traces, progress_of_files)
        return traces

    def erase(self, value: str, traces: Traces, who: str, *, cancel: bool) -> None:
        """Remove what was found, and write to the audit log: a keyed hash, not the value.

        cancel: also give up deliveries that are not final yet.
        Raises NotErasableError, ArchiveError, RecordUnavailableError.
        """
        if traces.open and not cancel:
            raise NotErasableError(
                phrase(
                    "%(deliveries)s not final yet: to be given up first, with --cancel in a terminal",
                    deliveries=_deliveries(len(traces.open)),
                )
            )
        # The archive is locked, so that nothing read from the record before is written into it afterwards.
        with self.archive.locked() if self.archive else nullcontext():
            for delivery in traces.open:
                self._give_up(delivery)
            for event_id in traces.events:
                if not self.record.prune(event_id):
                    raise NotErasableError(
                        phrase("%(id)s has a delivery that has moved meanwhile: run it again", id=event_id)
                    )
            if self.archive:
                for path, ids in traces.archived.items():
                    self.archive.remove(path, ids)
        self.store.traces.delete(traces.entries, traces.keys)
        self.store.operators.drafts.delete(traces.drafts)
        self.store.operators.log(Act(self.clock(), who, "erase", self.persons.key_of(value), "", traces.counted))

    def elsewhere(self) -> list[str]:
        """Other archive folders that were not searched: those of other machines, or not configured here."""
        here = str(self.archive.folder.resolve()) if self.archive else ""
        return [f"{one.folder} on {one.host}" for one in self.store.archives.all() if one.folder != here]

    def is_marked(self, value: str) -> bool:
        """Whether the index still finds an event of this person. Numbers with the same last digits are compared in
        full.
        """
        if self.record.events_of_person(self.persons.exact_key_of(value)):
            return True
        ids, is_his = self.record.events_of_person(self.persons.key_of(value)), self._finder(value, Needle(value))
        events = self.record.events(ids)
        return len(events) < len(ids) or any(is_his(one, self.record.deliveries(one.deliveries)) for one in events)

    def _finder(self, value: str, needle: Needle) -> Finder:
        """Make a function that tells whether an event belongs to the person, by the index or by its content."""
        exact, alike = self.persons.exact_key_of(value), self.persons.key_of(value)

        def is_his(event: Event, deliveries: Sequence[Delivery]) -> bool:
            texts = _texts_of(event, deliveries)
            if exact in event.person_keys or any(needle.is_in(text) for text in texts):
                return True
            # Another person's number may have the same last digits. If nothing is left to compare, it is removed.
            return alike in event.person_keys and (
                event.body_removed_at is not None or any(needle.is_number_in(text) for text in texts)
            )

        return is_his

    def _all_ids(self) -> Iterator[list[str]]:
        after: str | None = None
        while ids := self.record.oldest(f"{EVENT_PREFIX}~", after, AT_ONCE):
            yield ids
            after = ids[-1]

    def _look(self, ids: Sequence[str], is_his: Finder, traces: Traces) -> None:
        events = self.record.events(ids)
        deliveries = self.record.deliveries(one for event in events for one in event.deliveries)
        of_event: dict[str, list[Delivery]] = {}
        for delivery in deliveries:
            of_event.setdefault(delivery.event_id, []).append(delivery)
        for event in events:
            own = of_event.get(event.id, [])
            if is_his(event, own):
                traces.events.append(event.id)
                traces.deliveries += len(own)
                traces.open += [one for one in own if one.state not in FINAL]

    def _look_in(self, archive: Archive, is_his: Finder, traces: Traces, progress: Progress | None) -> None:
        files = archive.files()
        for number, path in enumerate(files, 1):
            # Earlier rows of an event may contain what the last one no longer has, such as a removed body.
            found = {row.event.id for row in archive.every_row(path) if is_his(row.event, row.deliveries)}
            if found:
                traces.archived[path] = found
            if progress:
                progress(number, len(files))

    def _give_up(self, delivery: Delivery) -> None:
        if delivery.state is State.SENDING:
            raise NotErasableError(
                phrase("%(id)s is being sent at this moment: run it again in a minute", id=delivery.id)
            )
        try:
            self.record.settle(delivery, State.DEAD, self.clock(), reason="cancelled")
        except LostRace:
            raise NotErasableError(phrase("%(id)s has moved meanwhile: run it again", id=delivery.id)) from None


def _deliveries(count: int) -> Phrase:
    return phrases("%(count)s delivery", "%(count)s deliveries", count)


def _texts_of(event: Event, deliveries: Iterable[Delivery]) -> list[str]:
    return [*_texts_of_event(event), *(text for one in deliveries for text in _texts_of_delivery(one))]


def _texts_of_event(event: Event) -> list[str]:
    body = event.body.decode("utf-8", "replace")
    texts = [body, event.envelope, event.query, "\n".join(event.headers.values()), event.reason or ""]
    for encoded in (event.body, event.query.encode("utf-8", "surrogatepass")):
        texts += guesses(encoded) + guesses(unquote_to_bytes(encoded.replace(b"+", b" ")))
    return [*texts, json.dumps(dict(event.errors))]


def _texts_of_delivery(delivery: Delivery) -> list[str]:
    plan = json.dumps(delivery.plan.to_wire() if delivery.plan else None, ensure_ascii=False)
    call = json.dumps(delivery.call.to_wire(), ensure_ascii=False)
    ended_with = delivery.watched.query if delivery.watched else ""
    said = [attempt.description or "" for attempt in delivery.attempts]
    return [plan, call, ended_with, delivery.reason or "", *said]
