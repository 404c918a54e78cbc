"""Pages of errors: with the frame for who is logged in, and with nothing but the error for everybody else."""

from __future__ import annotations

import pytest

from relay.core.errors import RecordUnavailableError
from tests.support.pages import SAME, Page


def page_of(client, path, status):
    answer = client.get(path, headers=SAME)
    assert answer.status_code == status
    return Page(answer.text)


@pytest.mark.parametrize(("path", "status"), [("/nowhere", 404), ("/events/evt_none", 404), ("/events?state=x", 400)])
def test_who_is_logged_in_has_the_ways_to_all_pages_on_an_error(operator, viewer, path, status):
    for client in (operator, viewer):
        page = page_of(client, path, status)
        assert "Events" in page.text(".//nav")
        assert len(page.root.findall(".//header[@class='side']/form[@role='search']")) == 1


def test_an_address_that_is_none_is_told_in_the_language_of_who_looks(operator):
    said = [operator.get("/nowhere", headers=SAME | {"Accept-Language": one}).text for one in ("en", "ru")]

    assert "No page has this address" in said[0]
    assert "опечатка, или того, что здесь было, больше нет" in said[1]


def test_a_stranger_is_told_the_error_and_nothing_of_who_is_here(app):
    page = page_of(app.test_client(), "/nowhere", 404)

    assert page.root.findall(".//nav") == page.root.findall(".//form[@role='search']") == []
    assert "operator" not in page.text()
    assert [one.attrib["href"] for one in page.root.findall(".//main//a")] == ["/login"]


def test_an_error_is_told_without_the_frame_where_nobody_can_be_recognised(operator, monkeypatch):
    def fail(_):
        raise RecordUnavailableError("away")

    monkeypatch.setattr("relay.web.problems.identify", fail)

    assert page_of(operator, "/nowhere", 404).root.findall(".//nav") == []
