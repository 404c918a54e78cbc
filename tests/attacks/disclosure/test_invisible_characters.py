"""No page shows a character that is not seen, or that turns the text around it; what a form sends back stays."""

from __future__ import annotations

import re

import pytest

from relay.core.lifecycle import EventState
from relay.core.printing import harmless, seen
from tests.support.folders import WEB_SECRETS
from tests.support.making import make_entry, write
from tests.support.pages import Page
from tests.support.senders import dump, website
from tests.watching.conftest import SAME, enter

TURNING = "\u202e\u2066\u200b\u00ad\u061c\ufeff\U000e0041"
NAME = f"Ada{TURNING}Lovelace"
UNSEEN = re.compile(
    "[\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e007f]"
)


@pytest.fixture
def operator(app):
    return enter(app, WEB_SECRETS["RELAY_DASHBOARD_PASSWORD"])


@pytest.fixture
def event_id(operator):
    body = {"document": "lead", "id": 7, "note": NAME, NAME: NAME}
    headers = {**website(), "X-Note": "a\u00adb".encode().decode("latin-1")}
    return operator.post(f"/hooks/website?note={NAME}", data=dump(body), headers=headers).json["event_id"]


def test_no_page_of_an_event_shows_what_is_not_seen(operator, event_id):
    operator.post(f"/events/{event_id}/reveal", headers=SAME)
    for path in (
        f"/events/{event_id}",
        "/events",
        f"/events?q={NAME}",
        f"/studio?event_id={event_id}",
        "/",
    ):
        answer = operator.get(path, headers=SAME)
        outside = re.sub(r'<textarea.*?</textarea>|value="[^"]*"', "", answer.text, flags=re.DOTALL)
        assert answer.status_code == 200
        assert not UNSEEN.search(outside), path
    assert r"Ada\u202e\u2066\u200b" in operator.get(f"/events/{event_id}", headers=SAME).text


def test_half_a_character_is_a_page_and_no_error(operator, record):
    entry = make_entry([], state=EventState.IGNORED, body=b'{"note": "\\ud800 \\udfff"}')
    write(record, entry)
    operator.post(f"/events/{entry.event.id}/reveal", headers=SAME)

    for path in (f"/events/{entry.event.id}", f"/studio?event_id={entry.event.id}&source=website", "/events"):
        answer = operator.get(path, headers=SAME)
        assert answer.status_code == 200, path
    assert "\\ud800" in operator.get(f"/events/{entry.event.id}", headers=SAME).text


def test_an_error_that_repeats_a_name_does_not_turn_the_page(operator):
    answer = operator.get(f"/rules/{TURNING}", headers=SAME)

    assert answer.status_code == 404
    assert not UNSEEN.search(answer.text)


def test_what_a_form_sends_back_is_what_came(operator):
    text = f"name: seen\nsource: website\n# {NAME} \u200f\u05e9\n"
    page = Page(operator.post("/studio", data={"text": text, "source": "website"}, headers=SAME).text)
    assert page.fields("studio")["text"] == text

    assert f'value="{NAME}"' in operator.get(f"/events?q={NAME}", headers=SAME).text


def test_ordinary_texts_are_shown_as_they_are():
    for text in (
        "\u0414\u0430 \u2014 \u00abe\u0301\u00bb\u2026",
        "\u0645\u06cc\u200c\u062e",
        "👩\u200d💻",
        "a\tb\nc",
        "\x1b",
    ):
        assert seen(text) == text
    assert seen("a\u202eb") == "a\\u202eb" == harmless("a\u202eb")
