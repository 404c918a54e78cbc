"""Whatever was stored, a page only shows it: no script of it runs, nothing is fetched, no line is turned around."""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import quote

import pytest
from playwright.sync_api import expect

from relay.core.ids import utc_now
from relay.core.lifecycle import EventState, State, Verdict
from relay.store.operators.audit_log import Act, log_act
from relay.store.portals.gate import Gate
from tests.browser.stage import staged
from tests.support.making import claim_one, make_attempt, make_call, make_delivery, make_entry, write
from tests.support.senders import dump

MARKUP = (
    "</title></pre></bdi></textarea></select></svg><script>report('script')</script><img src=x onerror=report('image')>"
    "<svg onload=report('svg')></svg><iframe srcdoc=\"<script>parent.report('frame')</script>\"></iframe>"
    "<a id=bait href=\"javascript:report('link')\">bait</a><style>@import '//evil.example/x.css';</style>"
    "<meta http-equiv=refresh content='0;url=//evil.example'><base href=//evil.example>"
    "<form id=bait><input autofocus onfocus=report('focus')></form>{{7*7}}${7*7}"
)
TURNED = "\u202eexe.tfel-ot-thgir\u2066\u202d\u200f"
LONG = "A" * 999_000
"""With what is around it, as long as a source takes."""
BODIES = {
    "markup": dump({"document": "lead", "id": 1, "note": MARKUP, MARKUP: MARKUP}),
    "markup for an e-mail": dump({"document": "lead", "id": 1, "email": MARKUP}),
    "turned": dump({"document": "lead", "id": 2, "note": f"before {TURNED} after", TURNED: TURNED}),
    "long": dump({"document": "lead", "id": 3, "note": LONG}),
    "long markup": ("<script>report('long')</script>" * 32_000).encode(),
    "no text": bytes(range(256)) * 100,
}
STRAY = """
() => {
  const marks = /[\\u202a-\\u202e\\u2066-\\u2069\\u200e\\u200f]/, found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const node = walker.currentNode;
    if (!marks.test(node.data)) continue;
    let around = node.parentElement;
    while (getComputedStyle(around).display === "inline" && !isApart(around)) around = around.parentElement;
    const isAlone = around.textContent.trim() === node.data.trim();
    if (!isApart(around) && !isAlone && !around.closest("textarea, option")) found.push(around.outerHTML.slice(0, 200));
  }
  return found;
  function isApart(element) { return getComputedStyle(element).display === "inline"
    && getComputedStyle(element).unicodeBidi.startsWith("isolate"); }
}
"""
"""Texts whose marks of direction could turn around what stands beside them: not apart from it, nor alone in a block."""


@pytest.fixture(scope="module")
def stage(tmp_path_factory):
    with staged(tmp_path_factory.mktemp("inert")) as made:
        made.start_web()
        yield made


@pytest.fixture(scope="module")
def look(stage, open_context, log_in):
    """Opens a page; gives it with what went wrong in it."""
    context, faults = open_context(stage.url, storage_state=log_in(stage.url))
    page = context.new_page()

    def at(path):
        faults.found.clear()
        page.goto(path)
        page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
        return page, faults

    return at


@pytest.fixture(scope="module")
def stored(stage):
    """Events with these bodies, and a delivery whose every text is of them."""
    now = utc_now()
    events = {}
    for name, body in BODIES.items():
        entry = make_entry([], state=EventState.REJECTED, at=now, body=body)
        write(stage.record, entry)
        events[name] = entry.event.id
    for name, text in {"markup of the portal": MARKUP, "turned by the portal": TURNED}.items():
        call = make_call(parameters={"Parameter1": text, text: [text], "Note": {text: text}})
        entry = make_entry([], state=EventState.ACCEPTED, at=now)
        delivery = make_delivery(entry.event.id, at=now, call=call)
        entry = replace(entry, event=replace(entry.event, deliveries=(delivery.id,)), deliveries=[delivery])
        write(stage.record, entry)
        claimed = claim_one(stage.record, delivery, now)
        attempt = replace(make_attempt(Verdict.REJECTED), code=text, description=text)
        stage.record.settle(claimed, State.DEAD, now, attempt=attempt, reason=text)
        log_act(stage.valkey.redis, Act(now, text, "reveal", text, text))
        Gate(stage.valkey.redis, "main").alert(text, now, what=text)
        events[name] = delivery.event_id
        events[f"delivery, {name}"] = delivery.id
    return events


NAMES = [*BODIES, "markup of the portal", "turned by the portal"]
PATHS = {
    **{f"one event: {name}": f"/events/{{{name}}}" for name in NAMES},
    **{f"tried: {name}": f"/rules/try?event={{{name}}}" for name in NAMES},
    **{f"replay of {name}": f"/events/{{{name}}}/replay" for name in BODIES},
    "events": "/events",
    "deliveries": "/deliveries",
    "bulk": "/bulk?state=dead",
    "replay": "/deliveries/{delivery, markup of the portal}/acts/replay",
    "replay, turned": "/deliveries/{delivery, turned by the portal}/acts/replay",
    "replay with today's rules": "/deliveries/{delivery, markup of the portal}/acts/replay-current",
    "log": "/log",
    "alerts": "/alerts",
    "front": "/",
    "needs": "/needs",
    "a search": f"/find?q={quote(MARKUP[:190])}",
    "a filter": f"/deliveries?code={quote(MARKUP[:190])}&rule={quote(MARKUP[:190])}&document_id={quote(TURNED)}",
    "an id": f"/events/{quote(MARKUP, safe='')}",
    "no page": f"/{quote(MARKUP, safe='')}",
    "a moment": f"/events?since={quote(MARKUP)}",
}


@pytest.mark.parametrize("name", PATHS)
def test_a_page_shows_what_was_stored_and_does_nothing_else(stored, look, name):
    page, faults = look(PATHS[name].format_map(stored))

    expect(page.get_by_role("heading", level=1)).to_be_visible()
    assert page.locator("#bait, main iframe, main style, main meta, main base").count() == 0
    assert page.evaluate(STRAY) == []
    assert faults.found == []


def test_what_was_stored_does_nothing_where_persons_values_are_revealed(stored, look):
    for name in NAMES:
        page, faults = look(f"/events/{stored[name]}")
        page.get_by_role("button", name="Reveal").click()
        expect(page.get_by_role("status")).to_contain_text("is shown")

        assert page.locator("#bait").count() == 0
        assert page.evaluate(STRAY) == []
        assert faults.found == []


def test_what_a_person_pastes_does_nothing_on_the_page(stored, look):
    page, faults = look("/rules/try")
    page.get_by_label("Body").fill(BODIES["markup"].decode())
    page.locator("form").filter(has_text="On a pasted body").get_by_role("button", name="Try").click()

    expect(page.get_by_role("heading", name="The result of the rules of")).to_be_visible()
    assert page.locator("#bait").count() == 0
    assert faults.found == []


def test_a_script_that_ran_would_be_caught(look):
    """Were something to run, or to be refused by the policy, these tests would hear of it."""
    page, faults = look("/log")

    with page.expect_console_message(lambda message: "Content Security Policy" in message.text):
        page.evaluate("document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=report(1)>')")
    page.evaluate("report('called')")
    page.evaluate("alert('opened')")

    assert any(fault.startswith("policy: script-src") for fault in faults.found)
    assert {"called", "dialog: opened"} <= set(faults.found)
