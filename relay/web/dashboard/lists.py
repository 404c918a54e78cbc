"""The lists: events with what became of them, and deliveries. Filtered, searched, in pages of constant cost."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from flask import redirect, render_template, request, url_for

from relay.core.errors import NotFoundError
from relay.core.events import Delivery, Event
from relay.core.ids import DELIVERY_PREFIX, EVENT_PREFIX
from relay.core.phrases import phrase
from relay.store.record.search import Row
from relay.web.dashboard.frame import blueprint
from relay.web.dashboard.live import OVERVIEW
from relay.web.presenters.chips import chips_of, without
from relay.web.presenters.filters import cursor_asked, filter_asked, query_of, word_asked
from relay.web.presenters.finding import is_looked_up, look_into_bodies, search_deliveries, search_events
from relay.web.presenters.masking import masking_of
from relay.web.presenters.people import person_in
from relay.web.services import services

PAGE = 50


@blueprint.get("/events")
def events() -> Any:
    """Events, newest first; a filter of deliveries gives each delivery its row."""
    return _list("events", search_events, _lines_of_events)


@blueprint.get("/deliveries")
def deliveries() -> Any:
    """Deliveries, newest first."""
    return _list("deliveries", search_deliveries, _lines_of_deliveries)


@blueprint.get("/find")
def find() -> Any:
    """Go to the event or delivery of this id, or to the list of what a word finds."""
    word = request.args.get("q", "").strip()
    lower = word.lower()
    if lower.startswith(EVENT_PREFIX):
        return redirect(url_for("dashboard.event", event_id=lower), 303)
    if lower.startswith(DELIVERY_PREFIX):
        return redirect(url_for("dashboard.delivery", delivery_id=lower), 303)
    if not word:
        raise NotFoundError(phrase("nothing was searched for"))
    return redirect(url_for("dashboard.events", q=word), 303)


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a list: an event with one of its deliveries, or with none.

    at: when it was received or made. who: whom it is about, masked; empty where nobody can be told.
    """

    at: datetime
    event: Event
    delivery: Delivery | None
    who: str


def _lines_of_events(rows: Iterable[Row]) -> list[Line]:
    return [_line(row.event.received_at, row.event, one) for row in rows for one in row.deliveries or (None,)]


def _lines_of_deliveries(found: Iterable[Delivery]) -> list[Line]:
    deliveries = list(found)
    events = {event.id: event for event in services().record.events({one.event_id for one in deliveries})}
    # An event that is erased at this moment takes its deliveries with it.
    return [_line(one.created_at, events[one.event_id], one) for one in deliveries if one.event_id in events]


def _line(at: datetime, event: Event, delivery: Delivery | None) -> Line:
    return Line(at, event, delivery, person_in(event, delivery.rule if delivery else None))


def _list(kind: str, search: Any, lines_of: Callable[[Any], list[Line]]) -> Any:
    wanted, word = filter_asked(), word_asked()
    cursor, scanned = cursor_asked(), None
    if kind == "events" and not is_looked_up(word):
        page, scanned = look_into_bodies(word, wanted, cursor, PAGE)
    else:
        page = search(word, wanted, cursor, PAGE)
    query = query_of(wanted, word)
    return render_template(
        f"{kind}.html",
        kind=kind,
        # What is older does not change its place: only the first page follows. Bodies are read when somebody asks.
        fresh=None if cursor or scanned else OVERVIEW,
        lines=lines_of(page.rows),
        cursor=page.cursor,
        scanned=scanned,
        wanted=wanted,
        word=word,
        query=query,
        chips=chips_of(wanted, word),
        without_word=without(query, "q"),
        sources=sorted(services().sources),
        masking=masking_of(services().rules.all()),
    )
