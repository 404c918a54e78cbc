"""Events that are acknowledged when they are on disk: how many a second and core, and how many kills lose.

    make bench ARGS=record

Beside the relay stand the same written by hand (Flask, marshmallow, `Queue.enqueue`) on a server of the same settings,
and Node-RED with its persistent context, in both of its modes: as it comes, which answers before it writes, and without
its cache, which writes first. The rates are taken in turns with wrk, three rounds. Then clients that keep each
acknowledged id post while processes get `kill -9`, and each id is looked for afterwards.
"""

from __future__ import annotations

import http.client
import itertools
import json
import statistics
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import requests
from redis import Redis

from relay.core.lifecycle import State
from relay.store.redis import keys
from tests.bench.load import MissingError, Run, lead_post, need_wrk, press
from tests.bench.others import KEEPING_FLOW, TOKEN, Served, contender, kept_by_node_red, node_red
from tests.bench.proc import cpu_s, tree
from tests.bench.report import Table, Value
from tests.bench.rig import Rig, say
from tests.support.cluster import Cluster
from tests.support.folders import copy_config
from tests.support.processes import kill
from tests.support.waiting import until

ROUNDS, CONNECTIONS, WARM_UP_S = 3, 64, 1
CLIENTS = 8
"""Threads that post while processes are killed."""
PAUSE_S = 1.5
"""Between two kills, while the clients post."""
RELAY, REPLICATED, BY_HAND = "relay", "relay, a replica waited for", "by hand"
CACHED, WRITTEN = "Node-RED, context as it comes", "Node-RED, context without cache"
CONTEXTS: Mapping[str, Mapping[str, Any]] = {CACHED: {}, WRITTEN: {"cache": False}}
FSYNCED = {RELAY: "yes", REPLICATED: "yes, twice", BY_HAND: "yes", CACHED: "no", WRITTEN: "no, written"}
"""Whether what is acknowledged is on disk: the source of Node-RED 4 writes its context without fsync."""
PORTALS = """portals:
  main: {plan: standard, own_id: echo, batch: 50, settle_after: 1s, rate: 1000, burst: 10000}
"""
RATES = {
    "of by hand": ".2f", "events/s": ",.0f", "spread": ",.0f", "a core": ",.0f", "of by hand a core": ".2f",
    "CPU us": ",.0f", "p50 ms": ".1f", "p99 ms": ".1f", "failed": ",", "on disk": "",
}  # fmt: skip
KILLS = {"kills": ",", "acknowledged": ",", "refused": ",", "lost": ",", "twice": ",", "found in": ""}


@dataclass(frozen=True, slots=True)
class Keeper:
    """Somebody who keeps what it takes. servers: the pids of the record's servers beside its own processes."""

    served: Served
    servers: Sequence[int] = ()

    def pids(self) -> list[int]:
        """Every process whose CPU its events take."""
        return [*tree(self.served.pid), *self.servers]


def measure(*, full: bool) -> list[Table]:
    """Rates, and losses."""
    need_wrk()
    return [_rates(4 if full else 2), _losses(12 if full else 6)]


def _rates(seconds: float) -> Table:
    runs: dict[str, list[Run]] = {}
    with ExitStack() as stack:
        rig = stack.enter_context(Rig(_configure))
        keepers, notes = _keepers(rig, stack)
        for round_ in range(ROUNDS + 1):
            say(f"  rates, round {round_} of {ROUNDS}" if round_ else "  rates, warming up")
            for name, keeper in keepers.items():
                run = _press(rig, keeper, seconds if round_ else WARM_UP_S)
                if round_:
                    runs.setdefault(name, []).append(run)
    how = (
        f"medians of {ROUNDS} rounds of {seconds:g} s in turn at {CONNECTIONS} connections, 300 bytes; two gevent "
        "workers and appendfsync always, Node-RED is one process; a core: events for a second of CPU in all processes "
        "that take part, the record's servers included"
    )
    return Table("Record", how, RATES, {name: _row(name, runs) for name in runs}, notes)


