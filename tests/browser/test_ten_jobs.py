"""The ten jobs of whoever looks after the relay: each is done in a browser alone, and takes no more clicks than here.

A click is a press of the mouse, a chosen option, or Enter in a form; each begins at the first page. `-s` shows a table
of what was counted. What becomes of it behind the page is proven elsewhere: no worker runs here.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
import requests
from playwright.sync_api import Page, expect

from relay.core.ids import utc_now
from relay.core.printing import say
from relay.core.templates import PortalTemplate, TemplateParameter
from relay.store import Store
from relay.store.portals.gate import Gate
from relay.store.portals.questions import Asked
from tests.browser.bad_day import (
    AS_TYPED,
    EMAIL,
    REJECTED,
    UNCERTAIN,
    fill_with_a_bad_day,
    with_new_source,
)
from tests.browser.counting import count_in
from tests.browser.stage import Stage, staged
from tests.support.making import DAY
from tests.support.waiting import until

TEMPLATE = PortalTemplate(
    2,
    "Deal: follow up",
    ("crm", "CCrmDocumentDeal", "DEAL"),
    (TemplateParameter("Email", "E-mail", "string", is_required=False, is_multiple=False),),
)
PATIENCE_MS = 60_000
"""It is the clicks that are counted: a machine that is busy may take its time."""
expect.set_options(timeout=15_000)


@dataclass(frozen=True)
class Job:
    """One job. clicks, fields: the most that it may take, of presses and of fields that are typed into."""

    name: str
    clicks: int
    fields: int
    do: Callable[[Page, Stage], None] = field(repr=False)


JOBS: list[Job] = []


def job(name: str, *, clicks: int, fields: int = 0) -> Callable[[Callable[[Page, Stage], None]], None]:
    """Put a way to do a job into the table."""
    return lambda do: JOBS.append(Job(name, clicks, fields, do))


@pytest.fixture(scope="module")
def stage(tmp_path_factory):
    with staged(tmp_path_factory.mktemp("jobs"), with_new_source) as made:
        made.change_rule("document-lead", "min: 1}", "min: 1, max: 10}")
        made.start_web()
        fill_with_a_bad_day(made)
        yield made


@pytest.fixture(scope="module")
def entered(stage, log_in):
    return log_in(stage.url)


@pytest.fixture(scope="module")
def counts():
    """What each job took; the table of it, at the end."""
    taken: dict[str, Counter[str]] = {}
    yield taken
    say("\n\n| job | clicks | fields typed | pages |\n|---|---|---|---|")
    for name, one in taken.items():
        say(f"| {name} | {one['click']} | {one['field']} | {one['page']} |")


def to_page(page, name):
    pages = page.get_by_role("navigation", name="Pages", exact=True)
    pages.get_by_role("link", name=name, exact=True).click()
    expect(pages.locator("[aria-current=page]")).to_have_text(name)


def portal(page):
    return page.locator("section[id=main]")


def find(page, stage, words):
    search = page.get_by_role("search")
    search.get_by_role("searchbox").fill(words)
    search.get_by_role("button", name="Find").click()
    rows = page.locator("table.rows tbody tr:not(.divide)")
    expect(rows).to_have_count(1)
    rows.first.get_by_role("link").first.click()
    page.wait_for_url(f"**/events/{stage.hers}*")
    expect(page.get_by_role("heading", level=1)).to_be_visible()


@job("find a person's event by e-mail", clicks=2, fields=1)
def _(page, stage):
    find(page, stage, EMAIL.upper())


@job("find a person's event by number as typed", clicks=2, fields=1)
def _(page, stage):
    find(page, stage, AS_TYPED)


@job("portal down, 1,000 waiting: see it, what follows, act", clicks=3)
def _(page, stage):
    needs = page.locator("#needs")
    expect(needs).to_contain_text("held")
    needs.get_by_role("link", name=re.compile("Portal main is held")).first.click()
    expect(portal(page)).to_contain_text("The inbound webhook was deleted, or its secret is wrong.")
    waiting = portal(page).get_by_role("link", name=re.compile(r"^1,?0\d\d$"))
    expect(waiting).to_be_visible()
    portal(page).get_by_role("link", name=re.compile("Resume")).click()
    page.get_by_role("button", name="Resume").click()
    expect(portal(page).get_by_role("heading", level=2)).to_contain_text("open")
    assert Gate(stage.valkey.redis, "main").look().is_open


@job("mend a rule and replay its 60 rejected", clicks=4, fields=1)
def _(page, stage):
    to_page(page, "Rules")
    page.get_by_role("link", name="document-lead", exact=True).click()
    text = page.get_by_role("textbox", name="The rule")
    text.fill(text.input_value().replace("min: 1, max: 10}", "min: 1}"))
    page.get_by_role("button", name="Activate").click()
    page.get_by_role("button", name=re.compile("^Replay")).first.click()
    page.wait_for_url("**/bulk/rpl_*")
    bulk = Store(stage.valkey.redis).operators.bulk_replays.read(page.url.rpartition("/")[2])
    assert bulk.found == REJECTED


@job("a new rule for a new source", clicks=6)
def _(page, stage):
    questions = Store(stage.valkey.redis).questions
    to_page(page, "Sources")
    page.locator("#orders").get_by_role("link", name="The last request of orders").click()
    page.get_by_role("link", name="Make a rule of it").click()
    asked = until(lambda: questions.latest("main", Asked.TEMPLATES), "the question that a page asks by itself")
    questions.answer(asked.id, done=True, answer=json.dumps([TEMPLATE.to_wire()]))
    page.get_by_label("Template").select_option(label="Deal: follow up · 2")
    expect(page.locator("#slots")).to_contain_text("{email}")
    expect(page.locator("#mistakes")).to_contain_text("No mistakes.")
    page.get_by_role("button", name="Activate").click()
    page.get_by_role("button", name="Replay 1").click()
    page.wait_for_url("**/bulk/rpl_*")


@job("decide ten uncertain ones", clicks=4, fields=1)
def _(page, stage):
    page.locator("#needs").get_by_role("link", name=re.compile("Settle these")).click()
    page.get_by_role("link", name=re.compile("Settle these")).click()
    page.get_by_role("radio", name=re.compile("They have started")).check()
    page.get_by_label("Note").fill("seen on the portal")
    page.get_by_role("button", name="Do this to 10").click()
    expect(page.get_by_text(f"{UNCERTAIN} of {UNCERTAIN} deliveries have started.")).to_be_visible()
    assert stage.record.unresolved_uncertain() == 0


@job("pause a portal for eight hours", clicks=3)
def _(page, stage):
    pause(page)
    page.get_by_role("button", name="For 8 hours").click()
    expect_paused(page, stage)


@job("pause a portal until a time", clicks=3, fields=1)
def _(page, stage):
    pause(page)
    page.get_by_label(re.compile("until")).fill(f"{utc_now() + DAY:%d.%m.%Y %H:%M}")
    page.get_by_role("button", name="Pause until then").click()
    expect_paused(page, stage)


def pause(page):
    to_page(page, "Portals")
    portal(page).get_by_role("link", name=re.compile("Pause")).click()


def expect_paused(page, stage):
    expect(portal(page)).to_contain_text("paused by a person")
    assert Gate(stage.valkey.redis, "main").look().until > utc_now()
    Gate(stage.valkey.redis, "main").resume(utc_now())


@job("erase a person of whom something still waits", clicks=5, fields=1)
def _(page, stage):
    to_page(page, "Log")
    page.get_by_role("link", name=re.compile("Erase a person")).click()
    page.get_by_label("E-mail, number or name").fill(EMAIL)
    page.get_by_role("button", name="Look for it").click()
    page.get_by_label(re.compile("Give up 1")).check()
    page.get_by_role("button", name="Erase all of it").click()
    expect(page.get_by_role("status").first).to_contain_text("found nowhere")
    assert stage.record.events([stage.hers]) == []


@job("yesterday's numbers of one portal", clicks=3)
def _(page, _stage):
    to_page(page, "Numbers")
    page.get_by_role("link", name="portal", exact=True).click()
    page.get_by_role("link", name="Day before").click()
    expect(page.locator("input[name=day]")).to_have_value(f"{utc_now() - DAY:%Y-%m-%d}")
    expect(page.locator("table.numbers").first.locator("tbody tr")).to_contain_text("main")


@job("change the secret of a sender: where it is, and how", clicks=2)
def _(page, _stage):
    to_page(page, "Sources")
    page.locator("#website").get_by_role("link", name="website", exact=True).click()
    source = page.get_by_role("region", name="website")
    expect(source.get_by_text("SOURCE_WEBSITE_TOKEN", exact=True)).to_be_visible()
    expect(source.get_by_role("link", name="Change the secret")).to_be_visible()


@job("a new source by its profile, until its first request is accepted", clicks=6, fields=1)
def _(page, stage):
    to_page(page, "Sources")
    page.get_by_role("link", name="Add a source").click()
    page.get_by_label("Who sends?").fill("tilda")
    page.get_by_label("Who sends?").press("Enter")
    page.get_by_role("link", name="Tilda forms and shop").click()
    page.get_by_role("button", name="Add the source tilda").click()
    secret = page.locator("p.command code").inner_text()
    page.get_by_role("link", name="Wait for the first request").click()
    expect(page.get_by_role("region", name="tilda")).to_contain_text("It waits for the first request")
    headers = {"X-Relay-Token": secret}
    answer = requests.post(f"{stage.url}/hooks/tilda", json={"Name": "Ada"}, headers=headers, timeout=10)
    assert answer.status_code == 200
    expect(page.get_by_role("region", name="tilda")).to_contain_text("Its requests are accepted.")


@job("change the credential of a portal, and see that it is right", clicks=3)
def _(page, _stage):
    to_page(page, "Portals")
    portal(page).get_by_role("link", name="Change the credential").click()
    expect(page.get_by_text("python -m workers credential main", exact=True)).to_be_visible()
    page.get_by_role("button", name="Ping main").click()
    page.wait_for_url("**/portals/main/connect?asked=ask_*")


@job("send a test alert", clicks=2)
def _(page, _stage):
    to_page(page, "Alerts")
    page.get_by_role("button", name="Send a test to on-call").click()
    expect(page.locator("#channels")).to_contain_text("a test is on its way")


@pytest.mark.parametrize("one", JOBS, ids=lambda one: one.name)
def test_the_job_is_done_in_a_browser_with_so_few_clicks(stage, open_context, entered, counts, one):
    context, faults = open_context(stage.url, storage_state=entered)
    taken = counts.setdefault(one.name, Counter())
    count_in(context, taken)
    context.set_default_timeout(PATIENCE_MS)
    page = context.new_page()
    page.goto("/")
    taken.clear()

    one.do(page, stage)

    context.close()
    assert faults.found == []
    assert taken["click"] <= one.clicks
    assert taken["field"] <= one.fields
