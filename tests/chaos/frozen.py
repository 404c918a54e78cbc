"""A worker stands still at every point of a delivery for longer than its claim lasts, and goes on where it was.

Each point is a call of a socket: before what is sent, and before what is read. So many workers, each with a portal of
its own, are stopped (SIGSTOP) side by side, the n-th before the n-th such call after it began to deliver. Meanwhile
another process does the work: what lapsed is sent again, by the rule (`resend`) or by a person, in turn. Then the first
ones wake.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Any

from relay.configuration.settings import Settings
from relay.core.events import OnUncertain
from relay.core.ids import utc_now
from relay.core.lifecycle import State
from relay.store.record.entries import Entry
from tests.chaos.stage import Sandbox, Stage, end, make_entry, start, until

POINTS = 28
WAYS = (OnUncertain.RESEND, OnUncertain.HOLD)
SOCKET_CALLS = {"connect", "send", "sendall", "recv", "recv_into"}
BEGINS = "deliver_next"
BODY = "sendall of the body"
LINE = "  {name}: {{plan: standard, rate: 1000, burst: 1000, own_id: off, batch: 1, settle_after: 1s}}\n"


def stop_at(point: int, file: Path) -> None:
    """Stop this process before the point-th call of a socket after it began to deliver; note where that is."""
    state = {"thread": 0, "calls": 0}

    def look(frame: FrameType, event: str, argument: Any) -> None:
        if event == "call" and frame.f_code.co_name == BEGINS:
            state["thread"] = threading.get_ident()
        elif event == "c_call" and state["thread"] == threading.get_ident() and is_of_socket(argument):
            state["calls"] += 1
            if state["calls"] == point:
                sys.setprofile(None)
                what = BODY if is_body(frame) else argument.__name__
                file.write_text(f"{what} in {where(frame)}", "utf-8")
                os.kill(os.getpid(), signal.SIGSTOP)

    threading.setprofile(look)
    sys.setprofile(look)


def is_of_socket(function: Any) -> bool:
    return function.__name__ in SOCKET_CALLS and type(function.__self__).__name__ in {"socket", "SSLSocket"}


def is_body(frame: FrameType) -> bool:
    """Whether the body of a call to the portal is sent here: it has looked at its clock already (workers/README.md)."""
    sent = frame.f_locals.get("data") if Path(frame.f_code.co_filename).parts[-2:] == ("http", "client.py") else None
    return isinstance(sent, bytes) and not sent.startswith(b"POST ")


def where(frame: FrameType | None) -> str:
    """The functions of ours that the call is made for, the innermost first."""
    names: list[str] = []
    while frame and len(names) < 2:
        if any(part in frame.f_code.co_filename for part in ("/workers/", "/relay/store/")):
            names.append(f"{Path(frame.f_code.co_filename).stem}.{frame.f_code.co_name}")
        frame = frame.f_back
    return " < ".join(names)


def work_until(portal: str, point: int, file: Path) -> None:
    """What the processes run that are stopped: a worker of one portal, as the supervisor starts it."""
    from workers.delivery.worker import addresses_of, work  # noqa: PLC0415 - only here

    stop_at(point, file)
    work(portal, addresses_of(Settings.from_environment(os.environ), portal), burst=False)


def frozen(points: int) -> Iterator[str]:
    """A row a kind of point, then what it came to."""
    with Stage() as stage:
        sandbox = Sandbox(rate=None)
        stage.portals["all"] = sandbox
        names = {f"p{point}": point for point in range(1, points + 1)}
        (stage.folder / "portals.yaml").write_text(
            "portals:\n" + "".join(LINE.format(name=name) for name in names), "utf-8"
        )
        for name, point in names.items():
            stage.fill(name, 1, 1000 + point, entry_with(WAYS[point % 2]))
        environ = environment_of(stage, sandbox, names)
        stopped = [start_stopped(stage.folder, name, point, environ) for name, point in names.items()]
        try:
            yield from run(stage, sandbox, environ, names, stopped)
        finally:
            for process in stopped:
                process.send_signal(signal.SIGCONT)
                end(process)


def run(
    stage: Stage,
    sandbox: Sandbox,
    environ: dict[str, str],
    names: dict[str, int],
    stopped: list[subprocess.Popen[bytes]],
) -> Iterator[str]:
    until(
        lambda: all(is_stopped(one.pid) or not left(stage, name) for one, name in zip(stopped, names, strict=True)),
        "each has been stopped, or is through",
        300,
    )
    asleep_at = time.monotonic()
    log = stage.folder / "workers.log"
    stage.supervisors.append(start(["workers"], environ, log))
    until(lambda: decide(stage) and stage.open_count() == 0, "others have done the work", 400)
    waited_s = time.monotonic() - asleep_at
    before = len(sandbox.workflows())
    for process in stopped:
        process.send_signal(signal.SIGCONT)
    time.sleep(20)
    workflows = Counter(str(workflow["document"]) for workflow in sandbox.workflows())
    counts = {
        point: sum(n for text, n in workflows.items() if f"LEAD_{1000 + point}" in text) for point in names.values()
    }
    files = {point: stage.folder / f"{name}.txt" for name, point in names.items()}
    reached = {point: file.read_text("utf-8") for point, file in files.items() if file.exists()}
    for point, text in reached.items():
        yield f"  {point:2} before {text:80} {counts[point]} workflow{'s' * (counts[point] > 1)}"
    balance = stage.ledger().imbalances
    remainder = {point for point, text in reached.items() if text.startswith(BODY)}
    twice = {point for point, count in counts.items() if count > 1}
    yield (
        f"frozen for {waited_s:.0f} s at {len(reached)} points: {len(twice - remainder)} started twice, "
        f"{len(twice & remainder)} between the look and the first byte, "
        f"{sum(n < 1 for n in counts.values())} not at all, {sum(workflows.values()) - before} by those that woke, "
        f"ledger {balance or 'balances'}"
    )


def entry_with(way: OnUncertain) -> Any:
    def make(portal: str, number: int) -> Entry:
        entry = make_entry(portal, number)
        (delivery,) = entry.deliveries
        policy = replace(delivery.policy, on_uncertain=way)
        return replace(entry, deliveries=[replace(delivery, policy=policy)])

    return make


def decide(stage: Stage) -> bool:
    """A person says of what only a person can decide: send it again."""
    ids = stage.record.page("relay:deliveries:state:uncertain", limit=500)
    for delivery in stage.record.deliveries(ids):
        if (
            delivery.state is State.UNCERTAIN
            and stage.record.unresolved_uncertain()
            and is_undecided(stage, delivery.id)
        ):
            stage.record.settle(delivery, State.RETRYING, utc_now(), reason="sent_again", next_at=utc_now())
    return True


def is_undecided(stage: Stage, delivery_id: str) -> bool:
    return stage.record.redis.zscore("relay:undecided", delivery_id) is not None


def left(stage: Stage, portal: str) -> int:
    return int(stage.record.redis.zcard(f"relay:waiting:{portal}"))


def is_stopped(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()[0] == "T"


def environment_of(stage: Stage, sandbox: Sandbox, names: dict[str, int]) -> dict[str, str]:
    environ = {**os.environ, "REDIS_URL": stage.url, "RELAY_CONFIG": str(stage.folder)}
    for name in names:
        environ[f"PORTAL_{name.upper()}_WEBHOOK_URL"] = f"{sandbox.url}/rest/1/sandbox/"
    return environ


def start_stopped(folder: Path, name: str, point: int, environ: dict[str, str]) -> subprocess.Popen[bytes]:
    file = folder / f"{name}.txt"
    return start(["tests.chaos.frozen", name, str(point), str(file)], environ, folder / "stopped.log")


if __name__ == "__main__":
    if len(sys.argv) > 3:
        work_until(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]))
    else:
        for row in frozen(int(sys.argv[1]) if len(sys.argv) > 1 else POINTS):
            print(row, flush=True)
