"""A person asks again: new deliveries for old events. The old delivery never changes again, and is replayed once only.

`original` repeats the call as it was; `current` asks today's rules what they make of the event as it came. It is read
anew: what could not be read then can be after its source was mended (`json_field`, `fallback_charset`, `max_body`).
What an earlier delivery of the chain has made on the portal is not made again: its results are carried over, by the
names of their steps, and what the new one makes carries the id of the first, under which the worker looks before it
makes. What was found is asked anew: it may be another by now. Where the end is watched for, the new start has an
address of its own.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from relay.core.errors import (
    InvalidEventError,
    LostRace,
    MovedOn,
    NotFoundError,
    RelayError,
    UnreadableError,
    UnsupportedTypeError,
)
from relay.core.events import Delivery, Event, Intent
from relay.core.faults import fault
from relay.core.ids import EVENT_PREFIX, new_event_id, utc_now
from relay.core.lifecycle import FINAL, EventState, State
from relay.core.otel import replayed
from relay.core.plan import How, StepKind
from relay.operations.deciding import Decision, contexts_of, decide, deliveries_of, errors_of, made_of, persons_in
from relay.operations.ingest import is_lost
from relay.rules import RuleBook
from relay.sources import Source
from relay.sources.bodies import is_xml
from relay.store.record.collector import Collector
from relay.store.record.entries import Entry
from relay.store.record.persons import PersonIndex
from relay.store.record.record import Record

OURS = frozenset({How.MADE, How.FOUND_AGAIN, How.CARRIED})
"""How a result came about that the relay has made, once for all deliveries of a chain."""


EDITED_ONCE = timedelta(days=1)
"""For so long the same edit is not made a second time."""
_CHARSET = re.compile(r"charset=[^;]+", re.IGNORECASE)
EDITED = "EDITED"
"""The method of an event whose body a person has edited: no request has it, so nobody can send such an event."""
EDITED_FROM = "x-relay-edited-from"
"""The header that names the event as it came."""


class NotReplayableError(RelayError):
    """The event or delivery cannot be replayed now; the text says why."""


class Replayer:
    """Makes the new deliveries. sources and rules: today's configuration.

    persons: keys of what the rules of today find of a person; None where RELAY_SECRET_KEY is not known. base: the
    relay's own address, under which each start has one of its own where the end is watched for; None: not known.
    """

    def __init__(
        self,
        record: Record,
        sources: Mapping[str, Source],
        rules: RuleBook,
        persons: PersonIndex | None,
        base: str | None = None,
    ) -> None:
        self._record = record
        self._sources = sources
        self._rules = rules
        self._persons = persons
        self._base = base

    def replay(
        self, wanted: str, *, current_rules: bool, bulk_id: str | None = None, found: State | EventState | None = None
    ) -> list[Delivery]:
        """Replay a delivery, or an event from which no call was made.

        bulk_id: of the bulk replay that does it. found: the state for which it was chosen: in another it is left alone.

        Raises NotFoundError, NotReplayableError, NoAddressError, InvalidEventError, RecordUnavailableError.
        """
        if wanted.startswith(EVENT_PREFIX):
            return self._replay_event(self._record.event(wanted), bulk_id)
        old = self._record.delivery(wanted)
        if old.state not in FINAL:
            raise NotReplayableError(fault("not_final", id=old.id, state=old.state))
        if found and old.state is not found:
            raise _moved(old.id)
        if old.errors and not current_rules:
            raise NotReplayableError(fault("no_call_to_repeat", id=old.id))
        event = self._record.event(old.event_id)
        intent = self._current(event, old.rule) if current_rules else _original(old)
        intent = _carried(intent, self._last_with_plan(old))
        trace = replayed(old.trace, event_id=event.id, replay_of=old.id)
        (fresh,) = deliveries_of(event.id, [intent], utc_now(), self._base, trace)
        return self._add(event, old, [replace(fresh, replay_of=old.id)], intent.personal, bulk_id)

    @property
    def rules_digest(self) -> str:
        """Which rules are today's."""
        return self._rules.digest

    def portals_of(self, source: str) -> set[str]:
        """The portals to which today's rules send what comes from a source."""
        return {rule.composer.portal for rule in self._rules.for_source(source)}

    def edited(self, wanted: str, body: bytes) -> tuple[Event, list[Decision]]:
        """The event that an edited body makes beside the original, and what today's rules make of it: a call at least.

        Records nothing: what is shown before it is done. Raises what `replay` raises.
        """
        is_event = wanted.startswith(EVENT_PREFIX)
        old = None if is_event else self._record.delivery(wanted)
        event = self._record.event(old.event_id if old else wanted)
        if old and old.state not in FINAL:
            raise NotReplayableError(fault("not_final", id=old.id, state=old.state))
        if old is None and event.deliveries:
            raise NotReplayableError(fault("has_deliveries", id=event.id, names=event.deliveries))
        self._contexts(event)  # that the original can be read at all
        own = edit_of(event, body, utc_now())
        if old:
            return own, [Decision((_carried(self._current(own, old.rule), self._last_with_plan(old)),))]
        decisions = [decide(self._rules, own.source, context) for context in self._contexts(own)]
        if any(one.intents for one in decisions):
            return own, decisions
        if errors := errors_of(unfilled for one in decisions for unfilled in one.unfilled):
            raise InvalidEventError(errors)
        raise NotReplayableError(fault("edit_not_wanted", id=event.id))

    def replay_edited(self, wanted: str, body: bytes) -> list[Delivery]:
        """Replay with an edited body, kept as an event of its own with its deliveries, or not at all.

        Raises what `replay` raises.
        """
        own, decisions = self.edited(wanted, body)
        own = replace(own, trace=replayed(own.trace, event_id=own.id))
        old = None if wanted.startswith(EVENT_PREFIX) else self._record.delivery(wanted)
        fresh = made_of(own.id, decisions, utc_now(), self._base, own.trace)
        made = [replace(one, replay_of=old.id if old else None) for one in fresh]
        personal = [value for one in decisions for intent in one.intents for value in intent.personal]
        if old is None:
            return self._record_edited(own, made, personal)
        return self._add(replace(own, state=EventState.ACCEPTED), old, made, personal, None, is_new=True)

    def _record_edited(self, own: Event, made: list[Delivery], personal: Sequence[str]) -> list[Delivery]:
        """With its deliveries at once. The same edit of the same event is one: a second click makes no second."""
        digest = hashlib.sha256(f"{own.headers[EDITED_FROM]}\0".encode() + own.body).hexdigest()[:32]
        person_keys = self._persons.keys_of(personal) if self._persons else ()
        event = own.decided(EventState.ACCEPTED, None, {}, tuple(one.id for one in made), person_keys)
        receipt = Collector(self._record).record(Entry(event, made, digest, EDITED_ONCE))
        if receipt.duplicate:
            raise NotReplayableError(fault("edited_before", event_id=receipt.event_id))
        return made

    def _replay_event(self, event: Event, bulk_id: str | None) -> list[Delivery]:
        if event.deliveries:
            raise NotReplayableError(fault("has_deliveries", id=event.id, names=event.deliveries))
        contexts = self._contexts(event)
        decisions = [decide(self._rules, event.source, context) for context in contexts]
        if not any(one.intents for one in decisions):
            for one in decisions:
                if one.errors:
                    raise InvalidEventError(one.errors)
            raise NotReplayableError(fault("not_wanted", id=event.id))
        personal = [value for one in decisions for value in one.personal]
        if self._persons:  # an earlier version has not looked for them at the door
            personal += [value for context in contexts for value in persons_in(context["body"])]
        trace = replayed(event.trace, event_id=event.id)
        return self._add(event, None, made_of(event.id, decisions, utc_now(), self._base, trace), personal, bulk_id)

    def _current(self, event: Event, rule_name: str) -> Intent:
        rule = self._rules.get(rule_name)
        if not rule.is_enabled:
            raise NotReplayableError(fault("rule_disabled", rule_name=rule_name))
        wanting = [context for context in self._contexts(event) if rule.matches(context)]
        if not wanting:
            raise NotReplayableError(fault("rule_does_not_want", rule_name=rule_name, id=event.id))
        if len(wanting) > 1:
            raise NotReplayableError(fault("several_entries", id=event.id, count=len(wanting), rule_name=rule_name))
        return rule.to_intent(wanting[0])

    def _last_with_plan(self, delivery: Delivery) -> Delivery | None:
        """The delivery, or the newest that it replays, with a plan: the rule may have had no steps in between."""
        while delivery.plan is None:
            if delivery.replay_of is None:
                return None
            try:
                delivery = self._record.delivery(delivery.replay_of)
            except NotFoundError:  # forgotten: that of an edited replay belongs to an older event
                return None
        return delivery

    def _contexts(self, event: Event) -> list[dict[str, object]]:
        """The contexts for rules, as the source reads the event today: one, or one for each entry of a batch."""
        if event.source not in self._sources:
            raise NotFoundError(fault("source_unknown", source=event.source, id=event.id))
        if removed_at := event.body_removed_at:
            raise NotReplayableError(fault("nothing_to_read", id=event.id, day=f"{removed_at:%Y-%m-%d}"))
        if event.state is EventState.REFUSED or is_lost(event):
            raise NotReplayableError(fault("body_lost", id=event.id))
        try:
            return contexts_of(self._sources[event.source], event)
        except (UnreadableError, UnsupportedTypeError) as error:
            raise NotReplayableError(fault("unreadable_today", id=event.id, why=error.message)) from None

    def _add(
        self,
        event: Event,
        old: Delivery | None,
        fresh: list[Delivery],
        personal: Sequence[str],
        bulk_id: str | None,
        *,
        is_new: bool = False,
    ) -> list[Delivery]:
        if personal and self._persons is None:
            raise NotReplayableError(fault("secret_key_needed"))
        person_keys = self._persons.keys_of(personal) if self._persons else ()
        try:
            self._record.replay(event, old, fresh, person_keys, bulk_id, is_new=is_new)
        except MovedOn as error:
            raise _moved(str(error)) from None
        except LostRace as error:
            raise NotReplayableError(fault("replayed_before", id=str(error))) from None
        return fresh


