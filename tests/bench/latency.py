"""How long from POST to recorded workflow id, where nothing else is going on. Prints a table; asserts nothing.

Real processes: Valkey with appendfsync always, `relay serve`, `workers`, and a sandbox portal that limits no rate and
adds no wait. Events go one after the other over one connection; the record is asked until it says `started`.
"""

from __future__ import annotations

import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import requests
from redis import Redis

from relay.core.events import Attempt
from relay.store.record.codec import attempt_from_json
from relay.store.redis import keys
from tests.support.folders import SECRETS, WEB_SECRETS, copy_config
from tests.support.processes import Processes, free_port
from tests.support.senders import SEED, website
from tests.support.valkey import Valkey
from tests.support.waiting import until

EVENTS = 300
WARM_UP = 30
"""Events before the clock counts: the worker's connections, the scripts and the caches are then as they always are."""
PATIENCE_S = 10.0
POLL_S = 0.0005
TARGET_MS = 25.0


@dataclass(frozen=True, slots=True)
class Times:
    """One event, in milliseconds since it was sent. portal: the part that the portal took to answer."""

    answered: float
    recorded: float
    portal: float


def main() -> int:
    """Set everything up, measure, print, and take everything down again."""
    folder = Path(tempfile.mkdtemp(prefix="relay-bench-"))
    processes = Processes(folder, copy_config(folder), SECRETS | WEB_SECRETS)
    try:
        with Valkey() as valkey:
            try:
                url = start(processes, valkey.url)
                measure(url, valkey.redis, WARM_UP)
                times = measure(url, valkey.redis, EVENTS)
            finally:
                processes.clean_up()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(table(times), flush=True)
    return 0


def start(processes: Processes, redis_url: str) -> str:
    """The processes; the web process's address."""
    port = free_port()
    portal = f"http://127.0.0.1:{port}"
    running = processes.start("relay", "sandbox", "--port", str(port))
    until(lambda: portal in running.printed(), f"the sandbox to listen\n{running.log()}")
    unlimited = {"rate": None, "operating_limit_s": None}
    requests.post(f"{portal}/sandbox/settings", json=unlimited, timeout=5).raise_for_status()
    web = processes.start("relay", "serve", REDIS_URL=redis_url)
    processes.start("workers", REDIS_URL=redis_url, PORTAL_MAIN_WEBHOOK_URL=f"{portal}/rest/1/sandbox/")
    web.wait_for_url()
    return web.url


def measure(url: str, redis: Redis, count: int) -> list[Times]:
    """Send so many events, each after the one before it has its workflow."""
    with requests.Session() as sender:
        return [send(sender, url, redis) for _ in range(count)]


def send(sender: requests.Session, url: str, redis: Redis) -> Times:
    """One event. Raises RuntimeError where it does not come to its workflow in time."""
    begun = time.perf_counter()
    answer = sender.post(f"{url}/hooks/website", json=SEED, headers=website(), timeout=PATIENCE_S)
    answered = time.perf_counter() - begun
    answer.raise_for_status()
    (delivery,) = answer.json()["deliveries"]
    while redis.hget(f"{keys.DELIVERY}{delivery}", "state") != b"started":
        if time.perf_counter() - begun > PATIENCE_S:
            raise RuntimeError(f"{delivery} has no workflow after {PATIENCE_S:.0f} s")
        time.sleep(POLL_S)
    recorded = time.perf_counter() - begun
    return Times(answered * 1000, recorded * 1000, float(last_attempt(redis, delivery).duration_ms))


def last_attempt(redis: Redis, delivery: str) -> Attempt:
    """The attempt that started the workflow."""
    (entry,) = redis.lrange(f"{keys.ATTEMPTS}{delivery}", -1, -1)
    return attempt_from_json(entry)


def table(times: Sequence[Times]) -> str:
    """The percentiles, a line each."""
    rows = (
        ("answered: it is on disk", [one.answered for one in times], ""),
        ("recorded: the workflow id", [one.recorded for one in times], f"{TARGET_MS:.0f}"),
        ("  of which the portal (whole ms)", [one.portal for one in times], ""),
        ("  the relay's own share", [one.recorded - one.portal for one in times], ""),
    )
    title = f"From POST to recorded workflow id: {len(times)} events one after the other, {os.cpu_count()} cores"
    lines = [title, f"{'ms after the POST':34} {'p50':>7} {'p95':>7} {'p99':>7} {'target p50':>11}"]
    for name, values, target in rows:
        cuts = statistics.quantiles(values, n=100, method="inclusive")
        lines.append(f"{name:34} {cuts[49]:7.1f} {cuts[94]:7.1f} {cuts[98]:7.1f} {target:>11}".rstrip())
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
