"""A record can be saved while all goes on, and put back on another machine; what is put back sends nothing twice."""

from __future__ import annotations

import stat
import tarfile
import threading
from datetime import timedelta

import pytest

from relay.core.errors import RelayError
from relay.core.ids import utc_now
from relay.core.lifecycle import State
from relay.runtime.embedded import serve_record
from relay.store import Store
from relay.store.portals.gate import GateState
from relay.store.record.entries import Settlement
from relay.store.record.record import Record
from relay.store.redis import keys
from relay.store.redis.snapshot import is_restoring
from tests.delivering.contexts import add, send
from tests.support.folders import SECRETS, WEB_SECRETS
from tests.support.making import make_attempt
from tests.support.processes import Processes
from tests.support.valkey import REDIS_7, Valkey


@pytest.fixture
def other_valkey():
    with Valkey() as server:
        yield server


@pytest.fixture
def command(tmp_path, config):
    starter = Processes(tmp_path, config, SECRETS | WEB_SECRETS)

    def run(*arguments, url="", status=0, **more):
        made = starter.run("relay", *arguments, REDIS_URL=url, **more)
        assert made.returncode == status, made.stderr
        return made.stdout + made.stderr

    return run


def fill(record, count=20):
    return [add(record, lead=number) for number in range(1, count + 1)]


def contents(redis):
    """Every key of ours with its content, but those of a moment."""
    found = sorted(redis.keys("relay:*"))
    read = {
        b"hash": redis.hgetall,
        b"zset": lambda key: redis.zrange(key, 0, -1, withscores=True),
        b"list": lambda key: redis.lrange(key, 0, -1),
        b"set": redis.smembers,
        b"string": redis.get,
        b"stream": redis.xrange,
    }
    lasting = [key for key in found if not key.startswith(b"relay:lease:") and not key.endswith(b"relay:full")]
    return {key: read[redis.type(key)](key) for key in lasting}


def test_a_record_is_moved_to_another_machine_as_it_was(open_worker, own_valkey, other_valkey, command, tmp_path):
    worker = open_worker(None)
    worker.store.begin()
    deliveries = fill(worker.record)
    send(worker, deliveries[0])
    worker.record.claim("main", "c", worker.clock())

    said = command("backup", str(tmp_path / "relay.tar"), url=own_valkey.url)
    assert "20 events, 20 deliveries" in said
    command("restore", str(tmp_path / "relay.tar"), "--moved", url=other_valkey.url)

    before, after = contents(own_valkey.redis), contents(other_valkey.redis)
    assert after == {key: dumped for key, dumped in before.items() if not key.startswith(b"relay:claim:")}
    moved = Record(other_valkey.redis)
    assert moved.delivery(deliveries[0].id).state is State.STARTED
    assert moved.counts() == worker.record.counts()


@pytest.mark.parametrize(("old", "new"), [(None, REDIS_7), (REDIS_7, None), (REDIS_7, REDIS_7)])
def test_a_record_is_moved_between_redis_7_and_valkey_9_with_values_of_every_kind(command, tmp_path, old, new):
    with Valkey(old) as before, Valkey(new) as after:
        record, store = Record(before.redis), Store.open(before.url)
        store.begin()
        deliveries = fill(record, 600)  # more than goes in one command
        claimed = record.claim("main", "c", utc_now() + timedelta(minutes=1))
        record.settle_all([Settlement(claimed[0], State.STARTED, attempt=make_attempt(), workflow_id="w")], utc_now())
        before.redis.xadd("relay:acts", {"what": "pause"})
        before.redis.hset("relay:many", mapping={str(number): "x" * 100 for number in range(2_000)})
        before.redis.rpush("relay:queue", *range(2_000), b"\xff\x00")
        kinds = {before.redis.type(key) for key in before.redis.keys("relay:*")} - {b"none"}
        assert kinds == {b"hash", b"zset", b"list", b"set", b"string", b"stream"}

        command("backup", str(tmp_path / "relay.tar"), url=before.url)
        command("restore", str(tmp_path / "relay.tar"), "--moved", url=after.url)

        kept = {key: value for key, value in contents(before.redis).items() if not key.startswith(b"relay:claim:")}
        assert contents(after.redis) == kept
        assert [one.id for one in Record(after.redis).deliveries(one.id for one in deliveries)]


def test_a_record_that_cannot_be_replaced_whole_stays_as_it_was(own_valkey, other_valkey, command, tmp_path):
    fill(Record(own_valkey.redis), 3)
    command("backup", str(tmp_path / "relay.tar"), url=own_valkey.url)
    (kept,) = fill(Record(other_valkey.redis), 1)
    before = contents(other_valkey.redis)
    other_valkey.make_full()

    said = command("restore", str(tmp_path / "relay.tar"), "--yes", url=other_valkey.url, status=1)

    assert "OutOfMemoryError" in said
    assert "its record is as it was" in said
    assert contents(other_valkey.redis) == before
    other_valkey.redis.config_set("maxmemory", "0")
    assert Record(other_valkey.redis).delivery(kept.id)


def test_a_restore_that_is_killed_before_all_has_arrived_has_changed_nothing(own_valkey, other_valkey):
    fill(Record(own_valkey.redis), 3)
    fill(Record(other_valkey.redis), 1)
    before = contents(other_valkey.redis)

    with pytest.raises(KeyboardInterrupt):
        Store.open(other_valkey.url).replace_by(Store.open(own_valkey.url), interrupt)

    staged = set(other_valkey.redis.keys("relay:restored:*"))
    assert staged
    assert {key: value for key, value in contents(other_valkey.redis).items() if key not in staged} == before
    assert not is_restoring(other_valkey.redis)


