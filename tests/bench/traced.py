"""What OpenTelemetry costs the door: without it, with it, and with a collector that is dead or never answers.

    PYTHONPATH=. .venv/bin/python tests/bench/traced.py [--full]

Each way has web processes of its own; they take turns, so that what else the machine does is everybody's. The record's
server is one. Spans leave the process by OTLP, and the collector is a process that takes and forgets them.
"""

from __future__ import annotations

import argparse
import socket
import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from tests.bench.load import Run, lead_post, need_wrk, press
from tests.bench.proc import cpu_s, tree
from tests.bench.report import Table, as_text
from tests.bench.rig import Rig, say
from tests.support.folders import REPOSITORY
from tests.support.processes import Running, refusing_address

ROUNDS = 3
CONNECTIONS = (16, 64)
OFF, ON, DEAD, SLOW = "without", "with", "collector dead", "collector never answers"
COLUMNS = {
    "p99 of without": ".2f", "CPU of without": ".2f", "p50 ms": ".1f", "p99 ms": ".1f", "spread of p99": ".1f",
    "posts/s": ",.0f", "CPU us": ",.0f", "failed": ",",
}  # fmt: skip
COLLECTOR = """
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()
    def log_message(self, *_): pass

server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(server.server_address[1], flush=True)
server.serve_forever()
"""


def measure(*, full: bool) -> list[Table]:
    """Every way at each number of connections."""
    need_wrk()
    seconds = 5 if full else 2
    runs: dict[tuple[str, int], list[Run]] = {}
    with Rig() as rig, ExitStack() as stack:
        webs = start_all(rig, stack)
        for web in webs.values():
            press(f"{web.url}/hooks/website", lead_post(), 16, 1, rig.folder)
        for number in range(1, ROUNDS + 1):
            say(f"  round {number} of {ROUNDS}")
            for connections in CONNECTIONS:
                for name, web in webs.items():
                    runs.setdefault((name, connections), []).append(run_once(rig, web, connections, seconds))
        notes = [f"{name}: {len(web.lines('telemetry.unsent'))} lines in the log" for name, web in webs.items()]
    how = (
        f"medians of {ROUNDS} rounds of {seconds} s in turn; two gevent workers, appendfsync always; three spans a post"
    )
    rows = {
        f"{connections} connections, {name}": row(runs[name, connections], runs[OFF, connections])
        for connections in CONNECTIONS
        for name in webs
    }
    return [Table("Receiving, traced", how, COLUMNS, rows, notes)]


def start_all(rig: Rig, stack: ExitStack) -> dict[str, Running]:
    """The web processes of each way."""
    endpoints = {
        OFF: None,
        ON: stack.enter_context(collector()),
        DEAD: f"http://{stack.enter_context(refusing_address())}",
        SLOW: stack.enter_context(never_answering()),
    }
    webs = {}
    for name, endpoint in endpoints.items():
        environ = {"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint} if endpoint else {}
        webs[name] = rig.processes.start("relay", "serve", port=None, REDIS_URL=rig.valkey.url, **environ)
        webs[name].wait_for_url()
    return webs


@contextmanager
def collector() -> Iterator[str]:
    """The address of a process that takes everything."""
    command = [sys.executable, "-c", COLLECTOR]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=REPOSITORY) as process:
        try:
            assert process.stdout
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.terminate()


@contextmanager
def never_answering() -> Iterator[str]:
    """The address of a server that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0), backlog=1_000) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def run_once(rig: Rig, web: Running, connections: int, seconds: float) -> Run:
    """One run of one way."""
    pids = tree(web.pid)
    before = cpu_s(pids)
    load = press(f"{web.url}/hooks/website", lead_post(), connections, seconds, rig.folder)
    return Run(load, (cpu_s(pids) - before) / max(1, load.count) * 1e6)


def row(mine: list[Run], without: list[Run]) -> dict[str, float | list[float]]:
    """The medians; ratios are of the same round."""
    pairs = list(zip(mine, without, strict=True))
    return {
        "p99 of without": statistics.median(one.load.p99 / other.load.p99 for one, other in pairs),
        "CPU of without": statistics.median(one.cpu_us / other.cpu_us for one, other in pairs),
        "p50 ms": statistics.median(one.load.p50 for one in mine),
        "p99 ms": statistics.median(one.load.p99 for one in mine),
        "spread of p99": [one.load.p99 for one in mine],
        "posts/s": statistics.median(one.load.rate for one in mine),
        "CPU us": statistics.median(one.cpu_us for one in mine),
        "failed": sum(one.load.failed for one in mine),
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", action="store_true", help="longer rounds")
    for found in measure(full=parser.parse_args().full):
        print(as_text(found))
