"""Starts the project's own processes, waits for what they do, and ends what it started and nothing else."""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import socket
import subprocess
import sys
import uuid
from collections.abc import Iterator, Mapping
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import requests
from structlog.testing import capture_logs

from relay.cli.main import main
from tests.support.folders import REPOSITORY
from tests.support.waiting import until

MARK = "RELAY_TEST_MARK"
STOP_S = 60.0


def free_port() -> int:
    """A port that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def refusing_address() -> Iterator[str]:
    """host:port where every connection is refused, and nobody else can listen meanwhile."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{held.getsockname()[1]}"


@dataclass
class Running:
    """A process, its children, and what they wrote."""

    process: subprocess.Popen[str]
    mark: str
    errors: Path
    output: Path
    url: str = ""

    @property
    def pid(self) -> int:
        return self.process.pid

    def log(self) -> str:
        """Everything on stderr so far."""
        return self.errors.read_text("utf-8", "replace")

    def printed(self) -> str:
        """Everything on stdout so far."""
        return self.output.read_text("utf-8", "replace")

    def lines(self, event: str) -> list[dict[str, Any]]:
        """The log lines of one event."""
        found = (json.loads(line) for line in self.log().splitlines() if line.startswith("{"))
        return [line for line in found if line.get("event") == event]

    def wait_for_line(self, event: str) -> dict[str, Any]:
        """The first log line of the event; a process writes it a moment after the record has changed."""
        return until(lambda: self.lines(event), f"a log line {event}")[0]

    def wait_for_url(self, timeout_s: float = 90.0) -> None:
        """Until it answers HTTP."""
        until(self._answers, f"{self.url} to answer\n{self.log()}", timeout_s)

    def stop(self, number: int = signal.SIGTERM, timeout_s: float = STOP_S) -> int:
        """Ask it to end; its exit status. Raises AssertionError with what it logged if it goes on."""
        self.process.send_signal(number)
        try:
            return self.process.wait(timeout_s)
        except subprocess.TimeoutExpired as late:
            raise AssertionError(f"{late}; alive: {self.family()}\n{self.log()}") from None

    def kill(self) -> None:
        """End it without a word; its children learn it by themselves."""
        self.process.kill()
        self.process.wait()

    def family(self) -> dict[int, str]:
        """What is alive of it and its children, grandchildren and so on: command lines by process id."""
        found = {}
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and self._is_ours(entry):
                found[int(entry.name)] = _command_line(entry)
        return found

    def wait_until_gone(self, timeout_s: float = 5.0) -> None:
        """Until nothing of it is alive. Python's own helper process ends a moment after the rest."""
        until(lambda: not self.family(), f"nothing to be left of {self.family()}", timeout_s)

    def clean_up(self) -> None:
        """End all of it, however it is."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        for pid in self.family():
            kill(pid)

    def _answers(self) -> bool:
        if self.process.poll() is not None:
            raise AssertionError(f"it ended with {self.process.returncode}:\n{self.log()}")
        try:
            requests.get(f"{self.url}/healthz", timeout=1)
        except requests.RequestException:
            return False
        return True

    def _is_ours(self, entry: Path) -> bool:
        try:
            if f"{MARK}={self.mark}".encode() not in (entry / "environ").read_bytes().split(b"\0"):
                return False
            # A zombie has ended; that its parent has not looked yet makes no process of it.
            return (entry / "stat").read_text().rpartition(")")[2].split()[0] != "Z"
        except OSError:
            return False


def kill(pid: int) -> None:
    """SIGKILL, to one that may be gone."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def _command_line(entry: Path) -> str:
    try:
        return (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace").strip()
    except OSError:
        return ""


@dataclass
class Processes:
    """Makes processes that work in one folder, with a copy of the configuration."""

    folder: Path
    config: Path
    environ: Mapping[str, str] = field(default_factory=dict)
    started: list[Running] = field(default_factory=list)

    def start(self, *arguments: str, port: int | None = None, **environ: str) -> Running:
        """`python -m ...` in the background. port: where it is to answer; absent, a free one."""
        mark = uuid.uuid4().hex
        port = port or free_port()
        number = len(self.started)
        errors, output = self.folder / f"stderr-{number}.txt", self.folder / f"stdout-{number}.txt"
        with errors.open("w") as to_errors, output.open("w") as to_output:
            process = subprocess.Popen(
                [sys.executable, "-m", *arguments],
                cwd=self.folder,
                env=self._environ(mark=mark, port=port, more=environ),
                stdin=subprocess.DEVNULL,
                stdout=to_output,
                stderr=to_errors,
                text=True,
            )
        running = Running(process, mark, errors, output, f"http://127.0.0.1:{port}")
        self.started.append(running)
        return running

    def run(self, *arguments: str, given: str = "", **environ: str) -> subprocess.CompletedProcess[str]:
        """`python -m ...` to its end."""
        return subprocess.run(
            [sys.executable, "-m", *arguments],
            cwd=self.folder,
            env=self._environ(mark="", port=free_port(), more=environ),
            input=given,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def ask(self, *arguments: str, given: str = "", **environ: str) -> subprocess.CompletedProcess[str]:
        """`python -m relay ...` to its end, as if it were a process: in this one, which saves the start of another.

        What it logs is no answer, and is dropped.
        """
        output, errors = io.StringIO(), io.StringIO()
        with pytest.MonkeyPatch.context() as patch, redirect_stdout(output), redirect_stderr(errors), capture_logs():
            patch.chdir(self.folder)
            patch.setattr(os, "environ", self._environ(mark="", port=free_port(), more=environ))
            patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(given.encode())))
            status = main(arguments)
        return subprocess.CompletedProcess(arguments, status, output.getvalue(), errors.getvalue())

    def clean_up(self) -> None:
        """End everything that start() has started."""
        for running in reversed(self.started):
            running.clean_up()

    def _environ(self, *, mark: str, port: int, more: Mapping[str, str]) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if name.startswith(("PATH", "HOME", "LANG", "LC_"))}
        return {
            **kept,
            "PYTHONPATH": str(REPOSITORY),
            "RELAY_CONFIG": str(self.config),
            "RELAY_PORT": str(port),
            MARK: mark,
            **self.environ,
            **more,
        }
