"""The SDK of OpenTelemetry as this project uses it, for traces and logs. otel.py loads this module where it is needed.

What is sent waits in a bounded queue and leaves on a thread of its own, which is a greenlet in the web process. While
the collector is away, slow or refuses, what finds no room is dropped, and the log says so once in ten minutes. The end
of a process waits for the collector for two seconds.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from opentelemetry._logs import SeverityNumber
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    StatusCode,
    TraceFlags,
    Tracer,
    set_span_in_context,
)

from relay import __version__
from relay.core.telemetry import get_logger

Value = str | bool | int | float | Sequence[str]
SERVICE = "bitrix24-relay"
"""The name of the service where neither OTEL_SERVICE_NAME nor OTEL_RESOURCE_ATTRIBUTES says another."""
BATCH = 64
"""Spans or lines that are encoded at once. In the web process nothing else runs meanwhile; the SDK itself takes 512."""
STOP_S = 2.0
QUIET_S = 600.0
"""The shortest time between two log lines about a collector that takes nothing."""
KINDS = {"server": SpanKind.SERVER, "client": SpanKind.CLIENT, "internal": SpanKind.INTERNAL}
GRADES = {
    "debug": SeverityNumber.DEBUG,
    "info": SeverityNumber.INFO,
    "warning": SeverityNumber.WARN,
    "error": SeverityNumber.ERROR,
    "critical": SeverityNumber.FATAL,
}
NO_VALUES = frozenset({"event", "level", "timestamp", "_record", "_from_structlog"})
"""Keys of a log line beside its values."""


class Sdk:
    """The telemetry of one process. traces: None where they are not asked for."""

    def __init__(self, process: str, environ: Mapping[str, str], *, traces: bool, logs: bool) -> None:
        _quieten()
        resource = resource_of(process)
        self.traces: Tracer | None = None
        self._logger: Any = None
        self._ends: list[Callable[[], object]] = []
        if traces:
            tracing = TracerProvider(resource=resource, shutdown_on_exit=False)
            most = _most_at_once(environ, "BSP")
            tracing.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(), max_export_batch_size=most))
            self.traces = tracing.get_tracer("relay", __version__)
            self._ends.append(tracing.shutdown)
        if logs:
            lines = LoggerProvider(resource=resource, shutdown_on_exit=False)
            most = _most_at_once(environ, "BLRP")
            lines.add_log_record_processor(BatchLogRecordProcessor(OTLPLogExporter(), max_export_batch_size=most))
            self._logger = lines.get_logger("relay", __version__)
            self._ends.append(lines.shutdown)

    def stop(self) -> None:
        """Send what waits, for STOP_S seconds at most."""
        threads = [threading.Thread(target=end, daemon=True, name="otel-end") for end in self._ends]
        for thread in threads:
            thread.start()
        until = time.monotonic() + STOP_S
        for thread in threads:
            thread.join(max(0.0, until - time.monotonic()))

    def begin(
        self,
        name: str,
        parent: str | Span,
        *,
        kind: str = "internal",
        attributes: Mapping[str, Value] | None = None,
        link: str = "",
        began_ns: int | None = None,
    ) -> Span:
        """Begin a span. Call it only where traces are asked for.

        parent: a span, a context as it is kept, or empty. link: a context as it is kept, or empty.
        """
        assert self.traces is not None  # noqa: S101 - for the type checker
        links = [Link(_span_context(link))] if link else []
        return self.traces.start_span(
            name, _parent_of(parent), KINDS[kind], dict(attributes or {}), links, start_time=began_ns
        )

    @staticmethod
    def fail(span: Span, word: str) -> None:
        """Note a failure, by a word of ours and not by the text of an exception."""
        span.set_attribute("error.type", word)
        span.set_status(StatusCode.ERROR)

    @staticmethod
    def context_of(span: Span) -> str:
        """The context of a span, as it is kept."""
        own = span.get_span_context()
        return f"00-{own.trace_id:032x}-{own.span_id:016x}-{own.trace_flags:02x}"

    def send_line(self, line: Mapping[str, Any]) -> None:
        """Send a log line, where logs are asked for."""
        if self._logger is None:
            return
        level = str(line.get("level", "info"))
        values = {name: _plain(value) for name, value in line.items() if name not in NO_VALUES and value is not None}
        self._logger.emit(
            timestamp=time.time_ns(),
            severity_number=GRADES.get(level, SeverityNumber.INFO),
            severity_text=level,
            body=str(line.get("event", "")),
            attributes=values,
        )


def _most_at_once(environ: Mapping[str, str], processor: str) -> int | None:
    """How many leave in one request; None where the environment says it, which the SDK reads. No more than may wait."""
    if environ.get(f"OTEL_{processor}_MAX_EXPORT_BATCH_SIZE"):
        return None
    waiting = environ.get(f"OTEL_{processor}_MAX_QUEUE_SIZE", "")
    return min(BATCH, int(waiting)) if waiting.isdecimal() and int(waiting) else BATCH


def resource_of(process: str) -> Resource:
    """The sender: the service and its process. The environment's own words for it take precedence."""
    own = {
        "service.name": SERVICE,
        "service.version": __version__,
        "service.instance.id": f"{process}.{os.getpid()}",
        "relay.process": process,
    }
    return Resource.create(own).merge(OTELResourceDetector().detect())


def _parent_of(parent: str | Span) -> Context:
    """The parent of a span; without one, nothing, whatever this thread has current."""
    if not parent:
        return Context()
    span = NonRecordingSpan(_span_context(parent)) if isinstance(parent, str) else parent
    return set_span_in_context(span, Context())


def _span_context(context: str) -> SpanContext:
    _, trace_id, span_id, flags = context.split("-")
    return SpanContext(int(trace_id, 16), int(span_id, 16), is_remote=True, trace_flags=TraceFlags(int(flags, 16)))


def _plain(value: Any) -> Value:
    if isinstance(value, str | bool | int | float):
        return value
    return [str(one) for one in value] if isinstance(value, list | tuple) else str(value)


class _Quiet(logging.Handler):
    """One line of ours for many of the SDK, whose texts may name an address."""

    def emit(self, record: logging.LogRecord) -> None:
        """Say that something is not sent, then hear nothing for a while: a line for each lost span is dear."""
        _hear(logging.CRITICAL)
        again = threading.Timer(QUIET_S, _hear, [logging.WARNING])
        again.daemon = True
        again.start()
        get_logger().warning("telemetry.unsent", where=record.name, silent_for_s=QUIET_S)


def _hear(level: int) -> None:
    logging.getLogger("opentelemetry").setLevel(level)


def _quieten() -> None:
    logger = logging.getLogger("opentelemetry")
    logger.propagate = False
    logger.handlers[:] = [_Quiet()]
    _hear(logging.WARNING)
