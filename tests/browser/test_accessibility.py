"""What axe finds on the pages, in light and dark, on a desk and on a phone; and the pictures in the README."""

from __future__ import annotations

from datetime import timedelta

import pytest
from playwright.sync_api import expect

from relay.core.ids import to_ms, utc_now
from relay.core.lifecycle import EventState, State
from relay.store.portals.gate import Gate, GateState
from relay.store.redis import keys
from relay.web.dashboard.frame import PAGES
from tests.browser.looks import DESK, LOOKS, PHONE, faults_of, take
from tests.browser.stage import Stage, staged
from tests.support.making import bring_to, make_entry, write

PATHS = [path for page in PAGES if page.view != "login" for path in page.paths]
ERRORS = ["/events/evt_none", "/events?state=wrong"]


@pytest.fixture(scope="module")
def stage(tmp_path_factory):
    with staged(tmp_path_factory.mktemp("looks")) as made:
        made.change_rule("document-deal", "template_id: 2", "template_id: 404")
        made.start_web()
        made.start_workers()
        yield made


@pytest.fixture(scope="module")
def open_look(stage, open_context, log_in):
    """Opens a window in which an operator is logged in."""
    session = log_in(stage.url)
    return lambda **options: open_context(stage.url, storage_state=session, **options)


@pytest.fixture(scope="module")
def filled(stage):
    """What a quiet day leaves behind: most has started, one was refused by the portal, one is uncertain."""
    deals = stage.post({"document": "deal", "id": 12, "email": "ada@example.com", "phone": "+49 30 1234567"})
    leads = [stage.post({"document": "lead", "id": n, "email": f"{n}@example.com"}) for n in range(1, 8)]
    callback = stage.post({"form": "callback", "name": "Ada Lovelace", "phone": "8 999 123-45-67"})
    (stranger,) = stage.wait(callback["deliveries"], State.STARTED)
    (dead,) = stage.wait(deals["deliveries"], State.DEAD)
    started = stage.wait([one for receipt in leads for one in receipt["deliveries"]], State.STARTED)
    stage.change_rule("document-deal", "template_id: 404", "template_id: 2")
    stage.restart_web()
    rejected = stage.post({"document": "contact", "id": "none"})["event_id"]
    now = utc_now()
    gate = Gate(stage.valkey.redis, "main")
    gate.pause_by_person(now)  # no worker may take what is to be uncertain
    uncertain = bring_to(stage.record, State.UNCERTAIN, now - timedelta(minutes=3), claimed_at=utc_now())
    gate.resume(now)
    write(stage.record, make_entry([], state=EventState.IGNORED, source="github", at=now))
    write(stage.record, make_entry([], state=EventState.REFUSED, source="github", at=now - timedelta(days=3)))
    _tell_of_the_last_hour(stage)
    found = {"event": dead.event_id, "delivery": dead.id, "started": started[0].id, "uncertain": uncertain.id}
    return found | {"rejected": rejected, "stranger": stranger.event_id}


def _tell_of_the_last_hour(stage: Stage) -> None:
    """The counts of busy minutes before: charts know the server's own clock only."""
    minute = to_ms(utc_now()) // 60_000
    for ago in range(2, 60):
        events = 4 + (ago * 7) % 9 + (12 if 20 < ago < 30 else 0)
        dead, ignored = int(ago % 17 == 0), ago % 3
        counts = {
            "event:accepted": events,
            "event:ignored": ignored,
            "event:rejected": int(ago % 13 == 0),
            "delivery:started": events - dead,
            "delivery:dead": dead,
            "latency:ms": events * (400 + 90 * (ago % 5)),
            "latency:1000": events - dead,
        }
        stage.valkey.redis.hset(f"{keys.MINUTE}{minute - ago}", mapping=counts)


@pytest.mark.parametrize(
    ("name", "path", "look"),
    [
        ("front", "/", ("light", DESK)),
        ("event", "/events/{event}", ("light", DESK)),
        ("front-dark", "/", ("dark", DESK)),
        ("front-phone", "/", ("light", PHONE)),
    ],
    ids=["front", "event", "front-dark", "front-phone"],
)
def test_a_page_is_drawn_without_a_fault_in_every_look(filled, open_look, name, path, look):
    scheme, size = look
    context, faults = open_look(color_scheme=scheme, viewport=size)
    page = context.new_page()
    page.goto(path.format(**filled))

    expect(page.get_by_role("heading", level=1)).to_be_visible()
    if path == "/":
        expect(page.locator("#freshness")).to_have_text("Live.")
        expect(page.locator("#gauges")).to_contain_text("ago")
    take(page, name)
    assert faults.found == []
    context.close()


