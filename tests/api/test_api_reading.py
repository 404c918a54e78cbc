"""Lists and single things: their shapes, every filter alone and combined, cursors, the search."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from relay.core.ids import iso
from relay.core.lifecycle import EventState, State
from relay.store.redis import keys
from tests.support.folders import WEB_SECRETS
from tests.support.making import NOON, bring_to, claim_one, make_attempt, make_call, make_delivery, make_entry, write
from tests.support.senders import dump, website

SECOND = timedelta(seconds=1)
DELIVERY_KEYS = {
    "id", "event_id", "rule", "portal", "state", "call", "workflow_id", "reason", "steps", "watch", "attempts",
    "comment", "next_attempt_at", "created_at", "updated_at", "replay_of", "errors", "codes",
}  # fmt: skip
ATTEMPT_KEYS = {"number", "at", "duration_ms", "verdict", "status", "code", "description", "batch_size", "step"}


def ids(page, kind="deliveries"):
    return [one["id"] for one in page[kind]]


def write_about(record, *, rule="a-rule", portal="main", template_id=1, document="LEAD_1", source="website", at=NOON):
    """An event with one delivery about this; the delivery."""
    entry = make_entry([], source=source, at=at, state=EventState.ACCEPTED)
    call = replace(make_call(portal), template_id=template_id, document_id=("crm", "CCrmDocumentLead", document))
    delivery = make_delivery(entry.event.id, rule, at, call)
    write(record, replace(entry, event=replace(entry.event, deliveries=(delivery.id,)), deliveries=[delivery]))
    return delivery


def die(record, delivery, reason):
    claimed = claim_one(record, delivery)
    record.settle(claimed, State.DEAD, NOON, reason=reason)


def test_a_delivery_has_the_shape_of_the_interface(api, record):
    claimed = claim_one(record, bring_to(record, State.PENDING))
    record.settle(claimed, State.STARTED, NOON, attempt=make_attempt(), workflow_id="wf-1")

    found = api.get(f"/deliveries/{claimed.id}")

    assert found.keys() == DELIVERY_KEYS
    assert found["call"] == {
        "template_id": 1,
        "document_id": ["crm", "CCrmDocumentLead", "LEAD_1"],
        "parameters": {"Parameter1": "user_1"},
    }
    assert found["attempts"][0].keys() == ATTEMPT_KEYS
    assert (found["state"], found["workflow_id"], found["reason"]) == ("started", "wf-1", None)
    assert found["created_at"] == iso(NOON)
    assert api.get("/deliveries")["deliveries"] == [found]


def test_an_event_has_its_request_and_its_deliveries_whole(api, record):
    delivery = bring_to(record, State.DEAD)

    found = api.get(f"/events/{delivery.event_id}")

    assert (found["source"], found["state"], found["body"]) == ("website", "accepted", '{"lead": {"id": 1}}')
    assert found["headers"]["x-kind"] == "tést"
    assert found["deliveries"] == [api.get(f"/deliveries/{delivery.id}")]
    assert api.get("/events")["events"] == [found]


@pytest.mark.parametrize(
    "path", ["/events/evt_none", "/deliveries/dlv_none", "/replays/none", "/questions/none", "/nowhere"]
)
def test_what_is_not_there_is_a_404_as_a_problem(api, path):
    assert api.get(path, 404).keys() == {"type", "title", "status", "detail"}


FILTERS = [
    {"rule": "b-rule"},
    {"portal": "second"},
    {"template_id": 7},
    {"document_id": "LEAD_9"},
    {"document_id": "crm,CCrmDocumentLead,LEAD_9"},
    {"source": "github"},
    {"state": "dead"},
    {"code": "ERROR_x"},
    {"since": iso(NOON + 5 * SECOND)},
    {"state": "dead", "rule": "b-rule"},
    {"state": "dead", "source": "github"},
    {"source": "github", "portal": "second", "template_id": 7},
    {"code": "error_X", "document_id": "LEAD_9", "since": iso(NOON + SECOND)},
]


@pytest.mark.parametrize("query", FILTERS, ids=str)
@pytest.mark.parametrize("kind", ["events", "deliveries"])
def test_each_filter_alone_and_combined_finds_the_one(api, record, query, kind):
    for n in range(4):
        write_about(record, at=NOON + n * SECOND)
    about = {"rule": "b-rule", "portal": "second", "template_id": 7, "document": "LEAD_9", "source": "github"}
    wanted = write_about(record, at=NOON + 9 * SECOND, **about)
    die(record, wanted, "error_x")

    page = api.get(f"/{kind}", **query)

    assert ids(page, kind) == [wanted.event_id if kind == "events" else wanted.id]
    assert page["cursor"] is None


@pytest.mark.parametrize("kind", ["events", "deliveries"])
@pytest.mark.parametrize("query", [{"rule": "b-rule", "state": "started"}, {"source": "github", "rule": "a-rule"}])
def test_filters_that_nothing_meets_together_find_nothing(api, record, query, kind):
    write_about(record, rule="b-rule")
    bring_to(record, State.STARTED)
    write_about(record, rule="c-rule", source="github")

    assert ids(api.get(f"/{kind}", **query), kind) == []


def test_the_filter_until_leaves_out_what_came_then_or_later(api, record):
    made = [write_about(record, at=NOON + n * SECOND) for n in range(3)]

    assert ids(api.get("/deliveries", until=iso(NOON + SECOND))) == [made[0].id]
    assert ids(api.get("/deliveries", since=iso(NOON + SECOND), until=iso(NOON + 2 * SECOND))) == [made[1].id]


def test_a_time_before_1970_is_a_bound_below_everything(api, record):
    made = write_about(record)

    assert ids(api.get("/deliveries", since="0001-01-01T00:00:00Z")) == [made.id]
    assert ids(api.get("/deliveries", until="0001-01-01T00:00:00Z")) == []


@pytest.mark.parametrize("state", ["ignored", "rejected", "refused"])
def test_no_delivery_is_of_an_event_that_was_not_accepted(api, record, state):
    write_about(record)
    write(record, make_entry([], state=EventState(state)))

    assert ids(api.get("/deliveries", state=state)) == []
    assert len(api.get("/events", state=state)["events"]) == 1
    assert len(api.get("/deliveries", state="accepted")["deliveries"]) == 1


@pytest.mark.parametrize(
    "query", [{}, {"source": "github"}, {"state": "pending"}, {"state": "pending", "source": "github"}]
)
@pytest.mark.parametrize("kind", ["events", "deliveries"])
@pytest.mark.parametrize("limit", [1, 2, 3, 200])
def test_the_cursor_leads_through_all_pages_and_every_row_is_on_one(api, record, query, kind, limit):
    for n in range(7):
        write_about(record, source="github" if n % 2 else "website", at=NOON + n * SECOND)
    found, cursor = [], {}
    while True:
        page = api.get(f"/{kind}", limit=limit, **query, **cursor)
        assert len(page[kind]) <= limit
        found += ids(page, kind)
        if page["cursor"] is None:
            break
        cursor = {"cursor": page["cursor"]}

    assert len(set(found)) == len(found) == (3 if "source" in query else 7)
    assert found == sorted(found, reverse=True)


@pytest.mark.parametrize(
    "query",
    [
        {"state": "failed"}, {"limit": 0}, {"limit": 201}, {"limit": "many"}, {"cursor": "evt_1"}, {"since": "today"},
        {"since": "2026-01-01T00:00:00"}, {"until": "x"}, {"template_id": -1}, {"template_id": "x"}, {"colour": "red"},
        {"rule": ""}, {"q": "x" * 201}, {"cursor": "evt_" + "0" * 26 + "\n"},
    ],
)  # fmt: skip
@pytest.mark.parametrize("path", ["/events", "/deliveries"])
def test_a_filter_that_is_none_is_a_422_that_names_the_field(api, path, query):
    problem = api.get(path, 422, **query)

    assert list(problem["errors"]["query"]) == list(query)


@pytest.fixture
def posted(api, app):
    """A form of somebody, received at the door; the event's id."""
    body = {"form": "demo", "lead": {"id": 7}, "email": "Ada@Example.com", "phone": "+44 20 7946 0000"}
    answer = app.test_client().post("/hooks/website", data=dump(body), headers=website())
    assert answer.status_code == 200, answer.text
    (event,) = [one for one in api.get("/events")["events"] if one["id"] == answer.json["event_id"]]
    return event


