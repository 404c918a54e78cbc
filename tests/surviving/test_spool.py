"""While the record is away: what a sender never repeats is kept on disk, answered as ever, and recorded once."""

from __future__ import annotations

import json
import stat
import threading

import pytest
import requests

from relay.core.errors import RecordUnavailableError
from relay.core.events import CallbackSettings, CompletionCallback, Policy
from relay.core.lifecycle import State
from relay.operations.ingest import Spooler
from relay.store.record.collector import Collector
from relay.store.record.record import Record
from relay.store.record.spool import Spool, Spooled
from tests.support.configs import rule_of, write_config
from tests.support.folders import SECRETS, WEB_SECRETS
from tests.support.making import make_entry
from tests.support.processes import Processes, kill
from tests.support.waiting import until

FORM = {"verify": {"kind": "none"}, "spool": True, "dedup": {"from": "body.id", "window": "1h"}}
PROVEN = {"verify": {"kind": "token", "header": "X-Token", "secrets": ["SOURCE_WEBSITE_TOKEN"]}, "spool": True}
SOURCES = {"form": FORM, "proven": PROVEN, "again": {"verify": {"kind": "none"}}}
RULES = [rule_of(name, id="body.id") for name in SOURCES]
MEGABYTE = 1_000_000


@pytest.fixture
def folder(tmp_path):
    return write_config(tmp_path / "config", SOURCES, RULES)


@pytest.fixture
def app(folder, make_app, own_valkey, monkeypatch, tmp_path):
    return make_app(own_valkey, config=folder, state=tmp_path / "state")


@pytest.fixture
def spooler(app):
    return app.extensions["services"].spooler


@pytest.fixture
def spool(tmp_path):
    return Spool(tmp_path / "spool", MEGABYTE)


def send(client, content, source="form"):
    headers = {"X-Token": SECRETS["SOURCE_WEBSITE_TOKEN"]}
    return client.post(f"/hooks/{source}", json=content, headers=headers)


def test_the_sender_is_told_what_it_would_be_told_and_what_it_was_told_is_recorded(app, spooler, own_valkey):
    client, record = app.test_client(), Record(own_valkey.redis)
    own_valkey.kill()
    answers = [send(client, {"id": str(number)}) for number in range(5)]
    assert [answer.status_code for answer in answers] == [200] * 5
    receipts = [answer.get_json() for answer in answers]
    assert spooler.drain() == 0  # it is still away

    own_valkey.start()
    assert spooler.drain() == 5

    assert [(one["state"], one["duplicate"]) for one in receipts] == [("accepted", False)] * 5
    for number, receipt in enumerate(receipts):
        event = record.event(receipt["event_id"])
        assert json.loads(event.body) == {"id": str(number)}
        assert list(event.deliveries) == receipt["deliveries"]
        assert record.delivery(event.deliveries[0]).state is State.PENDING
    assert record.counts().imbalances == []
    assert spooler.held() == Spooled()


def test_a_repeat_that_came_while_the_record_was_away_starts_nothing(app, spooler, own_valkey):
    client, record = app.test_client(), Record(own_valkey.redis)
    own_valkey.kill()
    first, second = (send(client, {"id": "same"}).get_json() for _ in range(2))

    own_valkey.start()
    spooler.drain()

    assert record.event(first["event_id"]).duplicates == 1
    assert record.counts().total == 1
    assert second["event_id"] != first["event_id"]


def test_a_source_that_repeats_by_itself_is_told_to_come_back(app, own_valkey):
    own_valkey.kill()

    assert send(app.test_client(), {"id": "1"}, "again").status_code == 503


def test_who_has_proven_nothing_is_refused_and_leaves_nothing_on_the_disk(app, spooler, own_valkey):
    own_valkey.kill()

    assert app.test_client().post("/hooks/proven", json={}).status_code == 401
    assert spooler.held() == Spooled()


@pytest.mark.parametrize("trouble", ["make_read_only", "make_full"])
def test_a_record_that_takes_no_writes_is_away_too(app, spooler, own_valkey, trouble):
    getattr(own_valkey, trouble)()
    receipt = send(app.test_client(), {"id": "1"}).get_json()
    assert spooler.drain() == 0
    assert spooler.held().requests == 1

    for name in ("min-replicas-to-write", "maxmemory"):
        own_valkey.redis.config_set(name, "0")
    spooler.drain()

    assert Record(own_valkey.redis).event(receipt["event_id"])


def test_a_full_spool_is_a_503_and_who_has_proven_nothing_fills_a_quarter_of_it(make_app, folder, own_valkey, tmp_path):
    client = make_app(own_valkey, config=folder, state=tmp_path / "small", spool_mb=1).test_client()
    own_valkey.kill()
    body = {"text": "x" * 60_000}

    open_ones = [send(client, body).status_code for _ in range(10)]
    proven = [send(client, body, "proven").status_code for _ in range(20)]

    assert sorted(set(open_ones)) == sorted(set(proven)) == [200, 503]
    assert 0 < open_ones.count(200) * 60_000 <= MEGABYTE / 4
    assert MEGABYTE * 0.8 < (open_ones + proven).count(200) * 61_000 * 4 / 3 < MEGABYTE * 1.4
    assert open_ones == sorted(open_ones)


def test_what_is_kept_can_be_read_by_its_owner_only(app, own_valkey, tmp_path):
    own_valkey.kill()
    send(app.test_client(), {"id": "1"})

    (kept,) = (tmp_path / "state" / "spool").glob("*.kept")
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert stat.S_IMODE(kept.parent.stat().st_mode) == 0o700


