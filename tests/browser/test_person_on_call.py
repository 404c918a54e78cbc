"""The way of the person on call: find by e-mail, read why it died, mend the rule, see the difference, replay."""

from __future__ import annotations

import pytest
from playwright.sync_api import Locator, Page, expect

from relay.core.lifecycle import State
from tests.browser.stage import PASSWORD, staged
from tests.support.folders import SECRETS

WRONG = "template_id: 404"
RIGHT = {"deal": "template_id: 2", "company": "template_id: 4"}
"""Two rules that name a template which the portal does not have; each test mends one."""
MOST_TABS = 80
expect.set_options(timeout=15_000)


@pytest.fixture(scope="module")
def stage(tmp_path_factory):
    with staged(tmp_path_factory.mktemp("walk")) as made:
        for kind, right in RIGHT.items():
            made.change_rule(f"document-{kind}", right, WRONG)
        made.start_workers()
        made.start_web()
        yield made


def die(stage, kind, email):
    """Send what the portal will refuse, among others; the receipt, once it has."""
    other = stage.post({"document": "lead", "id": 7, "email": f"other-{email}"})
    receipt = stage.post({"document": kind, "id": 7, "email": email})
    stage.wait(other["deliveries"], State.STARTED)
    stage.wait(receipt["deliveries"], State.DEAD)
    return receipt


def mend(stage, kind):
    stage.change_rule(f"document-{kind}", WRONG, RIGHT[kind])
    stage.restart_web()


def of_delivery(page: Page, delivery_id: str) -> Locator:
    return page.locator(f"section[id={delivery_id}]")


def test_a_dead_delivery_is_found_mended_and_replayed_with_the_mouse(stage, open_context):
    receipt = die(stage, "deal", "mouse@example.com")
    context, faults = open_context(stage.url)
    page = context.new_page()

    page.goto("/")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()
    dead = page.locator("#needs").get_by_role("link", name="1 delivery of document-deal was given up")
    expect(dead.first).to_be_visible()

    search = page.get_by_role("search")
    search.get_by_role("searchbox").fill("mouse@example.com")
    search.get_by_role("button", name="Find").click()
    rows = page.locator("table.rows tbody tr:not(.divide)")
    expect(rows).to_have_count(1)
    expect(rows.first).to_contain_text("dead")
    rows.first.get_by_role("link").click()

    story = of_delivery(page, receipt["deliveries"][0])
    expect(page.get_by_role("heading", level=1)).to_have_text("document-deal: m•••@e•••.com")
    expect(page.get_by_role("complementary", name="Facts")).to_contain_text(receipt["event_id"])
    expect(story.locator("blockquote")).to_have_text("Template not found")
    expect(story).to_contain_text("There is no such template, or it cannot be started so. Check the rule")
    expect(story).to_contain_text("Nothing happens by itself. Fix the cause, then replay it")

    mend(stage, "deal")
    front = context.new_page()
    front.goto("/")
    started = front.locator("#charts .legend a", has_text="started").locator("b")
    before = int(started.inner_text())
    expect(front.locator("#freshness")).to_have_text("Live.")

    story.locator("summary", has=page.locator("svg")).click()
    story.get_by_role("link", name="Replay with today's rules").click()
    expect(page.get_by_text("1 part differs.")).to_be_visible()
    line = page.locator("tr.differs")
    expect(line).to_have_count(1)
    expect(line.get_by_role("cell").nth(1)).to_have_text("404")
    expect(line.get_by_role("cell").nth(2)).to_contain_text("Deal: follow up (2) differs")
    page.get_by_role("button", name="Replay with today's rules").click()

    expect(page.get_by_role("status")).to_contain_text("A new delivery was made: dlv_")
    # The first page, which nobody has touched or loaded again, tells it by itself.
    expect(started).to_have_text(str(before + 1))
    replayed = page.get_by_role("status").inner_text().rpartition(" ")[2].rstrip(".")
    page.reload()
    expect(of_delivery(page, replayed).get_by_role("heading", level=2)).to_contain_text("started")
    (delivery,) = stage.record.deliveries([replayed])
    assert delivery.workflow_id in {workflow["id"] for workflow in stage.sandbox.portal.started()}
    assert faults.found == []
    context.close()


def tab_to(page: Page, wanted: Locator) -> None:
    """Press Tab until this has the focus, which has to be seen."""
    expect(wanted).to_be_attached()
    for _ in range(MOST_TABS):
        page.keyboard.press("Tab")
        if wanted.evaluate("element => element === document.activeElement"):
            requirement = wanted.evaluate("element => getComputedStyle(element).outlineStyle")
            assert requirement != "none", f"nobody sees that the focus is on {wanted}"
            return
    raise AssertionError(f"{MOST_TABS} times Tab did not lead to {wanted}")


def press(page: Page, wanted: Locator, key: str = "Enter") -> None:
    tab_to(page, wanted)
    page.keyboard.press(key)


def test_a_dead_delivery_is_found_mended_and_replayed_with_the_keyboard_alone(stage, open_context):
    receipt = die(stage, "company", "keys@example.com")
    context, faults = open_context(stage.url)
    page = context.new_page()

    page.goto("/")
    expect(page.get_by_label("Password")).to_be_focused()
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Enter")

    tab_to(page, page.get_by_role("search").get_by_role("searchbox"))
    page.keyboard.type("keys@example.com")
    page.keyboard.press("Enter")
    expect(page.locator("table.rows tbody tr:not(.divide)")).to_have_count(1)
    # The first stop leads past the bar to what the page is about.
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    press(page, page.locator("table.rows tbody tr:not(.divide)").get_by_role("link", name="k•••@e•••.com"))

    story = of_delivery(page, receipt["deliveries"][0])
    expect(story.locator("blockquote")).to_have_text("Template not found")
    # The whole of the body can be read, too: what scrolls takes the focus, and folds open.
    tab_to(page, page.get_by_role("region", name="Body"))
    press(page, page.locator("summary", has_text="Headers"))
    expect(page.get_by_text(SECRETS["SOURCE_WEBSITE_TOKEN"])).to_have_count(0)
    expect(page.get_by_text("content-type", exact=True)).to_be_visible()

    mend(stage, "company")
    page.reload()
    press(page, story.get_by_role("link", name="Replay with today's rules"))
    expect(page.locator("tr.differs")).to_contain_text("404")
    press(page, page.get_by_role("button", name="Replay with today's rules"), "Space")

    status = page.get_by_role("status")
    expect(status).to_contain_text("A new delivery was made: dlv_")
    replayed = status.inner_text().rpartition(" ")[2].rstrip(".")
    stage.wait([replayed], State.STARTED)
    page.reload()
    expect(of_delivery(page, replayed).get_by_role("heading", level=2)).to_contain_text("started")
    assert faults.found == []
    context.close()
