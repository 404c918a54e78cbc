"""Lists, rules, sources: every filter, one search, a constant number of questions to the server, inert markup."""

from __future__ import annotations

import json
import re
from datetime import timedelta

import pytest
from redis.connection import AbstractConnection

from relay.core.errors import Mistake
from relay.core.faults import fault
from relay.core.ids import utc_now
from relay.core.lifecycle import EventState, State
from relay.core.templates import Drift, DriftKind
from relay.store import Store
from relay.store.portals.portal import PortalRecord
from tests.support.making import NOON, bring_to, make_entry, write
from tests.support.pages import Page
from tests.support.senders import SEED, dump, website

SAME = {"Origin": "http://localhost", "Accept": "text/html"}
RIGHT_TO_LEFT = "\u202egnp.exe\u202c"


def show(client, path, status=200):
    answer = client.get(path, headers=SAME)
    assert answer.status_code == status, answer.text
    return answer.text


def shown(client, path):
    return set(re.findall(r'href="/events/(evt_\w+)[#"]', show(client, path)))


@pytest.fixture
def filled(record):
    return {state: bring_to(record, state, NOON + timedelta(minutes=n)) for n, state in enumerate(State)}


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ("state=dead", 1),
        ("source=website", 6),
        ("source=github", 0),
        ("rule=a-rule", 6),
        ("rule=other", 0),
        ("portal=main", 6),
        ("code=BECAUSE", 4),
        ("template_id=1", 6),
        ("document_id=LEAD_1", 6),
        ("document_id=crm,CCrmDocumentLead,LEAD_1", 6),
        ("since=2026-06-01T12:02", 4),
        ("until=2026-06-01T12:02&since=2026-06-01T12:01", 1),
        ("state=dead&code=because&template_id=1&portal=main&rule=a-rule", 1),
        ("q=LEAD_1", 6),
        ("q=nothing-like-it", 0),
        ("state=&source=&rule=&q=&since=", 6),
    ],
)
def test_a_filter_is_an_address(operator, filled, query, count):
    assert len(shown(operator, f"/events?{query}")) == count


def test_an_address_of_the_former_list_of_deliveries_leads_to_their_events(operator, filled):
    answer = operator.get("/deliveries?state=dead&rule=a-rule&q=LEAD_1&_external=1&_scheme=javascript", headers=SAME)

    assert answer.headers["Location"].startswith("/events?state=dead&rule=a-rule&q=LEAD_1")
    assert shown(operator, answer.headers["Location"]) == {filled[State.DEAD].event_id}


def test_each_tab_holds_what_it_says_and_how_much(operator, record, filled):
    rejected = make_entry([], state=EventState.REJECTED, at=NOON)
    ignored = make_entry([], state=EventState.IGNORED, at=NOON)
    refused = make_entry([], state=EventState.REFUSED, at=NOON)
    for entry in (rejected, ignored, refused):
        write(record, entry)
    looked_into = bring_to(record, State.UNCERTAIN, NOON)
    record.settle(looked_into, State.UNCERTAIN, NOON, looks=1, next_at=NOON + timedelta(days=900))
    of = {state: {delivery.event_id} for state, delivery in filled.items()}
    waiting = of[State.PENDING] | of[State.SENDING] | of[State.RETRYING]
    expected = {
        "Wait for a person": of[State.DEAD] | of[State.UNCERTAIN] | {rejected.event.id},
        "Waiting": waiting | {looked_into.event_id},
        "Started": of[State.STARTED],
        "Ignored": {ignored.event.id},
        "Refused": {refused.event.id},
    }

    page = Page(show(operator, "/events"))
    tabs = {" ".join("".join(tab.itertext()).split()): tab.attrib["href"] for tab in page.at(".//nav[@class='tabs']")}

    assert list(tabs) == ["All", *(f"{name} {len(ids)}" for name, ids in expected.items())]
    found = [shown(operator, href) for href in tabs.values()]
    assert found[1:] == list(expected.values())
    assert found[0] == set.union(*found[1:])


@pytest.mark.parametrize("tab", ["person", "waiting"])
def test_a_tab_of_several_states_goes_on_where_its_page_has_ended(operator, record, tab):
    kinds = {"person": [State.DEAD, State.UNCERTAIN, None], "waiting": [State.PENDING, State.RETRYING]}[tab]
    made = []
    for n in range(72):
        at, kind = NOON + timedelta(seconds=n), kinds[n % len(kinds)]
        if kind is None:
            entry = make_entry([], state=EventState.REJECTED, at=at)
            write(record, entry)
            made.append(entry.event.id)
        else:
            made.append(bring_to(record, kind, at).event_id)
    path, seen = f"/events?tab={tab}&source=website", []

    while path:
        text = show(operator, path)
        seen += re.findall(r'href="/events/(evt_\w+)[#"]', text)
        following = re.search(r'rel="next" href="([^"]+)"', text)
        path = following[1].replace("&amp;", "&") if following else None

    assert seen == made[::-1]


