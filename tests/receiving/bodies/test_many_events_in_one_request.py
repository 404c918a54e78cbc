"""One request, many events: each entry is one, all of them are recorded or none, and nothing on the way is lost."""

from __future__ import annotations

import json
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from relay.cli.main import main
from relay.core.ids import utc_now
from relay.core.lifecycle import State
from relay.sources.events import FanOut, Found, parse_path
from tests.support.configs import rule_of, write_config
from tests.support.folders import WEB_SECRETS

META = {
    "object": "page",
    "entry": [
        {"id": "1", "time": 2, "changes": [{"field": "leadgen", "value": {"leadgen_id": "10"}}]},
        {"id": "2", "time": 3, "changes": [{"field": "leadgen", "value": {"leadgen_id": "20"}}, {"field": "feed"}]},
    ],
}
LEADS = {"verify": {"kind": "none"}, "each": "body.entry[].changes[]", "dedup": {"from": "body.value.leadgen_id"}}
ACTING = {"Authorization": f"Bearer {WEB_SECRETS['RELAY_API_TOKEN']}"}
RULE = rule_of("leads", "body.value.leadgen_id", lead="body.value.leadgen_id", page="envelope.entry.id")


def entries(paths, body):
    found = FanOut(tuple(parse_path(path) for path in paths)).entries(body)
    return None if found is None else [(one.body, one.envelope) for one in found]


CASES = [
    (["body"], [1, {"a": 2}], [(1, None), ({"a": 2}, None)]),
    (["body"], [], []),
    (["body"], {"a": 1}, [({"a": 1}, None)]),
    (["body.events"], {"events": []}, []),
    (["body.events"], {"events": {"a": 1}, "b": 2}, [({"a": 1}, {"events": None, "b": 2})]),
    (["body.events"], {"other": [1]}, None),
    (["body.events"], {"events": "text"}, None),
    (["body.events"], [1], None),
    (["body.events[]"], {"events": [1, 2], "b": 3}, [(1, {"events": None, "b": 3}), (2, {"events": None, "b": 3})]),
    (["body.a.b"], {"a": {"b": [1], "c": 2}}, [(1, {"a": {"b": None, "c": 2}})]),
    (["body.leads"], {"leads": {"1": 5, "3": 6}}, [(5, {"leads": None}), (6, {"leads": None})]),
    (["body.leads"], {"leads": {"1": 5, "b": 6}}, [({"1": 5, "b": 6}, {"leads": None})]),
    (["body[].x"], [{"x": [1, 2]}, {"x": [3]}], [(1, {"x": None}), (2, {"x": None}), (3, {"x": None})]),
    (
        ["body.entry[].changes[]"],
        {"entry": {"id": 1, "changes": [5, 6]}},
        [(5, {"entry": {"id": 1, "changes": None}}), (6, {"entry": {"id": 1, "changes": None}})],
    ),
    (
        ["body.leads.add", "body.leads.status"],
        {"leads": {"add": [1], "status": [2]}},
        [(1, {"leads": {"add": None, "status": [2]}}), (2, {"leads": {"add": [1], "status": None}})],
    ),
    (
        ["body.entry[].changes[]", "body.entry[].messaging[]"],
        {"entry": [{"changes": [1]}, {"messaging": [2]}, {"other": 3}, None]},
        [
            (1, {"entry": {"changes": None}}),
            (2, {"entry": {"messaging": None}}),
            ({"other": 3}, {"entry": None}),
            (None, {"entry": None}),
        ],
    ),
]


@pytest.mark.parametrize(("paths", "body", "expected"), CASES, ids=[f"{case[0]} {case[1]}" for case in CASES])
def test_every_entry_is_found_with_what_stands_around_it(paths, body, expected):
    assert entries(paths, body) == expected


# Without empty lists: one holds no event, and what stands around it is around nothing.
JSON_VALUES = st.recursive(
    st.none() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, min_size=1, max_size=4) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=20,
)


