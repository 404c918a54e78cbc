"""One trace tells of an event, from its receipt to its workflow; and a collector that is away costs nobody anything."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from relay.core import otel
from relay.core.errors import ConfigError
from relay.core.lifecycle import State
from relay.core.otel_sdk import STOP_S
from relay.sandbox.server import SandboxServer
from relay.store.record.record import Record
from tests.support.folders import CONFIG, REPOSITORY, SECRETS, WEB_SECRETS
from tests.support.machines import Machine, start_machine
from tests.support.making import make_entry, write
from tests.support.processes import Processes
from tests.support.receivers import Receiver
from tests.support.senders import dump, website
from tests.support.waiting import until

SERVER, CLIENT, INTERNAL = 2, 3, 1
FAILED = 2
TRACE_ID, SPAN_ID = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
SENT = f"00-{TRACE_ID}-{SPAN_ID}-01"
SAMPLE = json.loads((CONFIG / "samples" / "callback-a-stranger.json").read_text("utf-8"))["body"]
ADMIN = {"Authorization": f"Bearer {WEB_SECRETS['RELAY_API_TOKEN']}"}


@dataclass(frozen=True)
class Span:
    """A span as a collector gets it."""

    name: str
    trace_id: str
    span_id: str
    parent_id: str
    kind: int
    status: int
    attributes: dict[str, Any]
    links: tuple[str, ...]
    process: str
    ns: tuple[int, int]


def spans_of(collector: Receiver) -> list[Span]:
    found = []
    for body in bodies_of(collector, "/v1/traces"):
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            process = values_of(resource.resource.attributes)["relay.process"]
            for one in (span for scope in resource.scope_spans for span in scope.spans):
                ids = (one.trace_id.hex(), one.span_id.hex(), one.parent_span_id.hex())
                found.append(
                    Span(
                        *(one.name, *ids, one.kind, one.status.code, values_of(one.attributes)),
                        links=tuple(f"{link.trace_id.hex()}-{link.span_id.hex()}" for link in one.links),
                        process=process,
                        ns=(one.start_time_unix_nano, one.end_time_unix_nano),
                    )
                )
    return found


def bodies_of(collector: Receiver, path: str) -> list[bytes]:
    return [body for (_, body), at in zip(collector.taken, collector.paths, strict=False) if at == path]


def values_of(attributes) -> dict[str, Any]:
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in attributes}


def spans_with(collector: Receiver, count: int, trace_id: str) -> list[Span]:
    """The spans of one trace, by their beginnings, once there are so many."""
    found = until(
        lambda: len(all_ := [one for one in spans_of(collector) if one.trace_id == trace_id]) >= count and all_,
        f"{count} spans",
    )
    return sorted(found, key=lambda one: one.ns)


@pytest.fixture(scope="module")
def sandbox() -> Iterator[SandboxServer]:
    with SandboxServer(settings={"rate": None}) as server:
        yield server


@pytest.fixture(scope="module")
def collector() -> Iterator[Receiver]:
    with Receiver() as server:
        server.status = 200
        yield server


@pytest.fixture(scope="module")
def machine(sandbox, collector, config, tmp_path_factory) -> Iterator[Machine]:
    """One `up` that sends everything to a collector, from queues that are soon full."""
    starter = Processes(tmp_path_factory.mktemp("up"), config, SECRETS | WEB_SECRETS)
    yield start_machine(
        starter,
        sandbox,
        **dict.fromkeys((f"OTEL_{name}_EXPORTER" for name in otel.SIGNALS), "otlp"),
        OTEL_EXPORTER_OTLP_ENDPOINT=collector.url,
        OTEL_EXPORTER_OTLP_TIMEOUT="1",
        OTEL_SERVICE_NAME="leads",
        OTEL_BSP_SCHEDULE_DELAY="100",
        OTEL_BSP_MAX_QUEUE_SIZE="64",
    )
    starter.clean_up()


def test_one_trace_goes_from_the_senders_over_rules_steps_and_start_to_the_workflow(machine, collector):
    receipt = machine.post("website", dump(SAMPLE), website() | {"traceparent": SENT})
    (delivery,) = machine.wait(receipt["deliveries"])
    spans = spans_with(collector, 3 + len(delivery.attempts), TRACE_ID)

    server = next(one for one in spans if one.kind == SERVER)
    assert (server.name, server.parent_id, server.process) == ("POST /hooks/website", SPAN_ID, "web")
    assert server.attributes == {
        "http.request.method": "POST",
        "http.route": "/hooks/website",
        "http.response.status_code": 200,
        "relay.source": "website",
        "relay.event.id": receipt["event_id"],
        "relay.state": "accepted",
        "relay.events": 1,
        "relay.deliveries": 1,
    }
    assert {one.name for one in spans if one.kind == INTERNAL} >= {"rules", "record"}
    assert {one.parent_id for one in spans if one is not server} == {server.span_id}
    calls = [one for one in spans if one.kind == CLIENT]
    assert [one.attributes.get("relay.step", "") for one in calls] == [one.step for one in delivery.attempts]
    start = calls[-1]
    assert start.process.startswith("worker-")
    assert start.name == "bizproc.workflow.start"
    assert start.attributes["relay.workflow.id"] == delivery.workflow_id
    assert start.attributes["relay.delivery.id"] == delivery.id
    assert start.attributes["relay.verdict"] == "started"
    assert server.ns[0] <= start.ns[0] + 5_000_000  # the record's times are milliseconds
    record = machine.record
    assert record.event(receipt["event_id"]).trace == f"00-{TRACE_ID}-{server.span_id}-01"
    record.redis.close()


def test_nothing_personal_and_no_secret_is_sent(machine, collector):
    receipt = machine.post("website", dump(SAMPLE), website())
    machine.wait(receipt["deliveries"])
    record = machine.record
    trace_id = otel.trace_id_of(record.event(receipt["event_id"]).trace)
    record.redis.close()
    spans_with(collector, 4, trace_id)

    sent = b"".join(body for _, body in collector.taken)
    personal = [value for value in SAMPLE.values() if isinstance(value, str) and len(value) > 5 and value != "callback"]
    assert personal
    for value in (*personal, *SECRETS.values(), *WEB_SECRETS.values(), "sandbox/"):
        assert value.encode() not in sent, value


def test_a_body_that_goes_past_the_fast_path_is_traced_likewise(machine, collector):
    parent = f"00-{'a' * 32}-{SPAN_ID}-01"
    body = dump({"document": "lead", "id": 5, "filling": "x" * 20_000})
    machine.post("website", body, website() | {"traceparent": parent})

    assert spans_with(collector, 4, "a" * 32)[0].parent_id == SPAN_ID


def test_a_replay_is_a_trace_of_its_own_with_a_link_to_the_old_one(machine, collector):
    receipt = machine.post_website({"document": "lead", "id": 6})
    (old,) = machine.wait(receipt["deliveries"])
    answer = requests.post(
        f"{machine.running.url}/api/v1/deliveries/{old.id}/replay", json={}, headers=ADMIN, timeout=10
    )
    assert answer.status_code == 201, answer.text
    (fresh,) = machine.wait([answer.json()["id"]])

    spans = spans_with(collector, 2, otel.trace_id_of(fresh.trace))

    assert otel.trace_id_of(fresh.trace) != otel.trace_id_of(old.trace)
    root = next(one for one in spans if one.name == "replay")
    assert root.links == (old.trace[3:52],)
    start = next(one for one in spans if one.kind == CLIENT)
    assert (start.parent_id, start.attributes["relay.workflow.id"]) == (root.span_id, fresh.workflow_id)


def test_a_call_that_is_refused_is_a_span_that_failed_with_its_code(machine, collector):
    receipt = machine.post_website({"document": "lead", "id": 404})
    (delivery,) = machine.wait(receipt["deliveries"], State.DEAD)

    spans = spans_with(collector, 4, otel.trace_id_of(delivery.trace))

    call = next(one for one in spans if one.kind == CLIENT)
    assert call.status == FAILED
    assert call.attributes["error.type"] == delivery.reason
    assert (call.attributes["relay.state"], call.attributes["relay.verdict"]) == ("dead", "rejected")


def test_a_stranger_can_neither_begin_a_trace_nor_join_one(machine, collector):
    url = f"{machine.running.url}/hooks"
    refused = requests.post(
        f"{url}/website", data=b"{}", headers={"traceparent": f"00-{'b' * 32}-{SPAN_ID}-01"}, timeout=10
    )
    assert refused.status_code == 401
    opened = requests.post(
        f"{url}/lenient", json={"id": 1}, headers={"traceparent": f"00-{'c' * 32}-{SPAN_ID}-01"}, timeout=10
    )
    assert opened.status_code == 202, opened.text
    record = machine.record
    trace_id = otel.trace_id_of(record.event(opened.json()["event_id"]).trace)
    record.redis.close()

    spans = spans_with(collector, 3, trace_id)

    server = next(one for one in spans if one.kind == SERVER)
    assert trace_id != "c" * 32
    assert server.links == (f"{'c' * 32}-{SPAN_ID}",)
    assert not [one for one in spans_of(collector) if one.trace_id in {"b" * 32, "c" * 32}]


def test_metrics_and_log_lines_arrive_too_and_the_service_has_its_name(machine, collector):
    receipt = machine.post_website({"document": "lead", "id": 8})
    until(lambda: receipt["event_id"].encode() in b"".join(bodies_of(collector, "/v1/logs")), "the log line")
    until(lambda: bodies_of(collector, "/v1/metrics"), "metrics")

    (body, *_) = bodies_of(collector, "/v1/metrics")
    (resource,) = ExportMetricsServiceRequest.FromString(body).resource_metrics
    assert values_of(resource.resource.attributes)["service.name"] == "leads"
    assert "relay_events" in {one.name for one in resource.scope_metrics[0].metrics}


def test_a_collector_that_stops_answering_holds_up_nothing_and_floods_no_log(machine, collector):
    """The last one at this machine, which ends."""
    collector.answers.clear()
    receipts = [machine.post_website({"document": "deal", "id": n}) for n in range(1, 101)]
    machine.wait([one["deliveries"][0] for one in receipts])
    until(lambda: machine.running.lines("telemetry.unsent"), "a line that says so")
    begun = time.monotonic()

    assert machine.running.stop(timeout_s=60) == 0

    assert time.monotonic() - begun < 4 * STOP_S + 10  # not thirty seconds for each signal
    lines = machine.running.lines("telemetry.unsent")
    assert len(lines) <= 5  # two processes of the web, two or three of the workers
    assert collector.url not in machine.running.log()
    assert "Traceback" not in machine.running.log()


def test_where_it_is_not_asked_for_none_of_it_is_loaded():
    code = (
        "import sys, relay.web.app, workers.__main__; from relay.core import otel; otel.start('web', {});"
        "print([name for name in sys.modules if name.endswith(('otel_sdk', 'otlp_metrics', 'trace_exporter'))])"
    )
    run = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True)

    assert run.stdout.strip() == "[]"


MISTAKES = {
    "another exporter": (
        {"OTEL_TRACES_EXPORTER": "zipkin"},
        "OTEL_TRACES_EXPORTER is 'zipkin': expected otlp, or none",
    ),
    "another protocol": (
        {"OTEL_LOGS_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
        "OTEL_EXPORTER_OTLP_PROTOCOL is 'grpc': expected http/protobuf",
    ),
    "another protocol of one signal": (
        {"OTEL_METRICS_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_METRICS_PROTOCOL": "grpc"},
        "OTEL_EXPORTER_OTLP_METRICS_PROTOCOL is 'grpc': expected http/protobuf",
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_what_cannot_be_served_is_a_mistake_at_the_start(name):
    environ, said = MISTAKES[name]

    with pytest.raises(ConfigError) as error:
        otel.check(environ)

    assert said in str(error.value)


def test_a_missing_package_is_one_line_that_says_what_to_install(monkeypatch):
    monkeypatch.setattr(otel, "find_spec", lambda _: None)

    with pytest.raises(ConfigError) as error:
        otel.check({"OTEL_TRACES_EXPORTER": "otlp", "OTEL_LOGS_EXPORTER": "otlp"})

    assert len(error.value.mistakes) == 1
    assert "OTEL_TRACES_EXPORTER, OTEL_LOGS_EXPORTER: OpenTelemetry is asked for and is not installed" in str(
        error.value
    )
    assert "config/otel-requirements.txt" in str(error.value)


def test_the_web_process_does_not_start_with_an_exporter_that_it_cannot_serve(processes, valkey):
    run = processes.run("relay", "serve", REDIS_URL=valkey.url, OTEL_METRICS_EXPORTER="prometheus")

    assert run.returncode == 1
    assert "OTEL_METRICS_EXPORTER is 'prometheus': expected otlp, or none" in run.stderr
    assert "Traceback" not in run.stderr


OFF = (
    {},
    {"OTEL_TRACES_EXPORTER": "none"},
    {"OTEL_TRACES_EXPORTER": ""},
    {"OTEL_TRACES_EXPORTER": "otlp", "OTEL_SDK_DISABLED": "true"},
    {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"},
)


@pytest.mark.parametrize("environ", OFF)
def test_without_a_signals_own_variable_it_is_off(environ):
    otel.check(environ)
    assert otel.wanted(environ) == frozenset()


@pytest.mark.parametrize("signal", otel.SIGNALS)
def test_each_signal_has_a_variable_of_its_own(signal):
    assert otel.wanted({f"OTEL_{signal}_EXPORTER": "otlp"}) == {signal}


CONTEXTS = {
    SENT: SENT,
    f" {SENT}\t": SENT,
    f"cc-{TRACE_ID}-{SPAN_ID}-00-what-will-be": f"00-{TRACE_ID}-{SPAN_ID}-00",
    f"{SENT}-more": "",
    f"ff-{TRACE_ID}-{SPAN_ID}-01": "",
    f"00-{'0' * 32}-{SPAN_ID}-01": "",
    f"00-{TRACE_ID}-{'0' * 16}-01": "",
    f"00-{TRACE_ID.upper()}-{SPAN_ID}-01": "",
    f"{SENT}, {SENT}": "",
    f"00-{TRACE_ID}-{SPAN_ID}-1": "",
    f"cc-{TRACE_ID}-{SPAN_ID}-01-{'x' * 300}": "",
    "": "",
}


@pytest.mark.parametrize("header", CONTEXTS)
def test_a_senders_context_is_kept_only_where_it_is_valid(header):
    assert otel.read_traceparent(header) == CONTEXTS[header]


@given(st.text() | st.from_regex(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}(-.*)?", fullmatch=True))
def test_whatever_the_header_says_the_context_has_its_one_form(header):
    kept = otel.read_traceparent(header)

    assert kept == "" or (len(kept) == 55 and otel.read_traceparent(kept) == kept)


def test_a_trace_is_kept_with_event_and_delivery_and_records_without_one_stay_readable(record: Record):
    plain = make_entry()
    traced = make_entry()
    delivery = replace(traced.deliveries[0], trace=SENT)
    traced = replace(traced, event=replace(traced.event, trace=SENT), deliveries=[delivery])
    write(record, plain)
    write(record, traced)

    assert (record.event(traced.event.id).trace, record.delivery(delivery.id).trace) == (SENT, SENT)
    assert (record.event(plain.event.id).trace, record.delivery(plain.deliveries[0].id).trace) == ("", "")
    assert b"trace" not in record.redis.hget(f"relay:event:{plain.event.id}", "facts")


def test_log_lines_are_sent_as_they_are_written():
    """In a process of its own: a logger keeps the setup of its first line."""
    code = (
        "from relay.core import otel, telemetry; telemetry.configure('web', otel.line_processors()); otel.start('web');"
        "telemetry.get_logger().warning('event.spooled', source='website', events=2, rules=['a', 'b']); otel.stop()"
    )
    with Receiver() as collector:
        collector.status = 200
        environ = os.environ | {"OTEL_LOGS_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url}
        subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, env=environ, capture_output=True, check=True)

    assert collector.paths == ["/v1/logs"]  # this signal turns on no other
    ((_, body),) = collector.taken
    (line,) = ExportLogsServiceRequest.FromString(body).resource_logs[0].scope_logs[0].log_records
    assert (line.body.string_value, line.severity_text) == ("event.spooled", "warning")
    values = values_of(line.attributes)
    assert (values["source"], values["events"], values["process"]) == ("website", 2, "web")


def test_metrics_are_those_of_the_page_for_prometheus(app, record):
    from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics  # noqa: PLC0415

    from relay.web.ops import families_of  # noqa: PLC0415
    from relay.web.otlp_metrics import metrics_data  # noqa: PLC0415
    from relay.web.services import services_of  # noqa: PLC0415

    write(record, make_entry())
    families = families_of(services_of(app))

    (resource,) = encode_metrics(metrics_data(families)).resource_metrics

    metrics = {one.name: one for one in resource.scope_metrics[0].metrics}
    assert set(metrics) == {one.name for one in families}
    points = metrics["relay_events"].sum.data_points
    events = {values_of(one.attributes)["state"]: one.as_int + one.as_double for one in points}
    assert events["accepted"] == 1
    assert metrics["relay_events"].sum.is_monotonic
    assert metrics["relay_due"].gauge.data_points
    assert metrics["relay_time_to_workflow_seconds"].WhichOneof("data") == "histogram"
