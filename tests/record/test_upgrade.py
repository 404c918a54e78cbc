"""A record that an earlier version has left is taken over as it stands; a newer one is refused.

samples/layout-N.json is what the version of that layout wrote: the commands that make its record again, which delivery
is which, and how that version read them.
"""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest

from relay.core.errors import ConfigError, RecordUnavailableError
from relay.core.ids import utc_now
from relay.core.lifecycle import FINAL, EventState, State
from relay.store import Store
from relay.store.portals.gate import Gate
from relay.store.record import upgrade as module
from relay.store.record.record import HARD_DEADLINE
from relay.store.record.search import Filter, ids_of_deliveries, list_events
from relay.store.record.upgrade import upgrade
from relay.store.redis import keys
from tests.support.folders import WEB_SECRETS
from tests.support.making import NOON, write_one
from workers.bitrix24.oauth import Tokens
from workers.maintenance.repair import sweep

SAMPLES = {
    layout: json.loads((Path(__file__).parent / "samples" / f"layout-{layout}.json").read_text("utf-8"))
    for layout in (1, 2)
}
LATE = NOON + timedelta(days=30)


def load(redis, layout):
    """The record of a layout, as its version left it."""
    for name, *arguments in SAMPLES[layout]["commands"]:
        redis.execute_command(name, *[argument.encode("latin-1") for argument in arguments])
    return SAMPLES[layout]


@pytest.fixture
def old(redis):
    """The record of the first layout; its deliveries by what they are."""
    return load(redis, 1)["deliveries"]


@pytest.fixture(params=SAMPLES)
def sample(redis, request):
    """The record of each layout before this one."""
    return load(redis, request.param)


def read_event(event):
    wire = event.to_wire()
    assert wire.pop("body_removed_at") is None  # of older records there is none without its body
    assert wire.pop("code") in {None, event.reason}
    assert not any(map(any, wire.pop("codes").values()))
    return {**wire, "body": event.body.decode("latin-1"), "person_keys": list(event.person_keys)}


def read_delivery(delivery):
    return delivery.to_wire() | {
        "turn": delivery.turn, "looks": delivery.looks, "asked": delivery.asked, "unsure": list(delivery.unsure),
        "on_uncertain": delivery.policy.on_uncertain, "is_ordered": delivery.policy.is_ordered,
        "plan": delivery.plan.to_wire() if delivery.plan else None,
        "address": delivery.watched.address if delivery.watched else None,
    }  # fmt: skip


def contents(redis):
    """Everything of the record but its format, and the gates, which say when they were opened."""
    read = {
        b"hash": redis.hgetall, b"zset": lambda key: redis.zrange(key, 0, -1, withscores=True), b"set": redis.smembers,
        b"list": lambda key: redis.lrange(key, 0, -1), b"string": redis.get,
    }  # fmt: skip
    found = [key for key in redis.scan_iter("relay:*") if not key.startswith((b"relay:format", b"relay:gate:"))]
    return {key: read[redis.type(key)](key) for key in found}


LATER = {"errors": {}, "codes": {}, "comment": None}
"""What a delivery says beside what it said then."""
LATER_OF_EVENT = {"tail": ""}


def test_every_event_and_delivery_of_an_older_record_reads_as_it_was(sample, record, redis):
    expected = sample["expected"]

    assert upgrade(redis) == len(expected["events"]) + len(expected["deliveries"])

    events = {one.id: read_event(one) for one in record.events(expected["events"])}
    assert events == {name: one | LATER_OF_EVENT for name, one in expected["events"].items()}
    read = {one.id: read_delivery(one) for one in record.deliveries(expected["deliveries"])}
    assert json.loads(json.dumps(read)) == {name: one | LATER for name, one in expected["deliveries"].items()}
    assert record.counts().to_wire() == expected["counts"]
    assert record.counts().imbalances == []


def test_an_older_record_is_searched_by_whatever_it_has(sample, record, redis):
    upgrade(redis)
    events, deliveries = sample["expected"]["events"].values(), sample["expected"]["deliveries"].values()

    for name in ("portal", "rule", "state", "reason"):
        for value in {one[name] for one in deliveries} - {None}:
            wanted = {name if name != "reason" else "code": State(value) if name == "state" else value}
            found = ids_of_deliveries(record, Filter(**wanted), 100)
            assert set(found) == {one["id"] for one in deliveries if one[name] == value}, wanted
    for name in ("source", "state"):
        for value in {one[name] for one in events}:
            wanted = {name: EventState(value) if name == "state" else value}
            rows = list_events(record, Filter(**wanted)).rows
            assert {row.event.id for row in rows} == {one["id"] for one in events if one[name] == value}, wanted
    for source, presence in Store(redis).statistics.of_sources([one["source"] for one in events]).items():
        assert presence.size == sum(one["source"] == source for one in events)


def test_what_is_final_in_an_older_record_is_forgotten_without_a_trace(sample, record, redis):
    upgrade(redis)
    for delivery in record.deliveries(sample["expected"]["deliveries"]):
        if delivery.state not in FINAL:
            record.settle(delivery, State.DEAD, LATE, reason="cancelled")

    assert all(record.prune(event_id) for event_id in sample["expected"]["events"])

    assert not [
        key for key in contents(redis) if key.startswith((b"relay:event", b"relay:deliveries", b"relay:facets"))
    ]


