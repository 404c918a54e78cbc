"""Filters as chips: each can be taken away by a link and changed in place, one is added beside the others."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

from relay.store.portals.portal import PortalRecord
from relay.web.presenters.filters import NAMES
from tests.support.pages import Page, ask

QUERY = {
    "state": "dead",
    "source": "website",
    "rule": "document-lead",
    "portal": "main",
    "code": "because",
    "template_id": "1",
    "document_id": "LEAD_1",
    "watch": "overdue",
    "since": "2026-06-01T12:00:00+00:00",
    "until": "2026-06-02T12:00:00+00:00",
    "needs": "1",
    "fault": "cannot be filled: id",
    "bulk": "rpl_1",
    "q": "nobody@example.com",
}
"""Every filter there is, and the search."""


def page_of(client, path, query):
    answer = client.get(path, query_string=query, headers={"Accept": "text/html"})
    assert answer.status_code == 200, answer.text
    return Page(answer.text)


def removals(page):
    """Where the links lead that take a filter away: their queries, by their labels."""
    links = {one.attrib.get("aria-label", ""): one.attrib["href"] for one in page.root.iter("a")}
    return {
        label.removeprefix("Remove this filter: "): {
            name: text for name, (text,) in parse_qs(urlsplit(href).query).items()
        }
        for label, href in links.items()
        if label.startswith("Remove this filter: ")
    }


def test_every_filter_is_tried_here():
    assert set(QUERY) == {*NAMES, "q"}


def test_each_filter_can_be_taken_away_and_the_others_stay(operator):
    found = removals(page_of(operator, "/events", QUERY))

    taken = {frozenset(QUERY.items()) - frozenset(query.items()) for query in found.values()}
    alone = {frozenset([pair]) for pair in QUERY.items() if pair[0] != "state"}
    # What waits for a person is asked of a state, so both go together.
    assert taken == alone | {frozenset({("state", "dead"), ("needs", "1")})}
    assert all(query.items() <= QUERY.items() for query in found.values())


def test_all_filters_can_be_taken_away_one_by_one(operator):
    query, clicks = QUERY, 0

    while query:
        query = next(iter(removals(page_of(operator, "/events", query)).values()))
        clicks += 1

    assert len(QUERY) - 1 <= clicks <= len(QUERY)
    assert removals(page_of(operator, "/events", {})) == {}


def test_what_is_added_in_the_menu_keeps_what_is_asked_already(operator):
    before = {name: QUERY[name] for name in ("state", "source", "needs", "fault", "q")}
    fields = page_of(operator, "/events", before).fields("filter")
    assert {name: text for name, text in fields.items() if text} == before

    found = removals(page_of(operator, "/events", fields | {"rule": "document-lead"}))

    assert len(found) == len(before) + 1
    assert found["Rule"] == before


def test_a_rule_that_was_removed_stays_chosen(operator):
    page = page_of(operator, "/events", {"rule": "gone"})

    assert page.fields("filter")["rule"] == "gone"
    assert removals(page) == {"Rule": {}}


def test_of_many_at_once_the_state_is_changed_but_not_taken_away(operator):
    assert set(removals(page_of(operator, "/bulk", {"state": "uncertain", "source": "website"}))) == {"Source"}
    page = page_of(operator, "/bulk", {"state": "dead", "needs": "1"})
    assert set(removals(page)) == set()
    assert "needs" not in page.fields("filter"), "or another state could not be chosen"


def test_a_list_that_is_filtered_empty_offers_to_ask_for_less(operator):
    page = page_of(operator, "/events", {"state": "dead", "source": "website"})

    assert page.text(".//section/ul/li/a") == "without “State” without “Source”"


def test_an_empty_list_says_what_comes_here_and_how(operator):
    assert "python -m relay sources test " in Page(ask(operator, "/events")).text(".//main//code")


def test_a_filter_by_a_template_says_its_name(operator, redis):
    PortalRecord(redis, "main").keep_template_names({1: "First call"})

    assert "First call" in page_of(operator, "/events", {"template_id": "1"}).text(".//form[@id='filter']//bdi")
