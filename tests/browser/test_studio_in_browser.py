"""The studio: an event of a source without a rule becomes a rule that has started its workflow, in a browser alone."""

from __future__ import annotations

import re

import pytest
import requests
from playwright.sync_api import Locator, Page, expect

from relay.core.lifecycle import EventState, State
from tests.browser.looks import DESK, WIDER, faults_of, take
from tests.browser.stage import PASSWORD, staged
from tests.support.folders import copy_config
from tests.support.waiting import until

SOURCES = "\n  orders:\n    verify: {kind: none}\n\n  keys:\n    verify: {kind: none}\n"
ORDER = {
    "event": "order.created",
    "order": {"number": "A-17", "deal": {"id": 12}, "total": 99.5},
    "customer": {"name": "Ada Lovelace", "email": "ada@example.com", "phone": "+49 30 1234567"},
}
STRANGER = {"event": "call.me", "name": "Ada Lovelace", "email": "ada@example.com", "phone": "+49 30 1234567"}
MOST_TABS = 60
MOST_CLICKS = 6
MOST_CLICKS_WITH_A_CONTACT = 8
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
    click(page.get_by_role("button", name="Activate", exact=True))
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


def test_an_event_without_a_rule_has_started_its_workflow_with_the_contact_found_or_made_first(stage, open_page):
    event_id = send(stage, "orders", STRANGER)
    page, faults = open_page(f"/events/{event_id}")
    clicks = []

    def click(locator):
        clicks.append(locator)
        locator.click()

    click(page.get_by_role("link", name="Make a rule of it"))
    expect(page.get_by_label("Template")).to_be_visible()
    expect(page.locator(".mistakes, #gutter .bad")).to_have_count(0)
    clicks.append("template")
    page.get_by_label("Template").select_option(label="Deal: follow up · 2")
    expect(page.locator("#slots")).to_contain_text("{email}")
    click(page.get_by_role("button", name="Find the contact, or make it"))
    expect(page.locator("#text")).to_have_value(re.compile("unless: client"))
    click(page.get_by_role("button", name="Make a new deal"))
    expect(page.locator("#mistakes")).to_contain_text("No mistakes.")
    take(page, "studio-contact")
    click(page.get_by_role("button", name="Activate", exact=True))
    click(page.get_by_role("button", name="Replay 1"))

    page.wait_for_url("**/bulk/rpl_*")
    delivery, _ = wait_for_start(stage, event_id)
    assert len(clicks) <= MOST_CLICKS_WITH_A_CONTACT
    assert delivery.call.template_id == 2
    assert [step.name for step in delivery.plan.steps] == ["client", "contact", "deal"]
    assert faults.found == []


def back_to_the_desk(page):
    """After `faults_of`, which leaves a page on a phone with all menus open, and these lie over buttons."""
    page.set_viewport_size(DESK)
    page.evaluate("document.querySelectorAll('details.menu').forEach((one) => { one.open = false; })")


def written(page):
    return page.get_by_role("textbox", name="The rule")


def expect_kept(page):
    expect(page.locator("#standing")).to_contain_text("Kept at")


def test_a_reload_in_mid_edit_loses_nothing(stage, open_page):
    page, faults = open_page("/studio?rule=document-quote")
    text = written(page).input_value() + "# half a li"
    page.evaluate("() => { window.fetch = () => new Promise(() => {}); }")  # the server hears of nothing that is typed
    written(page).fill(text)

    page.reload()

    expect(written(page)).to_have_value(text)
    expect_kept(page)
    page.reload()
    expect(written(page)).to_have_value(text)
    assert faults.found == []


def test_a_session_that_ends_in_mid_edit_loses_nothing(stage, open_context, log_in):
    context, faults = open_context(stage.url, storage_state=log_in(stage.url))
    page = context.new_page()
    page.goto("/studio?rule=document-list")
    text = written(page).input_value() + "# half a line\n"
    context.clear_cookies(name="relay_session")
    written(page).fill(text)
    expect(page.locator("#said")).to_contain_text("Your session has ended, and nothing that you wrote is lost.")

    with page.expect_popup() as opened:
        page.get_by_role("link", name="Log in in another window").click()
    login = opened.value
    login.get_by_label("Password").fill(PASSWORD)
    login.get_by_role("button", name="Log in").click()
    login.wait_for_url("**/")
    written(page).fill(text + "# and more\n")

    expect_kept(page)
    page.reload()
    expect(written(page)).to_have_value(text + "# and more\n")
    context.close()
    assert faults.found == []