def _moved(wanted: str) -> NotReplayableError:
    return NotReplayableError(fault("moved_meanwhile", id=wanted))


def edit_of(event: Event, body: bytes, now: datetime) -> Event:
    """An event like this one, with another body, before rules have looked at it."""
    return replace(
        event,
        id=new_event_id(now),
        received_at=now,
        state=EventState.IGNORED,
        method=EDITED,
        content_type=_in_utf_8(event.content_type),
        headers={**event.headers, EDITED_FROM: event.id},
        body=body,
        reason=None,
        errors={},
        fault="",
        deliveries=(),
        duplicates=0,
        person_keys=(),
    )


def _in_utf_8(content_type: str) -> str:
    """The content type of what a person has written, which is UTF-8, whatever the sender wrote in."""
    if is_xml(content_type) and not _CHARSET.search(content_type):
        # XML declares its charset in itself, which counts only if the content type names none.
        return f"{content_type}; charset=utf-8"
    return _CHARSET.sub("charset=utf-8", content_type)


def original_of(event: Event) -> str | None:
    """The event that this one is an edited copy of; None: it came as it is."""
    return event.headers.get(EDITED_FROM) if event.method == EDITED else None


def _original(old: Delivery) -> Intent:
    """The call as it was; where there is a plan, with the places of what has yet to be found."""
    call = old.plan.shown() if old.plan else old.call
    return Intent(old.rule, call, old.policy, plan=old.plan)


def _carried(intent: Intent, earlier: Delivery | None) -> Intent:
    """The same with the origin of an earlier plan, and with what it has made of the same names and kinds."""
    if intent.plan is None or earlier is None or earlier.plan is None:
        return intent
    if earlier.call.portal != intent.call.portal:
        return intent  # what was made there is not here
    made = {(step.name, step.entity, step.type_id) for step in intent.plan.steps if step.kind is StepKind.MAKE}
    kept = [one for one in earlier.results if one.how in OURS and (one.name, one.entity, one.type_id) in made]
    results = tuple(replace(result, how=How.CARRIED) for result in kept)
    unsure = tuple(name for name in earlier.unsure if name in {own for own, _, _ in made})
    return replace(intent, plan=replace(intent.plan, origin=earlier.plan.origin), results=results, unsure=unsure)
