"""The dashboard: what it shows, that it shows it safely, and what machines ask."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from html.parser import HTMLParser

import pytest

from relay import __version__
from relay.core.ids import utc_now
from relay.core.lifecycle import EventState, State, Verdict
from relay.store.record.search import Filter, list_events
from relay.store.redis.keys import WAITING
from relay.web.dashboard.frame import PAGES
from tests.support.folders import SECRETS, WEB_SECRETS
from tests.support.making import NOON, bring_to, claim_one, make_attempt, make_entry, write, write_one
from tests.support.senders import dump, website

MARKUP = '<script>alert("x")</script><img src=x onerror=alert(1)>'
VOID = {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"}


class Page(HTMLParser):
    """What stands in a page: elements with their attributes, text, and whether every element is closed."""

    def __init__(self, text):
        super().__init__()
        self.elements = []
        self.open = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        # A title in a drawing is that of a bar.
        self.elements.append((f"{self.open[-1]} {tag}" if tag == "title" else tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data

    def of(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]

    def links(self):
        return [attributes["href"] for attributes in self.of("a")]


@pytest.fixture
def client(app):
    client = app.test_client()
    client.post(
        "/login", data={"password": WEB_SECRETS["RELAY_DASHBOARD_PASSWORD"]}, headers={"Origin": "http://localhost"}
    )
    return client


def page(client, path, status=200):
    answer = client.get(path, headers={"Accept": "text/html"})
    assert answer.status_code == status
    assert answer.content_type == "text/html; charset=utf-8"
    return Page(answer.text)


def rows_of(client, path="/events"):
    return re.findall(r'href="/events/(evt_\w+)[#"]', client.get(path).text)


@pytest.fixture
def filled(record):
    """One delivery in every state and one event of every kind."""
    deliveries = {state: bring_to(record, state, NOON + timedelta(seconds=n)) for n, state in enumerate(State)}
    for state in (EventState.IGNORED, EventState.REJECTED, EventState.REFUSED):
        write(record, make_entry([], state=state, source="github"))
    return deliveries


PATHS = [path for page in PAGES for path in page.paths]
ERRORS = ["/events/evt_none", "/nowhere", "/events?state=wrong"]
NO_PAGES = {"find", "delivery", "deliveries", "export_events", "export_deliveries", "export_numbers", "body_of_event"}
"""Views that answer a GET with a file, or lead to another page."""


@pytest.fixture
def ids(app, filled):
    """What stands in the paths of the table of pages."""
    services = app.extensions["services"]
    return {
        "event": filled[State.DEAD].event_id,
        "delivery": filled[State.DEAD].id,
        "uncertain": filled[State.UNCERTAIN].id,
        "rejected": list_events(services.record, Filter(state=EventState.REJECTED)).rows[0].event.id,
        "bulk": services.bulk.begin(Filter(state=State.DEAD), "original", "operator").id,
        "question": services.operator_acts.ask_templates("main").id,
    }


def test_every_page_is_in_the_table_of_pages(app):
    views = {
        rule.endpoint.removeprefix("dashboard.")
        for rule in app.url_map.iter_rules()
        if rule.endpoint.startswith("dashboard.") and "GET" in rule.methods
    }

    assert views - NO_PAGES == {page.view for page in PAGES}


@pytest.mark.parametrize("path", [path for path in PATHS if path != "/login"])
def test_every_path_in_the_table_of_pages_leads_to_its_page(app, client, ids, path):
    answer = client.get(path.format(**ids))

    assert answer.status_code == 200
    with app.test_request_context(path.format(**ids)) as context:
        assert context.request.endpoint in {f"dashboard.{page.view}" for page in PAGES if path in page.paths}


@pytest.mark.parametrize("path", [*PATHS, *ERRORS])
def test_every_page_is_whole_and_has_nothing_inline(app, client, ids, path):
    asking = app.test_client() if path == "/login" else client
    answer = asking.get(path.format(**ids), headers={"Accept": "text/html"})
    shown = Page(answer.text)

    assert shown.open == []
    assert shown.of("html")[0]["lang"] == "en"
    assert len(shown.of("main")) == len(shown.of("h1")) == 1
    assert len(shown.of("head title")) == 1
    assert shown.of("style") == []
    assert all("src" in attributes for attributes in shown.of("script"))
    for _, attributes in shown.elements:
        assert "style" not in attributes
        assert not [name for name in attributes if name.startswith("on")]
    for name in ("src", "href", "action"):
        for _, attributes in shown.elements:
            assert attributes.get(name, "/").startswith(("/", "#"))


@pytest.mark.parametrize("path", [*PATHS, *ERRORS])
def test_every_cell_of_a_table_has_the_heading_of_its_column_beside_it(client, ids, path):
    text = client.get(path.format(**ids), headers={"Accept": "text/html"}).text

    for table in text.split("<table")[1:]:
        if table.startswith(' class="data rows"'):
            continue  # on a phone, the list of events has cards that need no headings
        head, _, body = table.partition("</table>")[0].partition("</thead>")
        headings = re.findall(r'<th scope="col"[^>]*>([^<(]+?)(?: \([^<]*)?</th>', head)
        assert headings
        for row in body.split("<tr")[1:]:
            if row.startswith(' class="inside"'):  # of the row above, which is open
                continue
            assert re.findall(r'<(?:td|th scope="row")[^>]* data-label="([^"]*)">', row) == headings


@pytest.mark.parametrize("path", [*PATHS, *ERRORS, "/healthz", "/readyz", "/hooks/nobody"])
def test_every_answer_forbids_framing_inline_code_and_caching(client, ids, path):
    answer = client.get(path.format(**ids))

    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "base-uri 'none'" in policy
    assert "form-action 'self'" in policy
    assert "unsafe" not in policy
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Referrer-Policy"] == "same-origin"


def test_an_error_of_ours_tells_nothing_and_keeps_the_headers(app, client, monkeypatch):
    def fail(*_):
        raise RuntimeError("the-inner-reason")

    monkeypatch.setattr("relay.web.dashboard.lists.search_tab", fail)

    answer = client.get("/events", headers={"Accept": "text/html"})

    assert answer.status_code == 500
    assert "the-inner-reason" not in answer.text
    assert "an error of ours" in answer.text
    assert "Content-Security-Policy" in answer.headers


def test_an_empty_record_says_what_to_do(client):
    text = page(client, "/").text

    assert "Nothing here yet" in text
    assert "/hooks/<source>" in text


def test_the_list_shows_every_event_newest_first_with_its_outcome(client, filled):
    shown = page(client, "/events")

    assert len(rows_of(client)) == 9
    assert rows_of(client) == sorted(rows_of(client), reverse=True)
    assert "a-rule" in shown.text
    assert "Lead 1" in shown.text


@pytest.mark.parametrize("state", [State.PENDING, State.SENDING, State.RETRYING])
def test_a_legend_counts_what_is_on_its_way_and_leads_to_its_events(client, filled, state):
    shown = page(client, "/")
    entry = next(link for link in shown.links() if link == f"/events?state={state}")

    assert set(rows_of(client, entry)) == {filled[state].event_id}
    assert re.search(rf"{state}\s*1(?!\d)", shown.text)


@pytest.mark.parametrize(
    ("query", "count"),
    [("state=rejected", 1), ("source=github", 3), ("source=website", 6), ("state=refused&source=website", 0),
     ("state=started&source=website", 1), ("source=nobody", 0), ("state=", 9)],
)  # fmt: skip
def test_the_list_can_be_filtered(client, filled, query, count):
    assert len(rows_of(client, f"/events?{query}")) == count


def test_a_state_that_is_none_is_a_400(client):
    assert "no such state" in page(client, "/events?state=failed", 400).text


def test_older_events_are_a_page_further(client, record):
    for n in range(120):
        write(record, make_entry([], at=NOON + timedelta(seconds=n)))
    path, seen = "/events", []

    while path:
        seen += rows_of(client, path)
        following = [attributes["href"] for attributes in page(client, path).of("a") if attributes.get("rel") == "next"]
        path = following[0] if following else None

    assert len(seen) == len(set(seen)) == 120
    assert seen == sorted(seen, reverse=True)


def test_the_link_to_older_events_keeps_the_filters(client, record):
    for n in range(60):
        write(record, make_entry(["r"], at=NOON + timedelta(seconds=n)))

    shown = page(client, "/events?state=pending&source=website")

    (link,) = [attributes["href"] for attributes in shown.of("a") if attributes.get("rel") == "next"]
    assert len(rows_of(client, link)) == 10


def test_the_page_of_an_event_shows_the_whole_story(client, record):
    at = utc_now()
    entry = make_entry(["one"], at=at, body=b'{"lead":{"id":1}}', digest="d")
    write(record, entry)
    write(record, make_entry(["one"], digest="d"))
    sending = claim_one(record, entry.deliveries[0], at)
    record.settle(sending, State.RETRYING, at, attempt=make_attempt(Verdict.THROTTLED), reason="busy", next_at=at)

    text = page(client, f"/events/{entry.event.id}").text

    for word in (
        entry.event.id, sending.id, "one → main", "retrying", "throttled", "busy", "12 ms", "täxt",
        "Lead 1", "Parameter1", "user_1", "received again 1 time", '"lead": {', "x-kind", "a=1",
    ):  # fmt: skip
        assert word in text


def test_an_uncertain_delivery_is_explained(client, filled):
    text = page(client, f"/events/{filled[State.UNCERTAIN].event_id}").text

    assert "may have started" in text


def test_a_rejected_event_shows_its_errors_by_field(app, client):
    answer = client.post("/hooks/website", data=dump({"document": "deal", "id": "x"}), headers=website())
    shown = page(client, f"/events/{answer.get_json()['event_id']}")

    assert "values missing or wrong" in shown.text
    assert "No call was made from this event" in shown.text
    assert answer.get_json()["errors"]["id"][0] in shown.text


def test_a_delivery_and_the_search_lead_to_the_event(client, filled):
    delivery = filled[State.DEAD]
    event = f"/events/{delivery.event_id}"

    assert client.get(f"/deliveries/{delivery.id}").headers["Location"] == f"{event}#{delivery.id}"
    assert client.get(f"/find?q=%20{delivery.event_id.upper()}").headers["Location"] == event
    assert client.get(f"/find?q={delivery.id}").headers["Location"] == f"/deliveries/{delivery.id}"


@pytest.mark.parametrize(
    "path", ["/events/evt_none", "/deliveries/dlv_none", "/find", "/nowhere", "/events/../../etc/passwd"]
)
def test_what_is_not_there_is_a_page_that_says_so(client, path):
    assert "404" in page(client, path, 404).text


def test_a_machine_gets_its_404_as_a_problem(client):
    answer = client.get("/events/evt_none", headers={"Accept": "application/json"})

    assert (answer.status_code, answer.content_type) == (404, "application/problem+json")


@pytest.mark.parametrize("content_type", ["application/json", "application/x-www-form-urlencoded", "text/html"])
def test_markup_from_a_sender_is_shown_and_does_nothing(client, record, content_type):
    body = {
        "application/json": json.dumps({"document": "deal", "id": 1, "note": MARKUP}).encode(),
        "application/x-www-form-urlencoded": b"document=deal&id=1&note=%3Cscript%3Ealert(1)%3C/script%3E<script>",
        "text/html": MARKUP.encode(),
    }[content_type]
    headers = {**website(content_type), "X-Markup": MARKUP, "User-Agent": MARKUP}
    client.post(f"/hooks/website?q={MARKUP}", data=body, headers=headers)
    (event_id,) = set(rows_of(client))

    shown = page(client, f"/events/{event_id}")

    assert (foreign_scripts(shown), shown.of("img")) == ([], [])
    assert shown.open == []
    assert MARKUP in shown.text


def test_markup_from_a_portal_is_shown_and_does_nothing(client, record):
    sending = bring_to(record, State.SENDING)
    from_portal = make_attempt()
    object.__setattr__(from_portal, "description", MARKUP)
    record.settle(sending, State.DEAD, NOON, attempt=from_portal, reason=MARKUP)

    for path in ("/events", f"/events/{sending.event_id}"):
        shown = page(client, path)
        assert (foreign_scripts(shown), shown.of("img")) == ([], [])
        assert MARKUP in shown.text


@pytest.mark.parametrize("body", [b"\xff\x00\xfe", b"[" * 5000, b"1" * 10_000, "\u202etxt".encode(), b""])
def test_any_body_can_be_looked_at(client, record, body):
    entry = make_entry([], body=body)
    write(record, entry)

    page(client, f"/events/{entry.event.id}")


def test_the_alarm_is_on_the_first_page_when_the_ledger_does_not_balance(client, record, redis):
    write_one(record)
    assert "does not balance" not in page(client, "/").text

    redis.delete(WAITING + "main")

    assert "The ledger does not balance" in page(client, "/").text


def test_styles_may_be_kept_by_a_browser_and_pages_may_not(client):
    answer = client.get("/static/style.css")

    assert answer.status_code == 200
    assert "no-store" not in answer.headers.get("Cache-Control", "")
    answer.close()


def test_healthz_says_that_the_process_answers(app):
    answer = app.test_client().get("/healthz")

    assert (answer.status_code, answer.get_json()) == (200, {"status": "ok"})


def test_readyz_says_that_events_can_be_taken_and_by_which_rules(app):
    answer = app.test_client().get("/readyz").get_json()

    assert (answer["status"], answer["redis_writable"]) == ("ready", True)
    assert answer["rules"]
    assert answer["version"] == __version__


def test_a_page_shows_the_version_to_those_who_are_in(app, client):
    assert f"relay {__version__}" in client.get("/rules", headers={"Accept": "text/html"}).text
    assert __version__ not in app.test_client().get("/login", headers={"Accept": "text/html"}).text


@pytest.mark.parametrize("trouble", ["make_read_only", "make_full"])
def test_readyz_is_a_503_while_nothing_can_be_written(app, valkey, trouble):
    getattr(valkey, trouble)()

    answer = app.test_client().get("/readyz")

    assert (answer.status_code, answer.get_json()["status"]) == (503, "not_ready")


def test_while_the_record_is_away_pages_say_so_and_the_process_lives(make_app, own_valkey):
    client = make_app(own_valkey).test_client()
    client.post(
        "/login", data={"password": WEB_SECRETS["RELAY_DASHBOARD_PASSWORD"]}, headers={"Origin": "http://localhost"}
    )
    own_valkey.kill()

    assert "not available at the moment" in page(client, "/", 503).text
    assert client.get("/readyz").status_code == 503
    assert client.get("/healthz").status_code == 200


def test_the_page_of_sources_counts_what_was_almost_right(app, operator, viewer):
    assert "the token is right" not in operator.get("/sources?open=website").text
    token = SECRETS["SOURCE_WEBSITE_TOKEN"]
    for _ in range(3):
        app.test_client().post("/hooks/website", json={}, headers={"X-Relay-Token": f'"{token}"'})

    for client in (operator, viewer):
        text = client.get("/sources?open=website").text
        assert "3 refused: the token is right, but in quotes" in text
        assert token not in text


def foreign_scripts(shown):
    """Those that are not the dashboard's own."""
    return [one for one in shown.of("script") if not one.get("src", "").startswith("/static/")]