def _keepers(rig: Rig, stack: ExitStack) -> tuple[dict[str, Keeper], list[str]]:
    """Everybody by name, and why some are missing."""
    web = rig.start_web()
    by_hand = stack.enter_context(contender("by_hand", rig.valkey.url, rig.folder))
    cluster = stack.enter_context(Cluster(sentinels=0, is_direct=True))
    replicated = rig.processes.start("relay", "serve", REDIS_URL=_url_of(cluster), RELAY_REPLICAS="1")
    replicated.wait_for_url()
    found = {
        RELAY: Keeper(Served(web.url, web.pid), [rig.valkey.pid]),
        REPLICATED: Keeper(Served(replicated.url, replicated.pid), [_pid(one) for one in cluster.servers]),
        BY_HAND: Keeper(by_hand, [rig.valkey.pid]),
    }
    notes: list[str] = []
    for name, context in CONTEXTS.items():
        try:
            served = stack.enter_context(node_red(rig.folder / _slug(name), KEEPING_FLOW, context))
        except MissingError as error:
            notes.append(str(error))
            break
        found[name] = Keeper(served)
    return found, notes


def _press(rig: Rig, keeper: Keeper, seconds: float) -> Run:
    pids = keeper.pids()
    before = cpu_s(pids)
    load = press(f"{keeper.served.url}/hooks/website", lead_post(), CONNECTIONS, seconds, rig.folder)
    return Run(load, (cpu_s(pids) - before) / max(1, load.count) * 1e6)


def _row(name: str, runs: Mapping[str, Sequence[Run]]) -> Mapping[str, Value]:
    mine, others = runs[name], runs[BY_HAND]
    cpu_us = statistics.median(run.cpu_us for run in mine)
    pairs = list(zip(mine, others, strict=True))
    return {
        "of by hand": statistics.median(one.load.rate / other.load.rate for one, other in pairs),
        "events/s": statistics.median(run.load.rate for run in mine),
        "spread": [run.load.rate for run in mine],
        "a core": 1e6 / cpu_us if cpu_us else None,
        "of by hand a core": statistics.median(other.cpu_us / one.cpu_us for one, other in pairs if one.cpu_us),
        "CPU us": cpu_us,
        "p50 ms": statistics.median(run.load.p50 for run in mine),
        "p99 ms": statistics.median(run.load.p99 for run in mine),
        "failed": sum(run.load.failed for run in mine),
        "on disk": FSYNCED[name],
    }


def _losses(kills: int) -> Table:
    """Everybody under kills. kills: of the relay; each third is of a web process, of the workers, of the record."""
    rows: dict[str, Mapping[str, Value]] = {}
    notes: list[str] = []
    everybody: dict[str, Callable[[], Mapping[str, Value]]] = {
        RELAY: partial(_relay_killed, kills),
        REPLICATED: _primary_killed,
        BY_HAND: partial(_by_hand_killed, kills),
        **{name: partial(_node_red_killed, context) for name, context in CONTEXTS.items()},
    }
    for name, kept in everybody.items():
        say(f"  kills: {name}")
        try:
            rows[name] = kept()
        except MissingError as error:
            notes.append(str(error))
            break
    how = (
        f"kill -9 in turn while {CLIENTS} clients post without pause; lost: acknowledged and not there afterwards; "
        "twice: workflows that started more than once; refused: no 200, so the sender comes again"
    )
    return Table("Kills", how, KILLS, rows, notes)


def _relay_killed(kills: int) -> Mapping[str, Value]:
    """Web processes, the workers and the record's server in turn; what is there when all of it runs again."""
    with Rig(_configure) as rig:
        portal = rig.start_sandbox()
        web, workers = rig.start_web(), [rig.start_workers(portal)]

        def kill_workers() -> None:
            _kill_all(workers[-1].pid)
            workers.append(rig.start_workers(portal))

        def kill_record() -> None:
            rig.valkey.kill()
            rig.valkey.start()

        acts = (lambda: _kill_a_child(web.pid), kill_workers, kill_record)
        with posting(web.url, "event_id") as poster:
            for act in itertools.islice(itertools.cycle(acts), kills):
                time.sleep(PAUSE_S)
                act()
            time.sleep(PAUSE_S)
        until(lambda: not _open(rig), "all deliveries to end", 120)
        ledger = rig.ledger()
        started = Counter(one["document"][2] for one in requests.get(f"{portal}/sandbox/workflows", timeout=60).json())
        lost = _missing(rig.valkey.redis, (keys.EVENT + one for one in poster.acknowledged))
        states = ", ".join(f"{count:,} {state}" for state, count in ledger.deliveries.items() if count)
        balance = "ledger balances" if not ledger.imbalances else f"{ledger.imbalances}"
        twice = sum(1 for count in started.values() if count > 1)
        return poster.row(kills, lost) | {"twice": twice, "found in": f"{states}; {balance}"}


