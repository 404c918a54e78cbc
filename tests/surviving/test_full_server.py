"""A server without room for more takes nothing new, finishes what it has, and empties itself."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import timedelta

import pytest
import requests

from relay.core.errors import RecordUnavailableError
from relay.core.ids import new_event_id, utc_now
from relay.core.lifecycle import State
from relay.store import Store
from relay.store.portals.learned import Echo
from relay.store.record.collector import Collector
from relay.store.record.compaction import Compaction
from relay.store.record.entries import Settlement
from relay.store.record.record import Record
from relay.store.redis import keys
from tests.support.folders import WEB_SECRETS
from tests.support.making import DAY, bring_to, make_attempt, make_entry, write
from tests.support.senders import SEED, website
from tests.support.valkey import REDIS_7, Valkey
from tests.support.waiting import until
from workers.maintenance import repair, retention
from workers.portal.claims import LAPSES_IN, Lease

NOW = utc_now()


@pytest.fixture(params=[None, REDIS_7], ids=["valkey", "redis 7.0"])
def server(request):
    with Valkey(request.param) as running:
        yield running


@pytest.mark.parametrize(
    ("state", "workflow_id"),
    [(State.STARTED, "wf-1"), (State.DEAD, ""), (State.RETRYING, ""), (State.UNCERTAIN, ""), (State.PENDING, "")],
)
def test_what_became_of_a_call_is_written_on_a_full_server(server, state, workflow_id):
    record = Record(server.redis)
    write(record, make_entry(at=NOW))
    server.make_full()
    (claimed,) = record.claim("main", "claim", NOW + timedelta(seconds=1), lapses_in=LAPSES_IN)

    attempt = make_attempt() if state is not State.PENDING else None
    settlement = Settlement(claimed, state, "x", attempt, workflow_id=workflow_id or None, next_at=NOW)
    assert record.settle_all([settlement], NOW) == [None]

    kept = record.delivery(claimed.id)
    assert (kept.state, kept.workflow_id or "", kept.attempts) == (state, workflow_id, (attempt,) if attempt else ())
    assert record.counts().imbalances == []


def test_a_claim_is_kept_on_a_full_server(server):
    record = Record(server.redis)
    write(record, make_entry(at=NOW))
    (claimed,) = record.claim("main", "claim", NOW + timedelta(seconds=1), lapses_in=LAPSES_IN)
    held = Lease(record, lambda: NOW + timedelta(seconds=5), [claimed], began=0.0, send_within_s=50.0)
    server.make_full()

    held.renew()

    assert held.until > 10.0
    assert record.lapsed(NOW + LAPSES_IN + timedelta(seconds=2), 10) == []


def test_what_a_portal_has_shown_and_its_new_tokens_are_kept_on_a_full_server(server):
    portal = Store(server.redis).portal("main")
    server.make_full()

    portal.learn({"own_id": "honoured", "batch_limit": "5"})
    portal.keep_tokens({"access": "a", "refresh": "r"})

    assert (portal.learned().own_id, portal.learned().batch_limit) == (Echo.HONOURED, 5)
    assert portal.tokens() == {"access": "a", "refresh": "r"}


def test_a_person_is_told_by_a_full_server(server):
    portal = Store(server.redis).portal("main")
    server.make_full()

    for number in range(3):
        portal.gate.alert("uncertain", NOW, delivery=f"dlv_{number}", reason="cut")

    assert server.redis.xlen(keys.ALERTS) == 3


def test_nothing_new_is_taken_by_a_full_server(server):
    record = Record(server.redis)
    dead = bring_to(record, State.DEAD, NOW)
    event = record.event(dead.event_id)
    before = record.counts()
    server.make_full()

    for step in (
        lambda: Collector(record).record(make_entry()),
        lambda: record.replay(event, dead, []),
        lambda: Compaction(server.redis).restore(replace(event, id=new_event_id(NOW)), []),
        record.is_writable,
    ):
        with pytest.raises(RecordUnavailableError):
            step()

    assert record.counts() == before


def test_a_full_server_empties_itself(server, monkeypatch):
    record, store = Record(server.redis), Store(server.redis)
    old = NOW - 200 * DAY
    for number in range(20):
        bring_to(record, State.STARTED, old + timedelta(seconds=number))
    stuck = bring_to(record, State.SENDING, NOW - DAY)
    server.make_full()

    for module in (retention, retention, repair):
        monkeypatch.setattr(module, "INTERVAL_S", 0.05)
    stop = threading.Event()
    tasks = [
        threading.Thread(target=retention.run_retention, args=(store, retention.Terms(90 * DAY), stop)),
        threading.Thread(target=retention.run_packer, args=(store, stop)),
        threading.Thread(target=repair.run_sweeper, args=(store, {}, stop)),
    ]
    for task in tasks:
        task.start()
    try:
        until(lambda: record.event_count() == 1, "old events to be forgotten")
        until(lambda: record.delivery(stuck.id).state is State.UNCERTAIN, "the lapsed claim to be found")
    finally:
        stop.set()
        for task in tasks:
            task.join()


def test_a_machine_finishes_what_it_has_taken_while_its_server_is_full(processes, server, sandbox):
    record, portal_url = Record(server.redis), f"{sandbox.url}/rest/1/sandbox/"
    web = processes.start("relay", "serve", REDIS_URL=server.url)
    web.wait_for_url()
    taken = [post(web, number).json() for number in range(1, 6)]
    ids = [delivery for receipt in taken for delivery in receipt["deliveries"]]
    server.fill()

    until(lambda: post(web, 6).status_code == 503, "nothing new to be taken")
    workers = processes.start("workers", REDIS_URL=server.url, PORTAL_MAIN_WEBHOOK_URL=portal_url)
    until(lambda: {one.state for one in record.deliveries(ids)} == {State.STARTED}, "all to start", 40)
    login, same = {"password": WEB_SECRETS["RELAY_DASHBOARD_PASSWORD"]}, {"Origin": web.url}
    seen = requests.post(f"{web.url}/login", data=login, headers=same, allow_redirects=False, timeout=10)
    assert seen.status_code == 303

    server.redis.config_set("maxmemory", "0")
    until(lambda: post(web, 7).status_code == 200, "events to be taken again")
    until(lambda: record.counts().deliveries[State.PENDING] == 0, "the later ones to start")
    assert workers.lines("process.died") == []


def post(web, number):
    return requests.post(f"{web.url}/hooks/website", json=SEED | {"n": number}, headers=website(), timeout=10)
