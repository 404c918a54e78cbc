"""What a page costs where very much is on record: in full a million events, two hundred thousand of them dead.

    make bench ARGS=scale
    make bench ARGS="scale --full"

A private Valkey (without its append-only file: nothing here has to last), filled as the record's own scripts would
(tests/bench/filling.py), then the whole web application through its WSGI entrance, in this process: what is left out is
gunicorn and the network. A browser's own work is left out too.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from flask.testing import FlaskClient
from redis import Redis

from relay.configuration.settings import Settings
from relay.store.record.persons import PersonIndex
from relay.store.record.record import Record
from relay.web import create_app
from tests.bench.asked import Call, calls, trial_call
from tests.bench.beside import fill_other_states, pack_some
from tests.bench.filling import FIRST, SPREAD, Sample, check_likeness, fill
from tests.bench.report import Table, Value
from tests.support.folders import SECRETS, WEB_SECRETS, copy_config
from tests.support.valkey import Valkey

EVENTS, TIMES = 1_000_000, 40
SHORT_EVENTS, SHORT_TIMES = 100_000, 10
DEAD_SHARE = 0.2
OTHERS, SHORT_OTHERS = 5_000, 500
PACKED = 2_000
"""Of those in the middle, where cursors lead, and of the newest: what pages read is packed, as most of a record is."""
TARGET_MS, TRIAL_MS = 100.0, 1_000.0
WARM_UP = 3


@dataclass(frozen=True, slots=True)
class Timed:
    """A call, how long it took each time, and how large the last answer was."""

    call: Call
    status: int
    size: int
    times_ms: list[float]

    @property
    def p95(self) -> float:
        return statistics.quantiles(self.times_ms, n=100, method="inclusive")[94]


def measure(*, full: bool) -> list[Table]:
    """Fill, and ask for everything."""
    events, times = (EVENTS, TIMES) if full else (SHORT_EVENTS, SHORT_TIMES)
    persons = PersonIndex(WEB_SECRETS["RELAY_SECRET_KEY"])
    with Valkey() as valkey, tempfile.TemporaryDirectory(prefix="relay-bench-") as folder:
        filled = fill_it(valkey.redis, persons, events)
        client = client_of(valkey, Path(folder))
        timed = [ask(client, call, times) for call in calls(valkey.redis)]
        tried = ask(client, trial_call(valkey.redis), times)
    how = f"{filled}; each {times} times"
    return [
        table("Pages and API", timed, TARGET_MS, events, how),
        table("Trial of a draft", [tried], TRIAL_MS, events, how),
    ]


def fill_it(redis: Redis, persons: PersonIndex, events: int) -> str:
    """Fill it; how large it became, in words."""
    redis.config_set("appendonly", "no")
    check_likeness(redis, persons)
    before, begun = memory(redis), time.perf_counter()
    dead = int(events * DEAD_SHARE)
    fill(redis, (Sample(number, events, dead) for number in range(events)), persons)
    ledger = Record(redis).counts()
    if ledger.imbalances or ledger.total_events != events:
        raise RuntimeError(f"not what was to be written: {ledger}")
    each = (memory(redis) - before) / events
    others = fill_other_states(Record(redis), persons, OTHERS if events == EVENTS else SHORT_OTHERS)
    pack_some(redis, FIRST + SPREAD * (0.5 - PACKED / events), PACKED)
    pack_some(redis, FIRST + SPREAD * (1 - PACKED / events), PACKED + others)
    return (
        f"{events:,} events with a delivery each, {dead:,} of them dead, in {time.perf_counter() - begun:.0f} s: "
        f"{each:,.0f} bytes an event, {each * events / 2**30:.2f} GiB"
    )


def memory(redis: Redis) -> int:
    """Bytes that the server uses."""
    return int(redis.info("memory")["used_memory"])


def client_of(valkey: Valkey, folder: Path) -> FlaskClient:
    """A browser that is logged in; the API's token goes with each call."""
    os.environ.update(SECRETS)
    # Filling goes faster without the append-only file; the application refuses a server that keeps none.
    valkey.redis.config_set("appendonly", "yes")
    app = create_app(
        Settings(
            redis_url=valkey.url,
            config=copy_config(folder),
            api_token=WEB_SECRETS["RELAY_API_TOKEN"],
            dashboard_password=WEB_SECRETS["RELAY_DASHBOARD_PASSWORD"],
            secret_key=WEB_SECRETS["RELAY_SECRET_KEY"],
        )
    )
    client = app.test_client()
    password = {"password": WEB_SECRETS["RELAY_DASHBOARD_PASSWORD"]}
    answer = client.post("/login", data=password, headers={"Origin": "http://localhost"})
    if answer.status_code != 303:
        raise RuntimeError(f"the login answered {answer.status_code}")
    return client


def ask(client: FlaskClient, call: Call, times: int) -> Timed:
    """Ask the same again and again."""
    headers = {
        "Authorization": f"Bearer {WEB_SECRETS['RELAY_API_TOKEN']}",
        "Accept": "text/html, application/json",
        "Origin": "http://localhost",
    }
    taken = []
    status = size = 0
    for number in range(WARM_UP + times):
        begun = time.perf_counter()
        answer = client.open(call.path, method="POST" if call.form else "GET", data=call.form, headers=headers)
        size = len(answer.data)
        if number >= WARM_UP:
            taken.append((time.perf_counter() - begun) * 1000)
        status = answer.status_code
        answer.close()
    return Timed(call, status, size, taken)


def table(title: str, timed: list[Timed], target_ms: float, events: int, how: str) -> Table:
    """A row each, the slow ones marked."""
    columns = {"p50 ms": ".1f", "p95 ms": ".1f", "bytes": ",", "status": "", "": ""}
    rows: dict[str, dict[str, Value]] = {
        one.call.name: {
            "p50 ms": statistics.median(one.times_ms), "p95 ms": one.p95, "bytes": one.size, "status": one.status,
            "": "<- slow" if one.p95 > target_ms else "", "events": events,
        }
        for one in timed
    }  # fmt: skip
    return Table(title, f"{how}, target p95 under {target_ms:,.0f} ms", columns, rows)