def test_days_are_dividers_and_a_row_has_the_hour_alone(operator, record):
    now = utc_now()
    for days in (0, 1, 3):
        write(record, make_entry([], state=EventState.IGNORED, at=now - timedelta(days=days)))

    page = Page(show(operator, "/events"))

    today, yesterday, earlier = (one.text for one in page.root.findall(".//tr[@class='divide']/th"))
    assert [one.partition(",")[0] for one in (today, yesterday)] == ["Today", "Yesterday"]
    assert re.fullmatch(r"\d{1,2} [A-Z][a-z]+( \d{4})?", earlier)
    assert {len(one.text) for one in page.root.findall(".//tr/td/time")} == {len("12:00:00")}


@pytest.mark.parametrize("page", ["/events", "/bulk"])
@pytest.mark.parametrize("query", ["state=x", "since=x", "template_id=x", "template_id=-1", "template_id=99999999999"])
def test_a_filter_that_makes_no_sense_is_a_400(operator, page, query):
    show(operator, f"{page}?{query}", 400)


@pytest.mark.parametrize("cursor", ["x", "evt_1", "../../etc"])
def test_a_page_that_is_none_is_a_400(operator, cursor):
    show(operator, f"/events?cursor={cursor}", 400)


def test_a_value_that_a_rule_extracted_finds_its_event(operator):
    body = {"document": "lead", "id": 7, "email": "ivan@example.com"}
    event_id = operator.post("/hooks/website", data=dump(body), headers=website()).get_json()["event_id"]
    operator.post("/hooks/website", data=dump(SEED), headers=website())

    assert shown(operator, "/events?q=IVAN@example.com") == {event_id}
    assert operator.get("/find?q=ivan@example.com").headers["Location"].startswith("/events?q=")


def test_the_form_keeps_what_was_chosen(operator, filled):
    text = show(operator, "/events?state=dead&code=because&since=2026-06-01T12:00&q=%22%3E%3Cb%3E")

    assert '<option value="dead" selected>' in text
    assert 'value="because"' in text
    assert 'value="2026-06-01 12:00"' in text
    assert "<b>" not in text


def test_older_deliveries_are_a_page_further(operator, record):
    for n in range(70):
        write(record, make_entry(["r"], at=NOON + timedelta(seconds=n)))
    path, seen = "/events?rule=r", []

    while path:
        text = show(operator, path)
        seen += re.findall(r"#(dlv_\w+)", text)
        following = re.search(r'rel="next" href="([^"]+)"', text)
        path = following[1].replace("&amp;", "&") if following else None

    assert len(seen) == len(set(seen)) == 70


PAGES = [
    "/",
    "/events",
    "/events?state=pending",
    "/events?tab=waiting",
    "/events?q=LEAD_1",
    "/rules",
    "/sources",
    "/portals",
]


@pytest.mark.parametrize("path", PAGES)
def test_a_page_asks_the_server_as_often_whatever_is_on_record(operator, record, monkeypatch, path):
    sent = []
    send = AbstractConnection.send_packed_command
    monkeypatch.setattr(
        AbstractConnection, "send_packed_command", lambda self, *a, **k: (sent.append(1), send(self, *a, **k))[1]
    )

    def asked():
        sent.clear()
        show(operator, path)
        return len(sent)

    for n in range(60):
        write(record, make_entry(["r"], at=NOON + timedelta(seconds=n)))
    few = asked()
    for n in range(600):
        write(record, make_entry(["r"], at=NOON + timedelta(seconds=n)))

    # The smaller of two: once a minute whoever asks also looks how the server is set.
    assert min(asked(), asked()) <= few < 50


@pytest.mark.parametrize(
    "body",
    [
        json.dumps({"x": "<script>alert(1)</script>" * 40_000}).encode(),
        json.dumps({"x": "a" * 990_000}).encode(),
        b"<img src=x onerror=alert(1)>" * 30_000,
        json.dumps({RIGHT_TO_LEFT: RIGHT_TO_LEFT}, ensure_ascii=False).encode(),
    ],
)
def test_a_megabyte_of_markup_and_right_to_left_marks_does_nothing(operator, record, body):
    entry = make_entry([], body=body)
    write(record, entry)

    text = show(operator, f"/events/{entry.event.id}")

    assert "<script>alert" not in text
    assert "<img" not in text
    assert len(text) < 1_500_000
    # What turns the direction of text turns nothing outside its own element.
    assert "<bdi>" in text


def test_every_rule_is_shown_with_what_became_of_it(operator, redis):
    operator.post("/hooks/website", data=dump({"document": "lead", "id": 7}), headers=website())
    PortalRecord(redis, "main").keep_drift([Drift(DriftKind.NO_TEMPLATE, "document-lead", 1).to_wire()])

    text = show(operator, "/rules")

    assert "document-lead.yaml" in text
    assert '<a href="/events?rule=document-lead">1</a>' in text
    assert "the portal has no such template" in text


