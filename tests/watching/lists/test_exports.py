"""The filtered list as a file: whole, bounded, and harmless in a spreadsheet."""

from __future__ import annotations

import csv
import io
import json
from datetime import timedelta

import pytest

from relay.core.lifecycle import State
from relay.store.record import search
from relay.web.dashboard import lists
from relay.web.dashboard.lists import safe_cell
from tests.support.making import NOON, bring_to, claim_one, make_entry, write

SAME = {"Origin": "http://localhost", "Accept": "text/html"}


def rows(client, path):
    answer = client.get(path, headers=SAME)
    assert answer.status_code == 200
    assert answer.headers["Content-Disposition"].startswith("attachment")
    return list(csv.DictReader(io.StringIO(answer.text.removeprefix("\ufeff"))))


def lines(client, path):
    return [json.loads(line) for line in client.get(path, headers=SAME).text.splitlines()]


@pytest.fixture
def filled(record):
    return {state: bring_to(record, state, NOON + timedelta(seconds=n)) for n, state in enumerate(State)}


def test_deliveries_are_exported_as_csv(operator, filled):
    found = rows(operator, "/deliveries.csv")

    assert len(found) == len(State)
    assert {row["state"] for row in found} == {state.value for state in State}
    assert found[-1]["document_id"] == "LEAD_1"


def test_a_file_has_what_the_filtered_list_has(operator, filled):
    assert [row["id"] for row in rows(operator, "/deliveries.csv?state=dead")] == [filled[State.DEAD].id]
    assert [line["id"] for line in lines(operator, "/deliveries.jsonl?state=dead")] == [filled[State.DEAD].id]
    (event,) = lines(operator, f"/events.jsonl?q={filled[State.DEAD].event_id}")
    assert event["deliveries"][0]["state"] == "dead"
    assert "body" not in event
    assert rows(operator, "/events.csv?state=dead")[0]["outcomes"] == "dead"
    assert rows(operator, "/events.csv?state=ignored") == []


def test_what_is_found_in_bodies_is_exported_as_the_page_shows_it(operator, viewer, record, monkeypatch):
    monkeypatch.setattr(search, "LOOKED_AT", 2)
    for number in range(6):
        body = b'{"text": "needle in a body"}' if number % 3 == 0 else b"{}"
        write(record, make_entry([], body=body, at=NOON + timedelta(seconds=number)))

    assert len(lines(operator, "/events.jsonl?q=needle+in")) == 2
    assert len(rows(operator, "/events.csv?q=needle+in")) == 2
    assert lines(viewer, "/events.jsonl?q=needle+in") == []


def test_a_file_is_as_long_as_it_is_allowed_to_be(operator, record, monkeypatch):
    monkeypatch.setattr(lists, "MOST_ROWS", 7)
    monkeypatch.setattr(lists, "STEP", 3)
    for n in range(10):
        write(record, make_entry([], at=NOON + timedelta(seconds=n)))

    assert len(lines(operator, "/events.jsonl")) == 7


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@x", "\tx", "\rx", "=cmd|' /C calc'!A0"])
def test_no_cell_is_a_formula(operator, record, text):
    assert safe_cell(text) == f"'{text}"
    entry = make_entry(["a-rule"])
    write(record, entry)
    claimed = claim_one(record, entry.deliveries[0])
    record.settle(claimed, State.DEAD, NOON, reason=text.strip())

    (row,) = rows(operator, "/deliveries.csv")

    assert row["reason"] == safe_cell(text.strip())


@pytest.mark.parametrize("path", ["/events.xml", "/deliveries.exe"])
def test_there_are_no_other_files(operator, path):
    assert operator.get(path, headers=SAME).status_code == 404


@pytest.mark.parametrize("path", ["/events.csv?state=x", "/deliveries.csv?since=x"])
def test_a_mistake_in_the_filter_is_said_before_the_file_begins(operator, path):
    assert operator.get(path, headers=SAME).status_code == 400
