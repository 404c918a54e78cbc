"""A page on another origin sends its form to the relay: what the visitor sees, with and without JavaScript, and what a
script of the page gets.
"""

from __future__ import annotations

from itertools import cycle

import pytest
from playwright.sync_api import Page, expect

from relay.core.lifecycle import EventState, State
from relay.sources import Form
from relay.store.record.search import Filter, list_events
from relay.web.dashboard.sources import form_of
from tests.browser import site as sites
from tests.browser.looks import DESK, PHONE, faults_of, take
from tests.browser.stage import staged
from tests.support.folders import SECRETS
from tests.support.forms import copy_config_with_forms
from tests.support.processes import free_port
from tests.support.waiting import until

EVERY_WAY = pytest.mark.parametrize("javascript", [True, False], ids=["with JavaScript", "without"])
WAYS = pytest.mark.parametrize("way", ["json", "formData", "parameters"])
PERSON = {"name": "Ada", "email": "ada@example.com"}

expect.set_options(timeout=15_000)


@pytest.fixture(scope="module")
def site():
    with sites.served(free_port()) as made:
        yield made


@pytest.fixture(scope="module")
def stage(tmp_path_factory, site):
    def configure(folder):
        return copy_config_with_forms(folder, site.origin, f"{site.origin}/thanks")

    with staged(tmp_path_factory.mktemp("forms"), configure) as made:
        made.start_web()
        made.start_workers()
        copied = form_of(Form("_gotcha", 2.0), f"{made.url}/hooks/contact")
        site.values |= {"relay": made.url, "token": SECRETS["SOURCE_WEBSITE_TOKEN"], "copied": copied}
        yield made


@pytest.fixture
def record(stage):
    """The record, empty."""
    stage.valkey.make_fresh()
    return stage.record


@pytest.fixture(scope="module")
def windows():
    """A window for each kind of visitor: opening one costs more than most tests do in it."""
    return {}


@pytest.fixture
def open_page(stage, site, open_context, windows):
    """Opens a page of the site, in the window of such a visitor; gives it with what goes wrong in it from now on."""

    def at(path, *, javascript=True, origin=None, **options):
        kind = repr((origin, javascript, options))
        if kind not in windows:
            context, faults = open_context(origin or site.origin, java_script_enabled=javascript, **options)
            windows[kind] = context.new_page(), faults
        page, faults = windows[kind]
        faults.found.clear()
        page.goto(path)
        return page, faults

    return at


def faults_beside(faults, *expected: str):
    """What went wrong beside requests to these, which are meant to be made."""
    return [one for one in faults.found if not one.startswith(tuple(f"request: {url}" for url in expected))]


def fill(page: Page, **typed: str) -> None:
    for label, text in {"Name": "Ada", "E-mail": "ada@example.com", **typed}.items():
        page.get_by_label(label).fill(text)


def events(record):
    return [row.event for row in list_events(record, Filter()).rows]


@pytest.mark.parametrize(
    ("javascript", "coding"),
    [(True, "application/x-www-form-urlencoded"), (False, "multipart/form-data")],
    ids=["with JavaScript", "without"],
)
def test_a_visitor_is_thanked_and_a_workflow_starts(stage, record, open_page, javascript, coding):
    page, faults = open_page(f"/form?coding={coding}", javascript=javascript, locale="de-DE")
    fill(page)

    page.get_by_role("button", name="Send").click()

    expect(page.get_by_role("heading", level=1)).to_have_text("Vielen Dank")
    (event,) = events(record)
    stage.wait(event.deliveries, State.STARTED)
    assert faults_beside(faults, stage.url) == []


def test_the_way_back_leads_to_the_page_of_the_form(stage, site, record, open_page):
    page, _ = open_page("/form")
    fill(page)
    page.get_by_role("button", name="Send").click()

    page.get_by_role("link", name="Back to the site").click()

    # A browser tells another origin no more of an address than this.
    page.wait_for_url(f"{site.origin}/")
    expect(page.get_by_role("heading", level=1)).to_have_text("The site")


@EVERY_WAY
def test_a_visitor_comes_to_the_page_of_the_site_that_says_thanks(stage, site, record, open_page, javascript):
    page, faults = open_page("/form?source=contact-thanks", javascript=javascript)
    fill(page)

    page.get_by_role("button", name="Send").click()

    page.wait_for_url(f"{site.origin}/thanks")
    expect(page.get_by_role("heading", level=1)).to_have_text("The site says thanks")
    assert events(record)[0].state is EventState.ACCEPTED
    assert faults_beside(faults, stage.url) == []