@given(
    JSON_VALUES, st.lists(st.sampled_from(["body", "body.a", "body.a[].b", "body.a.b[].c[]", "body[].a"]), min_size=1)
)
def test_whatever_comes_nothing_of_it_is_lost(body, paths):
    found = FanOut(tuple(parse_path(path) for path in paths)).entries(body)

    kept = json.dumps([[one.body, one.envelope] for one in found or [Found(body, None)]])
    for leaf in _leaves(body):
        assert json.dumps(leaf) in kept


@pytest.mark.parametrize(
    ("path", "body"), [("body", []), ("body.a", {"a": [], "b": 0}), ("body[].a", [{"a": [], "b": 0}])]
)
def test_an_empty_list_is_a_batch_without_events_wherever_it_stands(path, body):
    assert FanOut((parse_path(path),)).entries(body) == []


def _leaves(value):
    if isinstance(value, list) and value:
        return [leaf for inner in value for leaf in _leaves(inner)]
    if isinstance(value, dict) and value:
        return [leaf for inner in value.values() for leaf in _leaves(inner)]
    return [] if isinstance(value, list | dict) else [value]


@pytest.fixture
def client(relay):
    return relay({"leads": LEADS}, [RULE])


def test_each_entry_is_an_event_with_its_own_delivery_and_the_answer_names_them_in_order(client, record):
    answer = client.post("/hooks/leads", json=META)

    told = answer.get_json()
    assert answer.status_code == 200
    assert [one["state"] for one in told["events"]] == ["accepted", "accepted", "ignored"]
    assert {name: told[name] for name in told["events"][0]} == told["events"][0]
    events = [record.event(one["event_id"]) for one in told["events"]]
    assert [event.id for event in events] == sorted(event.id for event in events)
    assert [json.loads(event.body) for event in events] == [
        change for entry in META["entry"] for change in entry["changes"]
    ]
    assert events[0].content_type == "application/json"
    assert json.loads(events[1].envelope) == {"object": "page", "entry": {"id": "2", "time": 3, "changes": None}}
    calls = [record.delivery(one["deliveries"][0]).call.parameters for one in told["events"][:2]]
    assert calls == [{"Lead": "10", "Page": "1"}, {"Lead": "20", "Page": "2"}]


def test_the_same_batch_again_is_its_duplicates_and_a_new_entry_among_them_is_an_event(client, record):
    first = client.post("/hooks/leads", json=META).get_json()["events"]
    longer = {"object": "page", "entry": [*META["entry"], {"changes": [{"value": {"leadgen_id": "30"}}]}]}

    again = client.post("/hooks/leads", json=longer).get_json()["events"]

    assert [one["duplicate"] for one in again] == [True, True, False, False]
    assert [one["event_id"] for one in again[:2]] == [one["event_id"] for one in first[:2]]
    assert again[3]["state"] == "accepted"
    assert record.counts().total == 3


def test_an_empty_batch_is_a_success_without_events(client, record):
    answer = client.post("/hooks/leads", json={"entry": []})

    assert (answer.status_code, answer.get_json()) == (200, {"events": []})
    assert record.counts().total_events == 0


def test_where_no_path_leads_anywhere_the_body_is_one_event(client, record):
    told = client.post("/hooks/leads", json={"ping": 1}).get_json()

    assert "events" not in told
    assert record.event(told["event_id"]).envelope == ""


