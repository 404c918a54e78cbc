"""The lines of the lists: time, source, who, what, state; whom an event is about is masked there as everywhere."""

from __future__ import annotations

import pytest

from relay.core.ids import utc_now
from relay.core.lifecycle import EventState
from relay.web.dashboard.lists import LARGEST_READ
from tests.support.making import make_entry, write
from tests.support.pages import Page, ask, press
from tests.support.senders import dump, website

CALLBACK = {"form": "callback", "email": "ada@example.com", "name": "Ada Lovelace", "phone": "8 912 345-67-89"}
LISTS = ["/events", "/deliveries"]


def post(client, content):
    return client.post("/hooks/website", data=dump(content), headers=website()).get_json()["event_id"]


def cells(client, path="/events"):
    """The first line, by the headings."""
    page = Page(ask(client, path))
    return {
        one.attrib["data-label"]: " ".join("".join(one.itertext()).split()) for one in page.root.findall(".//tr[1]/td")
    }


@pytest.mark.parametrize("path", LISTS)
def test_a_line_says_from_where_about_whom_what_and_what_became_of_it(operator, path):
    post(operator, {"document": "lead", "id": 7, "email": "ada@example.com"})

    found = cells(operator, path)

    assert list(found) == ["Time", "Source", "Who", "What", "State"]
    assert (found["Source"], found["Who"], found["What"]) == ("website", "a•••@e•••.com", "document-lead LEAD_7 → main")
    assert found["State"].startswith("pending")


@pytest.mark.parametrize("path", LISTS)
def test_who_it_is_about_is_the_first_value_that_its_rule_marks(operator, viewer, path):
    event_id = post(operator, CALLBACK)
    assert cells(operator, path)["Who"] == cells(viewer, path)["Who"] == "A•••"

    press(operator, f"/events/{event_id}/reveal")

    assert cells(operator, path)["Who"] == "Ada Lovelace"
    assert cells(viewer, path)["Who"] == "A•••"


@pytest.mark.parametrize(
    ("content", "who", "what"),
    [
        ({"document": "lead", "id": "x", "email": "ada@example.com"}, "a•••@e•••.com", "cannot be filled: id"),
        ({"note": "write to bob@example.com"}, "b•••@e•••.com", "no rule wanted it"),
        ({"note": "call 912 345-67-89"}, "9•••89", "no rule wanted it"),
        ({"note": "hello"}, "", "no rule wanted it"),
    ],
)
def test_without_a_delivery_it_says_why_there_is_none(operator, content, who, what):
    post(operator, content)

    found = cells(operator)

    assert (found["Who"], found["What"]) == (who, what)


@pytest.mark.parametrize(
    ("source", "body"),
    [
        ("website", b'{"email": "ada@example.com"' + b" " * LARGEST_READ + b"}"),
        ("website", b"{"),
        ("former", b'{"a": 1}'),
    ],
)
def test_nobody_is_named_where_the_body_is_large_broken_or_of_no_source(operator, record, source, body):
    write(record, make_entry([], state=EventState.IGNORED, at=utc_now(), source=source, body=body))

    assert cells(operator)["Who"] == ""


def test_the_ids_of_a_line_are_in_it_and_one_link_leads_from_it(operator):
    event_id = post(operator, {"document": "lead", "id": 7})
    page = Page(ask(operator, "/deliveries"))

    assert event_id in page.text(".//td/details/dl")
    assert "dlv_" in page.text(".//td/details/dl")
    (link,) = page.root.findall(".//tr/td/a")
    assert link.attrib["href"].startswith(f"/events/{event_id}#dlv_")
