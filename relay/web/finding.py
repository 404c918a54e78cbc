"""The search of the API and the dashboard: a filter, a word, a page. Looks up indexes; never scans."""

from __future__ import annotations

from dataclasses import replace

from relay.errors import NotFoundError
from relay.events import Delivery
from relay.ids import DELIVERY_PREFIX, EVENT_PREFIX
from relay.listing import Filter, Page, Row, list_deliveries, list_events, row_of
from relay.store import keys
from relay.web.house import house


def search_events(word: str | None, wanted: Filter, cursor: str | None, limit: int) -> Page[Row]:
    """Events that the filter and the word find. Raises RecordUnavailableError."""
    record = house().record
    if word and (found := exact(word)):
        row = row_of(record, record.event(found[0]))
        return Page((row,) if wanted.wants_event(row.event) else (), None)
    narrowed = narrow(word, wanted)
    return list_events(record, narrowed, cursor, limit) if narrowed else Page((), None)


def search_deliveries(word: str | None, wanted: Filter, cursor: str | None, limit: int) -> Page[Delivery]:
    """Deliveries that the filter and the word find. Raises RecordUnavailableError."""
    record = house().record
    if word and (found := exact(word)):
        row = row_of(record, record.event(found[0]))
        asked = [one for one in row.deliveries if found[1] in {None, one.id} and wanted.wants_delivery(one)]
        return Page(tuple(asked), None)
    narrowed = narrow(word, wanted)
    if narrowed is None:
        return Page((), None)
    if narrowed.mark is None:
        return list_deliveries(record, narrowed, cursor, limit)
    page = list_events(record, narrowed, cursor, limit)
    return Page(tuple(one for row in page.rows for one in row.deliveries), page.cursor)


def exact(word: str) -> tuple[str, str | None] | None:
    """The event, and perhaps the delivery, that a word names: by their ids, or by a workflow's. None where none."""
    record, word = house().record, word.strip().lower()
    try:
        if word.startswith(EVENT_PREFIX):
            return record.event(word).id, None
        delivery_id = word if word.startswith(DELIVERY_PREFIX) else record.delivery_of_workflow(word)
        return (record.delivery(delivery_id).event_id, delivery_id) if delivery_id else None
    except NotFoundError:
        return None


def narrow(word: str | None, wanted: Filter) -> Filter | None:
    """The filter narrowed to what a word means; None where it means nothing on record.

    A word may be a value that rules extracted, a document's id, an error code, a rule, or a template's number.
    """
    if not word:
        return wanted
    record, word = house().record, word.strip()
    mark = house().marker.mark(word)
    if record.size(keys.MARKS + mark):
        return replace(wanted, mark=mark)
    if record.size(f"{keys.DELIVERIES_BY}document:{word.upper()}"):
        return replace(wanted, document_id=word.upper())
    if record.size(f"{keys.DELIVERIES_BY}reason:{word.lower()}"):
        return replace(wanted, code=word.lower())
    if record.size(f"{keys.DELIVERIES_BY}rule:{word}"):
        return replace(wanted, rule=word)
    if word.isascii() and word.isdigit() and record.size(f"{keys.DELIVERIES_BY}template_id:{int(word)}"):
        return replace(wanted, template_id=int(word))
    return None
