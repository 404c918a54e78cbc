"""The use case of the door: a webhook in, a receipt out. Verified, parsed, mapped, deduplicated, recorded, enqueued.

Every request ends as exactly one event, or as a duplicate counted on the first one. Knows neither Flask nor Lua.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from relay.errors import (
    InvalidEventError,
    NotVerifiedError,
    RecordUnavailableError,
    UnreadableError,
    UnsupportedTypeError,
)
from relay.events import Delivery, Event, Intent
from relay.ids import new_delivery_id, new_event_id
from relay.lifecycle import EventState, State
from relay.marks import Marker
from relay.rules import RuleBook
from relay.sources import Source, Webhook, build_context
from relay.store.collector import Collector
from relay.store.record import Entry, Receipt
from relay.telemetry import get_logger

log = get_logger()
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


def deliveries_of(event_id: str, intents: Iterable[Intent], now: datetime) -> list[Delivery]:
    """A fresh pending delivery for each intent."""
    return [
        Delivery(
            id=new_delivery_id(now),
            event_id=event_id,
            rule=intent.rule,
            call=intent.call,
            policy=intent.policy,
            state=State.PENDING,
            created_at=now,
            updated_at=now,
        )
        for intent in intents
    ]


class Door:
    """Receives webhooks: everything the web process needs for it, built once."""

    def __init__(self, rules: RuleBook, collector: Collector, marker: Marker) -> None:
        self._rules = rules
        self._collector = collector
        self._marker = marker

    def receive(self, source: Source, webhook: Webhook, now: datetime) -> Ingested:
        """Record one webhook.

        Raises NotVerifiedError (recorded as refused), UnreadableError or UnsupportedTypeError (recorded as rejected),
        RecordUnavailableError (nothing was promised).
        """
        event = Event(
            id=new_event_id(now),
            source=source.name,
            state=EventState.REFUSED,
            received_at=now,
            method=webhook.method,
            content_type=webhook.content_type[:200],
            query=source.kept_query(webhook),
            headers=source.kept_headers(webhook),
            body=webhook.body,
        )
        try:
            verified = source.verify(webhook, now)
        except NotVerifiedError as error:
            self._refuse(event, error.reason, source.near_miss(webhook, error.reason, now))
            raise
        try:
            body = source.parse(verified)
            context = build_context(source.name, verified, body, now)
        except (UnreadableError, UnsupportedTypeError) as error:
            self._record(Entry(replace(event, state=EventState.REJECTED, reason=str(error))))
            raise
        return self._map(source, event, context)

    def _map(self, source: Source, event: Event, context: Mapping[str, Any]) -> Ingested:
        decision = decide(self._rules, source.name, context)
        deliveries = deliveries_of(event.id, decision.intents, event.received_at)
        event = replace(
            event,
            state=decision.state,
            reason="rule_not_filled" if decision.state is EventState.REJECTED else None,
            errors=dict(decision.errors),
            deliveries=tuple(delivery.id for delivery in deliveries),
            marks=self._marker.marks(decision.personal),
        )
        # Only what is answered with a success claims its dedup key: a sender who mends a rejected event and sends
        # it again must get through.
        claims = decision.state is not EventState.REJECTED or source.on_invalid == "accept"
        digest = source.dedup_key(context, event.body) if claims else None
        window = timedelta(seconds=source.dedup_window_s if digest else 0)
        receipt = self._record(
            Entry(event, deliveries, digest, window), rules=[intent.rule for intent in decision.intents]
        )
        return Ingested(receipt, {} if receipt.duplicate else decision.errors)

    def _refuse(self, event: Event, reason: str, near_miss: str | None) -> None:
        """Keep that somebody unproven was here, without the body; the answer does not depend on it."""
        errors = {PROOF: [near_miss]} if near_miss else {}
        refused = replace(event, reason=reason, errors=errors, body=b"", headers={}, query="")
        try:
            self._record(Entry(refused))
        except RecordUnavailableError:
            log.warning("event.refused_unrecorded", source=event.source, reason=reason)

    def _record(self, entry: Entry, rules: list[str] | None = None) -> Receipt:
        receipt = self._collector.record(entry)
        event = entry.event
        log.info(
            "event.received",
            event_id=receipt.event_id,
            source=event.source,
            state="duplicate" if receipt.duplicate else receipt.state.value,
            reason=event.reason,
            rules=rules or [],
            deliveries=list(receipt.deliveries),
            content_type=event.content_type.partition(";")[0][:60],
            size=len(event.body),
        )
        return receipt
