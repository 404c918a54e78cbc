"""A page about what a stranger has sent costs a bounded amount, and what is cut shows nothing that would be masked."""

from __future__ import annotations

import json
import re

import pytest

from relay.web.presenters.masking import (
    LONGEST_TEXT,
    MOST_CHARACTERS,
    MOST_KNOWN,
    MOST_VALUES,
    Masking,
    excerpt,
    excerpt_of_text,
    pretty,
)
from tests.support.making import make_entry, write
from tests.support.senders import JSON, dump, website

EMAIL = "ivan.petrov@example.com"
FORM = "application/x-www-form-urlencoded"
PAGE = {"Accept": "text/html", "Origin": "http://localhost"}


def sizes(value):
    """How many values, and how many characters of text."""
    if isinstance(value, dict | list):
        inner = [sizes(one) for one in (value.values() if isinstance(value, dict) else value)]
        names = sum(len(name) for name in value) if isinstance(value, dict) else 0
        return 1 + sum(one[0] for one in inner), names + sum(one[1] for one in inner)
    return 1, len(value) if isinstance(value, str) else 0


MANY = {
    "a list": [EMAIL] * 9_000,
    "a map": {f"name-{number}": EMAIL for number in range(9_000)},
    "levels": [[[[[[number]]]]] for number in range(2_000)],
    "long texts": ["x" * 50_000] * 20,
    "long names": {"x" * 50_000 + str(number): 1 for number in range(20)},
    "numbers": list(range(9_000)),
    "empty": [[]] * 9_000,
    "one text": "x y" * 300_000,
}


@pytest.mark.parametrize("value", MANY.values(), ids=MANY)
def test_no_more_is_shown_than_a_page_can_hold_and_it_says_so(value):
    beginning, is_cut = excerpt(value)
    values, characters = sizes(beginning)

    assert is_cut
    assert values <= 2 * MOST_VALUES + 20
    assert characters <= MOST_CHARACTERS + LONGEST_TEXT + 40 * MOST_VALUES
    assert "more" in pretty(beginning)


@pytest.mark.parametrize("value", [None, 1, "text", [], {}, {"a": [1, {"b": None}]}, [EMAIL] * 100], ids=repr)
def test_what_fits_is_shown_as_it_is(value):
    assert excerpt(value) == (value, False)


@pytest.mark.parametrize("characters", range(1_990, 2_025, 5))
@pytest.mark.parametrize("divider", [",", "\n", "&", '", "', "<br>"])
def test_where_a_text_is_cut_no_half_of_an_address_stands(characters, divider):
    shown, is_cut = excerpt_of_text(divider.join([EMAIL] * 200), characters)

    assert is_cut
    assert len(shown) <= characters
    assert "petrov" not in Masking().text(shown)
    assert shown.rstrip(divider).endswith(EMAIL)


def test_a_text_without_borders_is_cut_well_before_what_may_be_an_address():
    shown, _ = excerpt_of_text("x" * 5_000 + EMAIL + "y" * 5_000, 5_012)

    assert "ivan" not in shown


@pytest.fixture
def counted(monkeypatch):
    """How many texts are masked, and how long they are together."""
    done = []
    real = Masking.text

    def text(self, given):
        done.append(len(given))
        return real(self, given)

    monkeypatch.setattr(Masking, "text", text)
    return done


def bodies():
    rows = [{"email": EMAIL, "phone": "+7 916 123-45-67", "n": number} for number in range(2_400)]
    yield "json", JSON, json.dumps(rows).encode()
    yield "form", FORM, "&".join(f"a[{number}][b]=ivan%40example.com" for number in range(3_000)).encode()
    yield "too many values", JSON, json.dumps([EMAIL] * 30_000).encode()
    yield "text", "text/csv", ";".join([EMAIL] * 30_000).encode()


@pytest.mark.parametrize("large", list(bodies()), ids=lambda row: row[0])
@pytest.mark.parametrize("revealed", [False, True])
def test_the_page_of_a_large_event_is_small_and_masks_a_bounded_part(app, record, counted, large, revealed):
    kind, content_type, body = large
    entry = make_entry([], body=body)
    object.__setattr__(entry.event, "content_type", content_type)
    write(record, entry)
    client = app.test_client()
    client.post("/login", data={"password": "dashboard-password-of-the-test"}, headers=PAGE)
    if revealed:
        client.post(f"/events/{entry.event.id}/reveal", headers=PAGE)
    counted.clear()

    answer = client.get(f"/events/{entry.event.id}", headers=PAGE)

    assert answer.status_code == 200, kind
    assert "Only the beginning is shown" in answer.text
    assert (EMAIL in answer.text or "ivan@example.com" in answer.text) is revealed
    assert len(answer.data) < 400_000
    assert len(counted) < 5 * MOST_VALUES
    assert sum(counted) < 4 * MOST_CHARACTERS


def test_a_call_with_a_large_parameter_is_shown_in_part_and_still_compared_as_a_whole(app, record, counted):
    client = app.test_client()
    client.post("/login", data={"password": "dashboard-password-of-the-test"}, headers=PAGE)
    note = ", ".join([EMAIL] * 20_000)
    body = {"form": "demo", "lead": {"id": 5}, "email": EMAIL, "note": note}
    receipt = client.post("/hooks/website", data=dump(body), headers=website()).get_json()
    counted.clear()

    text = client.get(f"/events/{receipt['event_id']}", headers=PAGE).text

    assert len(text) < 100_000
    assert sum(counted) < 2 * MOST_CHARACTERS
    assert EMAIL not in text


def test_so_many_personal_values_that_none_can_be_looked_for_are_all_masked():
    known = frozenset(f"Person Number {number}" for number in range(MOST_KNOWN + 1))
    few = frozenset(sorted(known)[:MOST_KNOWN])
    text = "call Person Number 7 today"

    assert "Number 7" not in Masking(known=few).text(text)
    assert "Number" not in Masking(known=known).text(text)
    assert re.fullmatch(r".•••", Masking(known=known).text(text))
