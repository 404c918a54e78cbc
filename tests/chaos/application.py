"""Two hosts of workers with an application's tokens that expire all the time, kills, and a failover of the record.

How many deliveries fail for want of a token, how many workflows are started twice, and whether a refresh token is lost.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import requests

from relay.configuration.sealing import Opener, Sealer, new_seal_key
from relay.core.errors import RecordUnavailableError
from relay.core.ids import utc_now
from relay.core.lifecycle import State
from relay.store import Store
from relay.store.portals.applications import OpeningState
from relay.store.record.collector import Collector
from tests.chaos.stage import Sandbox, children_of, doubles, end, make_entry, start, until
from tests.support.cluster import Cluster

CLIENT_ID, CLIENT_SECRET = "local.5a1b5c0d1e0f.12345678", "client-secret-of-the-scene"
ADMINISTRATORS = (1, 5)
HOSTS = 2
PORTAL = (
    f"portals:\n  main: {{plan: standard, rate: 10, burst: 1, own_id: echo, batch: 1, settle_after: 1s, "
    f"application: {CLIENT_ID}, card: [deal, lead], menu: true}}\n"
)


def application(count: int, kills: int, lifetime_s: float) -> str:
    """One row. lifetime_s: of an access token."""
    folder = Path(tempfile.mkdtemp(prefix="relay-application-"))
    (folder / "portals.yaml").write_text(PORTAL)
    key = new_seal_key()
    with Cluster((100,)) as cluster:
        sandbox = Sandbox(rate=None, latency_ms=20)
        hosts: list[subprocess.Popen[bytes]] = []
        try:
            _add_application(sandbox)
            environ = {
                **os.environ,
                "REDIS_URL": cluster.url,
                "RELAY_REPLICAS": "1",
                "RELAY_CONFIG": str(folder),
                "RELAY_SEAL_KEY": key,
                "RELAY_PUBLIC_URL": "https://relay.example.com",
                "PORTAL_MAIN_CLIENT_SECRET": CLIENT_SECRET,
                "PORTAL_MAIN_OAUTH_SERVER": f"{sandbox.url}/oauth",
            }
            for number in range(HOSTS):
                own = {"RELAY_STATE": str(folder / f"state-{number}")}
                hosts.append(start(["workers"], environ | own, folder / "workers.log"))
            store = Store.open(cluster.url, 1)
            for user in ADMINISTRATORS:
                _open(store, sandbox, key, user)
            sandbox.post("settings", {"token_lifetime_s": lifetime_s})
            sandbox.post("application/expire", {"client_id": CLIENT_ID})
            entries = [make_entry("main", number) for number in range(1_000, 1_000 + count)]
            for begin in range(0, count, 500):
                Collector(store.record).record_all(entries[begin : begin + 500])
            done, took = _kill(store, cluster, hosts, kills)
            row = _row(store, sandbox)
            store.close()
        finally:
            for host in hosts:
                end(host)
            sandbox.stop()
            shutil.rmtree(folder, ignore_errors=True)
    return f"application: {count} deliveries, {done} kills, a failover, tokens of {lifetime_s:g} s: {row}, {took:.0f} s"


def _add_application(sandbox: Sandbox) -> None:
    keys = {"client_id": CLIENT_ID, "client_secret": CLIENT_SECRET}
    sandbox.post("application", keys | {"handler": "https://relay.example.com/app/main", "title": "Relay"})


def _open(store: Store, sandbox: Sandbox, key: str, user: int) -> None:
    """Leave an opening of this administrator, as the web process does, until it is answered."""
    order = {"client_id": CLIENT_ID, "user": user}
    frame: dict[str, Any] = requests.post(f"{sandbox.url}/sandbox/frame", json=order, timeout=30).json()
    sealer = Sealer.from_text(Opener.from_text(key).public_text)
    box = sealer.seal(json.dumps(frame["query"] | frame["fields"]).encode())
    opening_id = store.applications.arrive("main", box, "en", utc_now()) or ""
    until(lambda: store.applications.opening(opening_id).state is not OpeningState.ASKED, "it is answered", 60)
    answered = store.applications.opening(opening_id)
    assert answered.state is OpeningState.SHOWN, answered.reason


def _kill(store: Store, cluster: Cluster, hosts: list[subprocess.Popen[bytes]], kills: int) -> tuple[int, float]:
    """Kill workers at random moments, and half-way the primary; until all is final. Returns kills and seconds.

    Each kill waits until something was sent since the one before: else it would meet workers that only start.
    """
    begun, done, left = time.monotonic(), 0, sys.maxsize
    while done < kills and (now_left := _open_count(store)):
        if now_left >= left:
            time.sleep(0.1)
            continue
        left = now_left
        time.sleep(random.uniform(0.2, 1.2))  # noqa: S311 - whom to kill is no secret
        pids = [pid for host in hosts for pid in children_of(host.pid)]
        if pids:
            os.kill(random.choice(pids), signal.SIGKILL)  # noqa: S311 - likewise
            done += 1
            if done == kills // 2:
                cluster.primary.kill()
                threading.Timer(10.0, cluster.primary.start).start()
    until(lambda: _open_count(store) == 0, "all are final", 600)
    return done, time.monotonic() - begun


def _open_count(store: Store) -> int:
    try:
        counts = store.record.counts().deliveries
    except RecordUnavailableError:  # between two primaries nothing is sent
        return sys.maxsize
    return sum(counts[state] for state in (State.PENDING, State.SENDING, State.RETRYING, State.UNCERTAIN))


def _row(store: Store, sandbox: Sandbox) -> str:
    counts, workflows = store.record.counts(), sandbox.workflows()
    ends = [f"{counts.deliveries[state]} {state}" for state in (State.STARTED, State.DEAD)]
    (app,) = [
        one
        for one in requests.get(f"{sandbox.url}/sandbox/application", timeout=30).json()
        if one["client_id"] == CLIENT_ID
    ]
    found = store.applications.installation("main")
    troubles = [one.trouble for one in found.admins if one.trouble] if found else ["none"]
    return (
        f"{', '.join(ends)}, {doubles(workflows)} twice; "
        f"{app['refreshes']} refreshes, {app['refused_refreshes']} refused, pairs in trouble: {troubles or 0}; "
        f"ledger {'balances' if not counts.imbalances else counts.imbalances}"
    )


if __name__ == "__main__":
    count, kills, lifetime_s = (int(text) for text in sys.argv[1:4]) if len(sys.argv) > 3 else (600, 20, 2)
    print(application(count, kills, lifetime_s), flush=True)