@pytest.mark.parametrize(
    ("dedup", "bodies", "duplicates"),
    [
        ({"header": "X-Id"}, [{"n": 1}, {"n": 2}], [False, False]),
        ({"header": "X-Id"}, [{"n": 1}, {"n": 1}], [False, True]),
        ({"from": "envelope.batch"}, [{"n": 1}, {"n": 2}, {"n": 1}], [False, False, True]),
        ({"body": True}, [{"n": 1}, {"n": 1}, {"n": 2}], [False, True, False]),
    ],
)
def test_a_key_of_the_whole_request_makes_no_two_entries_one(relay, dedup, bodies, duplicates):
    source = {"verify": {"kind": "none"}, "each": "body.events", "dedup": dedup}
    client = relay({"batch": source}, [rule_of("batch", n="body.n")])
    batch = {"batch": 7, "events": bodies}

    first = client.post("/hooks/batch", json=batch, headers={"X-Id": "a"}).get_json()["events"]
    again = client.post("/hooks/batch", json=batch, headers={"X-Id": "a"}).get_json()["events"]

    assert [one["duplicate"] for one in first] == duplicates
    assert all(one["duplicate"] for one in again)
    assert [one["event_id"] for one in again] == [one["event_id"] for one in first]


ORDERS = st.lists(st.tuples(st.integers(1, 2), st.sampled_from("ab")), min_size=1, max_size=4)


