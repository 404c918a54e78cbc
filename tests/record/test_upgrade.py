"""A record that the first layout's version has left is taken over as it stands; a newer one is refused.

samples/layout-1.json is what that version wrote: the commands that make its record again, and which delivery is which.
"""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest

from relay.core.errors import ConfigError
from relay.core.ids import utc_now
from relay.core.lifecycle import State
from relay.store import Store
from relay.store.portals.gate import Gate
from relay.store.record.record import HARD_DEADLINE
from relay.store.record.upgrade import upgrade
from relay.store.redis import keys
from tests.support.folders import WEB_SECRETS
from tests.support.making import NOON, write_one
from workers.bitrix24.oauth import Tokens

SAMPLE = json.loads((Path(__file__).parent / "samples" / "layout-1.json").read_text("utf-8"))
OF = SAMPLE["deliveries"]
LATE = NOON + timedelta(days=30)


@pytest.fixture
def old(redis):
    """The record of the first layout; its deliveries by what they are."""
    for name, *arguments in SAMPLE["commands"]:
        redis.execute_command(name, *[argument.encode("latin-1") for argument in arguments])
    return OF


def test_every_delivery_of_an_older_record_stands_where_it_is_found(old, record, redis):
    before = record.deliveries(old.values())

    assert upgrade(redis) == 7

    assert record.counts().imbalances == []
    assert record.deliveries(old.values()) == before
    assert redis.zscore(keys.WAITING + "main", old["retrying"])
    assert redis.zrange(keys.WAITING + "second", 0, -1) == [old["first_of_an_order"].encode()]
    assert redis.zrange(keys.BLOCKED + "second", 0, -1) == [old["second_of_an_order"].encode()]
    assert [one.id for one in record.lapsed(NOON + HARD_DEADLINE, 9)] == [old["sending"]]
    assert redis.zrange(keys.UNDECIDED, 0, -1) == [old["left_to_a_person"].encode()]
    assert record.look("main", NOON + timedelta(seconds=59)) is None
    assert record.look("main", NOON + timedelta(seconds=60)).id == old["uncertain"]


def test_what_waited_in_an_older_record_is_sent_in_its_order(old, record, redis):
    upgrade(redis)

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


def test_an_older_record_is_served(old, redis, make_app, valkey):
    upgrade(redis)
    client = make_app(valkey).test_client()
    asking = {"headers": {"Authorization": f"Bearer {WEB_SECRETS['RELAY_API_TOKEN']}"}}

    listed = client.get("/api/v1/deliveries?limit=50", **asking).json["deliveries"]
    events = {client.get(f"/api/v1/events/{one['event_id']}", **asking).status_code for one in listed}

    assert {one["id"] for one in listed} >= set(old.values())
    assert events == {200}
    assert client.get("/api/v1/audit", **asking).json["imbalances"] == []


def test_an_upgrade_is_done_once_and_may_be_repeated_after_a_death(old, record, redis):
    upgrade(redis)
    counts = record.counts()

    assert upgrade(redis) == 0
    redis.delete(keys.FORMAT)
    assert upgrade(redis) == 7
    assert record.counts() == counts


def test_a_new_record_needs_no_upgrade(record, redis):
    assert upgrade(redis) == 0
    write_one(record)
    assert upgrade(redis) == 0
    assert redis.get(keys.FORMAT) == b"2"


def test_the_record_of_a_newer_version_is_refused(redis):
    redis.set(keys.FORMAT, 3)

    with pytest.raises(ConfigError, match="a newer version has written it"):
        upgrade(redis)
