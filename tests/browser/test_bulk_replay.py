"""Many rejected events are replayed in a browser with few clicks, with real processes."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor

import pytest
from playwright.sync_api import expect

from relay.core.lifecycle import State
from tests.browser.looks import DESK, faults_of, take
from tests.browser.stage import staged

MANY = 60
MOST_CLICKS = 5


@pytest.fixture(scope="module")
def stage(tmp_path_factory):
    with staged(tmp_path_factory.mktemp("emptying")) as made:
        made.change_rule("document-lead", "min: 1}", "min: 1, max: 10}")
        made.start_web()
        made.start_workers()
        yield made


@pytest.fixture(scope="module")
def mended(stage):
    """Many rejected events, and the rule that could not take them has been mended."""
    contents = [{"document": "lead", "id": 1000 + n, "email": f"{n}@example.com"} for n in range(MANY)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(stage.post, contents))
    assert stage.record.unresolved_rejected() == MANY
    stage.change_rule("document-lead", "min: 1, max: 10}", "min: 1}")
    stage.restart_web()
    return stage


def test_many_rejected_events_are_replayed_in_few_clicks(mended, open_context, log_in):
    context, faults = open_context(mended.url, storage_state=log_in(mended.url), viewport=DESK)
    page = context.new_page()
    page.goto("/")
    clicks = 0

    def click(link):
        nonlocal clicks
        link.click()
        clicks += 1

    take(page, "needs-front")
    click(page.get_by_role("link", name=re.compile("rejected: a rule wanted them")))
    expect(page.get_by_role("heading", level=1)).to_have_text("Failures that wait for a person")
    take(page, "needs")
    click(page.get_by_role("link", name="Replay these"))
    take(page, "needs-bulk")
    click(page.get_by_role("button", name=f"Replay with today's rules: {MANY}"))
    expect(page.get_by_text(f"{MANY} of {MANY} deliveries have started.")).to_be_visible(timeout=120_000)
    take(page, "needs-done")
    click(page.get_by_role("link", name=f"{MANY} started"))
    expect(page.get_by_role("heading", level=1)).to_have_text("Events")

    assert clicks <= MOST_CLICKS
    assert mended.record.counts().deliveries[State.STARTED] == MANY
    assert mended.record.unresolved_rejected() == 0
    page.goto("/needs")
    expect(page.get_by_text("Every failure was replayed, settled or left.")).to_be_visible()
    assert faults.found == []


def test_the_pages_of_needs_are_drawn_without_a_fault(stage, open_context, log_in):
    stage.post({"document": "lead", "id": "none"})
    context, faults = open_context(stage.url, storage_state=log_in(stage.url))
    page = context.new_page()
    for name in ("needs", "bulk?state=rejected", "bulk?state=started"):
        page.goto(f"/{name}")
        assert faults_of(page) == []
    assert faults.found == []
