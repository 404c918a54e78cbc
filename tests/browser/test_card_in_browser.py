"""The card's tab in a frame of the portal: what came, in every look; and that nobody else frames it."""

from __future__ import annotations

from datetime import timedelta
from itertools import product

import pytest
import requests
from playwright.sync_api import expect

from relay.core.ids import utc_now
from relay.core.lifecycle import State
from relay.store import Store
from relay.store.portals.portal import PortalRecord
from tests.browser.looks import AXE, RUN, WIDER, take
from tests.browser.stage import staged
from tests.support.folders import copy_config
from tests.support.frames import APPLICATION, ORDER_RULE, PUBLIC_KEY, answer_opening, installed, with_application
from tests.support.making import claim_one

OPEN = "/sandbox/open?placement=CRM_DEAL_DETAIL_TAB&id=12&user=1"
WIDTHS = (700, 1100)


def with_order(folder):
    copied = with_application(copy_config(folder / "shipped"), folder)
    (copied / "rules" / "order.yaml").write_text(ORDER_RULE, "utf-8")
    return copied


@pytest.fixture(scope="module")
def stage(tmp_path_factory):
    with staged(tmp_path_factory.mktemp("cards"), with_order) as made:
        made.start_web(RELAY_SEAL_PUBLIC_KEY=PUBLIC_KEY, RELAY_PUBLIC_URL=made.url)
        yield made


@pytest.fixture(scope="module")
def applications(stage):
    return Store(stage.valkey.redis).applications


@pytest.fixture(scope="module")
def portal(stage):
    """The portal has the application, with its tab in the card of a deal; what came for the deal 12 is on record."""
    order = {"handler": f"{stage.url}/app/main", "client_id": APPLICATION, "title": "Relay"}
    assert requests.post(f"{stage.sandbox.url}/sandbox/application", json=order, timeout=5).ok
    frame = requests.post(f"{stage.sandbox.url}/sandbox/frame", json={"user": 1}, timeout=5).json()["fields"]
    place = {"PLACEMENT": "CRM_DEAL_DETAIL_TAB", "HANDLER": f"{stage.url}/app/main", "auth": frame["AUTH_ID"]}
    place["LANG_ALL"] = {"en": {"TITLE": "What came"}, "ru": {"TITLE": "Что пришло"}}
    answer = requests.post(f"{stage.sandbox.url}/rest/placement.bind", json=place, timeout=5)
    assert answer.ok, answer.text
    PortalRecord(stage.valkey.redis, "main").keep_template_names({2: "Deal: follow up"})
    fill(stage)
    return stage.sandbox.url


def fill(stage):
    """One of each: ended, running, late, uncertain, dead, tried again, waiting."""
    record, now = stage.record, utc_now()

    def came(number, state=None, ago=timedelta(), **how):
        receipt = stage.post({"form": "order", "id": 12, "number": number, "buyer": "Мария Петрова"})
        (delivery_id,) = receipt["deliveries"]
        if state:
            workflow = {"workflow_id": f"wf-{delivery_id}"[:32]} if state is State.STARTED else {}
            claimed = claim_one(record, record.delivery(delivery_id), now - ago)
            record.settle(claimed, state, now - ago, **(workflow | how))
        return record.delivery(delivery_id)

    ended = came(10411, State.STARTED)
    path = "/done/" + ended.watched.address.rpartition("/")[2]
    said = {"result": "approved", "said": "Called, wants an offer by Friday."}
    assert requests.get(stage.url + path, params=said, timeout=5).ok
    came(10412, State.STARTED)
    came(10413, State.STARTED, timedelta(hours=3))
    came(10414, State.UNCERTAIN, reason="timed_out")
    came(10415, State.DEAD, reason="budget_spent")
    came(10416, State.RETRYING, next_at=now + timedelta(minutes=4))
    came(10417)


def open_card(page, applications, url, **changes):
    """Open the card and let a worker answer; the frame, once it shows what came."""
    page.goto(url)
    frame = page.frame_locator("iframe")
    expect(frame.get_by_role("heading", level=1)).to_be_visible()
    answer_opening(applications, **changes)
    expect(frame.locator("footer")).to_be_visible()
    return frame


