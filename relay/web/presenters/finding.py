"""The search of the API and the dashboard: a filter, a word, a page. It looks up indexes.

A word that no index knows may be in a body: `look_into_bodies` reads some bodies when a person asks for it.
"""

from __future__ import annotations

from dataclasses import replace
from operator import itemgetter
from typing import Any

from relay.core.errors import NotFoundError
from relay.core.events import Delivery, Event
from relay.core.ids import DELIVERY_PREFIX, EVENT_PREFIX
from relay.core.lifecycle import EventState, State
from relay.core.phones import ways_to_dial
from relay.store.record.search import (
    Filter,
    Page,
    Row,
    Scanned,
    is_listed,
    list_deliveries,
    list_events,
    row_of,
    scan_bodies,
)
from relay.web.auth import is_operator
from relay.web.presenters.filters import TABS
from relay.web.services import services

SHORTEST = 3
"""Fewer characters are in nearly every body."""
NEWEST = "z" * 26
"""Above every id, without its prefix."""


def search_events(word: str | None, wanted: Filter, cursor: str | None, limit: int) -> Page[Row]:
    """Events that the filter and the word find. Raises RecordUnavailableError."""
    record = services().record
    if word and (found := exact(word)):
        row = row_of(record, record.event(found[0]))
        if wanted.is_of_deliveries:
            fits = tuple(one for one in row.deliveries if _holds(wanted, row.event, one))
            return Page((Row(row.event, fits),) if fits else (), None)
        return Page((row,) if _holds(wanted, row.event) else (), None)
    narrowed = narrow(word, wanted)
    return list_events(record, narrowed, cursor, limit) if narrowed else Page((), None)


def search_tab(tab: str, word: str | None, wanted: Filter, cursor: str | None, limit: int) -> Page[Row]:
    """Events of a tab of the list: where it has several states, their lists as one, newest first.

    Raises RecordUnavailableError.
    """
    states = TABS[tab][1] if tab in TABS and wanted.state is None else ()
    if not states:
        return search_events(word, wanted, cursor, limit)
    found: list[tuple[str, Row]] = []
    ends = []
    for state in states:
        is_of_events = isinstance(state, EventState)
        prefix = EVENT_PREFIX if is_of_events else DELIVERY_PREFIX
        # Each list goes on where the page before has ended, by the ids that it walks.
        start = prefix + (cursor[len(prefix) :] if cursor else NEWEST)
        page = search_events(word, replace(wanted, state=state, needs=tab == "person"), start, limit)
        for row in page.rows:
            if tab == "person" or not all(map(_waits_for_a_person, row.deliveries)):
                one = row.event.id if is_of_events else row.deliveries[0].id
                found.append((one[len(prefix) :], row))
        ends += [page.cursor[len(prefix) :]] if page.cursor else []
    # Below the newest end, that list may have more: the page ends there.
    end = max(ends, default="")
    known = sorted(((place, row) for place, row in found if place >= end), key=itemgetter(0), reverse=True)
    if len(known) > limit:
        known, end = known[:limit], known[limit - 1][0]
    return Page(tuple(row for _, row in known), EVENT_PREFIX + end if end else None)


def _waits_for_a_person(delivery: Delivery) -> bool:
    return delivery.state is State.UNCERTAIN and delivery.next_attempt_at is None


def look_into_bodies(
    words: str | None, wanted: Filter, cursor: str | None, limit: int
) -> tuple[Page[Row], Scanned | None]:
    """Events with these words in their body. Operators only: by guessing parts, a viewer could read masked values.

    Raises RecordUnavailableError.
    """
    if not words or len(words) < SHORTEST or not is_operator() or wanted.is_of_deliveries:
        return Page((), None), None
    return scan_bodies(services().record, wanted, words, cursor, limit)


def is_looked_up(word: str | None) -> bool:
    """Whether an index knows the word, so that no body need be read."""
    return not word or exact(word) is not None or narrow(word, Filter()) is not None


def search_deliveries(word: str | None, wanted: Filter, cursor: str | None, limit: int) -> Page[Delivery]:
    """Deliveries that the filter and the word find. Raises RecordUnavailableError."""
    record = services().record
    if word and (found := exact(word)):
        row = row_of(record, record.event(found[0]))
        fits = [one for one in row.deliveries if found[1] in {None, one.id} and _holds(wanted, row.event, one)]
        return Page(tuple(fits), None)
    narrowed = narrow(word, wanted)
    return list_deliveries(record, narrowed, cursor, limit) if narrowed else Page((), None)


def _holds(wanted: Filter, event: Event, delivery: Delivery | None = None) -> bool:
    """Whether the filter matches an event that was found by its id, or a delivery of it."""
    at = delivery.created_at if delivery else event.received_at
    in_time = (wanted.since is None or at >= wanted.since) and (wanted.until is None or at < wanted.until)
    fits = in_time and wanted.wants_event(event) and (delivery is None or wanted.wants_delivery(delivery))
    return fits and is_listed(services().record, wanted, event.id, delivery.id if delivery else None)


def exact(word: str) -> tuple[str, str | None] | None:
    """The event, and perhaps the delivery, that a word names by its id or by a workflow's id; None if there is none."""
    record, word = services().record, word.strip().lower()
    try:
        if word.startswith(EVENT_PREFIX):
            return record.event(word).id, None
        delivery_id = word if word.startswith(DELIVERY_PREFIX) else record.delivery_of_workflow(word)
        return (record.delivery(delivery_id).event_id, delivery_id) if delivery_id else None
    except NotFoundError:
        return None


def narrow(word: str | None, wanted: Filter) -> Filter | None:
    """The filter narrowed to the meaning of a word; None if the record does not know the word.

    A word may be a value that rules extracted, a document's id, an error code, a rule, or a template's number.
    """
    if not word:
        return wanted
    record, word = services().record, word.strip()
    people = _keys_of(word)
    if person_key := services().store.traces.one_key_for(people):
        return replace(wanted, person_key=person_key, people=frozenset(people))
    if record.is_known("document", word.upper()):
        return _narrowed(wanted, document_id=word.upper())
    if record.is_known("reason", word.lower()):
        return _narrowed(wanted, code=word.lower())
    if record.is_known("rule", word):
        return _narrowed(wanted, rule=word)
    if word.isascii() and word.isdigit() and record.is_known("template_id", str(int(word))):
        return _narrowed(wanted, template_id=int(word))
    return None


def _keys_of(word: str) -> list[str]:
    """The keys that a person may have on record, if this word is a value of theirs."""
    persons, rules = services().persons, services().rules.all()
    spellings = ways_to_dial(word, {region for rule in rules for region in rule.extractor.regions})
    return list(dict.fromkeys(key for one in spellings for key in (persons.key_of(one), persons.exact_key_of(one))))


def _narrowed(wanted: Filter, **meant: Any) -> Filter | None:
    """The filter with the meaning of a word; None if the filter asks for another value already."""
    ((name, value),) = meant.items()
    return replace(wanted, **meant) if getattr(wanted, name) in {None, value} else None
