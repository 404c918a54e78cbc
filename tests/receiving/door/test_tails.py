"""What a sender appends to the address of its source: taken where the source lists it, and seen by rules ever after."""

from __future__ import annotations

import json

import pytest

from relay.configuration.files import Mistakes
from relay.core.ids import utc_now
from relay.core.lifecycle import EventState
from relay.operations.preview import try_event
from relay.operations.sampling import sample_event, sample_of
from relay.sources import load_sources
from relay.sources.loading import Profiles
from relay.store.archive.lines import line_of, row_of_line
from relay.store.record.entries import Entry
from relay.store.record.search import Filter, list_events
from relay.store.record.spool import Spool
from relay.web.doorkeeper import Connection
from relay.web.fast_path import FAST_PATH, read_plain
from tests.support.configs import rule_of, write_config
from tests.support.folders import WEB_SECRETS
from tests.support.senders import JSON

TOKEN = "the-token-of-the-test"
HEADERS = {"Content-Type": JSON, "X-Token": TOKEN}
API = {"Authorization": f"Bearer {WEB_SECRETS['RELAY_API_TOKEN']}"}
PBX = {
    "verify": {"kind": "token", "header": "X-Token"},
    "secrets": ["TOKEN"],
    "tails": ["events/call", "events/summary", "ping"],
    "dedup": {"from": "[tail, body.id]"},
    "probes": [{"when": "tail == 'ping'", "answer": {"body": {"said": "{tail}"}}}],
    "answer": {"body": {"tail": "{tail}"}},
}
PLAIN = {"verify": PBX["verify"], "secrets": ["TOKEN"]}


@pytest.fixture
def client(relay):
    rules = [rule_of("pbx", when="tail != 'events/summary'", tail="tail")]
    return relay({"pbx": PBX, "plain": PLAIN}, rules, {"TOKEN": TOKEN})


def post(client, path, number=1, **more):
    return client.post(f"/hooks/{path}", data=json.dumps({"id": number}), headers=HEADERS, **more)


def events(record):
    return [row.event for row in list_events(record, Filter()).rows]


def test_rules_probes_keys_and_answers_see_the_tail(client, record):
    answers = [post(client, path) for path in ("pbx/events/call", "pbx/events/call", "pbx/events/summary", "pbx/ping")]

    assert [answer.get_json() for answer in answers] == [
        {"tail": "events/call"}, {"tail": "events/call"}, {"tail": "events/summary"}, {"said": "ping"},
    ]  # fmt: skip
    summary, call = events(record)
    assert (call.tail, call.state, call.duplicates) == ("events/call", EventState.ACCEPTED, 1)
    assert (summary.tail, summary.state) == ("events/summary", EventState.IGNORED)
    assert record.delivery(call.deliveries[0]).call.parameters == {"Tail": "events/call"}


def test_without_a_tail_the_address_works_as_ever(client, record):
    assert post(client, "pbx").get_json() == {"tail": ""}
    (event,) = events(record)
    assert record.delivery(event.deliveries[0]).call.parameters == {"Tail": ""}


UNKNOWN = [
    "pbx/events", "pbx/events/call/", "pbx/events/call/x", "pbx/EVENTS/CALL", "pbx/events/./call", "pbx/ping/..",
    "pbx/../pbx", "pbx/%2E%2E", "pbx/events/call%00", "pbx/ ping", "plain/ping", "plain/", "pbx/", "nobody/ping",
]  # fmt: skip


@pytest.mark.parametrize("path", UNKNOWN)
def test_a_tail_that_is_not_listed_is_answered_as_an_unknown_source_and_leaves_no_trace(client, record, path):
    unknown, answer = post(client, f"nobody/{path.partition('/')[2]}"), post(client, path)

    assert (answer.status_code, answer.data) == (unknown.status_code, unknown.data) == (404, unknown.data)
    assert sorted(answer.headers) == sorted(unknown.headers)
    assert events(record) == []


def test_an_encoded_slash_is_a_slash(client, record):
    assert post(client, "pbx/events%2Fcall").get_json() == {"tail": "events/call"}