def test_two_tabs_in_mid_edit_show_their_difference_and_one_of_them_is_taken(stage, open_page):
    one, faults = open_page("/studio?rule=document-feed")
    other = one.context.new_page()
    other.goto("/studio?rule=document-feed")
    before = written(one).input_value()
    written(one).fill(before + "# one\n")
    expect_kept(one)

    written(other).fill(before + "# other\n")

    conflict = other.locator("#conflict")
    expect(conflict.locator(".taken")).to_have_text("- # one\n")
    expect(conflict.locator(".added")).to_have_text("+ # other\n")
    assert faults_of(other) == []
    back_to_the_desk(other)
    take(other, "studio-conflict")
    conflict.get_by_role("button", name="Take theirs").click()
    expect(written(other)).to_have_value(before + "# one\n")
    other.get_by_role("button", name="Undo").click()
    expect(written(other)).to_have_value(before + "# other\n")
    expect(conflict).to_have_count(0)
    assert faults.found == []


def test_a_need_opens_the_studio_on_the_value_that_failed_and_two_presses_mend_it(stage, open_page):
    event_id = stage.post({"form": "callback", "name": "Ada", "contact": {"phone": "8 999 123-45-67"}})["event_id"]
    page, faults = open_page(f"/studio?rule=callback&event_id={event_id}")
    expect(page.get_by_role("radio", name="phone", exact=False).first).to_be_checked()
    take(page, "studio-need")

    page.locator("#slots").get_by_role("button", name="phone 8").click()

    expect(page.locator("#text")).to_have_value(re.compile(r"from: \[body.phone, body.contact.phone\]"))
    page.get_by_role("button", name="Activate", exact=True).click()
    page.get_by_role("button", name=re.compile("^Replay")).click()
    wait_for_start(stage, event_id)
    assert faults.found == []


def test_a_rule_is_disabled_and_deleted_from_the_list_and_each_is_undone_by_a_press(stage, open_page):
    page, faults = open_page("/rules")
    file = stage.rule_file("document-invoice")
    before = file.read_text("utf-8")
    for act, says in (("Disable", "document-invoice: disabled"), ("Delete", "document-invoice: deleted")):
        page.goto("/rules")
        page.get_by_label("More for the rule document-invoice").click()
        page.get_by_role("button", name=act).click()
        expect(page.get_by_role("heading", level=1)).to_have_text(says)
        page.get_by_role("button", name="Undo").click()
        expect(page.get_by_role("status").first).to_contain_text("is again what it was before")
        assert file.read_text("utf-8") == before
    assert faults.found == []


def test_long_lines_scroll_and_the_text_is_coloured(stage, open_page):
    page, faults = open_page("/studio?rule=document-company")
    expect(page.locator("#coloured .k").first).to_have_text("name")
    expect(page.locator("#coloured .v").first).to_be_visible()
    written(page).fill(written(page).input_value() + f"# {'long ' * 100}")
    expect(page.locator("#coloured")).to_contain_text("long long")

    written(page).evaluate("area => { area.scrollLeft = 500; }")

    expect(page.locator("#coloured")).to_have_js_property("scrollLeft", 500)
    assert not page.evaluate(WIDER)
    page.get_by_label("More for this rule").click()
    page.get_by_role("button", name="Throw the draft away").click()
    expect(page.locator("#coloured")).not_to_contain_text("long long")
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
    tab_to(page, page.get_by_role("button", name="Activate", exact=True))
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
    expect(page.locator("input[value='parameter:Email']")).to_be_visible()
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
    expect(page.locator("#preview").get_by_role("link", name=receipt["event_id"]).first).to_be_visible()
    take(page, "studio-trial")
    assert faults_of(page) == []
    back_to_the_desk(page)
    page.get_by_role("button", name="Activate").click()
    expect(page.locator(".diff .added")).to_have_text("+   template_id: 3\n")
    assert faults_of(page) == []
    back_to_the_desk(page)
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
