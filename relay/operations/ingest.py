"""Takes a webhook in and gives a receipt: verified, parsed, mapped, deduplicated, recorded, enqueued.

Every request ends as exactly one event, as a duplicate counted on the first one, as the events of its batch, or as a
probe that is answered and counted but makes no event. This module knows neither Flask nor Lua.

A sender that gives its secret at run time gives it with a probe. The first secret is trusted, and no other until a
person forgets it (trust on first use). Nothing is kept for a source whose secrets are configured.

While the record is away, requests of senders that never repeat are spooled on disk, and recorded when it is back. The
sender is told what the record would have said, with the same ids. Only the word `duplicate` can be wrong: a repeat is
recognised when it is recorded, and then it makes no second delivery.
"""

from __future__ import annotations

import copy
import hmac
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from relay.core.errors import (
    LimitedError,
    NotVerifiedError,
    RecordUnavailableError,
    UnreadableError,
    UnsupportedTypeError,
)
from relay.core.events import PROOF, Event
from relay.core.faults import Fault, code_of, fault
from relay.core.ids import new_event_id
from relay.core.lifecycle import EventState
from relay.core.otel import TRACEPARENT, Reception, trace_id_of
from relay.core.telemetry import get_logger
from relay.operations.deciding import (
    NOT_FILLED,
    Decision,
    Pauses,
    Piece,
    Turns,
    decide,
    distinct_keys,
    in_rows,
    made_of,
    persons_in,
    pieces_of,
    with_signature,
)
from relay.rules import RuleBook
from relay.sources import Source, Verified, Webhook
from relay.sources.answers import Probe, Rendered
from relay.sources.bodies import kind_of
from relay.sources.webhook import Reading
from relay.store import Store
from relay.store.record.collector import Collector
from relay.store.record.entries import UNBOUNDED, Bounds, Entry, Receipt
from relay.store.record.persons import PersonIndex
from relay.store.record.record import Record
from relay.store.record.spool import Spool, Spooled
from relay.store.senders import Senders, Slots

log = get_logger()
PROBES_AT_ONCE, PROBES_PER_S = 20.0, 10.0
"""Probes of a source that are counted at once, and further ones a second. The rest is counted with the next of these:
anybody may send probes, and each count is a write to the disk.
"""


class Prober:
    """Answers probes, for one process."""

    def __init__(self, senders: Senders) -> None:
        self._senders = senders
        self._uncounted: Counter[str] = Counter()
        self._room: dict[str, tuple[float, float]] = {}

    def with_given_secret(self, source: Source) -> Source:
        """The source with the secret that its sender gave, if any. Raises RecordUnavailableError."""
        if not source.keeps_secret or source.has_secrets:
            return source
        kept = self._senders.secret(source.name)
        return source.with_secret(kept.secret) if kept else source

    def answer(self, source: Source, probe: Probe, reading: Reading, now: datetime) -> Rendered:
        """Answer a probe. Raises NotVerifiedError, and RecordUnavailableError if a secret cannot be kept."""
        answer = source.answer_probe(probe, reading, now)
        if (secret := probe.secret_given(reading)) is not None:
            self._keep(source, secret, now)
        self._count(source.name, now)
        return answer

    def _keep(self, source: Source, secret: str, now: datetime) -> None:
        if source.has_secrets:
            return
        source.with_secret(secret)  # raises if it cannot be a secret of this source
        if self._senders.keep_secret(source.name, secret, now):
            log.info("secret.given", source=source.name)
            return
        kept = self._senders.secret(source.name)
        if kept is None or not hmac.compare_digest(kept.secret.encode(), secret.encode()):
            raise NotVerifiedError("handshake_repeated")

    def _count(self, source: str, now: datetime) -> None:
        self._uncounted[source] += 1
        at = time.monotonic()
        room, since = self._room.get(source, (PROBES_AT_ONCE, at))
        room = min(PROBES_AT_ONCE, room + (at - since) * PROBES_PER_S)
        if room < 1:
            self._room[source] = (room, at)
            return
        self._room[source] = (room - 1, at)
        count = self._uncounted.pop(source)
        try:
            self._senders.count_probes(source, count, now)
        except RecordUnavailableError:
            # The answer does not depend on the record: a sender that is being set up still gets it.
            self._uncounted[source] += count
            log.warning("probe.uncounted", source=source)
            return
        log.info("probe.answered", source=source, count=count)