@EVERY_WAY
def test_a_visitor_learns_what_does_not_fit_and_finds_it_again(stage, record, open_page, javascript):
    page, _ = open_page("/form", javascript=javascript, locale="fr-FR")
    fill(page, **{"E-mail": "ada at example", "Guests": "twelve"})
    page.get_by_role("button", name="Send").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Veuillez vérifier votre saisie")
    expect(page.locator("dt")).to_have_text(["email", "guests"])
    expect(page.locator("dd")).to_have_text(["veuillez saisir une adresse e-mail", "veuillez saisir un nombre entier"])

    page.go_back()

    expect(page.get_by_label("Name")).to_have_value("Ada")
    expect(page.get_by_label("Guests")).to_have_value("twelve")
    fill(page, Guests="2")
    page.get_by_role("button", name="Send").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Merci")
    assert [event.state for event in events(record)] == [EventState.ACCEPTED, EventState.REJECTED]


@EVERY_WAY
def test_a_double_click_starts_one_workflow(stage, record, open_page, javascript):
    page, _ = open_page("/form", javascript=javascript)
    fill(page)

    page.get_by_role("button", name="Send").dblclick()

    expect(page.get_by_role("heading", level=1)).to_have_text("Thank you")
    assert record.counts().total == 1


def test_a_form_that_is_sent_twice_in_a_row_is_thanked_for_twice_and_starts_one_workflow(stage, record, open_page):
    first, _ = open_page("/form")
    fill(first)
    first.get_by_role("button", name="Send").click()
    expect(first.get_by_role("heading", level=1)).to_have_text("Thank you")

    first.go_back()
    first.get_by_role("button", name="Send").click()

    expect(first.get_by_role("heading", level=1)).to_have_text("Thank you")
    (event,) = events(record)
    assert (event.duplicates, record.counts().total) == (1, 1)


def test_a_page_of_another_site_is_told_that_it_cannot_send(stage, site, record, open_page):
    page, _ = open_page("/form", origin=site.other_origin)
    fill(page)
    page.get_by_role("button", name="Send").click()

    expect(page.get_by_role("heading", level=1)).to_have_text("The form was not accepted")
    expect(page.get_by_role("link")).to_have_count(0)
    assert [event.reason for event in events(record)] == ["origin"]


def test_a_machine_that_fills_in_everything_is_thanked_and_refused(stage, record, open_page):
    page, _ = open_page("/form")
    fill(page)
    page.evaluate("document.querySelector('[name=_gotcha]').value = 'https://spam.example'")
    page.get_by_role("button", name="Send").click()

    expect(page.get_by_role("heading", level=1)).to_have_text("Thank you")
    assert [event.reason for event in events(record)] == ["honeypot"]


def test_a_machine_that_is_faster_than_anybody_is_thanked_and_refused(stage, record, open_page):
    page, _ = open_page("/copied")
    fill(page)
    page.get_by_role("button", name="Send").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Thank you")

    assert [event.reason for event in events(record)] == ["too_fast"]


@EVERY_WAY
def test_a_person_takes_the_time_that_typing_takes(stage, record, open_page, javascript):
    page, _ = open_page("/copied", javascript=javascript)
    fill(page)
    if javascript:
        # As if the page had been open for a while: its own clock says when it was shown, and when it was sent.
        page.evaluate("document.forms[0]._started.value -= 3000")
    page.get_by_role("button", name="Send").dblclick()

    expect(page.get_by_role("heading", level=1)).to_have_text("Thank you")
    assert [event.state for event in events(record)] == [EventState.ACCEPTED]


def test_who_comes_back_to_mend_the_form_may_be_quick(stage, record, open_page):
    page, _ = open_page("/copied")
    fill(page, **{"E-mail": "ada at example"})
    page.evaluate("document.forms[0]._started.value -= 3000")
    page.get_by_role("button", name="Send").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Please check your entries")

    page.go_back()
    fill(page)
    page.get_by_role("button", name="Send").click()

    expect(page.get_by_role("heading", level=1)).to_have_text("Thank you")
    assert [event.state for event in events(record)] == [EventState.ACCEPTED, EventState.REJECTED]


@WAYS
def test_a_script_gets_json(stage, record, open_page, way):
    page, faults = open_page("/scripted")

    got = page.evaluate("([way, fields]) => ways[way](fields)", [way, {**PERSON, "_gotcha": ""}])

    (event,) = events(record)
    assert (got["status"], got["body"]["state"], got["body"]["event_id"]) == (200, "accepted", event.id)
    assert got["body"]["deliveries"] == list(event.deliveries)
    stage.wait(event.deliveries, State.STARTED)
    assert faults_beside(faults, stage.url) == []


