"""How long from POST to recorded workflow id, where nothing else is going on.

Real processes: Valkey with appendfsync always, `relay serve`, `workers`, and a sandbox portal that limits no rate and
adds no wait. Events go one after the other over one connection; the record is asked until it says `started`.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import requests
from redis import Redis

from relay.core.events import Attempt
from relay.store.record.codec import attempt_from_json
from relay.store.redis import keys
from tests.bench.report import Table
from tests.bench.rig import Rig
from tests.support.senders import SEED, website

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


def measure(*, full: bool) -> list[Table]:
    """Set everything up, measure, and take everything down again."""
    with Rig() as rig:
        portal = rig.start_sandbox()
        web = rig.start_web()
        rig.start_workers(portal)
        send_all(web.url, rig.valkey.redis, WARM_UP)
        return [table(send_all(web.url, rig.valkey.redis, EVENTS))]


def send_all(url: str, redis: Redis, count: int) -> list[Times]:
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


def last_attempt(redis: Any, delivery: str) -> Attempt:
    """The attempt that started the workflow."""
    (entry,) = redis.lrange(f"{keys.ATTEMPTS}{delivery}", -1, -1)
    return attempt_from_json(entry)


def table(times: Sequence[Times]) -> Table:
    """The percentiles, a row each."""
    rows = {
        "answered: it is on disk": [one.answered for one in times],
        "recorded: the workflow id": [one.recorded for one in times],
        "  of which the portal (whole ms)": [one.portal for one in times],
        "  the relay's own share": [one.recorded - one.portal for one in times],
    }
    return Table(
        "From POST to recorded workflow id",
        f"ms after the POST; {len(times)} events one after the other, the portal without limits; "
        f"target of the second row: a p50 of {TARGET_MS:.0f}",
        {"p50": ".1f", "p95": ".1f", "p99": ".1f"},
        {name: percentiles(values) for name, values in rows.items()},
    )


def percentiles(values: Sequence[float]) -> dict[str, float]:
    """The usual ones, by name."""
    cuts = statistics.quantiles(values, n=100, method="inclusive")
    return {"p50": cuts[49], "p95": cuts[94], "p99": cuts[98]}
