"""From one request to deliveries: its pieces, what the rules of its source make of each, and how fast. Records nothing.

A request is one event, or a batch of many. Rules make calls of an event, or errors by field. Where no rule named a
person, addresses and telephone numbers in the body are found by their form. While its sender waits, all of this is
bounded. A sender above its limit is answered late, because while it waits for the answer it asks for nothing more.
Large bodies of unproven senders are read one after the other, because a process reads one thing at a time.
"""

from __future__ import annotations

import json
import math
import re
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, TypeVar

from relay.core.errors import InvalidEventError, LimitedError, NoAddressError, TooLargeError
from relay.core.events import CommentProgress, CompletionCallback, Delivery, Event, Intent, go_on, new_callback
from relay.core.faults import fault
from relay.core.ids import new_delivery_id, new_event_id
from relay.core.lifecycle import EventState, State
from relay.core.phones import find_phones
from relay.core.plan import Call
from relay.rules import RuleBook
from relay.sources import Source, Verified
from relay.sources.bodies import JSON
from relay.sources.events import MOST_BYTES, DedupKey, digest_with, entry_json
from relay.store.record.entries import Claim, Entry

T = TypeVar("T")
LATE_S = 0.2
"""Seconds by which the answer to a sender above its limit is delayed."""
MOST_WAITING = 50
"""How many requests may wait at once, for their turn or with a late answer. Their connections cannot be closed
meanwhile.
"""
SMALL = 20_000
"""Bytes of a body that needs no turn."""
LONGEST_REST_S = 0.5


A_ROW = 50
"""Entries of a batch that are processed before other requests get a turn."""


def in_rows(entries: Iterable[T]) -> Iterator[T]:
    """Iterate over entries, and let other requests run after each row of them."""
    for number, entry in enumerate(entries, 1):
        yield entry
        if number % A_ROW == 0:
            time.sleep(0)


class Pauses:
    """Pauses of sources whose limit is reached, for events and for refusals. Kept here, they cost the record
    nothing.
    """

    def __init__(self) -> None:
        self._until: dict[tuple[str, bool], float] = {}
        self._waiting = 0

    def begin(self, source: str, seconds: int, *, refused: bool) -> None:
        """Begin a pause that the record has ordered."""
        self._until[source, refused] = time.monotonic() + seconds

    def sit_out(self, source: str, *, refused: bool) -> int:
        """Wait a little and return the seconds that the pause still lasts; without a pause, return 0 at once."""
        until = self._until.get((source, refused))
        seconds = math.ceil(until - time.monotonic()) if until else 0
        if seconds <= 0:
            return 0
        if self._waiting < MOST_WAITING:
            self._waiting += 1
            try:
                time.sleep(LATE_S)
            finally:
                self._waiting -= 1
        return seconds


_AT_ONCE = nullcontext()


class Turns:
    """Large bodies one after the other; after each, other requests get as much time as it took."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # looked up at run time, because gevent replaces it
        self._waiting = 0

    def taken(self, size: int) -> AbstractContextManager[None]:
        """Take a turn. size: bytes of the body. Entering raises LimitedError if too many others wait."""
        return _AT_ONCE if size <= SMALL else self._taken()

    @contextmanager
    def _taken(self) -> Iterator[None]:
        if self._waiting >= MOST_WAITING:
            raise LimitedError(1)
        self._waiting += 1
        try:
            with self._lock:
                begin = time.perf_counter()
                try:
                    yield
                finally:
                    time.sleep(min(time.perf_counter() - begin, LONGEST_REST_S))
        finally:
            self._waiting -= 1


MOST_VALUES, MOST_CHARACTERS, MOST_FOUND = 200, 10_000, 6
SHORTEST = 6
"""The shortest address or number, in characters."""
_EMAIL = re.compile(r"(?<![\w.+-])[\w.+-]{1,64}+@[\w-]{1,63}+(?:\.[\w-]{1,63}+){1,8}+")
_ADDRESSES = ("http://", "https://")
"""Addresses of pages and programs contain no telephone numbers."""


def persons_in(body: Any) -> list[str]:
    """Find the first e-mail addresses and telephone numbers in a body, each once."""
    found: dict[str, None] = {}
    for text in _texts_in(body):
        for value in _looked_at(text):
            found[value] = None
            if len(found) == MOST_FOUND:
                return list(found)
    return list(found)


def _texts_in(body: Any) -> Iterator[str]:
    """Texts and large numbers in a body, in order, up to the limits."""
    waiting, values, characters = [body], 0, 0
    while waiting and values < MOST_VALUES and characters < MOST_CHARACTERS:
        value = waiting.pop()
        values += 1
        if isinstance(value, str):
            if len(value) >= SHORTEST and not value.startswith(_ADDRESSES):
                yield value[: MOST_CHARACTERS - characters]
                characters += len(value)
        elif isinstance(value, dict):
            waiting.extend(reversed(value.values()))
        elif isinstance(value, list | tuple):
            waiting.extend(reversed(value))
        elif type(value) is int and 10**9 <= value < 10**15:
            yield str(value)


def _looked_at(text: str) -> Iterator[str]:
    if "@" in text:
        yield from _EMAIL.findall(text)
    yield from (phone.text for phone in find_phones(text) if phone.is_one)


MOST_TOPICS = 5
"""The number of topics under which one signed text may be sent, because the topic is not signed."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A future event, and the context that rules see of it."""

    event: Event
    context: dict[str, Any] = field(repr=False)


