"""From a portal of which nothing but its name is written to a started workflow, by *Connect* alone."""

from __future__ import annotations

import time
from collections import Counter

import pytest
import requests
from playwright.sync_api import expect

from relay.core.lifecycle import State
from tests.browser.counting import count_in
from tests.browser.looks import faults_of, take
from tests.browser.stage import staged
from tests.support.folders import copy_config
from tests.support.frames import ORDER_RULE, PUBLIC_KEY, SEAL_KEY
from tests.support.waiting import until


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


def test_a_portal_is_connected_and_starts_workflows_without_a_restart(stage, open_context, session):
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

    page.get_by_label("Application id").fill(keys["client_id"])
    page.get_by_role("button", name="Write it down").click()
    expect(page.locator("#came")).to_contain_text("Nothing has come yet.")
    kept = stage.processes.run("workers", "credential", "acme", given=f"{keys['client_secret']}\n")
    assert kept.returncode == 0, kept.stderr

    until(lambda: requests.get(handler, timeout=5).ok, "the file to be in force")  # a person takes longer to go there
    opened = context.new_page()
    opened.goto(f"{stage.sandbox.url}/sandbox/open?user=1")
    frame = opened.frame_locator("iframe")
    expect(frame.get_by_role("heading", level=1)).to_have_text("The last day", timeout=20_000)
    expect(page.locator("#came")).to_contain_text("Connected")
    receipt = stage.post({"form": "order", "id": 12, "number": 10418, "buyer": "Ada"})
    (started,) = stage.wait(receipt["deliveries"], State.STARTED)
    seconds = time.monotonic() - began
    print(f"\nConnect: {seconds:.1f} s, {dict(taken)}")  # noqa: T201 - a figure of the manual

    assert started.workflow_id
    assert taken["click"] <= 4
    assert faults_of(page) == []
    take(page, "connected")
    opened.goto(f"{stage.sandbox.url}/sandbox/open?placement=CRM_DEAL_DETAIL_TAB&id=12&user=1")
    expect(opened.frame_locator("iframe").get_by_role("heading", level=1)).to_have_text("1 thing came for this deal")
    context.close()