def test_an_entry_comes_back_as_it_was_kept(spool):
    entry = make_entry(("one", "two"), digest="d", body="tëst".encode("utf-16"))
    watch = CallbackSettings("Back", 60)
    policy = Policy(is_ordered=True, watch=watch)
    watched = CompletionCallback("https://relay.example/done/x")
    first, second = entry.deliveries
    entry = type(entry)(entry.event, (type(first)(**fields_of(first) | {"policy": policy, "watched": watched}), second))

    spool.keep([entry], is_open=False)
    (name,) = spool.names()

    assert spool.read(name) == [entry]


def fields_of(delivery):
    return {name: getattr(delivery, name) for name in delivery.__dataclass_fields__}


def test_a_broken_file_is_put_aside_and_those_behind_it_are_recorded(record, spool, tmp_path):
    entries = [make_entry() for _ in range(3)]
    for entry in entries:
        spool.keep([entry], is_open=False)
    broken = tmp_path / "spool" / spool.names()[1]
    broken.write_bytes(broken.read_bytes()[:100])
    (tmp_path / "spool" / "evt_0+website.0000.begun").write_bytes(b'{"form')
    spooler = Spooler(record, Collector(record), spool)

    assert spooler.drain() == 2

    assert {event.id for event in record.events(one.event.id for one in entries)} == {
        entry.event.id for entry in entries if entry.event.id not in broken.name
    }
    assert (spooler.held().requests, spooler.held().aside) == (0, 1)


def test_what_was_put_aside_is_tried_again_when_a_process_starts(record, spool):
    spool.keep([make_entry()], is_open=False)
    spool.set_aside(spool.names()[0])
    spooler, stop = Spooler(record, Collector(record), spool), threading.Event()
    thread = threading.Thread(target=spooler.run, args=(stop,))
    thread.start()

    until(lambda: record.event_count() == 1, "it to be recorded")
    stop.set()
    thread.join()


def test_one_process_at_a_time_drains_a_folder(record, spool, tmp_path):
    spool.keep([make_entry()], is_open=False)
    other = Spooler(record, Collector(record), Spool(tmp_path / "spool", MEGABYTE))

    with spool.drained() as is_ours:
        assert is_ours
        assert other.drain() == 0
    assert other.drain() == 1


def test_a_drainer_that_died_after_recording_leaves_nothing_doubled(record, spool, monkeypatch):
    entry = make_entry(digest="d")
    spool.keep([entry], is_open=False)
    Collector(record).record(entry)

    assert Spooler(record, Collector(record), spool).drain() == 1

    assert record.event(entry.event.id).duplicates == 0
    assert record.counts().total == 1


def test_a_disk_that_cannot_be_written_is_a_503(tmp_path):
    (tmp_path / "file").write_text("")
    spool = Spool(tmp_path / "file" / "spool", MEGABYTE)

    with pytest.raises(RecordUnavailableError):
        spool.keep([make_entry()], is_open=False)


def test_what_waits_is_told_on_the_first_page_in_metrics_and_by_the_audit(app, spooler, own_valkey, tmp_path, folder):
    client = app.test_client()
    own_valkey.kill()
    send(client, {"id": "1"})
    assert client.get("/readyz").get_json()["spooled_requests"] == 1
    own_valkey.start()

    told = client.get("/metrics", environ_base={"REMOTE_ADDR": "127.0.0.1"}).text
    assert "relay_spooled_requests 1.0" in told
    assert 'relay_needs{code="spooled"} 1.0' in told
    asked = Processes(tmp_path, folder, SECRETS | WEB_SECRETS).run(
        "relay", "audit", "--json", REDIS_URL=own_valkey.url, RELAY_STATE=str(tmp_path / "state")
    )
    assert json.loads(asked.stdout)["spooled_requests"] == 1
    assert f"1 requests wait in {tmp_path / 'state' / 'spool'}" in asked.stderr


def test_two_web_processes_that_are_killed_in_the_middle_of_it_lose_and_double_nothing(folder, own_valkey, tmp_path):
    processes = Processes(tmp_path, folder, SECRETS | WEB_SECRETS)
    environ = {"REDIS_URL": own_valkey.url, "RELAY_STATE": str(tmp_path / "state")}
    try:
        web = [processes.start("relay", "serve", **environ) for _ in range(2)]
        for one in web:
            one.wait_for_url()
        own_valkey.kill()
        receipts = []
        for number in range(200):
            url = web[number % 2].url
            answer = requests.post(f"{url}/hooks/form", json={"id": str(number)}, timeout=20)
            assert answer.status_code == 200
            receipts.append(answer.json())
        for pid in web[0].family():
            kill(pid)
        own_valkey.start()
        record = Record(own_valkey.redis)
        until(lambda: record.event_count() > 20, "the drain to begin")
        for pid in web[1].family():
            kill(pid)
        again = processes.start("relay", "serve", **environ)
        again.wait_for_url()
        until(lambda: record.event_count() == 200, "all of them to be recorded")

        events = record.events(one["event_id"] for one in receipts)
        assert [list(event.deliveries) for event in events] == [one["deliveries"] for one in receipts]
        assert all(event.duplicates == 0 for event in events)
        assert record.counts().total == 200
        assert record.counts().imbalances == []
        until(lambda: not list((tmp_path / "state" / "spool").glob("*.kept")), "the spool to be empty")
    finally:
        processes.clean_up()
