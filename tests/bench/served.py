"""What one event costs a served web process: CPU of gunicorn's workers, in user and in system. Prints a table.

    make bench ARGS=served
    .venv/bin/python tests/bench/served.py ANOTHER_FOLDER     beside the code of another folder, in turn

The bare route is Flask's, served by gunicorn as it comes. `HTTP` is the relay with nothing behind the door: a fixed
answer where ingest would be. Time is of the workers only, as the kernel counts it, whatever else the machine does.
"""

from __future__ import annotations

import os
import shutil
import statistics
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.bench.load import Load, Post, need_wrk, press
from tests.bench.receiving import config_with, contender
from tests.support.folders import REPOSITORY, SECRETS, WEB_SECRETS
from tests.support.processes import Processes
from tests.support.senders import website
from tests.support.valkey import Valkey

ROUNDS, SECONDS = 3, 2.0
CONNECTIONS = (64, 16)
TICK_US = 1e6 / os.sysconf("SC_CLK_TCK")
POST = Post('{"lead": {"id": 1}, "user": 1, "submission_id": "', f'", "text": "{"x" * 220}"}}', website())
NOTHING_BEHIND = """

def post_worker_init(worker):
    from relay.core.lifecycle import EventState
    from relay.operations.ingest import Ingest, Ingested
    from relay.store.record.record import Receipt

    receipt = Receipt("evt_" + 26 * "0", EventState.ACCEPTED, ("dlv_" + 26 * "0",), duplicate=False)
    Ingest.receive = lambda *_: Ingested((receipt,))
"""


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one run: microseconds an event of the workers, in user and in system, and what wrk saw."""

    user: float
    system: float
    load: Load


def cost_of(url: str, pids: list[int], connections: int, folder: Path) -> Cost:
    """Press, and look at the workers' clocks before and after."""
    before = ticks(pids)
    load = press(f"{url}/hooks/website", POST, connections, SECONDS, folder)
    user, system = (now - then for now, then in zip(ticks(pids), before, strict=True))
    events = max(1.0, load.rate * SECONDS)
    return Cost(user * TICK_US / events, system * TICK_US / events, load)


def ticks(pids: list[int]) -> tuple[int, int]:
    """The clock ticks that these processes have spent in user and in system."""
    stats = [Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split() for pid in pids]
    return sum(int(one[11]) for one in stats), sum(int(one[12]) for one in stats)


def workers_of(port: str) -> list[int]:
    """The processes that gunicorn has forked: those that have the command of their parent."""
    commands = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                commands[int(entry.name)] = ((entry / "cmdline").read_bytes(), (entry / "environ").read_bytes(), parent)
            except OSError:
                continue
    return [
        pid
        for pid, (command, environ, parent) in commands.items()
        if parent in commands and commands[parent][0] == command and port.encode() in command + environ
    ]


def main() -> int:
    """Measure, print. 1 where wrk is missing."""
    if not need_wrk():
        print("wrk is needed, and was not found: on Debian, apt-get install wrk", file=sys.stderr)
        return 1
    folders = [REPOSITORY, *(Path(other).resolve() for other in sys.argv[1:])]
    costs: dict[tuple[int, str], list[Cost]] = {}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="relay-bench-")))
        valkey = stack.enter_context(Valkey())
        urls = serve(folders, folder, valkey.url, stack)
        pids = {name: workers_of(url.rpartition(":")[2]) for name, url in urls.items()}
        for round_ in range(ROUNDS + 1):
            valkey.make_fresh()
            for connections in CONNECTIONS:
                for name, url in urls.items():
                    cost = cost_of(url, pids[name], connections, folder)
                    if round_:
                        costs.setdefault((connections, name), []).append(cost)
    print(table(costs))
    return 0


def serve(folders: list[Path], folder: Path, redis_url: str, stack: ExitStack) -> dict[str, str]:
    """Everybody's address by name: the bare route, and of each folder's code all of it and its HTTP."""
    (folder / "bare").mkdir()
    (folder / "all").mkdir()
    whole = config_with(folder / "all", 1, 1)
    bare = Path(shutil.copytree(whole, folder / "bare" / "config"))
    with (bare / "gunicorn.conf.py").open("a") as file:
        file.write(NOTHING_BEHIND)
    processes = Processes(folder, whole, SECRETS | WEB_SECRETS)
    stack.callback(processes.clean_up)
    urls = {"bare route": stack.enter_context(contender("bare", redis_url, folder))}
    for one in folders:
        for name, config in (("HTTP", bare), ("all", whole)):
            environ = {"REDIS_URL": redis_url, "PYTHONPATH": str(one), "RELAY_CONFIG": str(config)}
            running = processes.start("relay", "serve", **environ)
            running.wait_for_url()
            urls[f"{one.name}: {name}"] = running.url
    return urls


def table(costs: dict[tuple[int, str], list[Cost]]) -> str:
    """A line a contender: medians of the rounds."""
    lines = [
        f"us of CPU an event, medians of {ROUNDS} rounds in turn {'user':>17} {'system':>8} {'p50 ms':>8} {'p99 ms':>8}"
    ]
    for (connections, name), runs in costs.items():
        user, system = (statistics.median(getattr(one, clock) for one in runs) for clock in ("user", "system"))
        p50, p99 = (statistics.median(getattr(one.load, share) for one in runs) for share in ("p50", "p99"))
        failed = sum(one.load.failed for one in runs)
        line = f"{connections:4} connections {name:24} {user + system:8.0f} = {user:8.0f} {system:8.0f}"
        lines.append(f"{line} {p50:8.1f} {p99:8.1f}" + (f"   {failed} failed" if failed else ""))
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
