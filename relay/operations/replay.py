"""A person asks again: new deliveries for old events. The old delivery never changes again, and is replayed once only.

`original` repeats the call as it was; `current` asks today's rules what they make of the event as it came. It is read
anew: what could not be read then can be after its source was mended (`json_field`, `fallback_charset`, `max_body`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from relay.core.errors import (
    InvalidEventError,
    LostRace,
    NotFoundError,
    RelayError,
    UnreadableError,
    UnsupportedTypeError,
)
from relay.core.events import Delivery, Event, Intent
from relay.core.ids import EVENT_PREFIX, utc_now
from relay.core.lifecycle import FINAL, EventState
from relay.operations.batches import contexts_of
from relay.operations.deciding import decide, deliveries_of
from relay.operations.ingest import is_lost
from relay.rules import RuleBook
from relay.sources import Source
from relay.store.record.persons import PersonIndex
from relay.store.record.record import Record


class NotReplayableError(RelayError):
    """What was asked for cannot be replayed now; the text says why."""


class Replayer:
    """Makes the new deliveries. sources and rules: today's configuration.

    persons: keys of what the rules of today find of a person; None where RELAY_SECRET_KEY is not known.
    """

    def __init__(
        self, record: Record, sources: Mapping[str, Source], rules: RuleBook, persons: PersonIndex | None
    ) -> None:
        self._record = record
        self._sources = sources
        self._rules = rules
        self._persons = persons

    def replay(self, wanted: str, *, current_rules: bool) -> list[Delivery]:
        """Replay a delivery, or an event from which no call was made.

        Raises NotFoundError, NotReplayableError, InvalidEventError, RecordUnavailableError.
        """
        if wanted.startswith(EVENT_PREFIX):
            return self._replay_event(self._record.event(wanted))
        old = self._record.delivery(wanted)
        if old.state not in FINAL:
            raise NotReplayableError(f"{old.id} is {old.state}: only what is dead or started is replayed")
        event = self._record.event(old.event_id)
        intent = self._current(event, old.rule) if current_rules else Intent(old.rule, old.call, old.policy)
        (fresh,) = deliveries_of(event.id, [intent], utc_now())
        return self._add(event, old, [replace(fresh, replay_of=old.id)], intent.personal)

    def _replay_event(self, event: Event) -> list[Delivery]:
        if event.deliveries:
            raise NotReplayableError(f"{event.id} has deliveries: replay one of {', '.join(event.deliveries)}")
        decisions = [decide(self._rules, event.source, context) for context in self._contexts(event)]
        intents = [intent for one in decisions for intent in one.intents]
        if not intents:
            for one in decisions:
                if one.errors:
                    raise InvalidEventError(one.errors)
            raise NotReplayableError(f"no rule of today wants {event.id}")
        personal = [value for one in decisions for value in one.personal]
        return self._add(event, None, deliveries_of(event.id, intents, utc_now()), personal)

    def _current(self, event: Event, rule_name: str) -> Intent:
        rule = self._rules.get(rule_name)
        wanting = [context for context in self._contexts(event) if rule.matches(context)]
        if not wanting:
            raise NotReplayableError(f"the rule {rule_name} of today does not want {event.id}")
        if len(wanting) > 1:
            raise NotReplayableError(f"{event.id} holds {len(wanting)} entries that the rule {rule_name} wants")
        return rule.to_intent(wanting[0])

    def _contexts(self, event: Event) -> list[dict[str, object]]:
        """What rules see of the event, as its source reads it today; of a batch that is one event, of each entry."""
        if event.source not in self._sources:
            raise NotFoundError(f"the source {event.source} of {event.id} is no longer configured")
        if event.state is EventState.REFUSED or is_lost(event):
            raise NotReplayableError(f"{event.id} cannot be read: its body was not kept")
        try:
            return contexts_of(self._sources[event.source], event)
        except (UnreadableError, UnsupportedTypeError) as error:
            raise NotReplayableError(f"{event.id} cannot be read, as its source is configured today: {error}") from None

    def _add(
        self, event: Event, old: Delivery | None, fresh: list[Delivery], personal: Sequence[str]
    ) -> list[Delivery]:
        if personal and self._persons is None:
            raise NotReplayableError("RELAY_SECRET_KEY is needed: without it, its person could not be found again")
        person_keys = self._persons.keys_of(personal) if self._persons else ()
        try:
            self._record.replay(event, old, fresh, person_keys)
        except LostRace as error:
            raise NotReplayableError(f"{error} has been replayed before") from None
        return fresh
