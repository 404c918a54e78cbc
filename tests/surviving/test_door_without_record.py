"""The door stays while the record is away, and promises nothing that its server would not keep."""

from __future__ import annotations

import signal

import pytest
import requests

from relay.runtime.embedded import serve_dump
from relay.store.record.record import Record
from tests.support.configs import rule_of, write_config
from tests.support.folders import SECRETS, WEB_SECRETS
from tests.support.processes import Processes, kill
from tests.support.valkey import REDIS_7, Valkey
from tests.support.waiting import until

OPEN = {"verify": {"kind": "none"}}
SOURCES = {"form": OPEN | {"spool": True, "dedup": {"from": "body.id", "window": "1h"}}, "again": OPEN}


@pytest.fixture
def folder(tmp_path):
    return write_config(tmp_path / "config", SOURCES, [rule_of(name, id="body.id") for name in SOURCES])


@pytest.fixture
def starter(folder, tmp_path):
    made = Processes(tmp_path, folder, SECRETS | WEB_SECRETS)
    yield made
    made.clean_up()


def send(web, source, number):
    return requests.post(f"{web.url}/hooks/{source}", json={"id": number}, timeout=20)


def is_ready(web):
    return requests.get(f"{web.url}/readyz", timeout=20).status_code == 200


def is_on_record(server, answer):
    return bool(Record(server.redis).events([answer.json()["event_id"]]))


def test_a_web_process_starts_without_the_record_spools_and_opens_by_itself(starter, own_valkey):
    own_valkey.kill()
    web = starter.start("relay", "serve", REDIS_URL=own_valkey.url)
    web.wait_for_url()

    assert not is_ready(web)
    refused, kept = send(web, "again", 1), send(web, "form", 2)
    assert (refused.status_code, "Retry-After" in refused.headers, kept.status_code) == (503, True, 200)

    own_valkey.start()
    until(lambda: is_ready(web), "the door to open")
    until(lambda: send(web, "again", 3).status_code == 200, "each process to take what comes")
    until(lambda: is_on_record(own_valkey, kept), "what was kept to be on record")
    assert web.lines("record.opened")


def test_the_door_stays_when_web_processes_die_or_are_hung_up_while_the_record_is_away(starter, own_valkey, folder):
    web = starter.start("relay", "serve", REDIS_URL=own_valkey.url)
    web.wait_for_url()
    assert send(web, "again", 1).status_code == 200
    own_valkey.kill()

    for pid in set(web.family()) - {web.pid}:
        kill(pid)
    until(lambda: send(web, "form", 2).status_code == 200, "another process to take its place")
    (folder / "rules" / "broken.yaml").write_text("name: [")  # what was in force stays in force
    before = set(web.family())
    web.process.send_signal(signal.SIGHUP)
    until(lambda: not before & (set(web.family()) - {web.pid}), "the processes before to end")
    kept = send(web, "form", 3)
    assert kept.status_code == 200
    assert web.process.poll() is None

    own_valkey.start()
    until(lambda: is_on_record(own_valkey, kept), f"what was kept to be on record\n{web.log()}")


@pytest.mark.parametrize("program", [None, REDIS_7])
def test_nothing_is_acknowledged_by_a_server_that_came_back_without_its_file(starter, program):
    settings = {"appendonly": "yes", "appendfsync": "always", "maxmemory-policy": "noeviction"}
    with Valkey(program, settings) as server:
        web = starter.start("relay", "serve", REDIS_URL=server.url)
        web.wait_for_url()
        first = send(web, "again", 1)
        assert first.status_code == 200

        server.kill()
        server.start_with({**settings, "appendonly": "no"})
        for number in range(20):  # from the first one on
            assert send(web, "again", number).status_code == 503
        until(lambda: web.lines("record.closed"), "the reason to be said")
        assert "appendonly yes" in web.lines("record.closed")[-1]["reason"]
        refused = starter.run("relay", "serve", REDIS_URL=server.url)
        assert (refused.returncode, "Was it on before?" in refused.stderr) == (1, True)

        server.kill()
        server.start_with(settings)
        until(lambda: send(web, "again", 2).status_code == 200, "the door to open")
        assert is_on_record(server, first)


def test_no_process_starts_on_a_server_without_a_file(starter, tmp_path):
    (tmp_path / "empty").mkdir()
    with serve_dump(tmp_path / "empty") as url:
        for command in (("relay", "serve"), ("workers",)):
            refused = starter.run(*command, REDIS_URL=url, PORTAL_MAIN_WEBHOOK_URL="http://127.0.0.1:1/rest/1/x/")
            assert refused.returncode == 1
            assert "must run with appendonly yes" in refused.stderr
