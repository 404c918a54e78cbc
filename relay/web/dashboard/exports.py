"""The filtered list as a file: CSV for spreadsheets, JSON lines for programs. Persons' values are masked in both.

Written while it is read, in pages; bounded, because a browser waits for it.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from flask import Response, abort, stream_with_context

from relay.store.record.search import Filter, Page, Row
from relay.web.dashboard.frame import blueprint
from relay.web.language import _
from relay.web.presenters.filters import filter_asked, word_asked
from relay.web.presenters.finding import is_looked_up, look_into_bodies, search_deliveries, search_events
from relay.web.presenters.masked_wire import masked_delivery, masked_event
from relay.web.presenters.masking import Masking, masking_of
from relay.web.services import services

MOST = 10_000
STEP, MOST_PAGES = 200, 1_000
"""How many rows are asked for at once, and how often: a page may have none, and still not be the last."""
FORMULA = ("=", "+", "-", "@", "\t", "\r")


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
    """A cell that no spreadsheet takes for a formula."""
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
        if count >= MOST:
            return
        page = what.search(word, wanted, cursor, min(STEP, MOST - count))
        yield from page.rows
        count += len(page.rows)
        cursor = page.cursor
        if cursor is None:
            return


def _search_bodies(word: str | None, wanted: Filter, cursor: str | None, limit: int) -> Page[Row]:
    """What the page of events finds in bodies, where no index knows the word."""
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
