"""Sends the figures of /metrics by OTLP as well, if OTEL_METRICS_EXPORTER says so.

All web processes read the same record, so one of them sends at a time (a lease), every OTEL_METRIC_EXPORT_INTERVAL
milliseconds. Names, labels and help are those of /metrics. The only module of the web that imports OpenTelemetry: it is
imported only where metrics are asked for.
"""

from __future__ import annotations

import os
import secrets
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta
from itertools import pairwise

from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Gauge,
    Histogram,
    HistogramDataPoint,
    Metric,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from prometheus_client import Metric as Family

from relay import __version__
from relay.core.errors import RecordUnavailableError
from relay.core.otel_sdk import resource_of
from relay.core.telemetry import get_logger
from relay.web.ops import families_of
from relay.web.services import Services

INTERVAL_MS = 60_000
MARGIN = timedelta(seconds=30)
"""How long the lease outlasts an interval: one exchange with the collector takes ten seconds."""
SINCE_UNKNOWN = 0
"""The beginning of a counter, in the protocol's words for an unknown one: the record counts since its own."""

log = get_logger()


def run(services: Callable[[], Services], stop: threading.Event) -> None:
    """Send at once and then every interval, until `stop` is set. services: those in force."""
    interval_s = int(os.environ.get("OTEL_METRIC_EXPORT_INTERVAL") or INTERVAL_MS) / 1000
    exporter, holder = OTLPMetricExporter(), secrets.token_hex(8)
    while not stop.is_set():
        try:
            with services().store.lease("otlp-metrics", holder, timedelta(seconds=interval_s) + MARGIN) as is_ours:
                if is_ours:
                    exporter.export(metrics_data(families_of(services())))
                # Inside, so that no other process sends meanwhile.
                stop.wait(interval_s)
        except RecordUnavailableError as error:
            log.warning("metrics.postponed", reason=str(error))
            stop.wait(interval_s)


def metrics_data(families: Iterable[Family]) -> MetricsData:
    """Metrics of Prometheus in the protocol's form."""
    now = time.time_ns()
    metrics = [Metric(one.name, one.documentation, "", _data_of(one, now)) for one in families]
    scope = ScopeMetrics(InstrumentationScope("relay", __version__), metrics, "")
    # Of the record, not of this process: another one may send the next.
    resource = resource_of("web").attributes
    shared = {name: value for name, value in resource.items() if name not in {"service.instance.id", "relay.process"}}
    return MetricsData([ResourceMetrics(Resource(shared), [scope], "")])


def _data_of(family: Family, now: int) -> Sum | Gauge | Histogram:
    if family.type == "histogram":
        return Histogram(list(_histograms(family, now)), AggregationTemporality.CUMULATIVE)
    points = [NumberDataPoint(one.labels, SINCE_UNKNOWN, now, one.value) for one in family.samples]
    if family.type == "counter":
        return Sum(points, AggregationTemporality.CUMULATIVE, is_monotonic=True)
    return Gauge(points)


def _histograms(family: Family, now: int) -> Iterator[HistogramDataPoint]:
    """One for each set of labels. Prometheus counts what is at most each bound; the protocol, what is between two."""
    found: dict[tuple[tuple[str, str], ...], dict[str, float]] = {}
    for sample in family.samples:
        labels = tuple(sorted((name, value) for name, value in sample.labels.items() if name != "le"))
        key = sample.labels.get("le") or sample.name.rpartition("_")[2]
        found.setdefault(labels, {})[key] = sample.value
    for labels, values in found.items():
        total, count = values.pop("sum"), int(values.pop("count"))
        bounds = sorted((bound for bound in values if bound != "+Inf"), key=float)
        within = [0, *(int(values[bound]) for bound in bounds), count]
        between = [more - fewer for fewer, more in pairwise(within)]
        yield HistogramDataPoint(
            attributes=dict(labels),
            start_time_unix_nano=SINCE_UNKNOWN,
            time_unix_nano=now,
            count=count,
            sum=total,
            bucket_counts=between,
            explicit_bounds=[float(bound) for bound in bounds],
            min=None,  # type: ignore[arg-type] # not known, which the protocol allows
            max=None,  # type: ignore[arg-type] # likewise
        )
