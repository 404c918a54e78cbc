"""The lists of events and deliveries: filtered, searched, in pages of constant cost; and the same lists as files.

A file is CSV for spreadsheets or JSON lines for programs. It is written while it is read, page by page, and has an
upper limit, because a browser waits for it. Persons' values are masked everywhere, except on the list for an event that
this session has revealed.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from typing import Any
from urllib.parse import urlencode

from flask import Response, abort, redirect, render_template, request, stream_with_context, url_for

from relay.core.errors import NotFoundError
from relay.core.events import Delivery, Event
from relay.core.ids import DELIVERY_PREFIX, EVENT_PREFIX
from relay.core.lifecycle import EventState, State
from relay.core.phrases import phrase
from relay.store.record.search import Filter, Page, Row
from relay.web.dashboard.frame import blueprint
from relay.web.dashboard.live import OVERVIEW
from relay.web.language import _
from relay.web.presenters.chips import chips_of, without
from relay.web.presenters.filters import TABS, cursor_asked, filter_asked, query_of, tab_asked, tab_query, word_asked
from relay.web.presenters.finding import is_looked_up, look_into_bodies, search_deliveries, search_tab
from relay.web.presenters.masking import Masking, masked_delivery, masked_event, masking_of
from relay.web.presenters.titles import day_of, title_of
from relay.web.services import services
from relay.web.zone import local

PAGE = 50
MOST_ROWS = 10_000
STEP, MOST_PAGES = 200, 1_000
"""Rows a page, and pages an export: a page may be empty and still not be the last."""
FORMULA = ("=", "+", "-", "@", "\t", "\r")


@blueprint.get("/events")
def events() -> Any:
    """Events with their deliveries, newest first; a filter of deliveries leaves those that it wants."""
    wanted, word = filter_asked(), word_asked()
    cursor, scanned, tab = cursor_asked(), None, tab_asked(wanted)
    if is_looked_up(word):
        page = search_tab(tab, word, wanted, cursor, PAGE)
    else:
        page, scanned = look_into_bodies(word, wanted, cursor, PAGE)
    query = query_of(wanted, word, tab)
    return render_template(
        "events.html",
        # What is older does not change its place: only the first page follows. Bodies are read when somebody asks.
        fresh=None if cursor or scanned else OVERVIEW,
        days=_days(_lines(page.rows)),
        cursor=page.cursor,
        scanned=scanned,
        wanted=wanted,
        word=word,
        query=query,
        tab=tab,
        tabs=[(name, label, tab_query(name, wanted, word)) for name, (label, _states) in TABS.items()],
        tallies=_tallies() if query.keys() <= {"state", "tab"} else {},
        chips=chips_of(wanted, word, tab=tab),
        without_word=without(query, "q"),
        sources=sorted(services().sources),
        masking=masking_of(services().rules.all()),
    )


@blueprint.get("/deliveries")
def deliveries() -> Any:
    """The list of deliveries had a page of its own: its addresses lead to their events."""
    return redirect(f"{url_for('dashboard.events')}?{urlencode(request.args)}", 303)


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
    """One line of the list: an event, those of its deliveries that the filter wants, and its title.

    mark: the class of a line that needs a person; empty: it does not.
    """

    event: Event
    deliveries: Sequence[Delivery]
    title: str
    mark: str


def _lines(rows: Iterable[Row]) -> list[Line]:
    """Deliveries of one event that follow one another are one line."""
    lines = []
    for _event_id, some in groupby(rows, key=lambda row: row.event.id):
        of_event = list(some)
        event, deliveries = of_event[0].event, [one for row in of_event for one in row.deliveries]
        title = title_of(event, list(dict.fromkeys(one.rule for one in deliveries)))
        lines.append(Line(event, deliveries, title, _mark(event, deliveries)))
    return lines


def _mark(event: Event, deliveries: Iterable[Delivery]) -> str:
    open_ones = [one for one in deliveries if not one.replayed_by]
    if event.state is EventState.REJECTED or any(one.state is State.DEAD for one in open_ones):
        return "failed"
    return "unsure" if any(one.state is State.UNCERTAIN and not one.next_attempt_at for one in open_ones) else ""


def _days(lines: Iterable[Line]) -> list[tuple[str, list[Line]]]:
    """The lines under the name of their day, in the visitor's zone."""
    by_day = groupby(lines, key=lambda line: local(line.event.received_at).date())
    return [(day_of(day), list(some)) for day, some in by_day]


def _tallies() -> dict[str, int]:
    """How many there are in each tab but the first; only of all that is on record."""
    record = services().record
    ledger = record.counts()
    undecided = record.unresolved_uncertain()

    def count(state: State | EventState) -> int:
        return ledger.deliveries[state] if isinstance(state, State) else ledger.events[state]

    tallies = {name: sum(map(count, states)) for name, (_label, states) in TABS.items() if states}
    tallies["person"] = record.unresolved_rejected() + record.unresolved_dead() + undecided
    tallies["waiting"] -= undecided
    return tallies


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
    search = partial(search_tab, tab_asked(filter_asked())) if is_looked_up(word_asked()) else _search_bodies
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
