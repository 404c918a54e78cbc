"""One request, one event or many: the pieces of a webhook, each with what rules see of it. Records nothing."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

from relay.core.errors import TooLargeError
from relay.core.events import Event
from relay.core.faults import fault
from relay.core.ids import new_event_id
from relay.operations.pacing import in_rows
from relay.sources import Source, Verified
from relay.sources.dedup import DedupKey, digest_with
from relay.sources.fan_out import MOST_BYTES, entry_json
from relay.sources.parsers import JSON
from relay.store.record.entries import Claim, Entry

MOST_TOPICS = 5
"""Under so many topics a sender may send one signed text, for it does not sign the topic."""


@dataclass(frozen=True, slots=True)
class Piece:
    """One event to be, and the context in which rules see it."""

    event: Event
    context: dict[str, Any] = field(repr=False)


def pieces_of(source: Source, event: Event, content: Any) -> list[Piece]:
    """An event as it came, or each entry of its batch as an event of its own; none where the batch is empty.

    content: its body as it was read. Raises UnreadableError, and TooLargeError for too many entries.
    """
    entries = source.split(content, event.headers)
    if entries is None:
        return [Piece(event, source.context(event, content, event.received_at))]
    around = len(event.query) + sum(len(name) + len(value) for name, value in event.headers.items())
    pieces, size = [], 0
    for entry in in_rows(entries):
        own = replace(
            event,
            # Made in order, and so sorted by it: deliveries of one document go as the sender wrote them down.
            id=new_event_id(event.received_at),
            content_type=JSON,
            body=entry_json(entry.body),
            envelope=entry_json(entry.envelope).decode("utf-8"),
        )
        size += around + len(own.body) + len(own.envelope)
        if size > MOST_BYTES:
            raise TooLargeError(fault("entries_too_large", most=f"{MOST_BYTES:,}"))
        context = source.context(event, entry.body, event.received_at, entry.envelope)
        pieces.append(Piece(own, context))
    return pieces


def contexts_of(source: Source, event: Event) -> list[dict[str, Any]]:
    """What rules see of an event that is on record: of an entry of a batch one, as when it came.

    What was recorded as a whole is read as its source is configured today. Raises UnreadableError and
    UnsupportedTypeError.
    """
    if event.envelope:
        body, envelope = json.loads(event.body), json.loads(event.envelope)
        return [source.context(event, body, event.received_at, envelope)]
    return [piece.context for piece in pieces_of(source, event, source.read_again(event))]


def distinct_keys(source: Source, entries: Sequence[Entry]) -> list[Entry]:
    """The entries of one request, so that no two that differ have one dedup key: neither is a repeat of the other.

    Where they would, the key says too little, as a header of the whole request does: it counts with what the entry
    holds. That is claimed beside every key, so that an entry is known again in whichever batch it comes.
    """
    if source.dedup is None or source.dedup.whole_body:
        return list(entries)
    alike: dict[str, set[tuple[bytes, str]]] = {}
    for entry in entries:
        if entry.dedup_digest and entry.event.envelope:
            alike.setdefault(entry.dedup_digest, set()).add((entry.event.body, entry.event.envelope))
    return [_distinct(entry, alike.get(entry.dedup_digest or "", set())) for entry in entries]


def with_signature(source: Source, verified: Verified, entries: Sequence[Entry]) -> list[Entry]:
    """The entries of one request, each of which claims its place in what is signed: so it is one event, once."""
    return [
        replace(
            entry,
            further=(*entry.further, *_claims(source.signature_keys(verified.coverage, verified.headers, place))),
        )
        if entry.deliveries
        else entry
        for place, entry in enumerate(entries)
    ]


def _claims(signature: Sequence[DedupKey]) -> tuple[Claim, ...]:
    """The last one is of the signed text itself: where others come before it, they tell several events of it apart."""
    most = MOST_TOPICS - 1 if len(signature) > 1 else 0
    return tuple(
        Claim(key.digest, timedelta(seconds=key.window_s), most if key is signature[-1] else 0) for key in signature
    )


def _distinct(entry: Entry, alike: set[tuple[bytes, str]]) -> Entry:
    """alike: what the entries of its request hold that have its key, and what stands around them; empty: no batch."""
    if not (alike and entry.dedup_digest):
        return entry
    body = entry.event.body
    # What stands around an entry is of that one request, so it counts only where nothing else tells two apart.
    is_twice = sum(other == body for other, _ in alike) > 1
    own = digest_with(entry.dedup_digest, body + entry.event.envelope.encode("utf-8") if is_twice else body)
    if len(alike) > 1:
        return replace(entry, dedup_digest=own)
    return replace(entry, further=(Claim(own, entry.dedup_window),))
