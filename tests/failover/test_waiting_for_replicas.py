"""RELAY_REPLICAS: what is acknowledged, and what is sent, a replica has on its disk."""

from dataclasses import replace

import pytest

from relay.core.errors import RecordUnavailableError
from relay.core.ids import utc_now
from relay.core.lifecycle import State
from relay.sandbox.server import SandboxServer
from relay.store import Store
from relay.store.record.collector import Collector
from relay.store.record.record import Record
from relay.store.redis import scripts
from relay.store.redis.connection import ANSWER_TIMEOUT_S, connect
from tests.delivering.contexts import Clock, add, started_documents, use_app, use_webhook, work_off
from tests.support.making import make_entry
from tests.support.senders import SEED, dump, website
from workers.delivery import worker
from workers.portal.context import Context
from workers.portal.tokens import TokenStore


@pytest.fixture(autouse=True)
def soon(monkeypatch):
    """A replica that does not answer is not waited for long."""
    monkeypatch.setattr(scripts, "WAIT_MS", 300)


@pytest.fixture
def context(record, sandbox: SandboxServer):
    opened = Context.open(Store(record.redis, record.replicas), use_webhook(sandbox.url))
    made = replace(opened, clock=Clock(), chance=lambda: 0.0)
    yield made
    made.client.close()


def on_replica(pair, event_id):
    return pair.replicas[0].redis.exists(f"relay:event:{event_id}")


def test_an_event_is_acknowledged_when_the_replica_has_it(pair, record):
    entry = make_entry()

    Collector(record).record(entry)

    assert on_replica(pair, entry.event.id)


def test_an_event_that_no_replica_has_is_not_acknowledged(pair, record):
    pair.replicas[0].freeze()

    with pytest.raises(RecordUnavailableError, match="NotReplicatedError"):
        Collector(record).record(make_entry())


def test_what_no_replica_has_was_never_promised_so_its_loss_is_no_going_back(pair, record, tmp_path):
    Collector(record).record(make_entry())
    store = Store(record.redis, replicas=1, state=tmp_path)
    _, promised = store.high_water.compare()
    pair.replicas[0].freeze()
    with pytest.raises(RecordUnavailableError):
        Collector(record).record(make_entry())

    counted, remembered = store.high_water.compare()

    assert counted > remembered == promised
    pair.replicas[0].thaw()
    assert store.high_water.compare() == (counted, counted)


def test_a_new_pair_of_tokens_is_not_used_before_the_replica_has_it(pair, record, sandbox, monkeypatch):
    monkeypatch.setattr("workers.portal.tokens.SAVED_WITHIN_S", 0.0)
    address = use_app(sandbox.url)
    tokens = TokenStore(Store(record.redis, record.replicas).portal("main"), address.app)
    pair.replicas[0].freeze()

    with pytest.raises(RecordUnavailableError):
        tokens.renew(tokens.current())
    pair.replicas[0].thaw()
    renewed = tokens.renew(address.app.first).tokens

    assert renewed.access == tokens.current().access != address.app.first.access
    pair.wait_until_attached()
    assert pair.replicas[0].redis.hget("relay:tokens:main", "access").decode() == renewed.access


def test_a_sender_is_told_to_come_again_while_no_replica_answers(pair, pair_url, make_app, valkey):
    client = make_app(valkey, redis_url=pair_url, replicas=1).test_client()
    pair.replicas[0].freeze()

    refused = client.post("/hooks/website", data=dump(SEED), headers=website())
    not_ready = client.get("/readyz")
    pair.replicas[0].thaw()
    taken = client.post("/hooks/website", data=dump(SEED), headers=website())

    assert (refused.status_code, not_ready.status_code, taken.status_code) == (503, 503, 200)
    assert int(refused.headers["Retry-After"]) > 0
    assert client.get("/readyz").status_code == 200


def test_the_repeat_of_an_event_that_no_replica_has_is_not_acknowledged_either(pair, pair_url, record):
    entry = make_entry(digest="d")
    pair.replicas[0].freeze()
    with pytest.raises(RecordUnavailableError):
        Collector(record).record(entry)

    # On a connection that has never written, and of an event for which the script writes nothing: its very own repeat.
    fresh = connect(pair_url)
    with pytest.raises(RecordUnavailableError):
        Collector(Record(fresh, replicas=1)).record(entry)
    fresh.close()


def test_a_full_primary_can_still_be_asked_what_its_replica_has(pair, record):
    pair.primary.redis.config_set("maxmemory", "1")
    try:
        scripts.confirm(record.redis, 1)
    finally:
        pair.primary.redis.config_set("maxmemory", "0")


def test_what_was_claimed_and_no_replica_knows_of_is_not_sent_and_waits_again(pair, record, context, sandbox):
    delivery = add(record)
    pair.replicas[0].freeze()
    with pytest.raises(RecordUnavailableError):
        worker.step(context)
    assert record.delivery(delivery.id).state is State.SENDING

    with pytest.raises(RecordUnavailableError):
        worker.step(context)  # gives it back, and claims it again in vain
    pair.replicas[0].thaw()
    work_off(context)

    assert started_documents(sandbox.portal) == ["LEAD_1"]
    assert record.delivery(delivery.id).state is State.STARTED
    assert len(record.delivery(delivery.id).attempts) == 1


def test_what_has_become_of_a_call_is_written_without_waiting(pair, record):
    add(record)
    (claimed,) = record.claim("main", "a-claim", utc_now())
    pair.replicas[0].freeze()

    record.settle(claimed, State.STARTED, utc_now(), workflow_id="w")

    assert record.delivery(claimed.id).state is State.STARTED


def test_nobody_waits_where_nobody_has_asked_for_it(pair, record):
    pair.replicas[0].freeze()

    assert not Collector(Record(record.redis)).record(make_entry()).duplicate


def test_a_server_that_takes_no_writes_is_left_at_once(pair, record):
    Collector(record).record(make_entry())
    before = {one["id"] for one in pair.primary.redis.client_list()}
    pair.primary.redis.config_set("min-replicas-to-write", "5")
    try:
        with pytest.raises(RecordUnavailableError):
            Collector(record).record(make_entry())
    finally:
        pair.primary.redis.config_set("min-replicas-to-write", "0")
    Collector(record).record(make_entry())

    assert {one["id"] for one in pair.primary.redis.client_list()} - before


def test_a_wait_ends_before_a_client_gives_up_its_connection():
    assert scripts.WAIT_MS / 1000 < ANSWER_TIMEOUT_S
