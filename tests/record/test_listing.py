"""The record as pages: newest first, filtered, and every row on exactly one of them."""

from __future__ import annotations

from datetime import timedelta

import pytest

from relay.core.lifecycle import EventState, State
from relay.store.record import search
from relay.store.record.search import Filter, list_events, parse_state
from tests.support.making import NOON, bring_to, make_entry, write

SECOND = timedelta(seconds=1)


def walk(record, wanted, limit):
    """Every page; the rows of each."""
    pages, cursor = [], None
    while True:
        page = list_events(record, wanted, cursor, limit)
        pages.append([row.event.id for row in page.rows])
        cursor = page.cursor
        if cursor is None:
            return pages
        assert len(pages) < 100


@pytest.mark.parametrize("limit", [1, 3, 4, 7, 50])
def test_pages_hold_every_event_once_newest_first(record, limit):
    entries = [make_entry(at=NOON + n * SECOND) for n in range(7)]
    for entry in entries:
        write(record, entry)

    pages = walk(record, Filter(), limit)

    assert [i for page in pages for i in page] == [entry.event.id for entry in reversed(entries)]
    assert all(len(page) <= limit for page in pages)


def test_a_row_has_the_event_with_its_deliveries(record):
    entry = make_entry(["one", "two"])
    write(record, entry)

    (row,) = list_events(record, Filter()).rows

    assert row.event == entry.event
    assert row.deliveries == tuple(entry.deliveries)


def test_events_are_found_by_their_state_and_source(record):
    wanted = make_entry([], state=EventState.REJECTED, source="github")
    for entry in (wanted, make_entry([], state=EventState.REJECTED), make_entry(["one"], source="github")):
        write(record, entry)

    assert walk(record, Filter(EventState.REJECTED, "github"), 10) == [[wanted.event.id]]
    assert len(walk(record, Filter(EventState.REJECTED), 10)[0]) == 2
    assert len(walk(record, Filter(source="github"), 10)[0]) == 2
    assert walk(record, Filter(source="nobody"), 10) == [[]]


def test_deliveries_are_found_by_their_state_each_in_a_row_of_its_own(record):
    dead = bring_to(record, State.DEAD)
    bring_to(record, State.STARTED)

    (row,) = list_events(record, Filter(State.DEAD)).rows

    assert row.event.id == dead.event_id
    assert row.deliveries == (dead,)


@pytest.mark.parametrize("state", [EventState.REJECTED, State.PENDING])
@pytest.mark.parametrize("limit", [1, 2, 3, 5])
def test_two_filters_together_lose_no_row_between_pages(record, state, limit):
    # Many of another source, then more of the wanted one than fit on what is left of a page.
    sources = ["website", "github", "website", "github", "github", "website", "github", "github", "github"]
    rules = ["one"] if isinstance(state, State) else []
    for n, source in enumerate(sources):
        write(record, make_entry(rules, state=None if rules else state, source=source, at=NOON + n * SECOND))

    found = [i for page in walk(record, Filter(state, "github"), limit) for i in page]

    assert len(found) == len(set(found)) == 6
    assert found == sorted(found, reverse=True)


def test_a_page_of_rare_rows_ends_after_a_bounded_look_and_goes_on_from_there(record, monkeypatch):
    monkeypatch.setattr(search, "LOOKED_AT", 4)
    monkeypatch.setattr(search, "AT_ONCE", 2)
    rare = make_entry([], state=EventState.REJECTED, source="github")
    write(record, rare)
    for n in range(1, 10):
        write(record, make_entry([], state=EventState.REJECTED, at=NOON + n * SECOND))
        write(record, make_entry([], state=EventState.IGNORED, source="github", at=NOON + n * SECOND))

    pages = walk(record, Filter(EventState.REJECTED, "github"), 2)

    assert [i for page in pages for i in page] == [rare.event.id]
    assert len(pages) > 1


def test_since_leaves_out_what_is_older(record):
    entries = [make_entry(at=NOON + n * SECOND) for n in range(4)]
    for entry in entries:
        write(record, entry)

    assert walk(record, Filter(since=NOON + 2 * SECOND), 1) == [[entries[3].event.id], [entries[2].event.id], []]
    assert walk(record, Filter(since=NOON + 9 * SECOND), 10) == [[]]


@pytest.mark.parametrize("cursor", ["", "evt_", "not-an-id", "\N{SNOWMAN}", "[", "+"])
def test_a_cursor_that_is_none_harms_nothing(record, cursor):
    write(record, make_entry())

    assert len(list_events(record, Filter(), cursor).rows) <= 1


@pytest.mark.parametrize("state", [*State, *EventState])
def test_a_state_of_either_kind_is_known_by_its_name(state):
    assert parse_state(state.value) is state


def test_another_word_is_no_state():
    assert parse_state("failed") is None
