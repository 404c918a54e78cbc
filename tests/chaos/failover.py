"""A failover under load: numbered events from senders that repeat on an error, workers at work, no ids of ours.

With and without waiting for replicas: how many events that were acknowledged are gone, how many workflows were started
twice, and for how long nothing was acknowledged.
"""

from __future__ import annotations

import http.client
import itertools
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from redis.exceptions import RedisError

from relay.core.errors import RecordUnavailableError
from relay.core.ids import utc_now
from relay.core.lifecycle import State
from relay.store.portals.gate import Gate
from relay.store.portals.rollback import WENT_BACK
from relay.store.record.record import Record
from relay.store.redis.connection import connect
from tests.chaos.stage import Sandbox, doubles, end, free_port, start, until
from tests.support.cluster import SENTINELS, Cluster, Server
from tests.support.configs import write_config

RATE = 150
SENDERS = 60
FAULT_AFTER_S = 6.0
BEHIND_S = 1.5
TOKEN = "token-of-the-website-here"
SECRETS = {
    "SOURCE_SITE_TOKEN": TOKEN,
    "RELAY_SECRET_KEY": "secret-key-of-the-scene, which is long",
    "RELAY_DASHBOARD_PASSWORD": "dashboard-password-of-the-scene",
    "RELAY_API_TOKEN": "api-token-of-the-scene",
}
SOURCES = {
    "site": {
        "verify": {"kind": "token", "header": "X-Token", "secrets": ["SOURCE_SITE_TOKEN"]},
        "dedup": {"header": "X-Number", "window": "1h"},
    }
}
RULE = {
    "name": "site",
    "source": "site",
    "extract": {"id": {"from": "body.id", "type": "integer", "required": True}},
    "start": {"portal": "main", "template_id": 1, "document_id": {"lead": "{id}"}},
}
PORTALS = "portals: {main: {plan: standard, rate: 20, burst: 1, own_id: off, batch: 10, settle_after: 1s}}\n"


@dataclass
class Senders:
    """Post numbers at a steady rate, each again and again until it is acknowledged."""

    port: int
    first: int = 1000
    acknowledged: dict[int, str] = field(default_factory=dict)
    times: list[float] = field(default_factory=list)
    errors: int = 0

    def __post_init__(self) -> None:
        self._numbers = itertools.count()
        self._stop = threading.Event()
        self._begin = time.monotonic()
        self._sent = 0
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(SENDERS)]
        for thread in self._threads:
            thread.start()

    def finish(self, patience_s: float = 90) -> int:
        """Let them end what they have begun; how many numbers there were."""
        self._stop.set()
        deadline = time.monotonic() + patience_s
        for thread in self._threads:
            thread.join(max(0.1, deadline - time.monotonic()))
        return self._sent

    def longest_gap_s(self, since: float) -> float:
        """The longest time without an acknowledgement after a moment."""
        times = [since, *(at for at in sorted(self.times) if at > since)]
        return max((after - before for before, after in itertools.pairwise(times)), default=float("inf"))

    def _run(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        while not self._stop.is_set():
            number = next(self._numbers)
            if self._stop.wait(max(0.0, self._begin + number / RATE - time.monotonic())):
                return
            self._sent += 1
            while not self._post(connection, self.first + number):
                self.errors += 1
                time.sleep(0.5)

    def _post(self, connection: http.client.HTTPConnection, number: int) -> bool:
        body = f'{{"id": {number}}}'
        headers = {"Content-Type": "application/json", "X-Token": TOKEN, "X-Number": str(number)}
        try:
            connection.request("POST", "/hooks/site", body, headers)
            answer = connection.getresponse()
            content = answer.read()
        except (OSError, http.client.HTTPException):
            connection.close()
            return False
        if answer.status != 200:
            return False
        self.times.append(time.monotonic())
        self.acknowledged[number] = content.decode().partition('"event_id":')[2].split('"')[1]
        return True


class Site:
    """Web, workers and a portal at a record. Use as a context manager."""

    def __init__(self, redis_url: str, replicas: int = 0) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="relay-site-"))
        config = write_config(self.folder / "config", SOURCES, [RULE])
        (config / "portals.yaml").write_text(PORTALS, "utf-8")
        self.sandbox = Sandbox(rate=None)
        self.processes: list[subprocess.Popen[bytes]] = []
        self.port = free_port()
        environ = {
            **{name: value for name, value in os.environ.items() if name.startswith(("PATH", "HOME", "LANG"))},
            **SECRETS,
            "REDIS_URL": redis_url,
            "RELAY_REPLICAS": str(replicas),
            "RELAY_CONFIG": str(config),
            "RELAY_STATE": str(self.folder / "state"),
            "RELAY_PORT": str(self.port),
            "PORTAL_MAIN_WEBHOOK_URL": f"{self.sandbox.url}/rest/1/sandbox/",
        }
        self.processes += [
            start(["relay", "serve"], environ, self.folder / "web.log"),
            start(["workers"], environ, self.folder / "workers.log"),
        ]
        self.record = Record(connect(redis_url))
        self.went_back = False
        until(self._answers, "the web process answers")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for process in self.processes:
            end(process)
        self.sandbox.stop()
        self.record.redis.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def lost(self, event_ids: Sequence[str]) -> int:
        """How many of these events are not on record."""
        return len(event_ids) - len(self.record.events(event_ids))

    def is_drained(self) -> bool:
        """Whether nothing waits to be sent. What is `sending` after a failover lapses, and is asked about.

        Where the relay has seen that the record went back, somebody resumes the portal: what may have been sent is
        uncertain then, and stays so.
        """
        gate = Gate(self.record.redis, "main")
        try:
            if gate.look().reason == WENT_BACK:
                self.went_back = True
                gate.resume(utc_now())
            counts = self.record.counts().deliveries
        except RecordUnavailableError:
            return False
        return counts[State.PENDING] + counts[State.RETRYING] == 0

    def _answers(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=2)
        try:
            connection.request("GET", "/healthz")
            return connection.getresponse().status == 200
        except OSError:
            return False
        finally:
            connection.close()


