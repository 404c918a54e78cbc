"""The record of each earlier version is served by this version's processes: what waited in it is sent once.

samples/NAME.rdb.gz is what web and workers of that version left, killed: 30 events, of which 10 had started. NAME is
the version's number, or its commit where it has none. tests/chaos/dumps.py made them. `make chaos ARGS=upgraded` tries
an upgrade with the earlier versions' own processes, also while they run.
"""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
import requests

from relay import __version__
from relay.core.lifecycle import State
from relay.store.record.record import Record
from relay.store.record.upgrade import LAYOUT, STEPS
from relay.store.redis import keys
from relay.store.redis.connection import COMPACT, DURABLE
from tests.chaos.dumps import STARTED, WAITING
from tests.support.senders import SEED, website
from tests.support.valkey import Valkey
from tests.support.waiting import until

SAMPLES = Path(__file__).parent / "samples"
LAYOUTS = {"fd3e447": 1, "8cc9db2": 2, "fd8caef": 3, "1.0.0": 3}
"""What each version left its record in."""


@pytest.fixture(params=LAYOUTS)
def left(request):
    """A server with the record of that version."""
    with Valkey() as server:
        server.kill()
        for path in (server.folder / "data").iterdir():
            if path.is_dir():
                for file in path.iterdir():
                    file.unlink()
                path.rmdir()
        (server.folder / "data" / "dump.rdb").write_bytes(
            gzip.decompress((SAMPLES / f"{request.param}.rdb.gz").read_bytes())
        )
        server.start_with({**DURABLE, **COMPACT, "appendonly": "no"})
        server.redis.config_set("appendonly", "yes")
        assert int(server.redis.get(keys.FORMAT) or 1) == LAYOUTS[request.param]
        yield server


def test_what_waited_in_an_earlier_versions_record_is_sent_once(left, processes, sandbox):
    record = Record(left.redis)
    waited = int(left.redis.zcard(f"{keys.DELIVERIES_BY_STATE}pending"))
    assert waited == WAITING
    web = processes.start("relay", "serve", REDIS_URL=left.url)
    web.wait_for_url()
    fresh = requests.post(f"{web.url}/hooks/website", json=SEED, headers=website(), timeout=10)
    assert fresh.status_code == 200

    workers = processes.start("workers", REDIS_URL=left.url, PORTAL_MAIN_WEBHOOK_URL=f"{sandbox.url}/rest/1/sandbox/")
    until(
        lambda: record.counts().deliveries[State.STARTED] == STARTED + WAITING + 1, f"all to start\n{workers.log()}", 60
    )

    documents = [str(workflow["document"]) for workflow in sandbox.portal.started()]
    assert (len(documents), len(set(documents))) == (waited + 1, waited + 1)
    assert record.counts().imbalances == []
    assert workers.lines("thread.died") == web.lines("thread.died") == []
    # The steps alone have laid it out: a process that looks later finds nothing that a step has left behind.
    assert workers.lines("record.mixed") == web.lines("record.mixed") == []


def test_there_is_a_dump_of_this_version_and_of_every_layout():
    """tests/chaos/dumps.py writes what is missing; a dump that is there is never written anew."""
    assert __version__ in LAYOUTS
    assert {path.name for path in SAMPLES.iterdir()} == {f"{name}.rdb.gz" for name in LAYOUTS}
    assert set(LAYOUTS.values()) == {1, *STEPS}


def test_both_processes_refuse_the_record_of_a_newer_version(own_valkey, processes):
    own_valkey.redis.set(keys.FORMAT, 99)

    for command in (("relay", "serve"), ("workers",)):
        refused = processes.run(
            *command, REDIS_URL=own_valkey.url, PORTAL_MAIN_WEBHOOK_URL="http://127.0.0.1:1/rest/1/x/"
        )
        assert refused.returncode == 1
        known = f"its layout is 99, and relay {__version__} knows those up to {LAYOUT}"
        assert f"a newer version has written it ({known})" in refused.stderr


def test_a_process_whose_record_a_newer_version_lays_out_takes_nothing_more(own_valkey, processes):
    web = processes.start("relay", "serve", REDIS_URL=own_valkey.url)
    web.wait_for_url()
    own_valkey.redis.set(keys.FORMAT, 99)
    own_valkey.kill()  # it looks again after an outage, and once a minute
    until(lambda: len(web.lines("record.closed")) == 2, "both processes to notice")
    own_valkey.start()

    until(lambda: len([one for one in web.lines("record.closed") if "a newer version" in one["reason"]]) == 2, "it")
    refused = requests.post(f"{web.url}/hooks/website", json=SEED, headers=website(), timeout=10)
    assert refused.status_code == 503
