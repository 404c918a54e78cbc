"""Pages speak the language of who looks."""

from __future__ import annotations

from datetime import UTC, datetime
from http.cookies import SimpleCookie

import pytest
from flask.testing import FlaskClient

from relay.core.faults import as_text, fault_of, from_data
from relay.core.phrases import Moment, phrase, phrases
from relay.core.reasons import BY_CODE
from relay.operations.rule_files import BY_HAND
from relay.web.language import say, say_fault
from relay.web.presenters.audit import actor, deed
from tests.support.pages import SAME, Page, ask

RUSSIAN = {"Accept-Language": "ru-RU,ru;q=0.9,en;q=0.8"}


@pytest.fixture
def client(app) -> FlaskClient:
    return app.test_client()


def language_of(client: FlaskClient, path: str = "/login", **headers: str) -> str:
    answer = client.get(path, headers=SAME | headers)
    return Page(answer.text).at(".//html").attrib["lang"]


def test_pages_speak_what_the_browser_asks_for(client: FlaskClient) -> None:
    assert language_of(client, **{"Accept-Language": "ru-RU,ru;q=0.9,en;q=0.8"}) == "ru"
    assert language_of(client, **{"Accept-Language": "eo,ru;q=0.5"}) == "ru"
    assert language_of(client, **{"Accept-Language": "zh"}) == "en"
    assert language_of(client) == "en"


def test_the_link_in_the_header_changes_the_language_and_comes_back(client: FlaskClient) -> None:
    page = Page(client.get("/login?next=/rules", headers=SAME).text)
    assert page.text(".//button[@lang='ru']") == "Русский"
    fields = {"language": "ru", "back": page.at(".//form[@action='/language']/input").attrib["value"]}
    answer = client.post("/language", data=fields, headers=SAME)
    assert (answer.status_code, answer.location) == (303, "/login?next=/rules")
    (cookie,) = SimpleCookie(answer.headers["Set-Cookie"]).values()
    assert (cookie.value, cookie["httponly"], cookie["samesite"]) == ("ru", True, "Lax")
    assert language_of(client, **{"Accept-Language": "en"}) == "ru"


@pytest.mark.parametrize("target", ["https://elsewhere.example/", "//elsewhere.example", "/\\elsewhere.example"])
def test_the_link_leads_to_no_other_site(client: FlaskClient, target: str) -> None:
    answer = client.post("/language", data={"language": "ru", "back": target}, headers=SAME)
    assert answer.location == "/"


@pytest.mark.parametrize(
    ("asked", "back"),
    [("/erase/found", "/erase"), ("/login", "/login"), ("/logout/nothing", "/")],
    ids=["of a form above it", "of a form at the same place", "of nothing that can be asked for"],
)
def test_a_page_that_answers_a_form_has_the_link_too_and_it_comes_back_to_a_page(
    operator, asked: str, back: str
) -> None:
    page = Page(operator.post(asked, data={"value": "nobody@example.com"}, headers=SAME).text)
    assert {one.attrib["value"] for one in page.root.findall(".//form[@action='/language']/input")} == {back}


def test_a_fault_on_record_is_said_in_the_language_of_who_looks(app) -> None:
    unfilled = as_text(fault_of(None, {"id": ["Missing data."]}))
    with app.test_request_context(headers=RUSSIAN):
        assert say_fault(unfilled) == "нельзя заполнить: id"
        assert say_fault('{"code":"skipped_rule_does_not_want","rule_name":"lead"}') == (
            "нынешнее правило lead к этому не подходит"
        )
        assert deed("settle as started") == "решить: запущен"
        assert deed("bulk replay finished") == "массово: повторить, завершено"
        assert deed("dance") == "dance"
    assert (say_fault(unfilled), deed("bulk replay finished")) == ("cannot be filled: id", "bulk replay finished")


def test_a_sentence_of_an_earlier_version_is_shown_as_it_is(app) -> None:
    """Also where it looks like a message of today."""
    with app.test_request_context(headers=RUSSIAN):
        for text in ("not valid JSON at line #", "cannot be filled: id", "expected text"):
            assert say_fault(text) == text
            assert say_fault(from_data(text)) == text


def test_a_time_in_a_phrase_is_in_utc_until_a_page_says_it_in_its_zone(app) -> None:
    until = phrase("until %(until)s", until=Moment(datetime(2026, 11, 26, 21, 30, tzinfo=UTC)))
    with app.test_request_context(headers={"Cookie": "zone=Europe/Moscow"}):
        assert say(until) == "until 2026-11-27 00:30"
    assert until == "until 2026-11-26 21:30 UTC"


def test_a_language_that_pages_do_not_speak_is_refused_and_a_foreign_cookie_passed_over(client: FlaskClient) -> None:
    assert client.post("/language", data={"language": "xx"}, headers=SAME).status_code == 400
    client.set_cookie("language", "../../etc")
    assert language_of(client) == "en"


def test_what_a_machine_is_told_stays_english(client: FlaskClient) -> None:
    answer = client.get("/api/v1/events", headers=RUSSIAN)
    assert answer.get_json()["detail"].isascii()


def test_a_phrase_is_english_until_a_page_says_it(app) -> None:
    reason = BY_CODE["budget_spent"]
    with app.test_request_context(headers=RUSSIAN):
        assert say(reason) != reason
        assert say(phrase("%(one)s and %(two)s", one=1, two=phrase("three"))) == "1 and three"
    assert say(reason) == reason
    assert [phrases("%(count)s event", "%(count)s events", count) for count in (1, 2)] == ["1 event", "2 events"]


def test_what_was_edited_on_disk_was_edited_by_hand_in_every_language(app):
    with app.test_request_context(headers=RUSSIAN):
        assert actor(BY_HAND) == "вручную"
        assert actor("ann") == "ann"


def test_the_steps_at_a_sender_say_that_they_are_in_english(app, operator):
    path = "/sources/add?profile=stripe"
    assert "Шаги на английском" not in ask(operator, path)

    page = operator.get(path, headers=SAME | RUSSIAN).text

    assert '<ol class="steps" lang="en" translate="no">' in page
    assert "Шаги на английском" in page