def test_a_script_can_read_what_does_not_fit(stage, record, open_page):
    page, _ = open_page("/scripted")

    got = page.evaluate("(fields) => ways.formData(fields)", {"name": "Ada", "email": "none"})

    assert (got["status"], got["body"]["errors"]) == (422, {"email": ["expected an e-mail address"]})


def test_a_script_can_read_that_it_sends_too_much(stage, record, open_page):
    page, _ = open_page("/scripted")

    got = page.evaluate("(fields) => ways.json(fields)", {**PERSON, "note": "x" * 3_000})

    assert (got["status"], got["body"]["detail"]) == (413, "at most 2000 bytes")


def test_a_script_can_read_when_to_come_again(stage, record, open_page):
    page, _ = open_page("/scripted")
    stage.valkey.make_read_only()

    got = page.evaluate("(fields) => ways.json(fields)", PERSON)

    stage.valkey.make_fresh()
    assert (got["status"], int(got["again"]) > 0) == (503, True)


def test_a_script_may_carry_the_token_of_its_source(stage, record, open_page):
    page, faults = open_page("/scripted?source=scripted")

    good = page.evaluate("(fields) => ways.token(fields)", PERSON)
    bad = page.evaluate("(fields) => ways.json(fields)", PERSON)

    assert (good["status"], good["body"]["state"]) == (200, "accepted")
    assert (bad["status"], bad["body"]["detail"]) == (401, "not verified")
    assert faults_beside(faults, stage.url) == []


@pytest.mark.parametrize("way", ["json", "parameters"], ids=["asks before", "asks nobody"])
def test_a_script_of_another_site_gets_nothing_and_is_no_event(stage, site, record, open_page, way):
    page, _ = open_page("/scripted", origin=site.other_origin)

    got = page.evaluate("([way, fields]) => ways[way](fields)", [way, PERSON])

    assert (got["status"], got["body"]) == (0, "TypeError: Failed to fetch")
    until(lambda: events(record), "what is left of it")
    assert [event.reason for event in events(record)] == ["origin"]


def test_an_operator_finds_the_form_to_copy_and_what_was_turned_away(stage, site, record, open_page, log_in):
    stranger, _ = open_page("/form", origin=site.other_origin)
    fill(stranger)
    stranger.get_by_role("button", name="Send").click()
    expect(stranger.get_by_role("heading", level=1)).to_be_visible()

    page, faults = open_page("/sources?open=contact", origin=stage.url, storage_state=log_in(stage.url))
    card = page.get_by_role("region", name="contact", exact=True)
    card.get_by_text("The form for your page").click()

    expect(card.get_by_role("region", name="A form that sends to contact")).to_contain_text(
        f"{stage.url}/hooks/contact"
    )
    expect(card).to_contain_text(f"Pages{site.origin}; afterwards: a page of the relay says thanks")
    expect(card).to_contain_text("1 refused: the page is on a site that origins does not name")
    card.scroll_into_view_if_needed()
    take(page, "sources-form")
    assert faults_of(page) == []
    assert faults.found == []


# How the pages look.


def show(page: Page, what: str, stage) -> None:
    """Send the form in such a way that this page comes."""
    wrong = {"Name": "", "E-mail": "ada at example", "Guests": "12"} if what == "fields" else {}
    fill(page, **wrong)
    if what == "away":
        stage.valkey.make_read_only()
    page.get_by_role("button", name="Send").click()
    expect(page.locator("main svg")).to_be_visible()
    if what == "away":
        stage.valkey.make_fresh()


@pytest.mark.parametrize(
    ("what", "look"), [("thanks", "light"), ("fields", "dark"), ("away", "phone-light"), ("thanks", "phone-dark")]
)
def test_a_page_for_visitors_is_drawn_without_a_fault(stage, record, open_page, what, look):
    device, _, scheme = look.rpartition("-")
    page, faults = open_page("/form", color_scheme=scheme, viewport=PHONE if device else DESK)

    show(page, what, stage)

    take(page, f"visitor-{what}-{look}")
    allowed = [one for one in faults_beside(faults, stage.url) if "status of 503" not in one]
    assert allowed == []


LOCALES = ("en-GB", "ru-RU", "uk-UA", "de-DE", "fr-FR", "es-ES", "pl-PL", "pt-BR")


@pytest.mark.parametrize(("locale", "what"), list(zip(LOCALES, cycle(["fields", "thanks"]), strict=False)))
def test_axe_finds_no_serious_fault_for_visitors_in_any_language(stage, record, open_page, locale, what):
    page, _ = open_page("/form", locale=locale)

    show(page, what, stage)

    take(page, f"visitor-{what}-{locale}")
    assert page.locator("html").get_attribute("lang") == locale[:2]
    assert faults_of(page) == []
