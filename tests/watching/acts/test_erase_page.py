"""An operator erases a person in a browser: what will go is shown first, then it goes; nothing says whose it was."""

from __future__ import annotations

import pytest

from relay.core.errors import NotFoundError
from relay.core.lifecycle import State
from relay.store.operators.audit_log import read_acts
from relay.web.dashboard import erase
from tests.support.making import bring_to
from tests.support.pages import SAME, Page, ask, press

EMAIL, OTHER = "ada@example.com", b'{"email": "ada@example.com.example"}'
HERS = f'{{"email": "{EMAIL}"}}'.encode()


def found(operator, value=EMAIL):
    answer = operator.post("/erase/found", data={"value": value}, headers=SAME)
    return answer.status_code, Page(answer.text)


def is_there(record, delivery):
    try:
        return bool(record.event(delivery.event_id))
    except NotFoundError:
        return False


def test_a_person_is_erased_after_it_was_shown_what_goes(operator, record, redis):
    hers, his = bring_to(record, State.STARTED, body=HERS), bring_to(record, State.STARTED, body=OTHER)

    status, page = found(operator)
    assert status == 200
    assert "1 event with 1 delivery" in page.text()
    assert "This cannot be undone." in page.text()
    assert page.at(".//main//ul/li/a").text == hers.event_id
    assert is_there(record, hers)

    done = press(operator, "/erase", value=EMAIL)
    assert "Searched again: found nowhere." in ask(operator, done.headers["Location"])
    assert (is_there(record, hers), is_there(record, his)) == (False, True)
    (act,) = read_acts(redis)
    assert (act.who, act.what) == ("operator", "erase")
    assert EMAIL not in f"{act}{done.headers}"


def test_what_is_not_delivered_yet_is_given_up_only_where_that_was_asked_for(operator, record):
    waiting = bring_to(record, State.PENDING, body=HERS)

    _, page = found(operator)
    assert "required" in page.at(".//input[@name='cancel']").attrib
    assert "1 delivery not final yet" in press(operator, "/erase", 409, value=EMAIL).text
    assert is_there(record, waiting)

    press(operator, "/erase", value=EMAIL, cancel="1")
    assert not is_there(record, waiting)


@pytest.mark.parametrize(
    ("value", "status", "words"),
    [("nobody@example.com", 200, "Found nowhere."), ("ada", 422, "fewer than 4 characters")],
    ids=["nobody", "too short"],
)
def test_what_is_not_found_or_not_looked_for_is_said(operator, value, status, words):
    answered, page = found(operator, value)

    assert answered == status
    assert words in page.text()


def test_a_record_that_is_too_large_for_a_browser_is_for_the_terminal(operator, record, monkeypatch):
    hers = bring_to(record, State.STARTED, body=HERS)
    monkeypatch.setattr(erase, "LARGEST", 0)

    assert "python -m relay erase --value" in ask(operator, "/erase")
    press(operator, "/erase", 409, value=EMAIL)
    assert is_there(record, hers)