def _primary_killed() -> Mapping[str, Value]:
    """The primary dies for good while clients post; what its replica has."""
    with Rig(_configure) as rig, Cluster(sentinels=0, is_direct=True) as cluster:
        web = rig.processes.start("relay", "serve", REDIS_URL=_url_of(cluster), RELAY_REPLICAS="1")
        web.wait_for_url()
        with posting(web.url, "event_id") as poster:
            time.sleep(2 * PAUSE_S)
            cluster.primary.kill()
        lost = _missing(cluster.replicas[0].redis, (keys.EVENT + one for one in poster.acknowledged))
        return poster.row(1, lost) | {"found in": "the replica, after the primary's end"}


def _by_hand_killed(kills: int) -> Mapping[str, Value]:
    """Web processes and the server in turn; the jobs that are in it."""
    with Rig(_configure) as rig, contender("by_hand", rig.valkey.url, rig.folder) as served:

        def kill_server() -> None:
            rig.valkey.kill()
            rig.valkey.start()

        with posting(served.url, "job") as poster:
            for act in itertools.islice(itertools.cycle((lambda: _kill_a_child(served.pid), kill_server)), kills):
                time.sleep(PAUSE_S)
                act()
            time.sleep(PAUSE_S)
        lost = _missing(rig.valkey.redis, (f"rq:job:{one}" for one in poster.acknowledged))
        return poster.row(kills, lost) | {"found in": "jobs of RQ that nobody has run"}


def _node_red_killed(context: Mapping[str, Any]) -> Mapping[str, Value]:
    """Its process; the file of its context."""
    with Rig(_configure) as rig:
        with node_red(rig.folder, KEEPING_FLOW, context) as served, posting(served.url, "id") as poster:
            time.sleep(4 * PAUSE_S)
            _kill_all(served.pid)
        kept = kept_by_node_red(rig.folder)
        return poster.row(1, len(set(poster.acknowledged) - kept)) | {"found in": "the file of its context"}


class Poster:
    """Clients that post until they are stopped, and keep each acknowledged id. name: of the id in an answer."""

    def __init__(self, url: str, name: str) -> None:
        self.acknowledged: list[str] = []
        self.refused = 0
        self._address, self._name = url.removeprefix("http://"), name
        self._numbers = itertools.count(1_000)
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._post) for _ in range(CLIENTS)]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def row(self, kills: int, lost: int) -> dict[str, Value]:
        return {"kills": kills, "acknowledged": len(self.acknowledged), "refused": self.refused, "lost": lost}

    def _post(self) -> None:
        connection = http.client.HTTPConnection(self._address, timeout=10)
        headers = {"Content-Type": "application/json", "X-Relay-Token": TOKEN}
        while not self._stop.is_set():
            number = next(self._numbers)
            body = json.dumps({"lead": {"id": number}, "user": 1, "submission_id": f"kept-{number}"})
            try:
                connection.request("POST", "/hooks/website", body, headers)
                answer = connection.getresponse()
                content = json.loads(answer.read() or b"{}")
            except (OSError, ValueError, http.client.HTTPException):
                connection.close()
                content = {}
            if known := content.get(self._name):
                self.acknowledged.append(known)
            else:
                self.refused += 1
                self._stop.wait(0.05)  # a sender does not repeat at once
        connection.close()


@contextmanager
def posting(url: str, name: str) -> Iterator[Poster]:
    """Clients that post meanwhile."""
    poster = Poster(url, name)
    poster.start()
    try:
        yield poster
    finally:
        poster.stop()


def _missing(redis: Redis, names: Iterator[str]) -> int:
    """How many of these keys are not there."""
    missing = 0
    while some := list(itertools.islice(names, 1_000)):
        missing += len(some) - int(redis.exists(*some))
    return missing


def _open(rig: Rig) -> int:
    counts = rig.ledger().deliveries
    return sum(counts[state] for state in (State.PENDING, State.SENDING, State.RETRYING, State.UNCERTAIN))


def _kill_a_child(pid: int) -> None:
    """One of gunicorn's worker processes: the first process starts another."""
    children = [one for one in tree(pid) if one != pid]
    if children:
        kill(children[-1])


def _kill_all(pid: int) -> None:
    for one in tree(pid):
        kill(one)


def _configure(folder: Path) -> Path:
    config = copy_config(folder)
    (config / "portals.yaml").write_text(PORTALS, "utf-8")
    return config


def _url_of(cluster: Cluster) -> str:
    return f"redis://127.0.0.1:{cluster.primary.own_port}/0"


def _pid(server: Any) -> int:
    return int(server.process.pid)


def _slug(name: str) -> str:
    return "".join(one if one.isalnum() else "-" for one in name.lower())
