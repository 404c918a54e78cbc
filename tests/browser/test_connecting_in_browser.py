"""From a portal of which nothing but its name is written to a started workflow, by *Connect* alone."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass

import pytest
import requests
from playwright.sync_api import Page, expect

from relay.core.events import Delivery
from relay.core.lifecycle import State
from tests.browser.counting import count_in
from tests.browser.looks import faults_of, take
from tests.browser.stage import staged
from tests.support.folders import copy_config
from tests.support.frames import ORDER_RULE, PUBLIC_KEY, SEAL_KEY
from tests.support.waiting import until

SOON_MS = 30_000


def with_empty_line(folder):
    """A second portal, of which nothing but its name and plan is written; a rule starts workflows there."""
    copied = copy_config(folder)
    portals = copied / "portals.yaml"
    portals.write_text(f"{portals.read_text('utf-8').rstrip()}\n  acme: {{plan: standard}}\n", "utf-8")
    rule = ORDER_RULE.replace("portal: main", "portal: acme").replace("  watch:", "  # watch:")
    (copied / "rules" / "order.yaml").write_text(rule, "utf-8")
    return copied


@pytest.fixture(scope="module")
def stage(tmp_path_factory):
    with staged(tmp_path_factory.mktemp("connecting"), with_empty_line) as made:
        made.start_web(RELAY_SEAL_PUBLIC_KEY=PUBLIC_KEY, RELAY_PUBLIC_URL=made.url)
        made.start_workers(
            RELAY_SEAL_KEY=SEAL_KEY, RELAY_PUBLIC_URL=made.url, PORTAL_ACME_OAUTH_SERVER=f"{made.sandbox.url}/oauth"
        )
        yield made


@dataclass
class Connected:
    """What connecting took, and the page that says so."""

    taken: Counter[str]
    seconds: float
    page: Page
    started: Delivery


@pytest.fixture(scope="module")
def connected(stage, open_context, session):
    """The portal acme, connected by a person: from its empty line in the file to a started workflow."""
    taken = Counter()
    context, _ = open_context(stage.url, storage_state=session)
    count_in(context, taken)
    page = context.new_page()
    began = time.monotonic()
    page.goto("/portals")
    page.locator("#acme").get_by_role("link", name="Connect it").click()
    page.get_by_role("link", name="connect by an application").click()
    handler = page.locator("dd code").first.text_content()
    assert handler == f"{stage.url}/app/acme"

    # In Bitrix24: the form of a local application.
    order = {"handler": handler, "scopes": ["bizproc", "crm", "placement", "user_basic"], "title": "Relay"}
    keys = requests.post(f"{stage.sandbox.url}/sandbox/application", json=order, timeout=5).json()

    take(page, "connect")
    page.get_by_label("Application id").fill(keys["client_id"])
    page.get_by_role("button", name="Write it down").click()
    expect(page.locator("#came")).to_contain_text("Nothing has come yet.")
    kept = stage.processes.run("workers", "credential", "acme", given=f"{keys['client_secret']}\n")
    assert kept.returncode == 0, kept.stderr

    until(lambda: requests.get(handler, timeout=5).ok, "the file to be in force")  # a person takes longer to go there
    opened = context.new_page()
    opened.goto(f"{stage.sandbox.url}/sandbox/open?user=1")
    heading = opened.frame_locator("iframe").get_by_role("heading", level=1)
    expect(heading).to_have_text("The last day", timeout=SOON_MS)
    expect(page.locator("#came")).to_contain_text("Connected")
    receipt = stage.post({"form": "order", "id": 12, "number": 10418, "buyer": "Ada"})
    (started,) = stage.wait(receipt["deliveries"], State.STARTED)
    return Connected(taken, time.monotonic() - began, page, started)


def test_a_portal_is_connected_and_starts_workflows_without_a_restart(connected):
    print(f"\nConnect: {connected.seconds:.1f} s, {dict(connected.taken)}")  # noqa: T201 - a figure of the manual

    assert connected.started.workflow_id
    assert connected.taken["click"] <= 3
    assert connected.taken["field"] == 1
    take(connected.page, "connected")
    assert faults_of(connected.page) == []


@pytest.fixture
def open_in_portal(stage, connected, open_context):
    """Opens a page of the portal; the frame in it."""
    opened = []

    def at(query):
        context, _ = open_context(stage.sandbox.url)
        opened.append(context)
        page = context.new_page()
        page.goto(f"/sandbox/open?{query}")
        return page.frame_locator("iframe")

    yield at
    for context in opened:
        context.close()


def test_the_card_of_the_deal_has_a_tab_with_what_came_for_it(open_in_portal):
    frame = open_in_portal("placement=CRM_DEAL_DETAIL_TAB&id=12&user=1")

    expect(frame.get_by_role("heading", level=1)).to_have_text("1 thing came for this deal", timeout=SOON_MS)
    expect(frame.get_by_role("heading", level=3)).to_have_text("Order 10418 for A•••")


def test_a_user_who_may_not_read_the_deal_sees_nothing_of_it(stage, open_in_portal):
    settings = f"{stage.sandbox.url}/sandbox/settings"
    assert requests.post(settings, json={"crm_reads": "none"}, timeout=5).ok
    frame = open_in_portal("placement=CRM_DEAL_DETAIL_TAB&id=12&user=2")

    expect(frame.get_by_role("heading", level=1)).to_have_text("This cannot be shown", timeout=SOON_MS)
    expect(frame.locator("main")).to_contain_text("You may not read this document")
    expect(frame.locator("main")).not_to_contain_text("Order")
    assert requests.post(settings, json={"crm_reads": "all"}, timeout=5).ok


def test_a_user_who_is_no_administrator_sees_the_last_day_without_the_way_to_the_dashboard(open_in_portal):
    frame = open_in_portal("user=2")

    expect(frame.get_by_role("heading", level=1)).to_have_text("The last day", timeout=SOON_MS)
    expect(frame.get_by_role("link")).to_have_count(0)
    expect(open_in_portal("user=1").get_by_role("link", name="Open the dashboard")).to_be_visible(timeout=SOON_MS)