SPOOL_INTERVAL_S = 1.0


class Spooler:
    """Records requests; while the record is away, spools those of sources that allow it."""

    def __init__(self, record: Record, collector: Collector, spool: Spool) -> None:
        self._record = record
        self._collector = collector
        self._spool = spool

    def record_all(self, source: Source, entries: Sequence[Entry], *, is_refused: bool = False) -> list[Receipt]:
        """Record all entries of one request, or spool them on this disk. Returns when all are stored.

        Raises LimitedError, and RecordUnavailableError: nothing was promised.
        """
        try:
            return self._collector.record_all(entries)
        except RecordUnavailableError as error:
            if not source.spools or is_refused:
                raise
            # It may be on record if only the answer was lost. It keeps its ids, so it is not recorded twice.
            self._spool.keep(entries, is_open=source.is_open)
            log.warning("event.spooled", source=source.name, events=len(entries), reason=str(error))
        return [Receipt(one.event.id, one.event.state, one.event.deliveries, duplicate=False) for one in entries]

    def held(self) -> Spooled:
        """The requests that are spooled on this machine."""
        return self._spool.held()

    def run(self, stop: threading.Event) -> None:
        """Drain the spool as soon as the record is back, until told to stop."""
        self._spool.take_back()
        while not stop.wait(SPOOL_INTERVAL_S):
            self.drain()

    def drain(self) -> int:
        """Record spooled requests in order, until the record is away again. Returns their number."""
        drained = 0
        names = self._spool.names()
        if not names:
            return 0
        with self._spool.drained() as is_ours:
            for name in self._spool.names() if is_ours else ():
                try:
                    self._record_file(name)
                except ValueError:
                    self._spool.set_aside(name)
                    log.error("spool.set_aside", file=name)  # noqa: TRY400 - the traceback says nothing more
                except (RecordUnavailableError, LimitedError):
                    # If only this request fails, continue with the next ones; it is tried again in a second.
                    if not self._is_back():
                        break
                else:
                    drained += 1
        if drained:
            log.info("spool.drained", requests=drained, left=len(self._spool.names()))
        return drained

    def _record_file(self, name: str) -> None:
        """Record one file. Raises ValueError if it is unreadable, RecordUnavailableError and LimitedError if it can
        wait.
        """
        entries = self._spool.read(name)
        receipts = self._collector.record_all(entries) if entries else ()
        for receipt in receipts:
            state = "duplicate" if receipt.duplicate else receipt.state.value
            log.info("event.unspooled", event_id=receipt.event_id, state=state, deliveries=list(receipt.deliveries))
        # If the process dies before this line, it is recorded again, which changes nothing.
        self._spool.forget(name)

    def _is_back(self) -> bool:
        try:
            return self._record.is_writable()
        except RecordUnavailableError:
            return False


KEPT_UNPROVEN, KEPT_UNPROVEN_BYTES = 2_000, 16_000_000
"""Events, and their bytes, that one source may have on record without a proof and without a call."""
REFUSALS = Bounds(KEPT_UNPROVEN, KEPT_UNPROVEN_BYTES, events=600, bytes=4_000_000)
KEPT_UNREAD = 4_000
"""Bytes of an unproven, unreadable body that are kept. A longer one is not kept, because half of it would mislead."""


