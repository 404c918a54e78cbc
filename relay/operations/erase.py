"""Removes a person from the record, and proves it: each place that holds a value is found, emptied, searched again.

An event that holds the value goes whole, with its deliveries, attempts and marks: what is left of it would be a
pseudonym. Found are the value as it is, percent-encoded and in JSON's escapes, in any case, and a phone number whatever
its punctuation; not what only a program can read, such as a picture or an archive. Ids of the portal, which the deleted
deliveries named, stay on the portal: it is another system, with its own way to forget.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import unquote_plus

from redis import Redis
from redis.exceptions import RedisError

from relay.core.errors import LostRace, RelayError
from relay.core.events import Delivery, Event
from relay.core.ids import EVENT_PREFIX, utc_now
from relay.core.lifecycle import FINAL, State
from relay.store.operators.audit_log import Act, log_act
from relay.store.record.persons import Marker
from relay.store.record.record import Record
from relay.store.redis import keys
from relay.store.redis.guard import guarded

AT_ONCE = 500
SHORTEST = 4
"""A shorter value is in every other event by chance."""
PHONE = re.compile(r"\+?[\d\s()./-]{7,}")
PUNCTUATION = re.compile(r"[\s()./-]")
ESCAPE = re.compile(r"\\u([0-9a-fA-F]{4})")
STREAMS = (keys.ACTS, keys.ALERTS)
TEXTS = f"{keys.PREFIX}[bdoq]*"
"""Every key that begins as these do: bulk, dedup, once, question."""


class NotErasableError(RelayError):
    """What was asked cannot be done now; the text says why."""


class Needle:
    """The value, and whether a text holds it: whole, not as a part of another person's."""

    def __init__(self, value: str) -> None:
        text = value.strip().casefold()
        if len(text) < SHORTEST:
            raise NotErasableError(f"a value of fewer than {SHORTEST} characters is in too much by chance")
        self._pattern = re.compile(rf"(?<![\w.+-]){re.escape(text)}(?![\w-])(?!\.\w)")
        digits = PUNCTUATION.sub("", text).lstrip("+") if PHONE.fullmatch(text) else ""
        self._phone = re.compile(rf"(?<!\d){digits}(?!\d)") if digits else None

    def is_in(self, text: str) -> bool:
        """Whether a text holds it, in one of the forms that senders give it."""
        return any(self._is_in(form.casefold()) for form in _forms(text))

    def _is_in(self, text: str) -> bool:
        if self._pattern.search(text):
            return True
        return self._phone is not None and self._phone.search(PUNCTUATION.sub("", text)) is not None


@dataclass(slots=True)
class Traces:
    """Where the value was found.

    open: deliveries that are not final. keys: answers and questions that are kept a while. entries: of the audit log
    and of the alerts, by stream.
    """

    events: list[str] = field(default_factory=list)
    deliveries: int = 0
    open: list[Delivery] = field(default_factory=list)
    keys: list[bytes] = field(default_factory=list)
    entries: list[tuple[str, bytes]] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.events or self.keys or self.entries)

    def __str__(self) -> str:
        return (
            f"{len(self.events)} events with {self.deliveries} deliveries, {len(self.entries)} entries of logs, "
            f"{len(self.keys)} kept answers"
        )