@pytest.mark.parametrize(
    "target", ["/hooks/pbx/events/call", "/hooks/pbx/events/call?a=1", "/hooks/pbx/ping", "/hooks/pbx"]
)
def test_a_plain_request_with_a_tail_takes_the_fast_path_and_gets_the_same_answer(client, record, target):
    way, body = client.application.extensions[FAST_PATH], b'{"id": 1}'
    lines = [f"POST {target} HTTP/1.1", "Host: relay", *(f"{name}: {value}" for name, value in HEADERS.items())]
    request = read_plain("\r\n".join([*lines, f"Content-Length: {len(body)}", "", ""]).encode() + body)

    fast = way.take(way.entrance_for(request), request, body, Connection(None, "127.0.0.1"))
    by_wsgi = client.post(target, data=body, headers=HEADERS)

    assert (fast.status, fast.body) == (by_wsgi.status, by_wsgi.data)
    assert {event.tail for event in events(record)} <= {request.tail}


@pytest.mark.parametrize("path", [path for path in UNKNOWN if "%" not in path and " " not in path])
def test_the_fast_path_takes_no_tail_that_is_not_listed(client, path):
    lines = f"POST /hooks/{path} HTTP/1.1\r\nHost: relay\r\nContent-Type: {JSON}\r\nContent-Length: 2\r\n\r\n"
    request = read_plain(lines.encode() + b"{}")
    assert request is None or client.application.extensions[FAST_PATH].entrance_for(request) is None


def test_a_refused_request_says_where_it_came(client, record):
    assert client.post("/hooks/pbx/ping", data=b"{}", headers={"Content-Type": JSON}).status_code == 401
    (event,) = events(record)
    assert (event.state, event.tail) == (EventState.REFUSED, "ping")


def test_a_replay_and_a_rule_that_is_tried_see_the_same_tail(client, record):
    post(client, "pbx/events/summary")
    parts = client.application.extensions["services"]
    (event,) = events(record)

    (tried,) = try_event(parts.sources["pbx"], parts.rules.for_source("pbx"), event)
    shown = client.get(f"/api/v1/events/{event.id}", headers=API).get_json()

    assert not tried.matches
    assert shown["tail"] == "events/summary"


def test_what_is_replayed_with_todays_rules_has_the_tail_it_came_with(client, relay, record):
    post(client, "pbx/events/summary")
    (event,) = events(record)
    without_tails = {name: value for name, value in PBX.items() if name != "tails"}
    today = relay({"pbx": without_tails}, [rule_of("pbx", tail="tail")])

    assert today.post(f"/api/v1/events/{event.id}/replay", headers=API).status_code == 201

    (delivery,) = record.deliveries(record.event(event.id).deliveries)
    assert delivery.call.parameters == {"Tail": "events/summary"}


def test_the_archive_and_the_spool_keep_the_tail(client, record, tmp_path):
    post(client, "pbx/events/call")
    (row,) = list_events(record, Filter()).rows
    spool = Spool(tmp_path, 1_000_000)
    spool.keep([Entry(row.event)], is_open=False)

    (spooled,) = spool.read(spool.names()[0])
    line = line_of(row)

    assert spooled.event.tail == "events/call"
    assert row_of_line(line).event == row.event
    assert row_of_line(line.replace(b'"tail":"events/call",', b"")).event.tail == ""
    assert row.event.without_body(row.event.received_at).tail == "events/call"


PROFILE = {
    "title": "A telephone exchange",
    "docs": ["https://pbx.example/docs"],
    "steps": ["{url}, {secret}"],
    "repeats": "no",
    "verify": {"kind": "token", "header": "X-Token"},
    "tails": ["events/call"],
    "sample": {"tail": "events/call", "body": {"id": 1}},
}


def test_a_sample_goes_where_the_sender_would_send_it(tmp_path):
    entry = {"profile": "pbx", "secrets": ["TOKEN"]}
    folder = write_config(tmp_path / "config", {"pbx": entry}, [], {"pbx": PROFILE})
    source = load_sources(folder / "sources.yaml", {"TOKEN": TOKEN})["pbx"]
    profile = Profiles(folder / "profiles").get("pbx", Mistakes())

    sample = sample_of(source, profile, "https://relay.example", utc_now())

    assert sample.public_url == "https://relay.example/hooks/pbx/events/call"
    assert sample.tail == sample_event(source, profile, utc_now()).tail == "events/call"


@pytest.mark.parametrize("tail", ["", "/a", "a/", "a//b", "..", "a/../b", ".a", "a b", "a?b", "a%2Fb", "я", 7])
def test_a_tail_that_no_address_can_have_is_a_mistake(tmp_path, tail):
    entry = {"verify": {"kind": "none"}, "tails": [tail]}
    mistakes = Mistakes()
    load_sources(write_config(tmp_path / "config", {"pbx": entry}, []) / "sources.yaml", {}, mistakes)
    assert [mistake.keys for mistake in mistakes] == [("sources", "pbx", "tails")]
