"""The studio: an event of a source without a rule becomes a rule that has started its workflow, in a browser alone."""

from __future__ import annotations

import pytest
import requests
from playwright.sync_api import Locator, Page, expect

from relay.core.lifecycle import EventState, State
from tests.browser.looks import faults_of, take
from tests.browser.stage import staged
from tests.support.folders import copy_config
from tests.support.waiting import until

SOURCES = "\n  orders:\n    verify: {kind: none}\n\n  keys:\n    verify: {kind: none}\n"
ORDER = {
    "event": "order.created",
    "order": {"number": "A-17", "deal": {"id": 12}, "total": 99.5},
    "customer": {"name": "Ada Lovelace", "email": "ada@example.com", "phone": "+49 30 1234567"},
}
MOST_TABS = 60
MOST_CLICKS = 6
expect.set_options(timeout=15_000)


def with_sources(folder):
    config = copy_config(folder)
    sources = config / "sources.yaml"
    sources.write_text(sources.read_text("utf-8") + SOURCES, "utf-8")
    return config


@pytest.fixture(scope="module")
def stage(tmp_path_factory):
    with staged(tmp_path_factory.mktemp("studio"), with_sources) as made:
        made.start_workers()
        made.start_web()
        yield made


def send(stage, source, content):
    """Send an event that no rule wants; its id."""
    answer = requests.post(f"{stage.url}/hooks/{source}", json=content, timeout=10)
    assert answer.json()["state"] == EventState.IGNORED
    return answer.json()["event_id"]


def wait_for_start(stage, event_id):
    (delivery_id,) = until(lambda: stage.record.event(event_id).deliveries, f"a delivery of {event_id}")
    (delivery,) = stage.wait([delivery_id], State.STARTED)
    started = {workflow["id"]: workflow for workflow in stage.sandbox.portal.started()}
    return delivery, started[delivery.workflow_id]


def test_an_event_becomes_a_rule_that_has_started_its_workflow_with_the_mouse(stage, open_page):
    event_id = send(stage, "orders", ORDER)
    page, faults = open_page(f"/events/{event_id}")
    clicks = []

    def click(locator):
        clicks.append(locator)
        locator.click()

    click(page.get_by_role("link", name="Make a rule of it"))
    expect(page.get_by_label("Template")).to_be_visible()
    clicks.append("template")
    page.get_by_label("Template").select_option(label="Deal: follow up · 2")
    expect(page.locator("#slots")).to_contain_text("{email}")
    expect(page.locator("#mistakes")).to_contain_text("No mistakes.")
    click(page.get_by_role("radio", name="Note"))
    click(page.get_by_role("button", name="number A-17"))
    expect(page.locator("#slots")).to_contain_text("{order_number}")
    take(page, "studio")
    click(page.get_by_role("button", name="Activate"))
    replay = page.get_by_role("button", name="Replay 1")
    expect(replay).to_be_visible()
    take(page, "studio-active")
    click(replay)

    page.wait_for_url("**/bulk/rpl_*")
    delivery, _ = wait_for_start(stage, event_id)
    assert len(clicks) <= MOST_CLICKS
    assert (delivery.call.template_id, delivery.call.document_id[2]) == (2, "DEAL_12")
    assert dict(delivery.call.parameters) == {
        "Email": "ada@example.com",
        "Phone": "+49301234567",
        "Note": "A-17",
    }
    assert faults.found == []


def tab_to(page: Page, wanted: Locator) -> None:
    """Press Tab until this has the focus."""
    expect(wanted).to_be_attached()
    for _ in range(MOST_TABS):
        page.keyboard.press("Tab")
        if wanted.evaluate("element => element === document.activeElement"):
            return
    raise AssertionError(f"{MOST_TABS} times Tab did not lead to {wanted}")


