"""The lists of events and deliveries: filtered, searched, in pages of constant cost; and the same lists as files.

A file is CSV for spreadsheets or JSON lines for programs. It is written while it is read, page by page, and has an
upper limit, because a browser waits for it. Persons' values are masked everywhere, except on the list for an event that
this session has revealed.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from flask import Response, abort, redirect, render_template, request, stream_with_context, url_for

from relay.configuration.expressions import Steps
from relay.core.errors import NotFoundError, RelayError
from relay.core.events import Delivery, Event
from relay.core.ids import DELIVERY_PREFIX, EVENT_PREFIX
from relay.core.phrases import phrase
from relay.operations.deciding import contexts_of, persons_in
from relay.rules import Rule
from relay.store.record.search import Filter, Page, Row
from relay.web.auth import is_operator, is_revealed
from relay.web.dashboard.frame import blueprint
from relay.web.dashboard.live import OVERVIEW
from relay.web.language import _
from relay.web.presenters.chips import chips_of, without
from relay.web.presenters.filters import cursor_asked, filter_asked, query_of, word_asked
from relay.web.presenters.finding import is_looked_up, look_into_bodies, search_deliveries, search_events
from relay.web.presenters.masking import Masking, cover, masked_delivery, masked_event, masking_of
from relay.web.services import services

PAGE = 50
LARGEST_READ = 20_000
"""Bytes. A list reads fifty bodies, so it leaves larger ones to the page of their event."""
LONGEST_PERSON = 100
"""Characters of a value; no name or address is longer."""
MOST_ROWS = 10_000
STEP, MOST_PAGES = 200, 1_000
"""Rows a page, and pages an export: a page may be empty and still not be the last."""
FORMULA = ("=", "+", "-", "@", "\t", "\r")


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
    """Go to the event or delivery of this id, or to the list that a word finds."""
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

    at: when it was received or made. who: the person it is about, masked; empty if unknown.
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


def person_in(event: Event, rule: str | None = None) -> str:
    """The person that the event is about: the first value that its rules mark as personal, else a likely one.

    Masked, unless this session has revealed the event; empty if none is found. rule: None: every rule that matches.
    """
    source = services().sources.get(event.source)
    if source is None or not (event.body or event.query) or len(event.body) + len(event.envelope) > LARGEST_READ:
        return ""
    try:
        contexts = contexts_of(source, event)
    except RelayError:  # its source is configured otherwise now, and can read it no more
        return ""
    for context in contexts[:1]:
        marked = (text for one in _rules(event, rule) for text in _marked(one, context))
        found = next((text for text in marked if text), None) or next(iter(persons_in(context["body"])), "")
        return found if is_operator() and is_revealed(event.id) else cover(found) if found else ""
    return ""


def _rules(event: Event, rule: str | None) -> Iterable[Rule]:
    if rule is None:
        return services().rules.for_source(event.source)
    try:
        return [services().rules.get(rule)]
    except NotFoundError:
        return []


def _marked(rule: Rule, context: dict[str, object]) -> Iterable[str]:
    steps = Steps(grows=False)
    values = rule.extractor.find(context, steps) if rule.matches(context, steps) else {}
    return (text.strip()[:LONGEST_PERSON] for text in rule.extractor.personal_texts(values))


@dataclass(frozen=True, slots=True)
class List:
    """One list as a file. search: its rows, a page at a time; to_wire: a row, masked; to_cells: that, flat."""

    name: str
    columns: tuple[str, ...]
    search: Callable[[str | None, Filter, str | None, int], Page[Any]]
    to_wire: Callable[[Any, Masking], dict[str, Any]]
    to_cells: Callable[[dict[str, Any]], dict[str, Any]]


@blueprint.get("/events.<kind>")
def export_events(kind: str) -> Response:
    """The list of events as a file."""
    columns = ("id", "received_at", "source", "state", "reason", "method", "content_type", "duplicates")
    word = word_asked()
    search = search_events if is_looked_up(word) else _search_bodies
    return _file(List("events", (*columns, "deliveries", "outcomes"), search, masked_event, _event_cells), kind)


@blueprint.get("/deliveries.<kind>")
def export_deliveries(kind: str) -> Response:
    """The list of deliveries as a file."""
    columns = ("id", "event_id", "created_at", "updated_at", "rule", "portal", "state", "reason", "template_id")
    more = ("document_id", "workflow_id", "attempts", "next_attempt_at", "replay_of", "parameters")
    return _file(List("deliveries", (*columns, *more), search_deliveries, masked_delivery, _delivery_cells), kind)


def safe_cell(value: Any) -> str:
    """A cell that no spreadsheet reads as a formula."""
    text = "" if value is None else str(value)
    return f"'{text}" if text.startswith(FORMULA) else text


def _file(what: List, kind: str) -> Response:
    if kind not in {"csv", "jsonl"}:
        abort(404, _("expected .csv or .jsonl"))
    masking = masking_of(services().rules.all())
    wires = (what.to_wire(row, masking) for row in _rows(what, filter_asked(), word_asked()))
    if kind == "csv":
        lines, content_type = _csv(what.columns, map(what.to_cells, wires)), "text/csv; charset=utf-8"
    else:
        lines, content_type = _json_lines(wires), "application/jsonl; charset=utf-8"
    answer = Response(stream_with_context(lines), content_type=content_type)
    answer.headers["Content-Disposition"] = f'attachment; filename="{what.name}.{kind}"'
    return answer


def _rows(what: List, wanted: Filter, word: str | None) -> Iterator[Any]:
    cursor, count = None, 0
    for _page in range(MOST_PAGES):
        if count >= MOST_ROWS:
            return
        page = what.search(word, wanted, cursor, min(STEP, MOST_ROWS - count))
        yield from page.rows
        count += len(page.rows)
        cursor = page.cursor
        if cursor is None:
            return


def _search_bodies(word: str | None, wanted: Filter, cursor: str | None, limit: int) -> Page[Row]:
    """Search bodies, as the page of events does for a word that no index knows."""
    return look_into_bodies(word, wanted, cursor, limit)[0]


def _csv(columns: tuple[str, ...], rows: Iterable[dict[str, Any]]) -> Iterator[str]:
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    buffer.write("\ufeff")  # without it, a spreadsheet takes UTF-8 for something else
    writer.writerow(columns)
    for row in rows:
        writer.writerow([safe_cell(row[column]) for column in columns])
        yield buffer.getvalue()
        buffer.seek(0)
        buffer.truncate()
    yield buffer.getvalue()


def _json_lines(wires: Iterable[dict[str, Any]]) -> Iterator[str]:
    for wire in wires:
        yield json.dumps(wire, ensure_ascii=False) + "\n"


def _event_cells(wire: dict[str, Any]) -> dict[str, Any]:
    deliveries = wire["deliveries"]
    ids, states = " ".join(one["id"] for one in deliveries), " ".join(one["state"] for one in deliveries)
    return wire | {"deliveries": ids, "outcomes": states}


def _delivery_cells(wire: dict[str, Any]) -> dict[str, Any]:
    call = wire["call"]
    return wire | {
        "template_id": call["template_id"],
        "document_id": call["document_id"][2],
        "attempts": len(wire["attempts"]),
        "parameters": json.dumps(call["parameters"], ensure_ascii=False),
    }