def test_that_a_rule_fits_is_said_when_these_rules_were_checked(operator, redis, app):
    assert "not checked yet" in show(operator, "/rules")
    PortalRecord(redis, "main").say_checked(app.extensions["services"].rules.digest)
    text = show(operator, "/rules")
    assert ("fits" in text, "not checked yet" in text) == (True, False)


def test_the_page_of_rules_says_which_changed_files_wait_and_why(operator, redis):
    assert "Changed files are not in force" not in show(operator, "/rules")
    Store(redis).files.say_waiting(
        "web@here", [Mistake("config/rules/a.yaml", 6, fault("unknown_portal", name="'nowhere'", hint=""))], utc_now()
    )
    text = show(operator, "/rules")
    assert "Changed files are not in force" in text
    assert "<code>config/rules/a.yaml:6</code>: unknown portal &#39;nowhere&#39;" in text


def test_the_page_says_whether_web_and_workers_have_the_same_rules(operator, redis):
    redis.hset("relay:rules", mapping={"digest": "another", "requirements": "[]"})
    assert "they differ" in show(operator, "/rules")
    redis.delete("relay:rules")
    assert "not published yet" in show(operator, "/rules")


def test_the_bench_tells_each_step_of_a_pasted_body(operator, viewer, record):
    for client in (operator, viewer):
        fields = {"source": "website", "content_type": "application/json"}
        body = json.dumps({"document": "lead", "id": "seven", "email": "ivan@example.com"})
        text = client.post("/rules/try", data={**fields, "body": body}, headers=SAME).text
        assert "cannot be filled" in text
        assert "seven" in text
        body = json.dumps({"document": "lead", "id": 7, "email": "ivan@example.com", "x": "y" * 100_000})
        text = client.post("/rules/try", data={**fields, "body": body}, headers=SAME).text
        assert "makes a call" in text
        assert "LEAD_7" in text
        assert "does not match" in text
        assert "cannot be read" in client.post("/rules/try", data={**fields, "body": "{"}, headers=SAME).text
        assert client.post("/rules/try", data={"source": "nobody"}, headers=SAME).status_code == 400
    assert record.counts().total_events == 0


def test_the_page_of_rules_says_what_a_rule_finds_and_makes_first(operator):
    text = show(operator, "/rules")

    assert [word for word in ("find client", "find owner", "make lead") if word in re.sub("<[^>]*>", "", text)] == [
        "find client",
        "find owner",
        "make lead",
    ]


def test_the_bench_shows_what_is_found_and_made_first(operator):
    body = json.dumps({"form": "callback", "name": "Nina", "phone": "+79000000099"})
    fields = {"source": "website", "content_type": "application/json", "body": body}

    text = operator.post("/rules/try", data=fields, headers=SAME).text
    assert "Found and made first" in text
    assert "crm.duplicate.findbycomm" in text
    assert "only the portal knows" in text
    assert "LEAD_{lead}" in text
    text = operator.post("/rules/try", data={**fields, "given": "client=17, lead=5"}, headers=SAME).text
    assert "LEAD_5" in text
    assert "client 17" in text
    text = operator.post("/rules/try", data={**fields, "given": "cleint=17"}, headers=SAME).text
    assert "did you mean &#39;client&#39;?" in text
    assert "the portal knows" not in text


def test_the_bench_takes_an_event_that_has_come(operator):
    event_id = operator.post("/hooks/website", data=dump(SEED), headers=website()).get_json()["event_id"]

    assert "LEAD_1" in show(operator, f"/rules/try?event={event_id}")
    show(operator, "/rules/try?event=evt_none", 404)


def test_a_source_shows_its_address_its_proof_and_a_command_without_a_secret(operator):
    operator.post("/hooks/website", data=b"{}")

    assert "signature" not in show(operator, "/sources")
    text = "".join(show(operator, f"/sources?open={name}") for name in ("website", "github", "open-form"))

    assert "http://localhost/hooks/website" in text
    assert "a token in the header x-relay-token" in text
    assert "an HMAC (sha256, hex) in the header x-hub-signature-256" in text
    assert "none: anybody may send" in text
    assert "$TOKEN" in text
    assert "openssl dgst -sha256 -hmac" in text
    assert "1 refused" in text
    assert "of-the-test" not in text


def test_a_document_of_the_crm_is_found_however_its_id_is_typed(operator, record):
    found = bring_to(record, State.DEAD)

    for typed in ("lead_1", "Lead_1", "crm,CCrmDocumentLead,lead_1"):
        text = operator.get("/events", query_string={"document_id": typed}, headers=SAME).text
        assert found.event_id in text