def test_an_event_becomes_a_rule_that_has_started_its_workflow_with_the_keyboard_alone(stage, open_page):
    event_id = send(stage, "keys", ORDER)
    page, faults = open_page(f"/events/{event_id}")

    tab_to(page, page.get_by_role("link", name="Make a rule of it"))
    page.keyboard.press("Enter")
    expect(page.get_by_label("Template")).to_be_visible()
    tab_to(page, page.get_by_label("Template"))
    page.keyboard.type("Deal")
    page.keyboard.press("Enter")
    expect(page.locator("#slots")).to_contain_text("{email}")
    tab_to(page, page.locator("input[name=onto]:checked"))
    while not page.get_by_role("radio", name="Note").is_checked():
        page.keyboard.press("ArrowDown")
    tab_to(page, page.locator("#tree summary").first)
    number = page.get_by_role("button", name="number A-17")
    while not number.evaluate("element => element === document.activeElement"):
        page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(page.locator("#slots")).to_contain_text("{order_number}")
    tab_to(page, page.get_by_role("button", name="Activate"))
    page.keyboard.press("Enter")
    replay = page.get_by_role("button", name="Replay 1")
    expect(replay).to_be_visible()
    tab_to(page, replay)
    page.keyboard.press("Enter")

    delivery, _ = wait_for_start(stage, event_id)
    assert delivery.call.parameters["Note"] == "A-17"
    assert faults.found == []


def test_mistakes_are_marked_while_the_text_is_typed(stage, open_page):
    page, faults = open_page("/studio?rule=document-deal")
    text = page.get_by_role("textbox", name="The rule")
    before = text.input_value()
    expect(page.locator("#mistakes")).to_contain_text("No mistakes.")
    line = before.split("\n").index("  template_id: 2") + 1

    text.fill(before.replace("template_id: 2", "template_id: two"))

    expect(page.locator("#gutter .bad")).to_have_text(str(line))
    expect(page.locator("#mistakes")).to_contain_text(f"Line {line} start.template_id: found 'two'")
    text.fill(before + "    Another: {x\n")
    expect(page.locator("#mistakes")).to_contain_text("not valid YAML")
    expect(page.get_by_role("radio", name="Email")).to_be_visible()
    text.fill(before)
    expect(page.locator("#gutter .bad")).to_have_count(0)
    assert text.input_value() == before
    assert faults.found == []


def test_a_change_is_tried_activated_and_undone(stage, open_page):
    receipt = stage.post({"document": "company", "id": 7})
    page, faults = open_page("/studio?rule=document-company")
    text = page.get_by_role("textbox", name="The rule")
    before = text.input_value()
    text.fill(before.replace("template_id: 4", "template_id: 3"))

    page.get_by_role("button", name="Try on stored events").click()

    expect(page.locator("#preview, #said > p").first).to_be_visible()
    expect(page.locator("#said")).to_be_empty()
    expect(page.locator("#preview")).to_contain_text("1 call changes")
    expect(page.locator("#preview").get_by_role("link", name=receipt["event_id"])).to_be_visible()
    take(page, "studio-trial")
    assert faults_of(page) == []
    page.get_by_role("button", name="Activate").click()
    expect(page.locator(".diff .added")).to_have_text("+   template_id: 3\n")
    assert faults_of(page) == []
    page.get_by_role("button", name="Undo").click()
    expect(page.get_by_role("status").first).to_contain_text("is again what it was before")
    assert stage.rule_file("document-company").read_text("utf-8") == before
    page.goto("/rules/changes?rule=document-company")
    expect(page.locator("table.data tbody tr")).to_have_count(2)
    assert faults_of(page) == []
    assert faults.found == []


@pytest.mark.parametrize("javascript", [True, False], ids=["with JavaScript", "without"])
def test_the_studio_is_drawn_without_a_fault(stage, open_page, javascript):
    event_id = send(stage, "orders", {"a long name " * 8: "x" * 500, "customer": {"email": "ada@example.com"}})
    page, faults = open_page(f"/studio?event_id={event_id}", javascript=javascript)
    if javascript:
        expect(page.get_by_label("Template")).to_be_visible()
        assert faults_of(page) == []
    page.set_viewport_size({"width": 390, "height": 844})
    take(page, f"studio-phone-{javascript}")
    assert faults.found == []
