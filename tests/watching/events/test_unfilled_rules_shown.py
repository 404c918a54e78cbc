"""A rule that could not be filled, beside one that could, is shown in plain words wherever its delivery is."""

from __future__ import annotations

import pytest

from relay.core.lifecycle import State
from tests.support.folders import READ_TOKEN, WEB_SECRETS
from tests.support.pages import ask, press
from tests.watching.conftest import enter

LEAD = {"type": "integer", "required": True, "from": "body.lead"}


def rule(name, **extract):
    start = {"portal": "main", "template_id": 1, "document_id": {"lead": "{lead}"}, "parameters": {}}
    return {"name": name, "source": "site", "extract": {"lead": LEAD, **extract}, "start": start}


@pytest.fixture
def app(relay):
    unfilled = rule("call-back", phone={"from": "body.tel", "required": True})
    return relay(
        {"site": {"verify": {"kind": "none"}}}, [rule("crm-lead"), unfilled], api_read_token=READ_TOKEN
    ).application


@pytest.fixture
def missing(app, record):
    answer = app.test_client().post("/hooks/site", json={"lead": 5, "phone": "+79120000000"})
    return record.delivery(answer.json["deliveries"][1])


@pytest.fixture
def operator(app):
    return enter(app, WEB_SECRETS["RELAY_DASHBOARD_PASSWORD"])


def test_the_page_of_its_event_says_what_was_missing_and_offers_todays_rules_only(operator, missing):
    text = ask(operator, f"/events/{missing.event_id}")

    card = text.partition(f'id="{missing.id}"')[2].partition("</section>")[0]
    assert "This rule matched the event but could not be filled; another rule could." in card
    assert "missing: expected text" in card
    assert "there is no call. Mend the rule" in card
    assert f"/deliveries/{missing.id}/acts/replay-current" in card
    assert f"/deliveries/{missing.id}/acts/leave" in card
    assert f'/deliveries/{missing.id}/acts/replay"' not in card
    assert "None yet." not in card


def test_who_asks_for_the_same_call_all_the_same_is_told_that_there_is_none(operator, missing, record):
    answer = operator.post(
        f"/deliveries/{missing.id}/acts/replay", headers={"Origin": "http://localhost", "Accept": "text/html"}
    )

    assert answer.status_code == 409
    assert "has no call to repeat, for its rule could not be filled" in answer.text
    assert record.counts().total == 2


def test_it_is_a_need_with_what_was_missing_and_a_list_shows_it(operator, missing):
    needs = ask(operator, "/needs")

    assert "values missing or wrong" in needs
    assert "The rule call-back needs phone and looks for it at body.tel: there is nothing in this event." in needs
    assert "Such a value stands at body.phone." in needs
    assert "call-back" in ask(operator, "/events?state=dead&code=rule_not_filled")
    assert "1" in ask(operator, "/")


def test_it_is_left_by_a_person(operator, missing, record):
    press(operator, f"/deliveries/{missing.id}/acts/leave", note="not needed")

    assert record.unresolved_dead() == 0
    assert "call-back" not in ask(operator, "/needs")


@pytest.mark.parametrize("token", [WEB_SECRETS["RELAY_API_TOKEN"], READ_TOKEN])
def test_the_api_tells_it(app, missing, token):
    answer = app.test_client().get(f"/api/v1/deliveries/{missing.id}", headers={"Authorization": f"Bearer {token}"})

    assert (answer.json["state"], answer.json["reason"]) == (State.DEAD, "rule_not_filled")
    assert answer.json["errors"] == {"phone": ["missing: expected text"]}
    assert answer.json["call"]["document_id"] == ["", "", ""]
