"""A page comes to its answer by itself, with JavaScript and without; and it holds nothing of the server meanwhile."""

from __future__ import annotations

from dataclasses import replace

import pytest
from playwright.sync_api import expect

from relay.core.ids import utc_now
from relay.core.lifecycle import State
from relay.store.operators.bulk_replays import Bulk, Bulks
from relay.store.portals.questions import Questions
from tests.browser.stage import SOON_S, staged
from tests.support.making import bring_to

EVERY_WAY = pytest.mark.parametrize("javascript", [True, False], ids=["with JavaScript", "without"])

expect.set_options(timeout=15_000)


@pytest.fixture(scope="module")
def stage(tmp_path_factory):
    with staged(tmp_path_factory.mktemp("freshness")) as made:
        made.start_web()
        yield made


@EVERY_WAY
def test_a_question_comes_to_its_answer(stage, open_page, javascript):
    page, faults = open_page("/portals", javascript=javascript)
    page.get_by_role("button", name="Ping main").click()
    answer = page.locator("#answer")
    expect(answer).to_contain_text("This page updates by itself.")

    Questions(stage.valkey.redis).answer(page.url.rpartition("/")[2], done=True, answer="all is well")

    expect(answer).to_contain_text("all is well")
    assert faults.found == []


@EVERY_WAY
def test_a_bulk_replay_shows_how_far_it_is_to_its_end(stage, open_page, javascript):
    bulks, running = Bulks(stage.valkey.redis), Bulk("rpl_1", "running", "original", found=2)
    bulks.keep(running)
    page, faults = open_page("/bulk/rpl_1", javascript=javascript)
    progress = page.locator("#progress")
    expect(progress).to_contain_text("running: 0 replayed")

    bulks.keep(replace(running, replayed=1))
    expect(progress).to_contain_text("running: 1 replayed")
    bulks.keep(replace(running, replayed=2, state="finished"))

    expect(progress).to_contain_text("finished: 2 replayed")
    expect(page.get_by_role("button", name="Cancel the rest")).to_have_count(0)
    assert faults.found == []


def test_what_has_the_focus_stays_while_the_rest_goes_on(stage, open_page):
    page, _ = open_page("/")
    tile = page.locator("#tiles").get_by_role("link").first
    tile.focus()
    before = page.locator("#tiles").inner_text()
    with page.expect_response(lambda response: response.url == f"{stage.url}/"):
        bring_to(stage.record, State.UNCERTAIN, utc_now())

    expect(page.locator("#needs")).to_contain_text("uncertain")
    expect(tile).to_be_focused()
    assert page.locator("#tiles").inner_text() == before

    tile.blur()
    expect(page.locator("#tiles")).not_to_have_text(before)


def test_numbers_that_are_old_are_called_so_until_the_web_process_is_back(stage, open_page):
    page, _ = open_page("/")
    freshness = page.locator("#freshness")
    expect(freshness).to_have_text("Live.")

    assert stage.web.stop(timeout_s=SOON_S) == 0, "a page that is open keeps the process from ending"
    expect(freshness).to_contain_text("These numbers are old")
    stage.start_web()

    expect(freshness).to_have_text("Live.")


def test_without_javascript_the_front_page_says_how_to_get_newer_numbers(open_page):
    page, faults = open_page("/", javascript=False)

    expect(page.locator("#freshness")).to_contain_text("Reload for newer numbers.")
    assert faults.found == []


def test_a_page_whose_session_has_ended_leads_to_the_login(stage, open_context, log_in):
    context, _ = open_context(stage.url, storage_state=log_in(stage.url))
    page, other = context.new_page(), context.new_page()
    page.goto("/")
    other.goto("/sessions")
    other.get_by_role("button", name="Log out").click()

    page.wait_for_url("**/login?next=/")
