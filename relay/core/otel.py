"""OpenTelemetry, where the environment asks for it: traces, metrics and logs by OTLP over HTTP (protobuf).

Each signal is turned on by its own standard variable, OTEL_TRACES_EXPORTER, OTEL_METRICS_EXPORTER or
OTEL_LOGS_EXPORTER, with the value `otlp`; none turns on another. The collector's address and the rest are the standard
variables that the SDK reads. Only otel_sdk.py and relay/web/otlp_metrics.py import the SDK, and only where it is asked
for.

One trace tells of an event: the receipt, its rules, every step and attempt, up to the workflow's id. Its context is
kept on the event and its deliveries, in the form of W3C's traceparent header, so it survives the queue, a kill and a
restart. Attributes hold ids of ours, names from the configuration, states, verdicts, codes and durations. A body, a
header, a field of a document, an address or the text of an exception may not be an attribute.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import datetime
from importlib.util import find_spec
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from relay.core.errors import ConfigError, Mistake
from relay.core.events import Attempt, Delivery
from relay.core.faults import fault
from relay.core.ids import to_ms, utc_now
from relay.core.lifecycle import State, Verdict

if TYPE_CHECKING:
    from opentelemetry.trace import Span

    from relay.core.otel_sdk import Sdk, Value

TRACES, METRICS, LOGS = SIGNALS = ("TRACES", "METRICS", "LOGS")
OTLP, NONE = "otlp", "none"
PROTOCOL = "http/protobuf"
NEEDED = ("opentelemetry", "opentelemetry.sdk", "opentelemetry.exporter.otlp.proto.http")
"""Packages of config/otel-requirements.txt. A package is looked for only where those before it are there."""
START = "bizproc.workflow.start"
"""The method of a call that is no step."""
TRACEPARENT = "traceparent"
LONGEST = 256
"""Characters of a traceparent header that is read."""
_W3C = re.compile(r"(?!ff)([0-9a-f]{2})-((?!0{32})[0-9a-f]{32})-((?!0{16})[0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
"""W3C Trace Context, section 3.2. A later version may have more fields; they are not kept."""


class _Running:
    """The SDK of this process, if it sends anything."""

    sdk: Sdk | None = None


def wanted(environ: Mapping[str, str]) -> frozenset[str]:
    """The signals that the environment asks for."""
    return frozenset(one for one in SIGNALS if _exporter_of(environ, one) == OTLP)


def check(environ: Mapping[str, str]) -> None:
    """Check that what the environment asks for can be served. Raises ConfigError with every mistake."""
    mistakes = []
    for signal in SIGNALS:
        found = _exporter_of(environ, signal)
        if found not in {"", NONE, OTLP}:
            mistakes.append(fault("otel_exporter", name=f"OTEL_{signal}_EXPORTER", found=repr(found)))
        own = f"OTEL_EXPORTER_OTLP_{signal}_PROTOCOL"
        name = own if environ.get(own) else "OTEL_EXPORTER_OTLP_PROTOCOL"
        protocol = environ.get(name, "").strip()
        if found == OTLP and protocol not in {"", PROTOCOL}:
            mistakes.append(fault("otel_protocol", name=name, found=repr(protocol)))
    asked = wanted(environ)
    if asked and not all(find_spec(name) for name in NEEDED):
        mistakes.append(fault("otel_missing", names=[f"OTEL_{one}_EXPORTER" for one in SIGNALS if one in asked]))
    if mistakes:
        raise ConfigError([Mistake("environment", 0, one) for one in mistakes])


def _exporter_of(environ: Mapping[str, str], signal: str) -> str:
    if environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return ""
    return environ.get(f"OTEL_{signal}_EXPORTER", "").strip().lower()


def start(process: str, environ: Mapping[str, str] = os.environ) -> None:
    """Begin to send what the environment asks for. Call it in the process that sends, after any fork."""
    asked = wanted(environ)
    if asked:
        from relay.core.otel_sdk import Sdk  # noqa: PLC0415 - it imports OpenTelemetry, which may not be installed

        _Running.sdk = Sdk(process, environ, traces=TRACES in asked, logs=LOGS in asked)


def stop() -> None:
    """Send what still waits, for two seconds at most, and end."""
    sdk, _Running.sdk = _Running.sdk, None
    if sdk:
        sdk.stop()


def is_tracing() -> bool:
    """Whether this process sends traces."""
    return _Running.sdk is not None and _Running.sdk.traces is not None


def line_processors(environ: Mapping[str, str] = os.environ) -> Sequence[Callable[[Any, str, Any], Any]]:
    """The functions that get each log line, for `telemetry.configure`."""
    return [_send_line] if LOGS in wanted(environ) else []


def _send_line(_logger: Any, _method: str, line: Any) -> Any:
    if _Running.sdk:
        _Running.sdk.send_line(line)
    return line


def read_traceparent(header: str | None) -> str:
    """The context in a traceparent header, in the form that is kept; empty if there is none or it is invalid."""
    if not header or len(header) > LONGEST:
        return ""
    match = _W3C.fullmatch(header.strip(" \t"))
    if match is None or (match[1] == "00" and match[5]):
        return ""
    return f"00-{match[2]}-{match[3]}-{match[4]}"


def trace_id_of(context: str) -> str | None:
    """The trace's id in a context that was kept; None if there is none."""
    return context[3:35] or None


