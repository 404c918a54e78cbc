"""Telephone numbers in texts: what is one is masked, found and erased; one module says what that is."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.core.phones import find_phones
from relay.operations.deciding import MOST_FOUND, persons_in
from relay.operations.erase import Needle
from relay.web.presenters.masking import Masking, cover, excerpt_of_text
from tests.support.senders import dump, website

SAME = {"Origin": "http://localhost", "Accept": "text/html"}
TEXTS = {
    "8 916 123-45-67 8 916 765-43-21": ["8 916 123-45-67", "8 916 765-43-21"],
    "8 916 123-45-67 8-916-765-43-21": ["8 916 123-45-67", "8-916-765-43-21"],
    "8-916-123-45-67 8-916-765-43-21 8 (916) 111-22-33": ["8-916-123-45-67", "8-916-765-43-21", "8 (916) 111-22-33"],
    "89161234567 12345": ["89161234567"],
    "12345 89161234567": ["89161234567"],
    "89161234567/89167654321": ["89161234567", "89167654321"],
    "89161234567-89167654321": ["89161234567", "89167654321"],
    "89161234567 / 12": ["89161234567"],
    "8 916 123-45-67 / 12": ["8 916 123-45-67"],
    "89161234567, 89167654321": ["89161234567", "89167654321"],
    "1,89161234567,Ann": ["89161234567"],
    "+79161234567+79167654321": ["+79161234567", "+79167654321"],
    "+7 916 123 45 67+7 916 765 43 21": ["+7 916 123 45 67", "+7 916 765 43 21"],
    "+7(916)1234567;+7(916)7654321": ["+7(916)1234567", "+7(916)7654321"],
    "495 123 45 67 495 765 43 21": ["495 123 45 67", "495 765 43 21"],
    "44 20 7946 0000 44 20 7946 0001": ["44 20 7946 0000", "44 20 7946 0001"],
    "8 9161234567 8 9167654321": ["8 9161234567", "8 9167654321"],
    "+49 15112345678": ["+49 15112345678"],
    "+49 30 1234567": ["+49 30 1234567"],
    "00 49 30 1234567": ["00 49 30 1234567"],
    "0049301234567": ["0049301234567"],
    "+372 512345": ["+372 512345"],
    "8 916 123-45-67 765-43-21": ["8 916 123-45-67", "765-43-21"],
    "tel.89161234567": ["89161234567"],
    "тел89161234567": ["89161234567"],  # noqa: RUF001 - as people write it
    "phone -89161234567": ["89161234567"],
    "(89161234567)": ["(89161234567"],
    "at 12:30:89161234567": ["89161234567"],
    "+7 916 123-45-67доб.12": ["+7 916 123-45-67"],  # noqa: RUF001 - likewise
    "89161234567x12": ["89161234567"],
    "8\u2011916\u2011123\u201145\u201167": ["8\u2011916\u2011123\u201145\u201167"],
    "+7\u202f916\u00a0123 45 67": ["+7\u202f916\u00a0123 45 67"],
    "2026-06-01 89161234567": ["89161234567"],
    "89161234567 2026-06-01": ["89161234567"],
    "01.06.2026 8 916 123-45-67 02.06.2026": ["8 916 123-45-67"],
    "89161234567 1760000000": ["89161234567"],
    "1760000000 1760000000123": [],
    "2026-06-01 12:00:00 2026-06-01T12:00:00.123456789+03:00": [],
    "LEAD_12345678901 ORDER-12345678901": [],
    "550e8400-e29b-41d4-a716-446655440000": [],
    "12345678-1234-41d4-a716-446655440000": [],
    "12345678901234567890, 123-45-67, 12345, 1,000,000,000, 10 000 000": [],
}
"""Texts, and which parts of them are a person's number."""


@pytest.fixture(params=TEXTS, ids=TEXTS)
def text(request):
    return request.param


def digits(text):
    return re.sub(r"[^0-9]", "", text)


def test_each_number_of_a_text_is_found_and_nothing_else(text):
    assert [phone.text for phone in find_phones(text)] == TEXTS[text]


def test_each_number_of_a_text_is_masked_and_the_rest_is_shown(text):
    rest, shown = text, Masking().text(text)
    for phone in TEXTS[text]:
        rest = rest.replace(phone, "|", 1)
        assert digits(phone)[2:-2] not in digits(shown)

    assert shown.count("•••") == len(TEXTS[text])
    assert re.split(r"[+]?[0-9]•••[0-9][0-9]", shown) == rest.split("|")


def test_a_value_that_is_more_than_a_number_shows_its_first_character_only():
    assert cover("89161234567 12345") == "8•••"
    assert cover(" 8 916 123-45-67 ") == "8•••67"


def found(client, word):
    listed = client.get("/events", query_string={"q": word}, headers=SAME).text
    return re.findall(r'href="/events/(evt_\w+)"', listed)


def test_an_event_is_found_by_each_number_of_its_text_and_no_list_or_export_shows_one(app, viewer):
    events = {}
    for text in TEXTS:
        answer = app.test_client().post("/hooks/website", data=dump({"note": text}), headers=website())
        events[text] = answer.get_json()["event_id"]
    exported = viewer.get("/events.jsonl", headers=SAME).text + viewer.get("/events.csv", headers=SAME).text

    for text, phones in TEXTS.items():
        assert persons_in({"note": text}) == phones
        assert events[text] in exported
        page = viewer.get(f"/events/{events[text]}", headers=SAME).text
        for phone in phones:
            assert events[text] in found(viewer, phone)
            for shown in (page, exported):
                assert phone not in shown
                assert json.dumps(phone)[1:-1] not in shown


def test_a_number_is_erased_from_beside_another_and_not_from_within_another(text):
    for phone in TEXTS[text]:
        assert Needle(digits(phone)).is_in(text)
        assert not Needle(digits(phone)[:-1]).is_in(text)
        assert not Needle(digits(phone)[1:-1]).is_in(text)


@pytest.mark.parametrize("characters", range(1_500, 1_534))
def test_where_a_text_is_cut_no_half_of_a_number_stands(characters):
    shown, is_cut = excerpt_of_text("8 916 123-45-67 " * 200, characters)

    assert is_cut
    assert set(Masking().text(shown)) <= set("8•67 ")


@given(st.text(alphabet="0123456789 ()-+.x/_:,\u2011", max_size=80))
def test_what_is_found_stands_in_the_text_in_its_order_and_has_enough_digits(text):
    end = 0
    for phone in find_phones(text):
        assert end <= phone.begin < phone.end <= len(text)
        assert phone.text == text[phone.begin : phone.end]
        assert phone.digits == digits(phone.text)
        assert len(phone.digits) >= 7
        end = phone.end


@given(st.lists(st.sampled_from(["8 916 123-45-67", "+49 30 1234567", "89161234567", "2026-06-01", "12", "Ann"])))
def test_no_number_among_others_is_shown(pieces):
    shown = Masking().text(" ".join(pieces))

    for part in ("916", "123-45", "1234567", "9161234"):
        assert part not in shown


def test_so_many_are_found_in_a_body_at_most():
    assert len(persons_in({"note": ", ".join(f"+7916123{number:04}" for number in range(99))})) == MOST_FOUND


@pytest.mark.parametrize("piece", ["1 ", "1", "12-", "+1", "x-1", "8 916 123-45-67 ", "2026-06-01 ", "(1", "1:", "00 "])
def test_a_text_without_end_is_looked_through_once(piece):
    """By its square it would take longer than a test may."""
    text = piece * (200_000 // len(piece))

    assert sum(phone.end - phone.begin for phone in find_phones(text)) <= len(text)
