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
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from urllib.parse import quote

from flask.testing import FlaskClient
from redis import Redis

from relay.configuration.settings import Settings
from relay.core.ids import DELIVERY_PREFIX, EVENT_PREFIX, earliest_id, iso
from relay.store.record.persons import PersonIndex
from relay.store.record.record import Record
from relay.web import create_app
from tests.bench.filling import FIRST, KINDS, SPREAD, Sample, check_likeness, fill, workflow_of
from tests.bench.report import Table, Value
from tests.support.folders import SECRETS, WEB_SECRETS, copy_config
from tests.support.valkey import Valkey

EVENTS, TIMES = 1_000_000, 40
SHORT_EVENTS, SHORT_TIMES = 100_000, 10
DEAD_SHARE = 0.2
TARGET_MS = 100.0
WARM_UP = 3


@dataclass(frozen=True, slots=True)
class Timed:
    """A call, how long it took each time, and how large the last answer was."""

    name: str
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
        timed = [ask(client, name, path, times) for name, path in calls(valkey.redis, events)]
    return [table(timed, times, events, filled)]


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
    app = create_app(
        Settings(
            redis_url=valkey.url,
            config=copy_config(folder),
            api_token=WEB_SECRETS["RELAY_API_TOKEN"],
            dashboard_password=WEB_SECRETS["RELAY_DASHBOARD_PASSWORD"],
            secret_key=WEB_SECRETS["RELAY_SECRET_KEY"],
        )
    )
    # The application has switched the append-only file on; writing it would only be in the way here.
    valkey.redis.config_set("appendonly", "no")
    client = app.test_client()
    password = {"password": WEB_SECRETS["RELAY_DASHBOARD_PASSWORD"]}
    answer = client.post("/login", data=password, headers={"Origin": "http://localhost"})
    if answer.status_code != 303:
        raise RuntimeError(f"the login answered {answer.status_code}")
    return client


def calls(redis: Redis, events: int) -> Iterator[tuple[str, str]]:
    """What is measured: a name and an address."""
    middle = FIRST + SPREAD / 2
    since, until = quote(iso(middle)), quote(iso(middle + timedelta(hours=6)))
    deep_event, deep_delivery = (earliest_id(prefix, middle) + "0" * 16 for prefix in (EVENT_PREFIX, DELIVERY_PREFIX))
    first, rare = KINDS[0], KINDS[-1]
    (event,), (delivery,) = (redis.zrange(f"relay:{kind}", 77, 77) for kind in ("events", "deliveries"))
    queries = (
        ("first page", ""),
        ("state=dead", "state=dead"),
        ("rule", f"rule={first.rule}"),
        ("portal", "portal=main"),
        ("code", f"code={first.code}"),
        ("document_id", "document_id=LEAD_4711"),
        ("template_id", f"template_id={first.template_id}"),
        ("source", "source=github"),
        ("source+state", "source=website&state=dead"),
        ("source+state, nothing", "source=github&state=pending"),
        ("rare source+state", f"source={rare.source}&state=dead"),
        ("rule+code, disjoint", f"rule={rare.rule}&code={first.code}"),
        ("rule+code+source, disjoint", f"rule={KINDS[1].rule}&code={first.code}&source=website"),
        ("portal+state+rule+time", f"portal=main&state=dead&rule={first.rule}&since={since}&until={until}"),
        ("q: e-mail", "q=person4711@example.com"),
        ("q: workflow", f"q={workflow_of(Sample(1, 1, 0))}"),
        ("q: nothing", "q=nobody@example.com"),
    )
    for place, kinds in (("/api/v1", ("events", "deliveries")), ("", ("events", "deliveries"))):
        for kind in kinds:
            deep = deep_event if kind == "events" else deep_delivery
            for name, query in (
                *queries,
                ("deep cursor", f"cursor={deep}"),
                ("deep, dead", f"cursor={deep_delivery}&state=dead"),
            ):
                yield f"{place or 'page '}/{kind}  {name}", f"{place}/{kind}?{query}"
    for path in ("audit", "rules", "portals"):
        yield f"/api/v1/{path}", f"/api/v1/{path}"
    yield "/api/v1/events/<id>", f"/api/v1/events/{event.decode()}"
    yield "/api/v1/deliveries/<id>", f"/api/v1/deliveries/{delivery.decode()}"
    yield "/metrics", "/metrics"
    yield "page /events/<id>", f"/events/{event.decode()}"
    for path in (
        "/",
        "/rules",
        "/sources",
        "/portals",
        "/bulk",
        "/bulk?state=dead",
        "/log",
        "/alerts",
        "/sessions",
    ):
        yield f"page {path}", path


def ask(client: FlaskClient, name: str, path: str, times: int) -> Timed:
    """Ask the same again and again."""
    headers = {"Authorization": f"Bearer {WEB_SECRETS['RELAY_API_TOKEN']}", "Accept": "text/html, application/json"}
    taken = []
    status = size = 0
    for number in range(WARM_UP + times):
        begun = time.perf_counter()
        answer = client.get(path, headers=headers)
        size = len(answer.data)
        if number >= WARM_UP:
            taken.append((time.perf_counter() - begun) * 1000)
        status = answer.status_code
        answer.close()
    return Timed(name, status, size, taken)


def table(timed: list[Timed], times: int, events: int, filled: str) -> Table:
    """A row each, the slow ones marked."""
    columns = {"p50 ms": ".1f", "p95 ms": ".1f", "bytes": ",", "status": "", "": ""}
    rows: dict[str, dict[str, Value]] = {
        one.name: {
            "p50 ms": statistics.median(one.times_ms), "p95 ms": one.p95, "bytes": one.size, "status": one.status,
            "": "<- slow" if one.p95 > TARGET_MS else "", "events": events,
        }
        for one in timed
    }  # fmt: skip
    how = f"{filled}; each {times} times, target p95 under {TARGET_MS:.0f} ms"
    return Table("Pages and API", how, columns, rows)