@pytest.mark.parametrize("deaths", [1, 2, 5, 8])
def test_an_upgrade_may_be_killed_anywhere_and_run_again(sample, redis, monkeypatch, deaths):
    monkeypatch.setattr(module, "AT_ONCE", 3)
    monkeypatch.setattr(module, "UNINDEXED_AT_ONCE", 2)
    fresh, calls = module.run, 0

    def run(*arguments):
        nonlocal calls
        calls += 1
        if calls % deaths == 0:
            raise RecordUnavailableError("killed")
        return fresh(*arguments)

    dump = [(key, redis.dump(key)) for key in redis.scan_iter("*")]
    upgrade(redis)
    whole = contents(redis)
    redis.flushall()
    for key, value in dump:
        redis.restore(key, 0, value)

    monkeypatch.setattr(module, "run", run)
    for _ in range(0 if deaths == 1 else 100):
        try:
            upgrade(redis)
            break
        except RecordUnavailableError:
            pass
    monkeypatch.setattr(module, "run", fresh)
    upgrade(redis)

    assert contents(redis) == whole


def test_every_delivery_of_the_first_layout_stands_where_it_is_found(old, record, redis):
    upgrade(redis)

    assert redis.zscore(keys.WAITING + "main", old["retrying"])
    assert redis.zrange(keys.WAITING + "second", 0, -1) == [old["first_of_an_order"].encode()]
    assert redis.zrange(keys.BLOCKED + "second", 0, -1) == [old["second_of_an_order"].encode()]
    assert [one.id for one in record.lapsed(NOON + HARD_DEADLINE, 9)] == [old["sending"]]
    assert redis.zrange(keys.UNDECIDED, 0, -1) == [old["left_to_a_person"].encode()]
    assert record.look("main", NOON + timedelta(seconds=59)) is None
    assert record.look("main", NOON + timedelta(seconds=60)).id == old["uncertain"]


def test_what_waited_in_an_older_record_is_sent_in_its_order(old, record, redis):
    upgrade(redis)
    Gate(redis, "second").resume(NOON)

    sent = []
    while claimed := record.claim("second", f"claim-{len(sent)}", LATE):
        record.settle(claimed[0], State.STARTED, LATE, workflow_id=f"wf-{len(sent)}")
        sent.append(claimed[0].id)

    assert sent == [old["first_of_an_order"], old["second_of_an_order"]]


def test_the_jobs_of_an_older_record_are_forgotten_and_a_held_portal_is_asked(old, redis):
    upgrade(redis)

    assert redis.keys("rq:job:*") == redis.keys("rq:queue:*") == redis.keys("rq:scheduled:*") == []
    assert not redis.exists(keys.CLOCK)
    assert Gate(redis, "second").look().may_be_asked(utc_now())


def test_the_tokens_of_an_older_record_are_the_ones_in_force(old, redis):
    upgrade(redis)

    kept = Store(redis).portal("second").tokens()

    assert Tokens(**kept) == Tokens(
        "an-access-token", "a-refresh-token", "https://second.bitrix24.example/rest/", "https://oauth.bitrix24.example"
    )


def test_an_older_record_is_served(sample, redis, make_app, valkey):
    upgrade(redis)
    client = make_app(valkey).test_client()
    asking = {"headers": {"Authorization": f"Bearer {WEB_SECRETS['RELAY_API_TOKEN']}"}}

    listed = client.get("/api/v1/deliveries?limit=50", **asking).json["deliveries"]
    events = {client.get(f"/api/v1/events/{one['event_id']}", **asking).status_code for one in listed}

    assert {one["id"] for one in listed} >= set(sample["deliveries"].values())
    assert events == {200}
    assert client.get("/api/v1/audit", **asking).json["imbalances"] == []


def test_an_upgrade_is_done_once_and_a_second_at_the_same_time_changes_nothing(sample, redis):
    upgrade(redis)
    before = contents(redis)

    assert upgrade(redis) == 0
    redis.delete(keys.FORMAT)  # as the second one saw it
    assert upgrade(redis) == 0
    assert contents(redis) == before


def test_a_new_record_needs_no_upgrade(record, redis):
    assert upgrade(redis) == 0
    write_one(record)
    assert upgrade(redis) == 0
    assert redis.get(keys.FORMAT) == b"3"


def test_the_record_of_a_newer_version_is_refused(redis):
    redis.set(keys.FORMAT, 4)

    with pytest.raises(ConfigError, match="a newer version has written it"):
        upgrade(redis)


def test_what_old_processes_write_beside_this_version_is_laid_out_when_it_looks_again(old, record, redis):
    upgrade(redis)
    (lost,) = record.claim("main", "c", LATE)
    redis.zrem(keys.SENDING, lost.id)  # as if it had been claimed on the clock of before
    assert len(record.counts().imbalances) == 1

    upgrade(redis)
    final = record.delivery(old["started"])
    redis.zadd(keys.SENDING, {final.id: 0})  # and as if it had been settled by who knows nothing of claims
    sweep(record, LATE + timedelta(days=1), {})

    assert record.counts().imbalances == []
    assert record.delivery(lost.id).state is State.UNCERTAIN
    assert record.delivery(final.id) == final
