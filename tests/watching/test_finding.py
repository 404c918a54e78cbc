"""Whoever is looked for is found: by an address in any case, by a number as it was typed, by any word of a body."""

from __future__ import annotations

import json
import re

import pytest

from relay.core.ids import utc_now
from relay.core.lifecycle import EventState
from relay.operations.persons_in import MOST_FOUND, persons_in
from relay.store.record.persons import PersonIndex
from tests.support.making import make_entry, write
from tests.support.senders import dump, website

SAME = {"Origin": "http://localhost", "Accept": "text/html"}


def post(app, content):
    answer = app.test_client().post("/hooks/website", data=dump(content), headers=website())
    return answer.get_json()["event_id"]


def found(client, word):
    text = client.get("/events", query_string={"q": word}, headers=SAME).text
    return re.findall(r'href="/events/(evt_\w+)"', text)


REJECTED = {"document": "lead", "id": "x", "contact": {"email": "Ada.Lovelace@Example.com", "tel": "8 (912) 345-67-89"}}
IGNORED = {"note": "write to ada.lovelace@example.com or call +7 912 345-67-89"}
ACCEPTED = {"form": "callback", "name": "Ada", "phone": "8 912 345-67-89", "email": "ada.lovelace@example.com"}


@pytest.mark.parametrize("content", [REJECTED, IGNORED, ACCEPTED])
@pytest.mark.parametrize(
    "word",
    [
        "ada.lovelace@example.com", " ADA.Lovelace@EXAMPLE.com ", "+79123456789", "8 (912) 345-67-89", "89123456789",
        "7 912 345 67 89", "+7 (912) 345-67-89", "912 345 67 89", "007 912 3456789",
    ],
)  # fmt: skip
def test_a_person_is_found_whatever_became_of_the_event_and_however_it_is_typed(app, operator, content, word):
    event_id = post(app, content)
    post(app, {"note": "bob@example.com, +7 912 345-67-80"})

    assert found(operator, word) == [event_id]


def test_a_number_that_came_without_its_country_is_found_with_it(app, operator):
    """The rule of callbacks reads numbers as in Russia, so this one is dialled there: 8 is for calls within."""
    event_id = post(app, {"note": "(912) 345-67-89"})

    assert found(operator, "+7 912 3456789") == [event_id]


def test_what_stands_under_several_keys_is_one_list(app, operator, record):
    now, persons = post(app, IGNORED), PersonIndex(app.extensions["services"].settings.secret_key)
    entry = make_entry([], state=EventState.REJECTED, at=utc_now())
    earlier = entry.event.decided(EventState.REJECTED, None, {}, (), (persons.exact_key_of("+79123456789"),))
    write(record, type(entry)(earlier))

    assert sorted(found(operator, "+79123456789")) == sorted([now, earlier.id])


def test_a_person_is_found_after_a_replay_as_before(app, operator, record):
    event_id = write(record, make_entry([], state=EventState.REJECTED, body=dump(ACCEPTED), at=utc_now())).event_id
    assert found(operator, "ada.lovelace@example.com") == []

    operator.post(f"/events/{event_id}/replay", headers=SAME)

    assert record.event(event_id).state is EventState.ACCEPTED
    assert found(operator, "ada.lovelace@example.com") == [event_id]
    assert found(operator, "8 912 345 67 89") == [event_id]


def test_what_only_looks_like_a_number_is_none():
    body = {"at": "2026-06-01 12:00", "day": "01.06.2026", "unix": 1764115200, "ms": 1764115200123, "sum": "1000.50"}

    assert persons_in(body) == []


def test_numbers_and_addresses_are_found_in_any_depth_and_shape():
    body = {"a": [{"b": ["x <ann@example.com>", {"c": 79123456789}]}], "d": "00 49 30 1234567"}

    assert persons_in(body) == ["ann@example.com", "79123456789", "00 49 30 1234567"]


def test_it_looks_at_so_much_and_finds_so_many_at_most():
    many = [f"user{number}@example.com" for number in range(100)]

    assert persons_in(many) == many[:MOST_FOUND]
    assert persons_in(["x" * 1_000_000, "ann@example.com"]) == []
    assert persons_in([*range(1_000), "ann@example.com"]) == []
    assert persons_in(json.loads("[" * 300 + '"ann@example.com"' + "]" * 300)) == ["ann@example.com"]
