"""Endpoints for machines: is the process alive, can it take events, `/metrics` in Prometheus's text form, JSON Schemas.

Metrics come from the shared record, so that any number of web processes tell the same. Nothing is counted in this
process. Labels are states, verdicts and names from the configuration; none holds a person's data.

RELAY_METRICS_TOKEN reads the metrics and opens nothing else; a token of the API reads them too. A request from this
machine needs no token, unless a proxy may stand before the relay (RELAY_PUBLIC_URL or RELAY_TRUSTED_PROXIES is set),
the request was forwarded, or its Host is not this machine's own (localhost, 127.0.0.1). Behind a local proxy every
request comes from here, and with DNS rebinding so does a stranger's page.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from flask import Blueprint, Response, json, request
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.registry import Collector

from relay import __version__
from relay.core.errors import RecordUnavailableError
from relay.core.ids import to_ms, utc_now
from relay.core.lifecycle import FINAL, EventState, Verdict
from relay.health.assessment import IssueCode, OpenIssue, Snapshot, assess, take_snapshot
from relay.operations.editor_schemas import FILES, schema_text
from relay.store.portals.gate import GateState
from relay.store.record.ledger import BOUNDS_MS, histograms_in
from relay.web.problems import problem
from relay.web.services import Services, services
from relay.web.tokens import need_metrics_token

blueprint = Blueprint("ops", __name__)
FORWARDED = ("Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Real-Ip", "Via")
DUPLICATE = "duplicate"
LATEST = "latest"
A_DAY_S, AN_HOUR_S = 86_400, 3_600


@blueprint.get("/healthz")
def healthz() -> Response:
    """The process answers."""
    return _json({"status": "ok"}, 200)


@blueprint.get("/readyz")
def readyz() -> Response:
    """It can take events: rules are loaded and Redis takes writes. 503 otherwise."""
    try:
        writable = services().record.is_writable()
    except RecordUnavailableError:
        writable = False
    body = {
        "status": "ready" if writable else "not_ready",
        "version": __version__,
        "redis_writable": writable,
        "rules": services().rules.digest,
        "spooled_requests": services().spooler.held().requests,
        "configuration": _configuration(),
    }
    return _json(body, 200 if writable else 503)


@blueprint.get("/schemas/<version>/<name>.json")
def schema(version: str, name: str) -> Response:
    """The JSON Schema of a kind of configuration file, for editors. It says nothing of this relay.

    Only this version's are here; `latest` is its other name.
    """
    if version not in {__version__, LATEST} or name not in FILES:
        return problem(404, "no such schema")
    text = schema_text(name)
    answer = Response(text, content_type="application/schema+json")
    answer.set_etag(hashlib.sha256(text.encode()).hexdigest()[:16])
    answer.headers["Cache-Control"] = f"public, max-age={A_DAY_S if version == __version__ else AN_HOUR_S}"
    answer.make_conditional(request)
    return answer


def _configuration() -> Mapping[str, object]:
    """The files in force, and the changed files that wait.

    A caller on this machine reads what is wrong with them; anybody else reads only file and line.
    """
    in_force = services().in_force
    waiting = in_force.waiting
    known: dict[str, object] = {
        "digest": in_force.loaded.files.digest,
        "in_force_since": in_force.loaded.since.isoformat(),
        "waiting": None,
    }
    if waiting:
        shown = [str(one) if is_from_here() else one.place for one in waiting.mistakes]
        known["waiting"] = {"since": waiting.since.isoformat(), "mistakes": shown}
    return known


def _json(body: Mapping[str, object], status: int) -> Response:
    return Response(json.dumps(body), status, {"Cache-Control": "no-store"}, content_type="application/json")


@blueprint.get("/metrics")
def metrics() -> Response:
    """Everything as it is now, for Prometheus; or why the caller may not read it."""
    if not is_from_here() and (refused := need_metrics_token()):
        return refused
    registry = CollectorRegistry(auto_describe=False)
    registry.register(collector_of(services()))
    return Response(generate_latest(registry), content_type=CONTENT_TYPE_PLAIN_0_0_4)


def families_of(parts: Services) -> list[Metric]:
    """Every metric as it is now. Raises RecordUnavailableError."""
    return list(collector_of(parts).collect())


def collector_of(parts: Services) -> SnapshotCollector:
    """Everything as it is now. Raises RecordUnavailableError."""
    spooled = parts.spooler.held()
    snapshot = take_snapshot(parts.store, parts.portals, parts.sources, utc_now(), spooled)
    return SnapshotCollector(snapshot, assess(snapshot, parts.thresholds, utc_now()))


class SnapshotCollector(Collector):
    """One snapshot of the record, as metrics."""

    def __init__(self, snapshot: Snapshot, needs: Sequence[OpenIssue]) -> None:
        self._snapshot = snapshot
        self._needs = needs

    def collect(self) -> Iterator[Metric]:
        """Every metric that there is."""
        yield from self._totals()
        yield self._latency()
        yield from self._now()
        yield from self._portals()

    def _totals(self) -> Iterator[Metric]:
        counted = self._snapshot.ledger.since_start
        for name, text, label, prefix, values in (
            ("relay_events", "Requests by what became of them.", "state", "event", [*EventState, DUPLICATE]),
            ("relay_outcomes", "Deliveries that came to an end.", "state", "delivery", sorted(FINAL)),
            ("relay_attempts", "Tries by what the portal's answer meant.", "verdict", "attempt", [*Verdict]),
        ):
            family = CounterMetricFamily(name, text, labels=[label])
            for value in values:
                family.add_metric([value], counted.get(f"{prefix}:{value}", 0))
            yield family
        text = "Probes of senders that were answered, which are no events."
        probes = CounterMetricFamily("relay_probes", text, labels=["source"])
        for source, count in self._snapshot.probes.items():
            probes.add_metric([source], count)
        yield probes

    def _latency(self) -> Metric:
        text = "From the event, or its replay, to its workflow."
        family = HistogramMetricFamily("relay_time_to_workflow_seconds", text, labels=["portal"])
        bounds = [*(str(bound / 1000) for bound in BOUNDS_MS), "+Inf"]
        known = histograms_in(self._snapshot.ledger.since_start, list(self._snapshot.portals))
        for portal, one in known.items():
            family.add_metric([portal], list(zip(bounds, one.within(), strict=True)), one.sum_ms / 1000)
        return family

    def _now(self) -> Iterator[Metric]:
        snapshot, ledger = self._snapshot, self._snapshot.ledger
        yield _gauge("relay_deliveries", "Deliveries on record.", "state", ledger.deliveries)
        text = "Uncertain deliveries that only a person can decide."
        yield GaugeMetricFamily("relay_uncertain_for_person", text, snapshot.for_person)
        text = "Started deliveries whose workflow's end was not heard of in time."
        yield GaugeMetricFamily("relay_overdue", text, snapshot.overdue)
        text = "Requests that wait on this machine's disk to be recorded: they came while the record was away."
        yield GaugeMetricFamily("relay_spooled_requests", text, snapshot.spooled.requests + snapshot.spooled.aside)
        text = "Bytes of this machine's disk that they take."
        yield GaugeMetricFamily("relay_spooled_bytes", text, snapshot.spooled.size)
        yield GaugeMetricFamily("relay_ledger_balanced", "1 while the books add up.", int(not ledger.imbalances))
        needs = Counter(need.code for need in self._needs)
        text = "Things that need a person now, by what they are; the first page says them in words."
        yield _gauge("relay_needs", text, "code", {code.value: needs[code] for code in IssueCode})
        heard = {name: to_ms(at) / 1000 for name, at in snapshot.last_events.items() if at}
        text = "When a source was heard last."
        yield _gauge("relay_source_last_event_timestamp_seconds", text, "source", heard)

    def _portals(self) -> Iterator[Metric]:
        portals, now = self._snapshot.portals, utc_now()
        for name, text, values in (
            (
                "relay_waiting",
                "Deliveries in line, pending and retrying.",
                {key: one.waiting for key, one in portals.items()},
            ),
            ("relay_due", "Those in line that may be sent now.", {key: one.due for key, one in portals.items()}),
            (
                "relay_oldest_waiting_seconds",
                "For how long the first in line could have been sent.",
                {key: one.oldest_waiting_s for key, one in portals.items()},
            ),
            (
                "relay_gate_open",
                "1 while the portal may be called, 0 while it is paused or held.",
                {key: int(one.gate.state is GateState.OPEN) for key, one in portals.items()},
            ),
            (
                "relay_gate_held",
                "1 while no call can succeed until a person has mended something on the portal.",
                {key: int(one.gate.state is GateState.HELD) for key, one in portals.items()},
            ),
            (
                "relay_operating_seconds",
                "Operating time that the portal counts in its window, of the method that has used most.",
                {key: one.learned.operating_s(now) for key, one in portals.items()},
            ),
            (
                "relay_operating_limit_seconds",
                "Operating time that the portal allows each method in its window.",
                {key: one.learned.operating_limit_s for key, one in portals.items()},
            ),
        ):
            yield _gauge(name, text, "portal", values)


def _gauge(name: str, text: str, label: str, values: Mapping[Any, float]) -> Metric:
    family = GaugeMetricFamily(name, text, labels=[label])
    for key, value in values.items():
        family.add_metric([str(key)], value)
    return family


def is_from_here() -> bool:
    """Whether the request comes from this machine, under a name of this machine, and not through a proxy.

    With DNS rebinding, a stranger's page can make a local browser ask under the stranger's name and read the answer.
    """
    settings = services().settings
    if settings.public_url or settings.trusted_proxies or any(name in request.headers for name in FORWARDED):
        return False
    return _is_loopback(request.remote_addr or "") and _is_own(request.host)


def _is_own(host: str) -> bool:
    try:
        name = urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return False
    return name == "localhost" or name.endswith(".localhost") or _is_loopback(name)


def _is_loopback(address: str) -> bool:
    try:
        return ip_address(address).is_loopback
    except ValueError:
        return False
