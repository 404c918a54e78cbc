"""The use case of the door: a webhook in, a receipt out. Verified, parsed, mapped, deduplicated, recorded, enqueued.

Every request ends as exactly one event, or as a duplicate counted on the first one. Knows neither Flask nor Lua.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from relay.core.errors import (
    InvalidEventError,
    LimitedError,
    NoAddressError,
    NotVerifiedError,
    RecordUnavailableError,
    UnreadableError,
    UnsupportedTypeError,
)
from relay.core.events import Delivery, Event, Intent
from relay.core.ids import new_delivery_id, new_event_id
from relay.core.lifecycle import EventState, State
from relay.core.telemetry import get_logger
from relay.core.watching import Watched, watched_under
from relay.operations.pacing import Pauses, Turns
from relay.rules import RuleBook
from relay.sources import Source, Webhook, build_context
from relay.sources.parsers import kind_of
from relay.store.record.collector import Collector
from relay.store.record.persons import PersonIndex
from relay.store.record.record import Entry, Receipt
from relay.store.record.unproven import Bounds

log = get_logger()
KEPT_UNPROVEN, KEPT_UNPROVEN_BYTES = 2_000, 16_000_000
"""What one source has on record of events that nobody has proven, and from which no call was made."""
REFUSALS = Bounds(KEPT_UNPROVEN, KEPT_UNPROVEN_BYTES, events=600, bytes=4_000_000)
KEPT_UNREAD = 4_000
"""Bytes of a body that nobody has proven and that cannot be read: a longer one is not kept, for half of it misleads."""
PROOF = "proof"
"""Under this name a refused event keeps what is almost right about its proof, beside the errors of fields."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What the rules of a source make of one event: calls, and errors by field of the rules that cannot be filled.

    State: accepted where there is at least one call, rejected where there are only errors, else ignored.
    personal: the texts of a person that rules have found, whether they could be filled or not.
    """

    intents: tuple[Intent, ...] = ()
    errors: Mapping[str, list[str]] = field(default_factory=dict)
    personal: tuple[str, ...] = field(default=(), repr=False)

    @property
    def state(self) -> EventState:
        if self.intents:
            return EventState.ACCEPTED
        return EventState.REJECTED if self.errors else EventState.IGNORED


@dataclass(frozen=True, slots=True)
class Ingested:
    """The receipt, and what a sender may be told beside it."""

    receipt: Receipt
    errors: Mapping[str, list[str]] = field(default_factory=dict)


def decide(rules: RuleBook, source: str, context: Mapping[str, Any]) -> Decision:
    """Ask every rule of the source."""
    intents: list[Intent] = []
    errors: dict[str, list[str]] = {}
    personal: list[str] = []
    for rule in rules.for_source(source):
        if not rule.matches(context):
            continue
        try:
            intents.append(rule.to_intent(context))
            personal += intents[-1].personal
        except InvalidEventError as error:
            personal += error.personal
            for name, messages in error.errors.items():
                errors.setdefault(name, []).extend(messages)
    return Decision(tuple(intents), errors, tuple(personal))


def deliveries_of(event_id: str, intents: Iterable[Intent], now: datetime, base: str | None = None) -> list[Delivery]:
    """A fresh pending delivery for each intent. What its plan makes carries its id, unless it is another's already.

    base: the relay's own address (RELAY_PUBLIC_URL): where the end is watched for, each start has one of its own
    under it. Raises NoAddressError where it is needed and not known.
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
        )
        deliveries.append(delivery)
    return deliveries


def _watched(base: str | None) -> Watched:
    if not base:
        raise NoAddressError("RELAY_PUBLIC_URL is needed: the rule watches for the end, and its start has no address")
    return watched_under(base)


def bounds_of(source: Source, event: Event) -> Bounds:
    """How much of its like a source may have on record. What is proven has the limit that its source has, if any."""
    if event.state is EventState.REFUSED:
        return REFUSALS
    spent = {"events": source.limit.events, "bytes": source.limit.bytes} if source.limit else {}
    if source.is_open and not event.deliveries:
        return Bounds(KEPT_UNPROVEN, KEPT_UNPROVEN_BYTES, **spent)
    return Bounds(**spent)


