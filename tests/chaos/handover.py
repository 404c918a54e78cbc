"""200 posts a second, half of them on kept connections, while a server restarts its web process, changes to another
checkout and back, and upgrades from an earlier layout of the record: acknowledged, refused, lost, started twice.

Needs the repository's history. Versions run as config/deploy/systemd says, on a port that systemd's stand-in holds.
"""

from __future__ import annotations

import filecmp
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from relay.core.lifecycle import State
from tests.chaos.stage import REPOSITORY, Sandbox, Stage, doubles, until
from tests.chaos.swapped import RULE, Senders, is_there, named
from tests.chaos.upgraded import VERSIONS, post
from tests.support.activation import Services
from tests.support.folders import SECRETS, WEB_SECRETS

RATE_PER_S = 200.0
BEFORE = "dcd6b01"
"""A version with the same layout of the record."""
WAITING = 20_000
"""Events on record when the layout changes."""


def check_out(base: Path, name: str, commit: str) -> None:
    """The files of a commit, with a virtual environment that fits. Raises CalledProcessError without the history."""
    folder = base / name
    folder.mkdir()
    packed = subprocess.run(["git", "archive", commit], cwd=REPOSITORY, check=True, capture_output=True).stdout
    subprocess.run(["tar", "-x"], cwd=folder, input=packed, check=True)
    if filecmp.cmp(folder / "requirements.txt", REPOSITORY / "requirements.txt", shallow=False):
        (folder / ".venv").symlink_to(REPOSITORY / ".venv")
        return
    subprocess.run([sys.executable, "-m", "venv", ".venv"], cwd=folder, check=True)
    install = [".venv/bin/python", "-m", "pip", "install", "--quiet", "--quiet", "--require-hashes"]
    subprocess.run([*install, "-r", "requirements.txt"], cwd=folder, check=True, stdout=subprocess.DEVNULL)


class Server:
    """One machine: a record, a pretend portal, and the checkouts `old` and `new`, of which `old` runs."""

    def __init__(self, old: str) -> None:
        self.stage = Stage()
        self.base = Path(tempfile.mkdtemp(prefix="relay-server-"))
        check_out(self.base, "old", old)
        check_out(self.base, "new", "HEAD")
        self.sandbox = self.stage.portals["main"] = Sandbox(rate=None, latency_ms=5)
        # What every version understands: the configuration of the old one.
        config = shutil.copytree(self.base / "old" / "config", self.base / "config")
        (config / "rules" / "swapped.yaml").write_text(RULE % 1, "utf-8")
        portals = config / "portals.yaml"
        portals.write_text(portals.read_text("utf-8").rstrip() + "\n    rate: 1000\n    burst: 10000\n", "utf-8")
        environ = {**os.environ, **SECRETS, **WEB_SECRETS, "RELAY_CONFIG": str(config)}
        environ["PORTAL_MAIN_WEBHOOK_URL"] = f"{self.sandbox.url}/rest/1/sandbox/"
        self.services = Services(self.base, environ, self.stage.url, ("relay-web", "relay-workers"))
        self.senders = Senders(self.services.port, RATE_PER_S)

    def switch_to(self, name: str) -> None:
        done = self.services.switch_to(name)
        if done.returncode:
            raise RuntimeError(done.stderr + self.services.log.read_text("utf-8", "replace")[-4000:])

    def restart(self) -> None:
        """What `systemctl restart relay-web` does: without a second process beside it, posts wait at the port."""
        self.services.stop("relay-web")
        self.services.start("relay-web")

    def close(self) -> None:
        self.stage.__exit__()
        shutil.rmtree(self.base, ignore_errors=True)


def _restarted(server: Server) -> None:
    for _ in range(3):
        server.restart()
        _wait_for_posts(server.senders, int(5 * RATE_PER_S))


def _wait_for_posts(senders: Senders, count: int) -> None:
    """Until so many more are acknowledged: those that waited at the port, and then some."""
    after = len(senders.acknowledged) + count
    until(lambda: len(senders.acknowledged) > after, "posts")


def _there_and_back(server: Server) -> None:
    for name in ("new", "old", "new", "old"):
        server.switch_to(name)


def _upgraded(server: Server) -> None:
    server.switch_to("new")


def rows() -> Iterator[str]:
    yield row("restarted 3 times", BEFORE, _restarted)
    yield row("to another checkout and back, twice", BEFORE, _there_and_back)
    for commit in VERSIONS:
        yield row(f"upgraded from {commit}", commit, _upgraded, WAITING)


def row(name: str, old: str, act: Callable[[Server], None], waiting: int = 0) -> str:
    """One row. waiting: events on record before."""
    server = Server(old)
    try:
        with server.services:
            server.switch_to("old")
            taken = post(f"http://127.0.0.1:{server.services.port}", 1_000_000, waiting)
            senders = server.senders
            threads = senders.run()
            try:
                _wait_for_posts(senders, int(RATE_PER_S))
                act(server)
            finally:
                senders.stop.set()
                for thread in threads:
                    thread.join()
            with suppress(TimeoutError):
                until(lambda: server.stage.open_count() == 0 and not server.stage.ledger().imbalances, "an end", 300)
            missing = sum(1 for event_id in senders.acknowledged if not is_there(server.stage, event_id))
            ledger, workflows = server.stage.ledger(), server.sandbox.workflows()
    finally:
        server.close()
    times = sorted(senders.took_ms)
    started = len({str(one["document"]) for one in workflows})
    return (
        f"{name}: {len(senders.acknowledged)} acknowledged{f' (and {taken} before)' if taken else ''}, "
        f"{sum(senders.failures.values())} refused{named(senders.failures)}, {senders.asked_again} asked again, "
        f"{missing} lost, {started} started, {doubles(workflows)} twice, "
        f"{ledger.deliveries[State.UNCERTAIN]} uncertain, books {ledger.imbalances or 'balance'}, "
        f"p50 {times[len(times) // 2]:.0f} ms, p99 {times[len(times) * 99 // 100]:.0f} ms, longest {times[-1]:.0f} ms"
    )