def is_elsewhere(fault, *origins):
    """Whether something went wrong, other than a request to one of these origins."""
    return not fault.startswith(tuple(f"request: {origin}/" for origin in origins))


@pytest.mark.parametrize("language", ["en", "ru"])
def test_the_tab_shows_what_came_and_axe_finds_nothing_in_any_look(stage, portal, applications, open_context, language):
    context, faults = open_context(portal, viewport={"width": 1100, "height": 1150})
    page = context.new_page()
    frame = open_card(page, applications, f"{OPEN}&lang={language}")

    expect(frame.get_by_role("heading", level=1)).to_contain_text("7")
    expect(frame.get_by_role("listitem")).to_have_count(7)
    inside = page.frames[1]
    inside.evaluate(AXE)
    found = []
    for scheme, width in product(("light", "dark"), WIDTHS):
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        page.set_viewport_size({"width": width, "height": 1150})
        found += inside.evaluate(RUN) + (["scrolls sideways"] if inside.evaluate(WIDER) else [])
        take(page, f"card-{language}-{scheme}-{width}")
    assert found == []
    # The sign of each thing stands left of its title, in the same line.
    sign, title = (frame.locator(f"li >> nth=0 >> {name}").first.bounding_box() for name in (".i", "h3"))
    assert sign["x"] + sign["width"] <= title["x"]
    assert abs(sign["y"] - title["y"]) < sign["height"]
    assert [one for one in faults.found if is_elsewhere(one, portal, stage.url)] == []
    assert context.cookies() == []  # no third-party cookie is needed
    context.close()


def test_an_open_tab_shows_by_itself_what_comes_next(stage, portal, applications, open_context):
    context, _ = open_context(portal)
    page = context.new_page()
    page.clock.install()
    page.goto(OPEN.replace("id=12", "id=14"))
    frame = page.frame_locator("iframe")
    expect(frame.get_by_role("heading", level=1)).to_be_visible()
    answer_opening(applications, document=("crm", "CCrmDocumentDeal", "DEAL_14"))
    page.clock.fast_forward(2_000)
    expect(frame.get_by_role("heading", level=1)).to_have_text("Nothing has come for this deal yet")

    stage.post({"form": "order", "id": 14, "number": 1, "buyer": "Ada"})
    page.clock.fast_forward(25_000)

    expect(frame.get_by_role("heading", level=1)).to_have_text("1 thing came for this deal")
    context.close()


def test_without_a_script_a_button_looks_again(portal, applications, open_context):
    context, _ = open_context(portal, java_script_enabled=False)
    page = context.new_page()
    page.goto(OPEN)
    page.get_by_role("button", name="What came").click()
    frame = page.frame_locator("iframe")
    expect(frame.get_by_role("heading", name="One moment")).to_be_visible()
    answer_opening(applications)

    frame.get_by_role("button", name="Look again").click()

    expect(frame.get_by_role("heading", level=1)).to_contain_text("things came for this deal")
    context.close()


def test_a_page_of_somebody_else_does_not_frame_a_card(stage, portal, applications, open_context):
    """With the portal connected, its host is on record, and what a browser names is nothing."""
    installation = installed(domain=portal.removeprefix("http://"), endpoint=f"{portal}/rest/")
    applications.bind("main", installation)
    frame = requests.post(f"{portal}/sandbox/frame", json={"user": 1}, timeout=5).json()
    context, _ = open_context(stage.url)
    inputs = "".join(f"<input name=\"{name}\" value='{value}'>" for name, value in frame["fields"].items())
    form = f'<form method="post" action="{frame["address"]}" target="f">{inputs}</form><iframe name="f"></iframe>'
    other = context.new_page()
    other.set_content(form)
    with other.expect_console_message(lambda message: "frame-ancestors" in message.text):
        other.evaluate("document.forms[0].submit()")

    expect(other.frame_locator("iframe").get_by_text("One moment")).to_have_count(0)
    context.close()