class Ingest:
    """Receives webhooks: everything the web process needs for it, built once."""

    def __init__(self, rules: RuleBook, collector: Collector, persons: PersonIndex, base: str | None = None) -> None:
        self._rules = rules
        self._collector = collector
        self._persons = persons
        self._base = base
        self._pauses = Pauses()
        self._turns = Turns()

    def receive(self, source: Source, webhook: Webhook, now: datetime) -> Ingested:
        """Record one webhook.

        Raises NotVerifiedError (recorded as refused), UnreadableError or UnsupportedTypeError (recorded as rejected),
        LimitedError or RecordUnavailableError (nothing was promised).
        """
        # Of what is not proven, only that it came is kept.
        event = Event(
            id=new_event_id(now),
            source=source.name,
            state=EventState.REFUSED,
            received_at=now,
            method=webhook.method,
            content_type=webhook.content_type[:200],
            query="",
            headers={},
            body=b"",
        )
        try:
            verified = source.verify(webhook, now)
        except NotVerifiedError as error:
            if not self._pauses.sit_out(source.name, refused=True):
                self._refuse(source, event, error.reason, source.near_miss(webhook, error.reason, now))
            raise
        event = replace(event, query=verified.query, headers=verified.headers, body=webhook.body)
        if seconds := self._pauses.sit_out(source.name, refused=False):
            raise LimitedError(seconds)
        try:
            with self._turns.taken(len(webhook.body) if source.is_open else 0):
                context = build_context(source.name, verified, source.parse(verified), now)
                decision = decide(self._rules, source.name, context)
        except (UnreadableError, UnsupportedTypeError) as error:
            self._reject(source, event, str(error))
            raise
        return self._map(source, event, context, decision)

    def _map(self, source: Source, event: Event, context: Mapping[str, Any], decision: Decision) -> Ingested:
        deliveries = deliveries_of(event.id, decision.intents, event.received_at, self._base)
        event = replace(
            event,
            state=decision.state,
            reason="rule_not_filled" if decision.state is EventState.REJECTED else None,
            errors=dict(decision.errors),
            deliveries=tuple(delivery.id for delivery in deliveries),
            person_keys=self._persons.keys_of(decision.personal),
        )
        # Only what makes a call claims its dedup key: an event that no rule wanted must not stand in the way of the one
        # that is meant, be it the same after the rule is mended, or another behind which a stranger has put his own.
        digest = source.dedup_key(context, event.body) if deliveries else None
        window = timedelta(seconds=source.dedup_window_s if digest else 0)
        entry = Entry(event, deliveries, digest, window, bounds_of(source, event))
        receipt = self._record(source, entry, rules=[intent.rule for intent in decision.intents])
        return Ingested(receipt, {} if receipt.duplicate else decision.errors)

    def _reject(self, source: Source, event: Event, reason: str) -> None:
        """Keep what cannot be read."""
        rejected = replace(event, state=EventState.REJECTED, reason=reason)
        if source.is_open and len(event.body) > KEPT_UNREAD:
            rejected = replace(rejected, body=b"", reason=f"{reason}; its {len(event.body)} bytes were not kept")
        self._record(source, Entry(rejected, bounds=bounds_of(source, rejected)))

    def _refuse(self, source: Source, event: Event, reason: str, near_miss: str | None) -> None:
        """Keep that somebody unproven was here, without the body; the answer does not depend on it."""
        errors = {PROOF: [near_miss]} if near_miss else {}
        refused = replace(event, reason=reason, errors=errors)
        try:
            self._record(source, Entry(refused, bounds=bounds_of(source, refused)))
        except LimitedError:
            # The answer is the same; there are traces enough.
            return
        except RecordUnavailableError:
            log.warning("event.refused_unrecorded", source=event.source, reason=reason)

    def _record(self, source: Source, entry: Entry, rules: list[str] | None = None) -> Receipt:
        event = entry.event
        refused = event.state is EventState.REFUSED
        try:
            receipt = self._collector.record(entry)
        except LimitedError as error:
            self._pauses.begin(source.name, error.retry_after_s, refused=refused)
            log.warning("source.limited", source=source.name, refused=refused, seconds=error.retry_after_s)
            raise
        log.info(
            "event.received",
            event_id=receipt.event_id,
            source=event.source,
            state="duplicate" if receipt.duplicate else receipt.state.value,
            reason=event.reason,
            rules=rules or [],
            deliveries=list(receipt.deliveries),
            content_type=kind_of(event.content_type) or "other",
            size=len(event.body),
        )
        return receipt
