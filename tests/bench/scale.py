"""What a page costs where very much is on record: a million events, two hundred thousand of them dead. Prints tables.

    make bench ARGS=scale
    python tests/bench/scale.py [EVENTS [TIMES]]        a million events, each call 40 times

A private Valkey (without its append-only file: nothing here has to last), filled as the record's own scripts would
(tests/bench/filling.py), then the whole web application through its WSGI entrance, in this process: what is left out is
gunicorn and the network. A browser's own work is left out too.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from urllib.parse import quote

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from flask.testing import FlaskClient
from redis import Redis

from relay.configuration.settings import Settings
from relay.core.events import iso
from relay.core.ids import DELIVERY_PREFIX, EVENT_PREFIX, earliest_id
from relay.store.record.persons import PersonIndex
from relay.store.record.record import Record
from relay.web import create_app
from tests.bench.filling import FIRST, KINDS, SPREAD, Sample, check_likeness, fill, workflow_of
from tests.support.folders import SECRETS, WEB_SECRETS, copy_config
from tests.support.valkey import Valkey

EVENTS, TIMES = 1_000_000, 40
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


def main() -> int:
    """Fill, measure, print. 1 where something is slower than the target."""
    events = int(sys.argv[1]) if len(sys.argv) > 1 else EVENTS
    times = int(sys.argv[2]) if len(sys.argv) > 2 else TIMES
    persons = PersonIndex(WEB_SECRETS["RELAY_SECRET_KEY"])
    with Valkey() as valkey, tempfile.TemporaryDirectory(prefix="relay-bench-") as folder:
        fill_it(valkey.redis, persons, events)
        client = client_of(valkey, Path(folder))
        timed = [measure(client, name, path, times) for name, path in calls(valkey.redis, events)]
    print(table(timed, times), flush=True)
    return 1 if any(one.p95 > TARGET_MS or one.status != 200 for one in timed) else 0


def fill_it(redis: Redis, persons: PersonIndex, events: int) -> None:
    """Fill it, and say how large it became."""
    redis.config_set("appendonly", "no")
    check_likeness(redis, persons)
    before, begun = memory(redis), time.perf_counter()
    dead = int(events * DEAD_SHARE)
    fill(redis, (Sample(number, events, dead) for number in range(events)), persons)
    ledger = Record(redis).counts()
    if ledger.imbalances or ledger.total_events != events:
        raise RuntimeError(f"not what was to be written: {ledger}")
    each = (memory(redis) - before) / events
    print(
        f"{events:,} events with a delivery each, {dead:,} of them dead, in {time.perf_counter() - begun:.0f} s: "
        f"{each:,.0f} bytes an event, {each * events / 2**30:.2f} GiB",
        flush=True,
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


def measure(client: FlaskClient, name: str, path: str, times: int) -> Timed:
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


def table(timed: list[Timed], times: int) -> str:
    """A line each, the slow ones marked."""
    lines = [
        f"Each {times} times, {os.cpu_count()} cores, target p95 under {TARGET_MS:.0f} ms",
        f"{'call':52} {'status':>6} {'bytes':>8} {'p50 ms':>7} {'p95 ms':>7}",
    ]
    for one in timed:
        mark = "  <- slow" if one.p95 > TARGET_MS else ""
        lines.append(
            f"{one.name:52} {one.status:6} {one.size:8,} {statistics.median(one.times_ms):7.1f} {one.p95:7.1f}{mark}"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
