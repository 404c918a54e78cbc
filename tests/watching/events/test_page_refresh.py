"""A page that keeps itself fresh says how often to ask for it again; asking again changes nothing for its reader."""

from __future__ import annotations

import pytest

from relay.core.lifecycle import State
from relay.store.redis import keys
from tests.support.making import NOON, bring_to, claim_one

SAME = {"Origin": "http://localhost", "Accept": "text/html"}
AGAIN = {"Accept": "text/html", "X-Background": "1"}
EVERY = "data-fresh-every-s="
RELOADS = '<noscript><meta http-equiv="refresh" content="2"></noscript>'


@pytest.fixture
def question(operator):
    """The page on which an operator waits for what a portal answers."""
    return operator.post("/portals/main/ping", headers=SAME).headers["Location"]


def test_the_front_page_is_asked_for_again_by_its_script_alone(operator):
    text = operator.get("/", headers=SAME).text

    assert f'{EVERY}"6"' in text
    assert "/static/relay.js" in text
    assert "http-equiv" not in text
    assert "Reload for newer numbers." in text


def test_a_page_that_waits_for_an_answer_is_asked_for_again_until_it_is_there(app, operator, question):
    waiting = operator.get(question, headers=SAME).text
    app.extensions["services"].questions.answer(question.rpartition("/")[2], done=True, answer="all is well")
    answered = operator.get(question, headers=SAME).text

    assert f'{EVERY}"2"' in waiting
    assert RELOADS in waiting
    assert EVERY not in answered
    assert "http-equiv" not in answered


def test_a_bulk_replay_is_asked_for_again_until_all_of_it_is_sent(app, operator, record):
    bring_to(record, State.DEAD)
    bulk = operator.post("/bulk", data={"state": "dead"}, headers=SAME).headers["Location"]
    running = operator.get(bulk, headers=SAME).text
    app.extensions["services"].bulk.step(bulk.rpartition("/")[2])
    finished = operator.get(bulk, headers=SAME).text
    (fresh,) = record.page(keys.DELIVERIES_BY_STATE + State.PENDING)
    record.settle(claim_one(record, record.delivery(fresh)), State.STARTED, NOON, workflow_id="1", reason="")
    ended = operator.get(bulk, headers=SAME).text

    assert f'{EVERY}"2"' in running
    assert RELOADS in running
    assert f'{EVERY}"6"' in finished
    assert EVERY not in ended
    assert "http-equiv" not in ended


@pytest.mark.parametrize("path", ["/events", "/portals", "/sources", "/alerts"])
def test_what_is_watched_while_it_changes_follows_by_itself_on_its_first_page(operator, path):
    text = operator.get(path, headers=SAME).text

    assert f'{EVERY}"6"' in text
    assert "data-fresh" in text
    assert "http-equiv" not in text


def test_an_older_page_of_a_list_stands_still(operator, record):
    text = operator.get(f"/events?cursor={bring_to(record, State.DEAD).event_id}", headers=SAME).text

    assert EVERY not in text


def test_the_page_of_sources_shows_the_last_requests_and_why_one_was_refused(operator):
    assert "It waits for the first request" in operator.get("/sources?open=website", headers=SAME).text
    operator.post("/hooks/website", data=b"{}", headers={"X-Relay-Token": "wrong", "Content-Type": "application/json"})

    assert "wrong token" in operator.get("/sources", headers=SAME).text
    text = operator.get("/sources?open=website", headers=SAME).text

    assert "wrong token" in text
    assert "The request carried another token than the one configured" in text


@pytest.mark.parametrize("path", ["/bulk", "/log", "/events/{event}"])
def test_no_other_page_is_asked_for_again(operator, record, path):
    event_id = bring_to(record, State.DEAD).event_id

    text = operator.get(path.format(event=event_id), headers=SAME).text

    assert EVERY not in text
    assert "relay.js" not in text


def test_a_message_is_kept_for_the_page_that_a_person_sees(operator):
    operator.post("/portals/main/pause", headers=SAME)

    assert "main is paused until" not in operator.get("/", headers=AGAIN).text
    assert "main is paused until" in operator.get("/portals", headers=SAME).text


def test_an_answer_that_comes_late_takes_nothing_back(operator):
    """It would, if it brought its older copy of the cookie: what was revealed meanwhile would be masked again."""
    operator.post("/portals/main/pause", headers=SAME)

    assert "Set-Cookie" not in operator.get("/", headers=AGAIN).headers