@dataclass(frozen=True, slots=True)
class Ingested:
    """The result of a request, as far as its sender may know it.

    receipts: of each event, in order. errors: by field, if no rule could use any of them. answer: the source's own
    answer; None: our JSON. is_batch: each entry became an event.
    """

    receipts: tuple[Receipt, ...]
    errors: Mapping[str, list[str]] = field(default_factory=dict)
    answer: Rendered | None = None
    is_batch: bool = False

    @property
    def is_rejected(self) -> bool:
        """Whether no rule could use any of its events, and none was a duplicate."""
        return bool(self.receipts) and all(
            one.state is EventState.REJECTED and not one.duplicate for one in self.receipts
        )

    def to_wire(self) -> dict[str, Any]:
        """The content of our JSON answer: the first event at the top, and all events of a batch."""
        wires = [one.to_wire() for one in self.receipts]
        first = wires[0] if wires else {}
        return {**first, "events": wires} if self.is_batch else first


@dataclass(frozen=True, slots=True)
class Probed:
    """An answered probe. Only its count was recorded."""

    answer: Rendered


def bounds_of(source: Source, event: Event) -> Bounds:
    """The bounds for events like this one of a source. Proven events have the source's own limit, if any."""
    if event.state is EventState.REFUSED:
        return REFUSALS
    if source.limit is None and (event.deliveries or not source.is_open):
        return UNBOUNDED
    spent = {"events": source.limit.events, "bytes": source.limit.bytes} if source.limit else {}
    if source.is_open and not event.deliveries:
        return Bounds(KEPT_UNPROVEN, KEPT_UNPROVEN_BYTES, **spent)
    return Bounds(**spent)


def bare_event(source: Source, webhook: Webhook, now: datetime) -> Event:
    """A refused event without content: of an unproven request, only its arrival is kept."""
    return Event(
        id=new_event_id(now),
        source=source.name,
        state=EventState.REFUSED,
        received_at=now,
        method=webhook.method,
        content_type=webhook.content_type[:200],
        query="",
        headers={},
        body=b"",
        tail=webhook.tail,
    )


def kept_event(verified: Verified, now: datetime, trace: str = "") -> Event:
    """The event of a proven webhook. Its state is ignored until rules have decided. trace: its trace's context."""
    webhook = verified.webhook
    return Event(
        id=new_event_id(now),
        source=verified.source,
        state=EventState.IGNORED,
        received_at=now,
        method=webhook.method,
        content_type=webhook.content_type[:200],
        query=verified.query,
        headers=verified.headers,
        body=verified.body,
        trace=trace,
        tail=verified.tail,
    )


def is_lost(event: Event) -> bool:
    """Whether an event was unreadable and its body was not kept.

    Earlier versions kept a sentence as the reason; an unreadable event of theirs without a body is lost.
    """
    if event.body or event.state is not EventState.REJECTED or event.reason == NOT_FILLED:
        return False
    return code_of(event.reason) in {"body_not_kept", None}