def killed(cluster: Cluster) -> None:
    """The primary dies; its machine is back after ten seconds."""
    cluster.primary.kill()
    time.sleep(10)
    cluster.primary.start()


def killed_behind(cluster: Cluster) -> None:
    """The same, while what it writes reaches the first replica late."""
    cluster.delay(cluster.replicas[0], BEHIND_S)
    time.sleep(4)
    cluster.primary.kill()
    cluster.network.drop(cluster.primary.port)
    time.sleep(4)
    cluster.heal(cluster.primary)
    time.sleep(6)
    cluster.primary.start()


def cut_off(cluster: Cluster) -> None:
    """Sentinels and replicas do not reach the primary; the relay does."""
    cluster.cut_off(cluster.primary)
    time.sleep(20)
    cluster.heal(cluster.primary)


def unseen(cluster: Cluster) -> None:
    """Sentinels do not see the primary; its replicas and the relay do."""
    cluster.network.cut(cluster.primary.port, SENTINELS)
    time.sleep(20)
    cluster.heal(cluster.primary)


def frozen(cluster: Cluster) -> None:
    """The primary's machine stands still, and goes on where it was."""
    cluster.primary.freeze()
    time.sleep(30)
    cluster.primary.thaw()


FAULTS: dict[str, Callable[[Cluster], None]] = {
    "primary killed": killed,
    "killed, replica 1.5 s behind": killed_behind,
    "primary cut off for 20 s": cut_off,
    "primary frozen for 30 s": frozen,
    "unseen by sentinels for 20 s": unseen,
}


def failover(fault: str, replicas: int, priorities: Sequence[int] = (100,)) -> str:
    """One row."""
    with Cluster(priorities) as cluster, Site(cluster.url, replicas) as site:
        senders = Senders(site.port)
        time.sleep(FAULT_AFTER_S)
        at = time.monotonic()
        FAULTS[fault](cluster)
        time.sleep(8)
        sent = senders.finish()
        until(lambda: bool(_primary(cluster)), "there is a primary", 60)
        until(site.is_drained, "nothing waits", 180)
        lost = site.lost(list(senders.acknowledged.values()))
        twice = doubles(site.sandbox.workflows())
        counts = site.record.counts()
    noticed = ", went back" if site.went_back else ""
    left = {state.value: counts.deliveries[state] for state in (State.SENDING, State.UNCERTAIN, State.DEAD)}
    return (
        f"{fault:29} {len(priorities)} replicas, {replicas} waited for: {len(senders.acknowledged):5} of {sent} "
        f"acknowledged, {lost} lost, {twice} twice; nothing taken for {senders.longest_gap_s(at):.1f} s{noticed}; "
        f"{left}, ledger {'balances' if not counts.imbalances else counts.imbalances}"
    )


def _primary(cluster: Cluster) -> Server | None:
    try:
        found = [server for server in cluster.servers if server.is_primary()]
    except RedisError:
        return None
    return found[0] if len(found) == 1 else None


def rows() -> Iterator[str]:
    """The table."""
    for replicas in (0, 1):
        for fault in FAULTS:
            yield failover(fault, replicas)
    # Any replica's answer counts, and another may be promoted: so all of them have to be waited for.
    for replicas in (1, 2):
        yield failover("killed, replica 1.5 s behind", replicas, (100, 0))
        yield failover("unseen by sentinels for 20 s", replicas, (100, 100))


if __name__ == "__main__":
    chosen = list(FAULTS)[int(sys.argv[1])]
    priorities = tuple(map(int, sys.argv[3].split(","))) if len(sys.argv) > 3 else (100,)
    print(failover(chosen, int(sys.argv[2]), priorities), flush=True)