_UNTRACED = nullcontext()


@contextmanager
def _part(sdk: Sdk, name: str, parent: Span) -> Iterator[None]:
    span = sdk.begin(name, parent)
    try:
        yield
    except BaseException as error:
        sdk.fail(span, type(error).__name__)
        raise
    finally:
        span.end()


class Reception:
    """The span of a received request, from its last byte to its answer. It begins when its sender is proven.

    context: what its event and deliveries keep; empty while nothing is traced.
    """

    __slots__ = ("_began_ns", "_sdk", "_span", "context")

    def __init__(self) -> None:
        self._sdk = _Running.sdk if _Running.sdk and _Running.sdk.traces else None
        self._began_ns = time.time_ns() if self._sdk else 0
        self._span: Span | None = None
        self.context = ""

    def __enter__(self) -> Self:
        return self

    def prove(self, source: str, method: str, traceparent: str | None, *, is_open: bool) -> None:
        """Begin, because the sender is proven. traceparent: its header, whose trace goes on here.

        is_open: the source asks for no proof. A stranger's trace is only linked to.
        """
        if self._sdk is None:
            return
        kept, route = read_traceparent(traceparent), f"/hooks/{source}"
        self._span = self._sdk.begin(
            f"{method} {route}",
            "" if is_open else kept,
            kind="server",
            attributes={"http.request.method": method, "http.route": route, "relay.source": source},
            link=kept if is_open else "",
            began_ns=self._began_ns,
        )
        self.context = self._sdk.context_of(self._span)

    def say(self, **attributes: Value | None) -> None:
        """Add attributes: `event_id` is called `relay.event.id`. None is left out."""
        if self._span is not None:
            self._span.set_attributes(_named(attributes))

    def answer(self, status: int) -> None:
        """Note the status of the answer."""
        if self._span is not None and self._sdk:
            self._span.set_attribute("http.response.status_code", status)
            if status >= 500:
                self._sdk.fail(self._span, str(status))

    def part(self, name: str) -> AbstractContextManager[None]:
        """A span for a part of the work."""
        return _UNTRACED if self._sdk is None or self._span is None else _part(self._sdk, name, self._span)

    def __exit__(
        self, kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        if self._span is not None and self._sdk:
            if kind is not None:
                self._sdk.fail(self._span, kind.__name__)
            self._span.end()


def note_past(
    name: str,
    context: str,
    began: datetime,
    duration_ms: int,
    *,
    is_call: bool,
    failure: str | None = None,
    **attributes: Value | None,
) -> None:
    """Tell of something that has just ended, in the trace of this context.

    is_call: it was a call to another server. failure: a word for what went wrong. attributes: as for `Reception.say`.
    """
    sdk = _Running.sdk
    if sdk is None or not sdk.traces:
        return
    began_ns, kind = to_ms(began) * 1_000_000, "client" if is_call else "internal"
    span = sdk.begin(name, context, kind=kind, attributes=_named(attributes), began_ns=began_ns)
    if failure:
        sdk.fail(span, failure)
    span.end(began_ns + duration_ms * 1_000_000)


def note_attempt(
    delivery: Delivery, state: State, reason: str, attempt: Attempt | None, workflow_id: str | None = None
) -> None:
    """Tell of an attempt, or of a settlement without one, in the delivery's trace."""
    if not is_tracing():
        return
    began = attempt.at if attempt else utc_now()
    ended_well = state in {State.STARTED, State.PENDING} or (attempt is not None and attempt.verdict is Verdict.DONE)
    note_past(
        (delivery.next_method or START) if attempt else f"settle {state.value}",
        delivery.trace,
        began,
        attempt.duration_ms if attempt else 0,
        is_call=attempt is not None,
        failure=None if ended_well else reason or state.value,
        delivery_id=delivery.id,
        event_id=delivery.event_id,
        rule=delivery.rule,
        portal=delivery.call.portal,
        template_id=delivery.call.template_id,
        state=state.value,
        reason=reason or None,
        workflow_id=workflow_id,
        **_attributes_of(attempt),
    )


def _attributes_of(attempt: Attempt | None) -> dict[str, str | int | None]:
    if attempt is None:
        return {}
    return {
        "attempt": attempt.number,
        "verdict": attempt.verdict.value,
        "status": attempt.status,
        "code": attempt.code,
        "batch_size": attempt.batch_size,
        "step": attempt.step or None,
    }


def replayed(context: str, **attributes: Value | None) -> str:
    """The context of a replay: a trace of its own, with a link to the old one.

    In a process that sends no traces, the replay goes on in the old trace.
    """
    sdk = _Running.sdk
    if sdk is None or not sdk.traces:
        return context
    span = sdk.begin("replay", "", attributes=_named(attributes), link=context)
    span.end()
    return sdk.context_of(span)


def _named(attributes: Mapping[str, Value | None]) -> dict[str, Value]:
    return {f"relay.{name.replace('_', '.')}": value for name, value in attributes.items() if value is not None}
