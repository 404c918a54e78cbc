"""What waiting for a replica costs: posts a second at a server alone, at one that a replica follows, and where that is
waited for. In one run, in turns, all on this machine: so the replica's work and its disk are this machine's too.
"""

from __future__ import annotations

import shutil
import statistics
import tempfile
from contextlib import ExitStack
from pathlib import Path

from tests.bench.load import Load, Post, need_wrk, press
from tests.chaos.failover import PORTALS, RULE, SECRETS, SOURCES, TOKEN
from tests.support.cluster import Cluster
from tests.support.configs import write_config
from tests.support.processes import Processes

ROUNDS, SECONDS, CONNECTIONS = 3, 4.0, (16, 64)
POST = Post('{"id": 1, "text": "', '"}', {"Content-Type": "application/json", "X-Token": TOKEN})


def waiting() -> str:
    """The rows. Raises MissingError."""
    need_wrk()
    loads: dict[tuple[str, int], list[Load]] = {}
    folder = Path(tempfile.mkdtemp(prefix="relay-waiting-"))
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        alone = stack.enter_context(Cluster((), sentinels=0, is_direct=True))
        followed = stack.enter_context(Cluster(sentinels=0, is_direct=True))
        processes = Processes(folder, write_config(folder / "config", SOURCES, [RULE]), SECRETS)
        (folder / "config" / "portals.yaml").write_text(PORTALS, "utf-8")
        stack.callback(processes.clean_up)
        webs = {
            name: processes.start("relay", "serve", REDIS_URL=url_of(cluster), RELAY_REPLICAS=replicas)
            for name, cluster, replicas in (
                ("a server alone", alone, "0"),
                ("a replica follows", followed, "0"),
                ("the replica is waited for", followed, "1"),
            )
        }
        for web in webs.values():
            web.wait_for_url(120)
        for round_ in range(ROUNDS + 1):
            for connections in CONNECTIONS:
                for name, web in webs.items():
                    load = press(f"{web.url}/hooks/site", POST, connections, SECONDS if round_ else 1.0, folder)
                    if round_:
                        loads.setdefault((name, connections), []).append(load)
    return "\n".join(row(name, connections, runs) for (name, connections), runs in loads.items())


def url_of(cluster: Cluster) -> str:
    return f"redis://127.0.0.1:{cluster.primary.own_port}/0"


def row(name: str, connections: int, runs: list[Load]) -> str:
    rate, p50, p99 = (
        statistics.median(one) for one in zip(*((run.rate, run.p50, run.p99) for run in runs), strict=True)
    )
    failed = sum(run.failed for run in runs)
    return (
        f"  {name:26} {connections:3} connections: {rate:6.0f}/s, p50 {p50:5.1f} ms, p99 {p99:6.1f} ms, {failed} failed"
    )


if __name__ == "__main__":
    print(waiting(), flush=True)