def test_on_a_phone_the_bars_leave_the_page_to_its_content(filled, open_look):
    context, _ = open_look(viewport={"width": 390, "height": 844})
    page = context.new_page()
    page.goto("/events")

    bars = [page.locator(one).bounding_box() for one in ("header.top", "nav.bottom")]
    assert page.locator("header.side").is_hidden()
    assert sum(bar["height"] for bar in bars) <= 0.15 * 844
    take(page, "events-phone")
    context.close()


def test_a_bar_that_is_pointed_at_or_has_the_focus_tells_its_figures_beside_the_chart(filled, open_look):
    context, faults = open_look()
    page = context.new_page()
    page.goto("/")
    chart = page.locator("figure").first
    for number, bring in ((0, "hover"), (1, "focus")):
        bar = chart.locator(".chart a").nth(number)
        getattr(bar, bring)(**({"force": True} if bring == "hover" else {}))
        expect(chart.locator(".told")).to_have_text(bar.locator("title").text_content() or "no title")
    assert faults.found == []
    context.close()


@pytest.fixture(scope="module")
def troubled(stage, filled, open_look):
    """The portal is paused, so that what waits stays waiting; and an operator has begun this and that."""
    gate = Gate(stage.valkey.redis, "main")
    gate.pause_by_person(utc_now())
    gate.alert("portal_held", utc_now(), reason="expired_token")
    assert gate.look().state is GateState.PAUSED
    bring_to(stage.record, State.RETRYING, utc_now() - timedelta(hours=1), claimed_at=utc_now())
    context, _ = open_look()
    page = context.new_page()
    page.goto("/bulk?state=dead")
    page.get_by_role("button", name="Do this to 1 delivery").click()
    page.wait_for_url("**/bulk/rpl_*")
    bulk = page.url.rpartition("/")[2]
    page.goto(f"/deliveries/{filled['started']}/acts/terminate")
    page.get_by_role("button", name="Terminate").click()
    page.wait_for_url("**/questions/*")
    question = page.url.rpartition("/")[2]
    context.close()
    return filled | {"bulk": bulk, "question": question}


@pytest.fixture(scope="module")
def window(open_look):
    """A page where an operator is logged in."""
    return open_look()[0].new_page()


@pytest.mark.parametrize("path", [*PATHS, "/events/{stranger}", *ERRORS])
def test_axe_finds_no_serious_fault_and_nothing_scrolls_sideways(troubled, window, path):
    window.goto(path.format(**troubled))

    assert faults_of(window) == []


@pytest.fixture(scope="module")
def russian_window(open_look):
    """The same, of somebody in Moscow whose browser asks for Russian."""
    return open_look(locale="ru-RU", timezone_id="Europe/Moscow")[0].new_page()


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/events",
        "/needs",
        "/events/{event}",
        "/portals",
        "/portals/main/pause",
        "/erase",
        "/sources",
        "/log",
    ],
)
def test_russian_words_fit_as_well_and_the_browser_has_told_its_zone(troubled, russian_window, path):
    russian_window.goto(path.format(**troubled))
    russian_window.reload()

    expect(russian_window.locator("header.side")).to_contain_text("Время: Europe/Moscow")
    assert faults_of(russian_window) == []


def test_axe_finds_no_serious_fault_on_the_login(stage, open_context):
    page = open_context(stage.url)[0].new_page()
    page.goto("/login")
    assert faults_of(page) == []

    page.get_by_label("Password").fill("wrong")
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("alert")).to_be_visible()
    assert faults_of(page) == []


def test_axe_and_the_ruler_find_a_fault_where_there_is_one(window):
    window.goto("/log")
    window.evaluate("""
      const main = document.querySelector("main");
      main.innerHTML += `<button></button><p>${"x".repeat(500)}</p>`;
      main.lastChild.style = "color: #888; background: #999";
    """)

    found = faults_of(window)

    assert sum("button-name" in fault for fault in found) == len(LOOKS)
    assert sum("color-contrast" in fault for fault in found) == len(LOOKS)
    assert sum("sideways" in fault for fault in found) == len(LOOKS)