@given(st.lists(ORDERS, min_size=2, max_size=4))
@settings(max_examples=settings().max_examples // 5, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_an_entry_is_one_event_in_whichever_batch_and_at_whichever_place_it_comes(orders, batches):
    """And none is taken for a repeat of another one of its own request."""
    known, run = set(), uuid4().hex
    for sent, batch in enumerate(batches):
        body = {"sent": sent, "orders": [{"id": f"{run}-{number}", "v": v} for number, v in batch]}
        events = orders.post("/hooks/orders", json=body).get_json()["events"]
        first = {}
        for order, event in zip(batch, events, strict=True):
            assert event["duplicate"] or order not in known
            assert first.setdefault(event["event_id"], order) == order
            known |= set() if event["duplicate"] else {order}


@pytest.fixture
def orders(relay):
    source = {"verify": {"kind": "none"}, "each": "body.orders", "dedup": {"from": "body.id"}}
    source["limit"] = {"events": 100_000, "bytes": "100MB"}
    return relay({"orders": source}, [rule_of("orders", v="body.v")])


def test_an_entry_that_came_alone_is_known_among_others_of_its_key(orders):
    alone = orders.post("/hooks/orders", json={"orders": [{"id": 7, "v": "1"}]}).get_json()["events"]
    both = {"orders": [{"id": 7, "v": "2"}, {"id": 7, "v": "1"}]}
    among = orders.post("/hooks/orders", json=both).get_json()["events"]

    assert [one["duplicate"] for one in among] == [False, True]
    assert among[1]["event_id"] == alone[0]["event_id"]


def test_an_entry_whose_key_came_before_is_a_repeat_though_its_sender_counts_its_attempts(orders):
    for attempt, is_known in ((0, False), (1, True)):
        told = orders.post("/hooks/orders", json={"orders": [{"id": 7, "attempt": attempt}]}).get_json()["events"]
        assert [one["duplicate"] for one in told] == [is_known]


def test_a_batch_that_does_not_fit_in_the_minute_is_refused_whole(relay, record):
    source = {**LEADS, "limit": {"events": 4, "bytes": "1MB"}}
    client = relay({"leads": source}, [RULE])
    assert client.post("/hooks/leads", json={"entry": [{"changes": [{"a": 1}, {"a": 2}]}]}).status_code == 200

    answer = client.post("/hooks/leads", json=META)

    assert (answer.status_code, record.counts().total_events) == (429, 2)
    assert 0 < int(answer.headers["Retry-After"]) <= 60


def test_a_batch_that_is_more_than_a_minute_may_have_goes_in_a_fresh_one(relay, record):
    client = relay({"leads": {**LEADS, "limit": {"events": 2, "bytes": "1MB"}}}, [RULE])

    assert client.post("/hooks/leads", json=META).status_code == 200
    assert record.counts().total_events == 3


def test_a_batch_is_rejected_only_where_no_rule_could_use_any_of_it(relay):
    rule = rule_of("leads", n="body.n")
    rule["extract"]["n"]["required"] = True
    client = relay({"leads": {"verify": {"kind": "none"}, "each": "body"}}, [rule])

    some = client.post("/hooks/leads", json=[{"n": "1"}, {}])
    none = client.post("/hooks/leads", json=[{}, {"m": 1}])

    assert (some.status_code, [one["state"] for one in some.get_json()["events"]]) == (200, ["accepted", "rejected"])
    assert (none.status_code, len(none.get_json()["events"])) == (422, 2)
    assert set(none.get_json()["errors"]) == {"n"}


def test_an_entry_is_replayed_shown_and_searched_with_its_envelope(relay, record):
    client = relay({"leads": LEADS}, [rule_of("leads", "envelope.entry.id == '2'", lead="body.value.leadgen_id")])
    told = client.post("/hooks/leads", json=META).get_json()["events"]
    assert [one["state"] for one in told] == ["ignored", "accepted", "accepted"]
    event = client.get(f"/api/v1/events/{told[1]['event_id']}", headers=ACTING).get_json()
    assert json.loads(event["envelope"])["entry"]["id"] == "2"
    made = client.post(f"/api/v1/deliveries/{_dead(record)}/replay", json={"rules": "current"}, headers=ACTING)
    assert made.status_code == 201
    assert made.get_json()["call"]["parameters"] == {"Lead": "20"}


def test_a_rule_is_tried_on_each_entry_of_a_file(tmp_path, monkeypatch, capsys):
    folder = write_config(tmp_path / "config", {"leads": LEADS}, [RULE])
    monkeypatch.setenv("RELAY_CONFIG", str(folder))
    for content in (META, {"entry": []}):
        (tmp_path / "body.json").write_text(json.dumps(content), "utf-8")
        status = main(["rules", "try", "leads", str(tmp_path / "body.json")])
        printed = capsys.readouterr().out

        if content is META:
            assert (status, printed.count("CCrmDocumentLead"), printed.count("does not want this")) == (1, 2, 1)
        else:
            assert (status, "an empty batch" in printed) == (1, True)


def test_what_stands_around_an_entry_is_masked_like_its_body(relay):
    """For those who may only read, on the page of the event, and in exports."""
    reading = "a-token-that-only-reads"
    client = relay({"leads": LEADS}, [RULE], api_read_token=reading)
    body = {"account": "ada@example.com", "entry": [{"id": 1, "token": "t-1", "changes": [{"n": 1}]}]}
    event_id = client.post("/hooks/leads", json=body).get_json()["event_id"]

    read = client.get(f"/api/v1/events/{event_id}", headers={"Authorization": f"Bearer {reading}"}).get_json()
    client.post("/login", data={"password": "viewer-password-of-the-test"}, headers={"Origin": "http://localhost"})
    page, export = client.get(f"/events/{event_id}").text, client.get("/events.jsonl").text

    for text in (read["envelope"], page, export):
        assert "ada@example.com" not in text
        assert "t-1" not in text
    assert "a•••@e•••.com" in read["envelope"]
    assert "the envelope" in page


def test_a_batch_that_was_recorded_as_a_whole_is_replayed_entry_by_entry(relay, record):
    before = relay({"leads": {"verify": {"kind": "none"}}})
    event_id = before.post("/hooks/leads", json=META).get_json()["event_id"]
    client = relay({"leads": LEADS}, [RULE])

    made = client.post(f"/api/v1/events/{event_id}/replay", json={}, headers=ACTING)

    assert made.status_code == 201
    assert [one["call"]["parameters"]["Lead"] for one in made.get_json()["deliveries"]] == ["10", "20"]
    again = client.post(f"/api/v1/deliveries/{_dead(record)}/replay", json={"rules": "current"}, headers=ACTING)
    assert (again.status_code, "holds 2 entries" in again.get_json()["detail"]) == (409, True)


def _dead(record):
    """The oldest delivery that waits, dead."""
    (claimed,) = record.claim("main", "claim", utc_now())
    record.settle(claimed, State.DEAD, utc_now(), reason="x")
    return claimed.id
