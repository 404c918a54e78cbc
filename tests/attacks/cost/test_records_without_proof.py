"""What people without proof can have on record: so much for each source, whatever they send, and nobody else's room."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from relay.core.errors import LimitedError
from relay.core.lifecycle import EventState
from relay.operations import ingest
from relay.operations.replay import Replayer
from relay.runtime.embedded import memory_limit
from relay.sources import Source
from relay.sources.source import OPEN_LIMIT, OPEN_MAX_BODY, Limit
from relay.store.record.collector import Collector
from relay.store.record.entries import Bounds
from relay.store.record.search import Filter, list_events
from relay.store.record.servers import Memory, Servers
from relay.store.redis import keys
from tests.support.making import make_entry, write
from tests.support.senders import JSON, SEED, dump, website

KEPT, KEPT_BYTES = 5, 4_000
TYPES = {"Content-Type": JSON}


@pytest.fixture
def client(app, monkeypatch):
    """The door, with the memory of a goldfish."""
    monkeypatch.setattr(ingest, "KEPT_UNPROVEN", KEPT)
    monkeypatch.setattr(ingest, "KEPT_UNPROVEN_BYTES", KEPT_BYTES)
    monkeypatch.setattr(ingest, "REFUSALS", Bounds(KEPT, KEPT_BYTES, 600, 4_000_000))
    app.extensions["services"].ingest._pauses._until.clear()
    yield app.test_client()
    app.extensions["services"].ingest._pauses._until.clear()


def events(record, source):
    return [row.event for row in list_events(record, Filter(source=source), limit=1_000).rows]


@pytest.mark.parametrize(
    ("source", "content_type", "body", "state"),
    [
        ("open-form", "text/csv", b"a;b", EventState.REJECTED),
        ("open-form", JSON, b"{broken", EventState.REJECTED),
        ("open-form", JSON, dump({"nobody": "wants it"}), EventState.IGNORED),
        ("lenient", JSON, dump({"id": "none"}), EventState.REJECTED),
        ("website", JSON, dump(SEED), EventState.REFUSED),
    ],
)
def test_what_nobody_has_proven_does_not_fill_the_record(client, record, source, content_type, body, state):  # noqa: PLR0917
    for _ in range(4 * KEPT):
        client.post(f"/hooks/{source}", data=body, headers={"Content-Type": content_type})

    found = events(record, source)
    assert [event.state for event in found] == [state] * KEPT
    assert record.newest_unproven(source, 100) == [event.id for event in found]
    assert record.counts().imbalances == []


def test_large_events_that_nobody_has_proven_do_not_fill_the_record(client, record):
    for number in range(20):
        client.post("/hooks/open-form", data=dump({"n": number, "text": "x" * 1_000}), headers=TYPES)

    found = events(record, "open-form")
    assert 1 < len(found) < KEPT
    assert json.loads(found[0].body)["n"] == 19
    assert int(record.redis.hget(keys.UNPROVEN_BYTES, "open-form")) <= KEPT_BYTES


def test_an_unproven_event_that_is_larger_than_all_room_does_not_fill_the_record(client, record):
    for number in range(3):
        client.post("/hooks/open-form", data=dump({"n": number, "text": "x" * 2 * KEPT_BYTES}), headers=TYPES)

    assert len(events(record, "open-form")) == 1


def test_a_flood_at_one_source_does_not_push_out_the_trace_of_another(client, record):
    client.post("/hooks/github", data=dump(SEED), headers=TYPES)
    client.post("/hooks/lenient", data=dump({"id": "none"}), headers=TYPES)

    for _ in range(4 * KEPT):
        client.post("/hooks/website", data=dump(SEED), headers=TYPES)
        client.post("/hooks/open-form", data=dump({}), headers=TYPES)

    assert [event.state for event in events(record, "github")] == [EventState.REFUSED]
    assert [event.state for event in events(record, "lenient")] == [EventState.REJECTED]


def test_what_was_proven_or_makes_a_call_is_never_removed(client, record):
    proven = [client.post("/hooks/website", data=b"{", headers=website()) for _ in range(2 * KEPT)]
    contact = dump({"contact": {"id": 1}})
    accepted = [client.post("/hooks/open-form", data=contact, headers=TYPES).get_json() for _ in range(2 * KEPT)]
    for _ in range(4 * KEPT):
        client.post("/hooks/website", data=dump(SEED), headers=TYPES)
        client.post("/hooks/open-form", data=dump({}), headers=TYPES)

    states = [event.state for event in events(record, "website")]
    assert states.count(EventState.REJECTED) == len(proven)
    assert len(record.events(receipt["event_id"] for receipt in accepted)) == 2 * KEPT


def test_an_event_that_was_replayed_is_never_removed(app, client, record):
    house = app.extensions["services"]
    for number in (1, 2):
        client.post("/hooks/lenient", data=dump({"id": "none", "n": number}), headers=TYPES)
    first, _ = sorted(events(record, "lenient"), key=lambda event: event.id)
    record.redis.hset(keys.EVENT + first.id, "body", dump({"id": 7}))
    Replayer(record, house.sources, house.rules, house.persons).replay(first.id, current_rules=True)

    for _ in range(4 * KEPT):
        client.post("/hooks/lenient", data=dump({"id": "none"}), headers=TYPES)

    assert record.event(first.id).state is EventState.ACCEPTED
    assert len(events(record, "lenient")) == KEPT + 1


@pytest.mark.parametrize(("size", "kept"), [(ingest.KEPT_UNREAD, True), (ingest.KEPT_UNREAD + 1, False)])
def test_of_a_body_that_cannot_be_read_nobody_keeps_half(client, record, size, kept):
    client.post("/hooks/open-form", data=b"x" * size, headers={"Content-Type": "text/csv"})
    client.post("/hooks/website", data=b"x" * size, headers=website("text/csv"))

    (event,), (proven,) = events(record, "open-form"), events(record, "website")
    assert len(event.body) == (size if kept else 0)
    assert ("were not kept" in event.reason) is not kept
    assert len(proven.body) == size


def limited(app, monkeypatch, name, events=3, size=1_000_000):
    """The source of this name with a limit."""
    source = app.extensions["services"].sources[name]
    monkeypatch.setitem(app.extensions["services"].sources, name, replace(source, limit=Limit(events, size)))


def test_an_open_source_has_a_limit_and_a_smaller_body_by_itself(app):
    sources = app.extensions["services"].sources

    assert (sources["open-form"].limit, sources["open-form"].max_body) == (OPEN_LIMIT, OPEN_MAX_BODY)
    assert (sources["website"].limit, sources["website"].max_body) == (None, 1_000_000)
    assert sources["small"].max_body == 1_000


def test_beyond_its_limit_a_source_is_told_when_to_come_again_and_nothing_is_kept(app, client, record, monkeypatch):
    limited(app, monkeypatch, "open-form")
    contact = dump({"contact": {"id": 1}})

    answers = [client.post("/hooks/open-form", data=contact, headers=TYPES) for _ in range(5)]

    assert [answer.status_code for answer in answers] == [200] * 3 + [429] * 2
    assert 1 <= int(answers[-1].headers["Retry-After"]) <= 60
    assert answers[-1].content_type == "application/problem+json"
    assert (record.counts().total_events, record.counts().total) == (3, 3)


def test_a_limit_counts_bytes_as_well_as_events(app, client, record, monkeypatch):
    limited(app, monkeypatch, "open-form", events=1_000, size=5_000)
    body = dump({"contact": {"id": 1}, "note": "x" * 2_000})

    statuses = [client.post("/hooks/open-form", data=body, headers=TYPES).status_code for _ in range(4)]

    assert statuses == [200, 200, 200, 429]


def test_what_is_over_the_limit_is_not_even_read(app, client, monkeypatch):
    limited(app, monkeypatch, "open-form", events=1)
    for _ in range(2):
        client.post("/hooks/open-form", data=dump({}), headers=TYPES)
    monkeypatch.setattr(Source, "parse", lambda *_: pytest.fail("it was read"))
    monkeypatch.setattr(Collector, "record", lambda *_: pytest.fail("the record was asked"))

    assert client.post("/hooks/open-form", data=dump({}), headers=TYPES).status_code == 429


def test_a_limit_is_of_one_source_and_of_one_minute(app, client, record, monkeypatch):
    limited(app, monkeypatch, "open-form", events=1)
    for _ in range(2):
        client.post("/hooks/open-form", data=dump({}), headers=TYPES)
    assert client.post("/hooks/lenient", data=dump({"id": 1}), headers=TYPES).status_code == 202

    (spent,) = record.redis.keys(f"{keys.SPENT}open-form:*")
    assert 0 < record.redis.ttl(spent) <= 120
    record.redis.delete(spent)
    app.extensions["services"].ingest._pauses._until.clear()
    assert client.post("/hooks/open-form", data=dump({}), headers=TYPES).status_code == 200


def test_a_repeat_is_a_repeat_also_over_the_limit(record):
    bounds = Bounds(events=1, bytes=1_000_000)
    entries = [make_entry(digest=digest) for digest in ("one", "one", "two")]
    for entry in entries:
        object.__setattr__(entry, "bounds", bounds)
    collector = Collector(record)

    first, again = collector.record(entries[0]), collector.record(entries[1])
    with pytest.raises(LimitedError) as caught:
        collector.record(entries[2])

    assert (again.event_id, again.duplicate) == (first.event_id, True)
    assert 1 <= caught.value.retry_after_s <= 60
    # It took no key: when it comes again, it is new.
    object.__setattr__(entries[2], "bounds", Bounds())
    assert not write(record, entries[2]).duplicate


def test_refusals_beyond_their_limit_leave_no_trace_and_cost_no_look(app, client, record, monkeypatch):
    monkeypatch.setattr(ingest, "REFUSALS", Bounds(KEPT, KEPT_BYTES, 2, 1_000_000))
    answers = [client.post("/hooks/website", data=dump(SEED), headers=TYPES) for _ in range(3)]
    monkeypatch.setattr(Source, "near_miss", lambda *_: pytest.fail("it was looked at"))
    answers.append(client.post("/hooks/website", data=dump(SEED), headers=TYPES))

    assert [answer.status_code for answer in answers] == [401] * 4
    assert len({answer.data for answer in answers}) == 1
    assert len(events(record, "website")) == 2
    assert client.post("/hooks/website", data=dump(SEED), headers=website()).status_code == 200


def test_the_embedded_server_has_a_limit_within_the_machine_and_the_container(tmp_path):
    physical = memory_limit(tmp_path)
    assert 0 < physical < 2**50

    folder = tmp_path / "sys/fs/cgroup"
    folder.mkdir(parents=True)
    for text, limit in (("max\n", physical), ("1000000\n", 500_000)):
        (folder / "memory.max").write_text(text)
        assert memory_limit(tmp_path) == limit


def test_the_first_page_warns_long_before_the_record_is_full(app, client, redis):
    client.post("/login", data={"password": "viewer-password-of-the-test"}, headers={"Origin": "http://localhost"})
    used = Servers(redis).memory().used

    def shown(most):
        redis.config_set("maxmemory", str(most))
        return "of the record&#39;s memory is used" in client.get("/", headers={"Accept": "text/html"}).text

    assert not shown(10 * used)
    assert shown(int(1.5 * used))
    redis.config_set("maxmemory", "0")


@pytest.mark.parametrize(
    ("used", "most", "filling", "full"),
    [(59, 100, False, False), (60, 100, True, False), (85, 100, True, True), (5, 0, False, False)],
)
def test_a_record_is_said_to_be_filling_long_before_it_is_full(used, most, filling, full):
    memory = Memory(used, most)
    assert (memory.is_filling, memory.is_nearly_full) == (filling, full)