class Ingest:
    """Receives webhooks. Built once for the web process."""

    def __init__(
        self,
        rules: RuleBook,
        spooler: Spooler,
        persons: PersonIndex,
        prober: Prober,
        slots: Slots,
        *,
        base: str | None = None,
    ) -> None:
        self._rules = rules
        self._spooler = spooler
        self._persons = persons
        self._prober = prober
        self._slots = slots
        self._base = base
        self._pauses = Pauses()
        self._turns = Turns()

    def with_rules(self, rules: RuleBook) -> Ingest:
        """A copy with other rules, which shares the knowledge of senders and turns."""
        other = copy.copy(self)
        other._rules = rules  # noqa: SLF001 - of our own copy
        return other

    def receive(
        self, source: Source, webhook: Webhook, now: datetime, reception: Reception | None = None
    ) -> Ingested | Probed:
        """Answer a probe, or record one webhook. reception: its span, which begins when its sender is proven.

        Raises NotVerifiedError (recorded as refused), UnreadableError or UnsupportedTypeError (recorded as rejected),
        LimitedError or RecordUnavailableError (nothing was promised).
        """
        source = self._prober.with_given_secret(source)
        reading = source.read_lazily(webhook)
        try:
            verified = self._prove(source, reading, now)
        except NotVerifiedError as error:
            self.refuse(source, reading, error.reason, now)
            raise
        if isinstance(verified, Probed):
            return verified
        if seconds := self._pauses.sit_out(source.name, refused=False):
            raise LimitedError(seconds)
        reception = reception or Reception()
        reception.prove(source.name, webhook.method, webhook.headers.get(TRACEPARENT), is_open=source.is_open)
        most = source.limit.at_once if source.limit else None
        with self._slots.taken(source.name, most, may_be_away=source.spools):
            return self._take(source, verified, now, reception)

    def refuse(self, source: Source, reading: Reading, reason: str, now: datetime) -> Ingested:
        """Record that a webhook was refused for this reason, without its content.

        The answer is the same if nothing can be recorded, or enough refusals are on record.
        """
        event = bare_event(source, reading.webhook, now)
        if not self._pauses.sit_out(source.name, refused=True):
            self._refuse(source, event, reason, source.near_miss(reading.webhook, reason, now, reading))
        return Ingested((Receipt(event.id, EventState.REFUSED, (), duplicate=False),))

    def _take(self, source: Source, verified: Verified, now: datetime, reception: Reception) -> Ingested:
        event, reading = kept_event(verified, now, reception.context), verified.reading
        try:
            with self._turns.taken(len(event.body) if source.is_open else 0), reception.part("rules"):
                content = source.parse(verified)
                spam = source.find_spam(content, now)
                pieces = pieces_of(source, event, content)
                decisions = [decide(self._rules, source.name, piece.context) for piece in in_rows(pieces)]
        except (UnreadableError, UnsupportedTypeError) as error:
            self._reject(source, event, error.message)
            raise
        with reception.part("record"):
            ingested = (
                self.refuse(source, reading, spam, now) if spam else self._map(source, verified, pieces, decisions)
            )
        _describe(reception, ingested)
        if source.answer is None:
            return ingested
        answer = source.answer_event(source.answer, reading, ingested.to_wire(), now)
        return replace(ingested, answer=answer)

    def _prove(self, source: Source, reading: Reading, now: datetime) -> Verified | Probed:
        """Prove the webhook, or answer a probe. Raises NotVerifiedError."""
        if not source.probes and not source.reads_before_proof:
            return source.verify(reading.webhook, now, reading)
        is_read = source.reads_before_proof and not source.is_open
        with self._turns.taken(source.weight_of(reading.webhook) if is_read else 0):
            if probe := source.probe(reading, is_proven=False):
                return Probed(self._prober.answer(source, probe, reading, now))
            verified = source.verify(reading.webhook, now, reading)
            if probe := source.probe(verified.reading, is_proven=True):
                return Probed(self._prober.answer(source, probe, verified.reading, now))
        return verified

    def _map(
        self, source: Source, verified: Verified, pieces: Sequence[Piece], decisions: Sequence[Decision]
    ) -> Ingested:
        entries = [self._entry(source, *one) for one in in_rows(zip(pieces, decisions, strict=True))]
        entries = with_signature(source, verified, distinct_keys(source, entries))
        rules = [[intent.rule for intent in one.intents] for one in decisions]
        receipts = tuple(self._record_all(source, entries, rules)) if entries else ()
        errors: dict[str, list[str]] = {}
        for receipt, decision in zip(receipts, decisions, strict=True):
            for name, messages in decision.errors.items() if not receipt.duplicate else ():
                errors.setdefault(name, []).extend(messages)
        return Ingested(receipts, errors, is_batch=not pieces or bool(pieces[0].event.envelope))

    def _entry(self, source: Source, piece: Piece, decision: Decision) -> Entry:
        event = piece.event
        deliveries = made_of(event.id, [decision], event.received_at, self._base, event.trace)
        personal = decision.personal
        if not (deliveries and personal):
            # No rule named the person: guess from the body.
            personal = (*personal, *persons_in(piece.context["body"]))
        event = event.decided(
            state=decision.state,
            reason=NOT_FILLED if decision.state is EventState.REJECTED else None,
            errors={} if deliveries else decision.errors,
            deliveries=tuple([delivery.id for delivery in deliveries]),
            person_keys=self._persons.keys_of(personal),
        )
        # Only an event with a call claims its dedup key. One that no rule wanted must not block a later one: the same
        # event after the rule is corrected, or a real one whose key a stranger has used.
        key = source.dedup_key(piece.context, event.body) if deliveries else None
        window = timedelta(seconds=key.window_s if key else 0)
        return Entry(event, deliveries, key.digest if key else None, window, bounds_of(source, event))

    def _reject(self, source: Source, event: Event, reason: str) -> None:
        """Record an unreadable request."""
        rejected = replace(event, state=EventState.REJECTED, reason=reason)
        if source.is_open and len(event.body) > KEPT_UNREAD:
            rejected = replace(rejected, body=b"", reason=fault("body_not_kept", why=reason, size=len(event.body)))
        self._record_all(source, [Entry(rejected, bounds=bounds_of(source, rejected))])

    def _refuse(self, source: Source, event: Event, reason: str, near_miss: Fault | None) -> None:
        """Record a refusal without the body. The answer does not depend on it."""
        errors: Mapping[str, list[str]] = {PROOF: [near_miss]} if near_miss else {}
        refused = replace(event, reason=reason, errors=errors)
        try:
            self._record_all(source, [Entry(refused, bounds=bounds_of(source, refused))])
        except LimitedError:
            return  # enough refusals are on record; the answer is the same
        except RecordUnavailableError:
            log.warning("event.refused_unrecorded", source=event.source, reason=reason)

    def _record_all(
        self, source: Source, entries: Sequence[Entry], rules: Sequence[list[str]] | None = None
    ) -> list[Receipt]:
        refused = entries[0].event.state is EventState.REFUSED
        try:
            receipts = self._spooler.record_all(source, entries, is_refused=refused)
        except LimitedError as error:
            self._pauses.begin(source.name, error.retry_after_s, refused=refused)
            log.warning("source.limited", source=source.name, refused=refused, seconds=error.retry_after_s)
            raise
        for entry, receipt, of_rules in zip(entries, receipts, rules or [[]] * len(entries), strict=True):
            _tell(entry.event, receipt, of_rules)
        return receipts