@dataclass(frozen=True, slots=True)
class Eraser:
    """Finds a value and removes it. marker: with RELAY_SECRET_KEY, for what rules extracted."""

    record: Record
    marker: Marker
    clock: Callable[[], datetime] = utc_now

    def find(self, value: str, progress: Callable[[int, int], None]) -> Traces:
        """Everything that holds the value. progress: events looked at, and how many there are.

        Raises NotErasableError, RecordUnavailableError.
        """
        needle, traces = Needle(value), Traces()
        marked = set(_members(self.record.redis, keys.MARKS + self.marker.mark(value)))
        total, seen = self.record.size(keys.EVENTS), 0
        for ids in self._all_ids():
            self._look(ids, needle, marked, traces)
            seen += len(ids)
            progress(seen, total)
        traces.entries = list(_entries(self.record.redis, needle))
        traces.keys = list(_texts(self.record.redis, needle, set(traces.events)))
        return traces

    def erase(self, value: str, traces: Traces, who: str, *, cancel: bool) -> None:
        """Remove what was found, and leave an entry in the audit log that names a mark, not the value.

        cancel: give up deliveries that are not final yet. Raises NotErasableError, RecordUnavailableError.
        """
        if traces.open and not cancel:
            raise NotErasableError(f"{len(traces.open)} deliveries are not final yet: --cancel gives them up")
        for delivery in traces.open:
            self._give_up(delivery)
        for event_id in traces.events:
            if not self.record.prune(event_id):
                raise NotErasableError(f"{event_id} has a delivery that has moved meanwhile: run it again")
        _delete(self.record.redis, traces)
        log_act(self.record.redis, Act(self.clock(), who, "erase", f"mark {self.marker.mark(value)}", str(traces)))

    def is_marked(self, value: str) -> bool:
        """Whether an event is still found by the value's mark."""
        return bool(self.record.size(keys.MARKS + self.marker.mark(value)))

    def _all_ids(self) -> Iterator[list[str]]:
        after: str | None = None
        while ids := self.record.oldest(f"{EVENT_PREFIX}~", after, AT_ONCE):
            yield ids
            after = ids[-1]

    def _look(self, ids: Sequence[str], needle: Needle, marked: set[str], traces: Traces) -> None:
        events = self.record.events(ids)
        deliveries = self.record.deliveries(one for event in events for one in event.deliveries)
        of_event: dict[str, list[Delivery]] = {}
        for delivery in deliveries:
            of_event.setdefault(delivery.event_id, []).append(delivery)
        for event in events:
            own = of_event.get(event.id, [])
            texts = [*_texts_of_event(event), *(text for one in own for text in _texts_of_delivery(one))]
            if event.id in marked or any(needle.is_in(text) for text in texts):
                traces.events.append(event.id)
                traces.deliveries += len(own)
                traces.open += [one for one in own if one.state not in FINAL]

    def _give_up(self, delivery: Delivery) -> None:
        if delivery.state is State.SENDING:
            raise NotErasableError(f"{delivery.id} is being sent at this moment: run it again in a minute")
        try:
            self.record.settle(delivery, State.DEAD, self.clock(), reason="cancelled")
        except LostRace:
            raise NotErasableError(f"{delivery.id} has moved meanwhile: run it again") from None


@guarded
def rewrite_file(redis: Redis) -> bool:
    """Have the server write its append-only file anew, for the old one still holds what is gone; whether it does."""
    try:
        redis.bgrewriteaof()
    except RedisError:
        return False
    return True


def _forms(text: str) -> list[str]:
    forms = [text]
    if "\\u" in text:
        forms.append(ESCAPE.sub(lambda match: chr(int(match[1], 16)), text))
    return forms + [unquote_plus(form) for form in forms if "%" in form]


def _texts_of_event(event: Event) -> list[str]:
    body = event.body.decode("utf-8", "replace")
    return [body, event.query, "\n".join(event.headers.values()), event.reason or "", json.dumps(dict(event.errors))]


def _texts_of_delivery(delivery: Delivery) -> list[str]:
    call = json.dumps(delivery.call.to_wire(), ensure_ascii=False)
    return [call, delivery.reason or "", *(attempt.description or "" for attempt in delivery.attempts)]


@guarded
def _members(redis: Redis, index: str) -> list[str]:
    found: Any = redis.zrange(index, 0, -1)
    return [member.decode() for member in found]


@guarded
def _entries(redis: Redis, needle: Needle) -> list[tuple[str, bytes]]:
    found = []
    for stream in STREAMS:
        entries: Any = redis.xrange(stream)
        for entry_id, fields in entries:
            if any(needle.is_in(value.decode("utf-8", "replace")) for value in fields.values()):
                found.append((stream, entry_id))
    return found


@guarded
def _texts(redis: Redis, needle: Needle, events: set[str]) -> list[bytes]:
    """Keys with a text that holds the value, or dedup keys of an event that does: their digest may be of the value."""
    found: list[bytes] = []
    keys_found: Any = redis.scan_iter(TEXTS, count=5_000)
    for key in keys_found:
        name = key.decode("utf-8", "replace")
        if name.startswith((keys.ONCE, keys.BULK, keys.DEDUP)):
            kept: Any = redis.get(key)
            text = (kept or b"").decode("utf-8", "replace")
        elif name.startswith(keys.QUESTION):
            fields: Any = redis.hgetall(key)
            text = "\n".join(value.decode("utf-8", "replace") for value in fields.values())
        else:
            continue
        if needle.is_in(text) or (name.startswith(keys.DEDUP) and text in events):
            found.append(key)
    return found


@guarded
def _delete(redis: Redis, traces: Traces) -> None:
    for stream, entry_id in traces.entries:
        redis.xdel(stream, entry_id)
    if traces.keys:
        redis.delete(*traces.keys)
