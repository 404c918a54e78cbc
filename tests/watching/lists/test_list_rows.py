"""The lines of the list: a title that a person would use, its way, its document, its state; masked as everywhere."""

from __future__ import annotations

from dataclasses import replace

import pytest

from relay.core.events import PROOF
from relay.core.faults import fault
from relay.core.ids import utc_now
from relay.core.lifecycle import EventState, State
from relay.core.plan import Call
from relay.web.presenters.titles import LARGEST_READ, document_of
from tests.support.folders import WEB_SECRETS
from tests.support.making import bring_to, make_entry, write
from tests.support.pages import SAME, Page, ask, press
from tests.support.senders import dump, website

CALLBACK = {"form": "callback", "email": "ada@example.com", "name": "Ada Lovelace", "phone": "8 912 345-67-89"}


def post(client, content):
    return client.post("/hooks/website", data=dump(content), headers=website()).get_json()["event_id"]


def cells(client, path="/events"):
    """The first line: its title, the way below it, its document and its state."""
    page = Page(ask(client, path))
    line = page.root.findall(".//tbody/tr")[1]
    texts = [one for cell in line for one in (cell if cell.tag == "th" else [cell])]
    _at, title, way, document, state = (" ".join("".join(one.itertext()).split()) for one in texts)
    return {"title": title, "way": way.partition(" evt_")[0], "document": document, "state": state}


def test_a_line_says_what_came_which_way_it_went_and_what_became_of_it(operator):
    post(operator, {"document": "lead", "id": 7, "email": "ada@example.com"})

    found = cells(operator)

    assert found["title"] == "website · a•••@e•••.com"
    assert found["way"] == "document-lead → main"
    assert found["document"] == "Lead 7"
    assert found["state"] == "pending"


def test_the_near_misses_of_a_refused_sender_are_no_fields_of_a_rule(operator, record):
    entry = make_entry([], state=EventState.REFUSED, at=utc_now())
    near = {PROOF: [fault("in_header", name="x-token")]}
    write(record, replace(entry, event=replace(entry.event, reason="signature_mismatch", errors=near)))

    assert cells(operator)["way"] == "not verified"


def test_a_title_names_source_form_and_the_first_values_that_its_rule_marks(operator, viewer):
    event_id = post(operator, CALLBACK)
    masked = "website · callback · A•••, 8•••89"
    assert cells(operator)["title"] == cells(viewer)["title"] == masked

    press(operator, f"/events/{event_id}/reveal")

    assert cells(operator)["title"] == "website · callback · Ada Lovelace, 8 912 345-67-89"
    assert cells(viewer)["title"] == masked


def test_a_list_shows_a_document_that_is_not_made_yet_as_a_new_one(operator):
    post(operator, CALLBACK)

    assert cells(operator)["document"] == "a new lead"
    assert "LEAD_{lead}" not in Page(ask(operator, "/events")).text(".//tbody")


@pytest.mark.parametrize(
    ("document", "words"),
    [
        (("crm", "CCrmDocumentDeal", "DEAL_1001"), "Deal 1001"),
        (("crm", "CCrmDocumentDeal", "DEAL_{deal}"), "a new deal"),
        (("crm", r"Bitrix\Crm\Integration\BizProc\Document\Dynamic", "DYNAMIC_147_9"), "Item 9 of smart process 147"),
        (("lists", "BizprocDocument", "12"), "Feed item 12"),
        (("rpa", "Other", "2:7"), "2:7"),
    ],
)
def test_a_document_is_told_in_words(app, document, words):
    with app.test_request_context():
        assert document_of(Call("main", 1, document, {})) == words


TITLED = {
    "name": "titled",
    "source": "website",
    "title": "Order {number} for {buyer}, {note}",
    "extract": {
        "number": {"from": "body.number", "type": "integer"},
        "buyer": {"from": "body.buyer", "personal": True},
        "note": {"from": "body.note"},
    },
    "start": {"portal": "main", "template_id": 1, "document_id": {"lead": "{number}"}},
}


@pytest.fixture
def titled(relay):
    client = relay({"website": {"verify": {"kind": "none"}}}, [TITLED])
    client.post("/login", data={"password": WEB_SECRETS["RELAY_DASHBOARD_PASSWORD"]}, headers=SAME)
    return client


@pytest.mark.parametrize(
    ("body", "title"),
    [
        ({"number": 10418, "buyer": "Adam", "note": "Adam, a@b.com"}, "Order 10418 for A•••, A•••, a•••@b•••.com"),
        ({"number": 10418}, "Order 10418 for"),
        ({"number": "x", "buyer": "Ada"}, "Order x for A•••"),
        ({"other": 1}, "website"),
    ],
)  # fmt: skip
def test_the_title_that_a_rule_has_written_is_filled_and_masked(titled, body, title):
    post(titled, body)

    assert cells(titled)["title"] == title


@pytest.mark.parametrize(
    ("content", "title", "way"),
    [
        (
            {"document": "lead", "id": "x", "email": "ada@example.com"},
            "website · a•••@e•••.com",
            "cannot be filled: id",
        ),
        ({"note": "write to bob@example.com"}, "website · b•••@e•••.com", "no rule wanted it"),
        ({"note": "call 912 345-67-89"}, "website · 9•••89", "no rule wanted it"),
        ({"form": "newsletter", "note": "hello"}, "website · newsletter", "no rule wanted it"),
        ({"note": "hello"}, "website", "no rule wanted it"),
    ],
)
def test_without_a_delivery_it_says_why_there_is_none(operator, content, title, way):
    post(operator, content)

    found = cells(operator)

    assert (found["title"], found["way"]) == (title, way)


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

    assert cells(operator)["title"] == source


def test_all_deliveries_of_an_event_are_in_its_row(operator, record):
    entry = make_entry(["one", "two"], at=utc_now())
    write(record, entry)
    page = Page(ask(operator, "/events"))

    (line,) = page.root.findall(".//tbody/tr")[1:]
    text = " ".join("".join(line.itertext()).split())
    assert "one, two → main" in text
    assert text.count("pending") == 2


def test_the_id_of_a_line_is_in_it_and_one_link_leads_from_it(operator):
    event_id = post(operator, {"document": "lead", "id": 7})
    page = Page(ask(operator, "/events?state=pending"))

    assert page.text(".//tr/th/small/span") == event_id
    (link,) = page.root.findall(".//tr//a")
    assert link.attrib["href"].startswith(f"/events/{event_id}#dlv_")


def test_a_row_that_needs_a_person_is_marked(operator, record):
    for state in (State.DEAD, State.UNCERTAIN, State.STARTED):
        bring_to(record, state, utc_now())
    page = Page(ask(operator, "/events"))

    assert [one.get("class") for one in page.root.findall(".//tbody/tr")[1:]] == [None, "unsure", "failed"]
