"""What one event costs a served web process: CPU of gunicorn's workers, in user and in system.

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
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.bench.load import Load, lead_post, need_wrk, press
from tests.bench.others import contender
from tests.bench.receiving import config_with
from tests.bench.report import Table, as_text
from tests.bench.rig import Rig
from tests.support.folders import REPOSITORY

ROUNDS, SECONDS = 3, 2.0
CONNECTIONS = (64, 16)
TICK_US = 1e6 / os.sysconf("SC_CLK_TCK")
NOTHING_BEHIND = """

def post_worker_init(worker):
    from relay.core.lifecycle import EventState
    from relay.operations.ingest import Ingest, Ingested
    from relay.store.record.entries import Receipt

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
    load = press(f"{url}/hooks/website", lead_post(), connections, SECONDS, folder)
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


def measure(*, full: bool) -> list[Table]:
    """The code of this folder."""
    return [table_of([REPOSITORY])]


def table_of(folders: list[Path]) -> Table:
    """The code of each folder, beside the bare route, in turn."""
    need_wrk()
    costs: dict[tuple[int, str], list[Cost]] = {}
    with Rig(lambda folder: config_with(folder, 1, 1)) as rig, ExitStack() as stack:
        urls = serve(folders, rig, stack)
        pids = {name: workers_of(url.rpartition(":")[2]) for name, url in urls.items()}
        for round_ in range(ROUNDS + 1):
            rig.valkey.make_fresh()
            for connections in CONNECTIONS:
                for name, url in urls.items():
                    cost = cost_of(url, pids[name], connections, rig.folder)
                    if round_:
                        costs.setdefault((connections, name), []).append(cost)
    columns = {"us": ",.0f", "user": ",.0f", "system": ",.0f", "p50 ms": ".1f", "p99 ms": ".1f", "failed": ","}
    rows = {f"{connections} connections: {name}": row(runs) for (connections, name), runs in costs.items()}
    return Table("CPU of served web processes", f"us an event, medians of {ROUNDS} rounds in turn", columns, rows)


def serve(folders: list[Path], rig: Rig, stack: ExitStack) -> dict[str, str]:
    """Everybody's address by name: the bare route, and of each folder's code all of it and its HTTP."""
    bare = Path(shutil.copytree(rig.processes.config, rig.folder / "bare"))
    with (bare / "gunicorn.conf.py").open("a") as file:
        file.write(NOTHING_BEHIND)
    urls = {"bare route": stack.enter_context(contender("bare", rig.valkey.url, rig.folder)).url}
    for one in folders:
        for name, config in (("HTTP", bare), ("all", rig.processes.config)):
            environ = {"REDIS_URL": rig.valkey.url, "PYTHONPATH": str(one), "RELAY_CONFIG": str(config)}
            running = rig.processes.start("relay", "serve", port=None, **environ)
            running.wait_for_url()
            urls[f"{one.name}: {name}"] = running.url
    return urls


def row(runs: list[Cost]) -> dict[str, float]:
    """The medians of one contender."""
    user, system = (statistics.median(getattr(one, clock) for one in runs) for clock in ("user", "system"))
    p50, p99 = (statistics.median(getattr(one.load, share) for one in runs) for share in ("p50", "p99"))
    failed = sum(one.load.failed for one in runs)
    return {"us": user + system, "user": user, "system": system, "p50 ms": p50, "p99 ms": p99, "failed": failed}


if __name__ == "__main__":
    print(as_text(table_of([REPOSITORY, *(Path(other).resolve() for other in sys.argv[1:])])))