@pytest.mark.parametrize("word", ["ada@example.com", " ADA@EXAMPLE.COM ", "LEAD_7", "lead_7", "demo-request"])
def test_the_search_finds_an_event_by_what_its_rule_extracted(api, record, posted, word):
    write_about(record, document="LEAD_70")

    assert ids(api.get("/events", q=word), "events") == [posted["id"]]
    assert ids(api.get("/deliveries", q=word)) == [one["id"] for one in posted["deliveries"]]


def test_the_search_finds_a_person_by_phone_as_the_rule_keeps_it(api, record, posted):
    marked = [key.decode() for key in record.redis.scan_iter(f"{keys.PERSON_INDEX}*")]

    assert len(marked) >= 1
    assert all("ada" not in key for key in marked)
    phones = [one["call"]["parameters"].get("Phone") for one in posted["deliveries"]]
    for phone in filter(None, phones):
        assert ids(api.get("/events", q=phone), "events") == [posted["id"]]


def test_the_search_finds_ids_workflows_codes_and_templates(api, record):
    started = bring_to(record, State.STARTED)
    other = write_about(record, template_id=77, document="LEAD_2")
    die(record, other, "error_y")

    for word in (started.id, started.event_id, f" {started.id} ", started.workflow_id):
        assert ids(api.get("/deliveries", q=word)) == [started.id]
        assert ids(api.get("/events", q=word), "events") == [started.event_id]
        assert ids(api.get("/events", q=word, state="dead"), "events") == []
        assert ids(api.get("/deliveries", q=word, until=iso(NOON))) == []
    for word in ("ERROR_Y", "77"):
        assert ids(api.get("/deliveries", q=word)) == [other.id]
        assert ids(api.get("/deliveries", q=word, state="started")) == []
    assert ids(api.get("/deliveries", q="77", template_id=1)) == []
    assert ids(api.get("/events", q="nobody@example.com"), "events") == []


