"""Many rejected events are replayed in a browser with few clicks, with real processes."""

from __future__ import annotations

import re
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
from playwright.sync_api import expect

from relay.core.lifecycle import State
from tests.browser.counting import count_in
from tests.browser.looks import DESK, faults_of, take
from tests.browser.stage import staged

MANY = 300


@pytest.fixture(scope="module")
def stage(tmp_path_factory):
    with staged(tmp_path_factory.mktemp("emptying")) as made:
        made.change_rule("document-lead", "min: 1}", "min: 1, max: 10}")
        made.start_web()
        made.start_workers()
        yield made


@pytest.fixture(scope="module")
def rejected(stage):
    """Many events that their rule cannot take."""
    contents = [{"document": "lead", "id": 1000 + n, "email": f"{n}@example.com"} for n in range(MANY)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(stage.post, contents))
    assert stage.record.unresolved_rejected() == MANY
    return stage


def test_many_rejected_events_come_to_their_workflows_in_four_clicks_and_one_edit(rejected, open_context, log_in):
    context, faults = open_context(rejected.url, storage_state=log_in(rejected.url), viewport=DESK)
    taken = Counter()
    count_in(context, taken)
    page = context.new_page()
    page.goto("/")
    taken.clear()

    take(page, "needs-front")
    page.locator("#needs").get_by_role("link", name=re.compile("Mend this")).click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Needs")
    expect(page.locator(".need .bad")).to_contain_text(["max: 10", re.compile(r"body\.id: 1\d\d\d")])
    take(page, "needs")
    page.get_by_role("link", name="Mend this rule").click()
    text = page.get_by_role("textbox", name="The rule")
    text.fill(text.input_value().replace("min: 1, max: 10}", "min: 1}"))
    page.get_by_role("button", name="Activate").click()
    take(page, "needs-activated")
    page.get_by_role("button", name=f"Replay these {MANY}").click()
    expect(page.get_by_text(f"{MANY} of {MANY} deliveries have started.")).to_be_visible(timeout=120_000)
    take(page, "needs-done")

    assert taken["click"] <= 4
    assert taken["field"] <= 1
    assert rejected.record.counts().deliveries[State.STARTED] == MANY
    assert rejected.record.unresolved_rejected() == 0
    page.goto("/needs")
    expect(page.get_by_text("Every failure was replayed, settled or left.")).to_be_visible()
    assert faults.found == []


def test_the_pages_of_needs_are_drawn_without_a_fault(stage, open_context, log_in):
    stage.post({"document": "lead", "id": "none"})
    context, faults = open_context(stage.url, storage_state=log_in(stage.url))
    page = context.new_page()
    for name in ("", "needs", "bulk?state=rejected", "bulk?state=started"):
        page.goto(f"/{name}")
        assert faults_of(page) == []
    assert faults.found == []
