"""Whoever is looked for is found: by an address in any case, by a number as it was typed, by any word of a body."""

from __future__ import annotations

import json
import re
from html import unescape

import pytest

from relay.core.ids import utc_now
from relay.core.lifecycle import EventState, State
from relay.operations.deciding import MOST_FOUND, persons_in
from relay.store.record import search
from relay.store.record.entries import Entry
from relay.store.record.persons import PersonIndex
from tests.support.making import bring_to, make_entry, write
from tests.support.senders import dump, website

SAME = {"Origin": "http://localhost", "Accept": "text/html"}


def post(app, content):
    answer = app.test_client().post("/hooks/website", data=dump(content), headers=website())
    return answer.get_json()["event_id"]


def found(client, word):
    """What a viewer finds, an index knows: nobody reads bodies for one."""
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
def test_a_person_is_found_whatever_became_of_the_event_and_however_it_is_typed(app, viewer, content, word):
    event_id = post(app, content)
    post(app, {"note": "bob@example.com, +7 912 345-67-80"})

    assert found(viewer, word) == [event_id]


def test_what_is_found_by_its_id_still_has_to_be_what_the_filter_asks_for(viewer, record):
    left, waiting = (bring_to(record, State.DEAD, utc_now()) for _ in range(2))
    record.leave(left.id)
    rejected = make_entry([], state=EventState.REJECTED, at=utc_now()).event
    write(record, Entry(rejected))
    record.leave(rejected.id)

    def lines(word, **asked):
        text = viewer.get("/events", query_string={"q": word} | asked, headers=SAME).text
        return len(set(re.findall(r'href="/events/(\w+)', text)))

    needs = {"state": "dead", "needs": "1"}
    assert lines(waiting.id, **needs) == lines(waiting.id, tab="person") == lines(waiting.id) > 0
    assert lines(left.id, **needs) == lines(left.id, tab="person") == 0 < lines(left.id, state="dead")
    assert lines(waiting.id, bulk="rpl_00") == 0
    assert lines(rejected.id, state="rejected", needs="1") == lines(rejected.id, tab="person") == 0
    assert lines(rejected.id, state="rejected") == 1


def test_a_number_that_came_without_its_country_is_found_with_it(app, viewer):
    """The rule of callbacks reads numbers as in Russia, so this one is dialled there: 8 is for calls within."""
    event_id = post(app, {"note": "(912) 345-67-89"})

    assert found(viewer, "+7 912 3456789") == [event_id]


def test_what_stands_under_several_keys_is_one_list(app, viewer, record):
    now, persons = post(app, IGNORED), PersonIndex(app.extensions["services"].settings.secret_key)
    entry = make_entry([], state=EventState.REJECTED, at=utc_now())
    earlier = entry.event.decided(EventState.REJECTED, None, {}, (), (persons.exact_key_of("+79123456789"),))
    write(record, type(entry)(earlier))

    assert sorted(found(viewer, "+79123456789")) == sorted([now, earlier.id])


def test_a_person_is_found_after_a_replay_as_before(viewer, operator, record):
    event_id = write(record, make_entry([], state=EventState.REJECTED, body=dump(ACCEPTED), at=utc_now())).event_id
    assert found(viewer, "ada.lovelace@example.com") == []

    operator.post(f"/events/{event_id}/replay", headers=SAME)

    assert record.event(event_id).state is EventState.ACCEPTED
    assert found(viewer, "ada.lovelace@example.com") == [event_id]
    assert found(viewer, "8 912 345 67 89") == [event_id]


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
    assert persons_in(json.loads("[" * 100 + '"ann@example.com"' + "]" * 100)) == ["ann@example.com"]


@pytest.mark.parametrize("word", ["Иванова", "ивАНОВА", "call me", "CALL Me"])
@pytest.mark.parametrize("is_escaped", [True, False])
def test_a_word_of_a_body_is_found_by_reading_bodies_and_it_says_how_far_back(operator, record, word, is_escaped):
    body = json.dumps({"name": "Мария Иванова", "note": "please call me"}, ensure_ascii=is_escaped).encode()
    event_id = write(record, make_entry([], body=body, at=utc_now())).event_id
    write(record, make_entry([], at=utc_now()))

    assert found(operator, word) == [event_id]
    text = operator.get("/events", query_string={"q": word}, headers=SAME).text
    assert "bodies were read: those of 2 events" in text
    assert "there are no older ones" in text


def test_a_look_into_bodies_is_bounded_and_goes_on_where_it_ended(operator, record, monkeypatch):
    monkeypatch.setattr(search, "SCANNED", 2)
    monkeypatch.setattr(search, "SCANNED_AT_ONCE", 2)
    oldest = write(record, make_entry([], body=b'{"note": "a needle"}', at=utc_now())).event_id
    for _ in range(3):
        write(record, make_entry([], at=utc_now()))

    first = operator.get("/events?q=needle", headers=SAME).text
    assert "those of 2 events" in first
    assert "older ones were not looked at yet" in first
    further = unescape(re.search(r'rel="next" href="([^"]+)"', first)[1])

    assert oldest in operator.get(further, headers=SAME).text


def test_a_viewer_cannot_guess_parts_of_what_is_masked(viewer, record):
    event_id = write(record, make_entry([], body=b'{"email": "ada@example.com"}', at=utc_now())).event_id

    assert event_id not in viewer.get("/events?q=ada@exa", headers=SAME).text


def test_what_an_index_knows_is_not_looked_for_in_bodies(operator, record):
    write(record, make_entry(["a-rule"], at=utc_now()))

    assert "bodies were read" not in operator.get("/events?q=a-rule", headers=SAME).text