def _tell(event: Event, receipt: Receipt, rules: list[str]) -> None:
    """The one wide line of an event."""
    log.info(
        "event.received",
        event_id=receipt.event_id,
        source=event.source,
        state="duplicate" if receipt.duplicate else receipt.state.value,
        reason=event.reason,
        rules=rules,
        deliveries=list(receipt.deliveries),
        content_type=kind_of(event.content_type) or "other",
        size=len(event.body),
        **({"trace_id": trace_id_of(event.trace)} if event.trace else {}),
    )


def _describe(reception: Reception, ingested: Ingested) -> None:
    """Say on its span what became of a request. Of a batch, only the first event is named."""
    if not reception.context or not ingested.receipts:
        return
    first = ingested.receipts[0]
    reception.say(
        event_id=first.event_id,
        state="duplicate" if first.duplicate else first.state.value,
        events=len(ingested.receipts),
        deliveries=sum(len(one.deliveries) for one in ingested.receipts),
    )


LOOKED_AT, MOST_SHOWN = 50, 5
"""How many refused webhooks of a source are read to count near misses, and how many kinds are returned."""


def near_misses(store: Store, source: str) -> dict[str, int]:
    """Count the near misses of a source's latest refused webhooks. Raises RecordUnavailableError."""
    counted: Counter[str] = Counter()
    for event in store.record.events(store.record.newest_unproven(source, LOOKED_AT)):
        counted.update(event.errors.get(PROOF, ()))
    return dict(counted.most_common(MOST_SHOWN))
