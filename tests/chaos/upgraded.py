"""An upgrade from earlier versions, with their own processes: what waited is delivered once, and the books balance.

Needs the repository's history. Each earlier version runs from its own files in a virtual environment of its own, is
given events, and is killed or left to run beside this one.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import requests

from relay.core.lifecycle import State
from tests.chaos.stage import REPOSITORY, Sandbox, Stage, doubles, end, free_port, is_open, until
from tests.support.folders import SECRETS, WEB_SECRETS

VERSIONS = ("fd3e447", "fd8caef")
"""The version before profiles and steps, and the one before releases were numbered."""
AT_ONCE = 32


@dataclass(frozen=True)
class Version:
    """The files of a version, with the Python that has what it needs."""

    name: str
    folder: Path
    python: str

    def start(self, module: list[str], environ: dict[str, str], log: Path) -> subprocess.Popen[bytes]:
        with log.open("ab") as out:
            return subprocess.Popen(
                [self.python, "-m", *module],
                cwd=self.folder,
                env=environ,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )


THIS = Version("this", REPOSITORY, sys.executable)


@contextmanager
def version(commit: str) -> Iterator[Version]:
    """The files of a commit. Raises CalledProcessError where the history is not there."""
    with tempfile.TemporaryDirectory(prefix="relay-version-") as name:
        folder = Path(name)
        packed = subprocess.run(["git", "archive", commit], cwd=REPOSITORY, check=True, capture_output=True).stdout
        subprocess.run(["tar", "-x"], cwd=folder, input=packed, check=True)
        subprocess.run([sys.executable, "-m", "venv", ".venv"], cwd=folder, check=True)
        python = str(folder / ".venv" / "bin" / "python")
        install = [python, "-m", "pip", "install", "--quiet", "--quiet", "--require-hashes", "-r", "requirements.txt"]
        subprocess.run(install, cwd=folder, check=True, stdout=subprocess.DEVNULL)
        yield Version(commit, folder, python)


class Site:
    """A record, a pretend portal, and the processes of two versions before them."""

    def __init__(self, stage: Stage, old: Version) -> None:
        self.stage, self.old = stage, old
        self.sandbox = Sandbox(rate=None, latency_ms=20)
        self.stage.portals["main"] = self.sandbox
        self.log = stage.folder / "log"
        self.running: list[subprocess.Popen[bytes]] = []

    def start(self, of: Version, *module: str) -> tuple[subprocess.Popen[bytes], str]:
        """Start a process of a version; where it answers."""
        port = free_port()
        environ = {**os.environ, **SECRETS, **WEB_SECRETS, "REDIS_URL": self.stage.url, "RELAY_PORT": str(port)}
        environ |= {"RELAY_CONFIG": str(of.folder / "config"), "RELAY_STATE": str(self.stage.folder / "state")}
        environ["PORTAL_MAIN_WEBHOOK_URL"] = f"{self.sandbox.url}/rest/1/sandbox/"
        process = of.start(list(module), environ, self.log)
        self.running.append(process)
        if module[0] == "relay":
            until(lambda: is_open(port) or process.poll() is not None, f"{module} of {of.name} answers")
        return process, f"http://127.0.0.1:{port}"

    def kill(self, process: subprocess.Popen[bytes]) -> None:
        """End it and its children without a word."""
        with suppress(ProcessLookupError):
            os.killpg(process.pid, 9)
        process.wait()

    def close(self) -> None:
        for process in self.running:
            end(process)
            self.kill(process)


def post(url: str, first: int, count: int) -> int:
    """Post so many leads, as the website does; how many were acknowledged."""
    headers = {"X-Relay-Token": SECRETS["SOURCE_WEBSITE_TOKEN"]}

    def one(number: int) -> bool:
        body = {"lead": {"id": number}, "user": 1, "submission_id": str(number)}
        with suppress(requests.RequestException):
            return requests.post(f"{url}/hooks/website", json=body, headers=headers, timeout=20).status_code == 200
        return False

    with ThreadPoolExecutor(AT_ONCE) as pool:
        return sum(pool.map(one, range(first, first + count)))


def killed(site: Site, count: int) -> int:
    """Web and workers of the old version are killed while they deliver, and this one takes over."""
    web, url = site.start(site.old, "relay", "serve")
    taken = post(url, 1000, count)
    workers, _ = site.start(site.old, "workers")
    until(lambda: len(site.sandbox.workflows()) > count // 20, "the old workers deliver")
    for process in (web, workers):
        site.kill(process)
    _, url = site.start(THIS, "relay", "serve")
    site.start(THIS, "workers")
    return taken + post(url, 50_000, 100)


def in_place(site: Site, count: int) -> int:
    """This version is started while the old one still runs, which is killed then."""
    web, url = site.start(site.old, "relay", "serve")
    taken = post(url, 1000, count)
    workers, _ = site.start(site.old, "workers")
    until(lambda: len(site.sandbox.workflows()) > count // 20, "the old workers deliver")
    _, fresh = site.start(THIS, "relay", "serve")
    site.start(THIS, "workers")
    taken += post(url, 40_000, 100)
    for process in (web, workers):
        site.kill(process)
    return taken + post(fresh, 50_000, 100)


def beside(site: Site, count: int) -> int:
    """The old web process goes on beside the workers of this version."""
    _, url = site.start(site.old, "relay", "serve")
    taken = post(url, 1000, count)
    site.start(THIS, "workers")
    return taken + post(url, 40_000, 100)


def upgraded(count: int) -> Iterator[str]:
    """A row for each version and way."""
    for commit in VERSIONS:
        with version(commit) as old:
            for way in (killed, in_place, beside):
                yield _row(old, way, count)


def _row(old: Version, way: Callable[[Site, int], int], count: int) -> str:
    with Stage() as stage:
        site, begin = Site(stage, old), time.monotonic()
        try:
            taken = way(site, count)
            # What old processes write after the upgrade is laid out when this version looks again, a minute later.
            with suppress(TimeoutError):
                until(lambda: stage.open_count() == 0 and not stage.ledger().imbalances, "all are final", 240)
            took = time.monotonic() - begin
            ledger, workflows = stage.ledger(), site.sandbox.workflows()
            died = site.log.read_bytes().count(b'"thread.died"')
        finally:
            site.close()
    started = len({str(one["document"]) for one in workflows})
    return (
        f"{old.name} {way.__name__:8} {taken} acknowledged: {started} started, "
        f"{doubles(workflows)} twice, {ledger.deliveries[State.STARTED]} on record as started, "
        f"{ledger.deliveries[State.UNCERTAIN]} uncertain, books {ledger.imbalances or 'balance'}, {died} threads died, "
        f"{took:.0f} s"
    )


if __name__ == "__main__":
    for row in upgraded(int(sys.argv[1]) if len(sys.argv) > 1 else 2_000):
        print(row, flush=True)