def interrupt(_arrived):
    raise KeyboardInterrupt


def test_a_record_at_which_something_is_at_work_is_not_replaced(own_valkey, other_valkey):
    fill(Record(own_valkey.redis), 3)
    other = Record(other_valkey.redis)

    with pytest.raises(RelayError, match="stop them"):
        Store.open(other_valkey.url).replace_by(Store.open(own_valkey.url), lambda _: fill(other, 1))

    assert other.event_count() == 1
    assert not other_valkey.redis.keys("relay:restored:*")


def test_keys_that_end_by_themselves_end_when_they_would_have(own_valkey, other_valkey, command, tmp_path):
    fill(Record(own_valkey.redis), 1)
    own_valkey.redis.set(f"{keys.DEDUP}website:x", "evt_1", px=3_600_000)

    command("backup", str(tmp_path / "relay.tar"), url=own_valkey.url)
    command("restore", str(tmp_path / "relay.tar"), "--moved", url=other_valkey.url)

    times = [server.redis.pexpiretime(f"{keys.DEDUP}website:x") for server in (own_valkey, other_valkey)]
    assert times[0] == times[1] > 0


def test_what_waits_in_a_backup_may_have_been_sent_since_and_is_held(
    open_worker, own_valkey, command, tmp_path, sandbox
):
    worker = open_worker(None)
    deliveries = fill(worker.record, 3)
    command("backup", str(tmp_path / "relay.tar"), url=own_valkey.url)
    for delivery in deliveries:
        send(worker, delivery)
    assert len(sandbox.portal.started()) == 3

    said = command("restore", str(tmp_path / "relay.tar"), "--yes", url=own_valkey.url)

    assert "may have been sent since" in said
    again = open_worker(tmp_path / "state")
    assert {one.state for one in again.record.deliveries(one.id for one in deliveries)} == {State.UNCERTAIN}
    assert (again.gate.look().state, again.gate.look().reason) == (GateState.PAUSED, "went_back")
    assert again.store.reached(again.clock()) is not None, "it is told once"


def test_a_record_that_is_not_empty_is_not_replaced_unasked(own_valkey, command, tmp_path):
    record = Record(own_valkey.redis)
    fill(record, 1)
    command("backup", str(tmp_path / "relay.tar"), url=own_valkey.url)
    fill(record, 1)

    assert "say --yes" in command("restore", str(tmp_path / "relay.tar"), url=own_valkey.url, status=1)
    assert record.event_count() == 2


def test_a_backup_is_of_one_moment_while_events_come_in(own_valkey, other_valkey, command, tmp_path):
    record, stop = Record(own_valkey.redis), threading.Event()

    def go_on():
        other = Record(Store.open(own_valkey.url).record.redis)
        while not stop.is_set():
            add(other)
            other.claim("main", f"c{other.event_count()}", add(other).created_at)

    thread = threading.Thread(target=go_on)
    thread.start()
    try:
        command("backup", str(tmp_path / "relay.tar"), url=own_valkey.url)
    finally:
        stop.set()
        thread.join()
    command("restore", str(tmp_path / "relay.tar"), url=other_valkey.url)

    restored = Record(other_valkey.redis).counts()
    assert restored.imbalances == []
    assert 0 < restored.total_events < record.event_count()


def test_a_backup_is_for_its_owner_only_and_leaves_nothing_beside_it(own_valkey, command, tmp_path):
    fill(Record(own_valkey.redis), 1)
    (tmp_path / "kept").mkdir()
    command("backup", str(tmp_path / "kept" / "relay.tar"), url=own_valkey.url)

    (file,) = (tmp_path / "kept").iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    with tarfile.open(file) as tar:
        assert tar.getnames() == ["about.json", "dump.rdb"]


def test_a_file_that_has_changed_is_refused_before_anything_is(own_valkey, other_valkey, command, tmp_path):
    fill(Record(own_valkey.redis), 5)
    file = tmp_path / "relay.tar"
    command("backup", str(file), url=own_valkey.url)
    content = bytearray(file.read_bytes())
    content[content.index(b"a-rule")] ^= 1
    file.write_bytes(content)

    assert "has changed" in command("restore", str(file), url=other_valkey.url, status=1)
    assert other_valkey.redis.dbsize() == 0
    (tmp_path / "other").write_text("no backup")
    assert "is no backup" in command("restore", str(tmp_path / "other"), url=other_valkey.url, status=1)


def test_a_restore_that_was_broken_off_is_no_record(own_valkey, other_valkey, command, tmp_path):
    fill(Record(own_valkey.redis), 1)
    command("backup", str(tmp_path / "relay.tar"), url=own_valkey.url)
    other_valkey.redis.set("relay:restoring", "1")

    assert "broken off" in command("serve", url=other_valkey.url, status=1)
    command("restore", str(tmp_path / "relay.tar"), "--moved", url=other_valkey.url)
    assert not other_valkey.redis.exists("relay:restoring")


def test_the_embedded_record_is_restored_where_nothing_runs(own_valkey, command, tmp_path):
    deliveries = fill(Record(own_valkey.redis), 2)
    command("backup", str(tmp_path / "relay.tar"), url=own_valkey.url)

    command("restore", str(tmp_path / "relay.tar"))

    with serve_record(tmp_path / "var" / "record") as url:
        record = Store.open(url).record
        assert [one.id for one in record.deliveries(one.id for one in deliveries)] == [one.id for one in deliveries]