def pieces_of(source: Source, event: Event, content: Any) -> list[Piece]:
    """The event itself, or an event for each entry of its batch; empty if the batch is.

    content: the parsed body. Raises UnreadableError, and TooLargeError for too many entries.
    """
    entries = source.split(content, event.headers)
    if entries is None:
        return [Piece(event, source.context(event, content, event.received_at))]
    around = len(event.query) + sum(len(name) + len(value) for name, value in event.headers.items())
    pieces, size = [], 0
    for entry in in_rows(entries):
        own = replace(
            event,
            # Ids sort by creation, so deliveries of one document keep the sender's order.
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
    """The contexts that rules see of an event on record; exactly one for an entry of a batch.

    An event recorded as a whole is read with today's configuration of its source. Raises UnreadableError and
    UnsupportedTypeError.
    """
    if event.envelope:
        body, envelope = json.loads(event.body), json.loads(event.envelope)
        return [source.context(event, body, event.received_at, envelope)]
    return [piece.context for piece in pieces_of(source, event, source.read_again(event))]


def distinct_keys(source: Source, entries: Sequence[Entry]) -> list[Entry]:
    """Make the dedup keys of different entries of one request distinct, because neither is a repeat of the other.

    If different entries share a key, such as a header of the whole request, the key is combined with the content. This
    combination is always claimed as well, so that an entry is recognised in any batch.
    """
    if source.dedup is None or source.dedup.whole_body:
        return list(entries)
    alike: dict[str, set[tuple[bytes, str]]] = {}
    for entry in entries:
        if entry.dedup_digest and entry.event.envelope:
            alike.setdefault(entry.dedup_digest, set()).add((entry.event.body, entry.event.envelope))
    return [_distinct(entry, alike.get(entry.dedup_digest or "", set())) for entry in entries]


def with_signature(source: Source, verified: Verified, entries: Sequence[Entry]) -> list[Entry]:
    """Let each entry of one request claim its index in the signed text, so that it becomes an event only once."""
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
    """The last claim is for the signed text itself; earlier ones tell several events of that text apart."""
    most = MOST_TOPICS - 1 if len(signature) > 1 else 0
    return tuple(
        Claim(key.digest, timedelta(seconds=key.window_s), most if key is signature[-1] else 0) for key in signature
    )


def _distinct(entry: Entry, alike: set[tuple[bytes, str]]) -> Entry:
    """alike: contents and envelopes of the entries with the same key; empty if there is no batch."""
    if not (alike and entry.dedup_digest):
        return entry
    body = entry.event.body
    # The envelope belongs to one request, so it counts only if nothing else tells two entries apart.
    is_twice = sum(other == body for other, _ in alike) > 1
    own = digest_with(entry.dedup_digest, body + entry.event.envelope.encode("utf-8") if is_twice else body)
    if len(alike) > 1:
        return replace(entry, dedup_digest=own)
    return replace(entry, further=(Claim(own, entry.dedup_window),))


NOT_FILLED = "rule_not_filled"
"""The reason of a rejected event, and of a delivery without a call."""


@dataclass(frozen=True, slots=True)
class Unfilled:
    """A rule that wanted the event and could not be filled. portal, template_id: of its call. errors: by field."""

    rule: str
    portal: str
    template_id: int
    errors: Mapping[str, list[str]]


@dataclass(frozen=True, slots=True)
class Decision:
    """The decision of a source's rules on one event: calls, and rules that could not be filled.

    The state is accepted with at least one call, rejected with only errors, and ignored otherwise.
    personal: texts of a person that any of the rules found.
    """

    intents: tuple[Intent, ...] = ()
    unfilled: tuple[Unfilled, ...] = ()
    personal: tuple[str, ...] = field(default=(), repr=False)

    @property
    def errors(self) -> dict[str, list[str]]:
        """The errors of all rules that could not be filled, by field."""
        return errors_of(self.unfilled)

    @property
    def state(self) -> EventState:
        if self.intents:
            return EventState.ACCEPTED
        return EventState.REJECTED if self.unfilled else EventState.IGNORED


def decide(rules: RuleBook, source: str, context: Mapping[str, Any]) -> Decision:
    """Ask every rule of the source that can want the event."""
    intents: list[Intent] = []
    unfilled: list[Unfilled] = []
    personal: list[str] = []
    for rule in rules.candidates(source, context):
        try:
            if intent := rule.intent_of(context):
                intents.append(intent)
                personal += intent.personal
        except InvalidEventError as error:
            personal += error.personal
            call = rule.composer
            unfilled.append(Unfilled(rule.name, call.portal, call.template_id, error.errors))
    return Decision(tuple(intents), tuple(unfilled), tuple(personal))


def errors_of(unfilled: Iterable[Unfilled]) -> dict[str, list[str]]:
    """Merge the errors of several rules by field."""
    errors: dict[str, list[str]] = {}
    for one in unfilled:
        for name, messages in one.errors.items():
            errors.setdefault(name, []).extend(messages)
    return errors


def made_of(
    event_id: str, decisions: Iterable[Decision], now: datetime, base: str | None = None, trace: str = ""
) -> list[Delivery]:
    """Make the deliveries of an event: one for each call, and one for each rule that could not be filled beside one
    that could.

    An event without a call has no deliveries: it is rejected or ignored as a whole. trace: the context that they keep.
    Raises NoAddressError.
    """
    decided = list(decisions)
    if not any(one.intents for one in decided):
        return []
    intents = [intent for one in decided for intent in one.intents]
    unfilled = [one for decision in decided for one in decision.unfilled]
    dead = (_of_unfilled(event_id, one, now, trace) for one in unfilled)
    return [*deliveries_of(event_id, intents, now, base, trace), *dead]


def deliveries_of(
    event_id: str, intents: Iterable[Intent], now: datetime, base: str | None = None, trace: str = ""
) -> list[Delivery]:
    """Make a pending delivery for each intent. Documents of its plan carry its id, unless a replay has an earlier
    origin.

    base: the relay's public address (RELAY_PUBLIC_URL), for completion callbacks. trace: the context that they keep.
    Raises NoAddressError if the address is needed and unknown.
    """
    deliveries = []
    for intent in intents:
        delivery_id, plan = new_delivery_id(now), intent.plan
        delivery = Delivery(
            id=delivery_id,
            event_id=event_id,
            rule=intent.rule,
            call=intent.call,
            policy=intent.policy,
            state=State.PENDING,
            created_at=now,
            updated_at=now,
            plan=replace(plan, origin=plan.origin or delivery_id) if plan else None,
            results=intent.results,
            unsure=intent.unsure,
            watched=_watched(base) if intent.policy.watch else None,
            comment=CommentProgress() if (plan or intent).call.comment else None,
            trace=trace,
        )
        # If all steps were done before, only the start is left, and its call is filled here.
        deliveries.append(go_on(delivery).delivery if plan else delivery)
    return deliveries


def _of_unfilled(event_id: str, unfilled: Unfilled, now: datetime, trace: str) -> Delivery:
    """A dead delivery for the call that was not made, so that it is found, counted, reported and replayed."""
    return Delivery(
        id=new_delivery_id(now),
        event_id=event_id,
        rule=unfilled.rule,
        call=Call(unfilled.portal, unfilled.template_id, ("", "", ""), {}),
        state=State.DEAD,
        reason=NOT_FILLED,
        created_at=now,
        updated_at=now,
        errors=unfilled.errors,
        trace=trace,
    )


def _watched(base: str | None) -> CompletionCallback:
    if not base:
        raise NoAddressError(fault("address_needed"))
    return new_callback(base)
