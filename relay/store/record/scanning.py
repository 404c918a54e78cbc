"""Looking for words in what senders have written: there is no index of that, so bodies are read, the newest first.

One look reads so many events and bytes at most, and says how far back it came; the next goes on from there.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from relay.core.events import Event
from relay.core.ids import time_of
from relay.core.spellings import forms_of
from relay.store.record.indexes import walk
from relay.store.record.record import Record
from relay.store.record.search import Filter, Page, Row, bounds_of, indexes_of_events, row_of

LOOKED_AT, LOOKED_AT_BYTES = 1_000, 2_000_000
AT_ONCE = 100


@dataclass(frozen=True, slots=True)
class Scanned:
    """How far a look came: how many events were read, and when the oldest of them was received."""

    count: int
    back_to: datetime


def scan_bodies(
    record: Record, wanted: Filter, words: str, cursor: str | None, limit: int
) -> tuple[Page[Row], Scanned | None]:
    """The events that hold these words in body, envelope or query, in any case, and how far back it has looked.

    Raises RecordUnavailableError.
    """
    indexes = indexes_of_events(record, wanted)
    before, since = bounds_of(wanted, indexes, cursor)
    found: list[Event] = []
    looked, size, last = 0, 0, None
    while looked < LOOKED_AT and size < LOOKED_AT_BYTES:
        part = walk(record.redis, indexes, before=before, since=since, limit=AT_ONCE)
        before = part.end
        for event in record.events(part.ids):
            looked, size, last = looked + 1, size + len(event.body), event.id
            if wanted.wants_event(event) and holds(event, words):
                found.append(event)
            if len(found) == limit:
                before = event.id
                break
        if before is None or len(found) == limit:
            break
    rows = tuple(row_of(record, event) for event in found)
    return Page(rows, before), Scanned(looked, time_of(last)) if last else None


def holds(event: Event, words: str) -> bool:
    """Whether an event has these words, one after the other as they are written, in what its sender has sent."""
    wanted = words.casefold()
    texts = (event.body.decode("utf-8", "replace"), event.envelope, event.query)
    return any(wanted in form.casefold() for text in texts if text for form in forms_of(text))