def test_a_portal_tells_its_gate_pace_and_what_waits(api, record):
    bring_to(record, State.PENDING)

    (portal,) = [one for one in api.get("/portals")["portals"] if one["name"] == "main"]

    assert (portal["gate"], portal["waiting"], portal["operating_s"], portal["drift"]) == ("open", 1, 0.0, [])


def test_the_rules_tell_their_file_and_how_many_deliveries_they_have(api, record):
    write_about(record, rule="demo-request")

    found = api.get("/rules")
    by_name = {rule["name"]: rule for rule in found["rules"]}

    assert found["digest"]
    assert by_name["demo-request"]["deliveries"] == 1
    assert by_name["demo-request"]["file"].endswith("demo-request.yaml")


def test_a_rule_is_tried_on_a_body_and_nothing_is_recorded(api, record):
    asked = {"source": "website", "body": {"form": "demo", "lead": {"id": 3}}, "rule": "demo-request"}

    (tried,) = api.post("/rules/try", asked)["tried"]

    assert (tried["rule"], tried["matches"], tried["errors"]) == ("demo-request", True, {})
    assert tried["call"]["document_id"][2] == "LEAD_3"
    assert record.counts().total_events == 0
    all_of_them = api.post("/rules/try", {"source": "website", "body": '{"form": "demo"}'})["tried"]
    assert len(all_of_them) > 1
    api.post("/rules/try", {"source": "nobody", "body": {}}, 404)
    api.post("/rules/try", {"source": "website", "rule": "none", "body": {}}, 404)
    api.post("/rules/try", {"source": "website", "body": "{", "rule": "demo-request"}, 400)
    api.post("/rules/try", {"source": "website", "body": "x", "content_type": "image/png"}, 415)
    api.post("/rules/try", {"source": "website"}, 422)


CALLBACK = {
    "source": "website",
    "rule": "callback",
    "body": {"form": "callback", "name": "Nina", "phone": "+79000000099", "manager": "eva@example.com"},
}


def test_a_rule_that_finds_and_makes_is_tried_with_what_only_the_portal_knows(api, record):
    (unknown,) = api.post("/rules/try", CALLBACK)["tried"]
    (known,) = api.post("/rules/try", CALLBACK | {"given": {"client": 17, "owner": None}})["tried"]

    assert unknown["steps"][0] == {
        "name": "client",
        "kind": "find",
        "entity": "contact",
        "method": "crm.duplicate.findbycomm",
        "fields": {"phone": "+79000000099"},
        "prospect": "unknown",
        "value": None,
    }
    assert unknown["call"]["parameters"]["Parameter1"] == "user_{owner}"
    assert [(one["prospect"], one["value"]) for one in known["steps"]] == [
        ("given", 17),
        ("instead", 1),
        ("unknown", None),
    ]
    assert known["steps"][2]["fields"]["contactId"] == 17
    assert known["call"]["parameters"]["Parameter1"] == "user_1"
    assert known["call"]["document_id"][2] == "LEAD_{lead}"
    assert record.counts().total_events == 0


@pytest.mark.parametrize("given", [{"cleint": 1}, {"lead": None}, {"client": 0}, {"client": "17"}, {"client": True}])
def test_what_no_step_can_come_to_is_not_given(api, given):
    api.post("/rules/try", CALLBACK | {"given": given}, 422)


def test_the_audit_is_the_ledger(api, record):
    bring_to(record, State.DEAD)

    found = api.get("/audit")

    assert (found["balanced"], found["imbalances"]) == (True, [])
    assert (found["deliveries"]["total"], found["deliveries"]["dead"]) == (1, 1)
    assert found["since_start"]["delivery:dead"] == 1


def test_while_the_record_is_away_the_answer_is_a_503_that_says_when_to_come_back(make_app, own_valkey):
    client = make_app(own_valkey).test_client()
    own_valkey.kill()

    answer = client.get("/api/v1/events", headers={"Authorization": f"Bearer {WEB_SECRETS['RELAY_API_TOKEN']}"})

    assert (answer.status_code, answer.content_type) == (503, "application/problem+json")
    assert int(answer.headers["Retry-After"]) > 0
