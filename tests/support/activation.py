"""The part of systemd that a hand-over needs: a port that outlives its services, and `systemctl` for switch.sh.

It runs what the units of config/deploy/systemd say, from a folder of checkouts in place of /opt/relay, and ends every
process that it has started.
"""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from tests.support.folders import REPOSITORY

UNITS = REPOSITORY / "config" / "deploy" / "systemd"
BACKLOG = 4096
STOP_S = 40.0
READY_S = 120.0
ADOPT = """import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ["LISTEN_PID"] = str(os.getpid())
os.execvp(sys.argv[2], sys.argv[2:])
"""
"""Passes the port on as systemd does: as file 3, to the process whose id is named."""
SYSTEMCTL = """#!{python} -IS
import json, socket, sys
with socket.socket(socket.AF_UNIX) as asked:
    asked.connect({path!r})
    asked.sendall(json.dumps(sys.argv[1:]).encode() + b"\\n")
    sys.exit(int(asked.makefile().readline()))
"""


def setting(unit: str, name: str) -> str:
    """The last line NAME=... of a unit."""
    lines = (UNITS / unit).read_text("utf-8").splitlines()
    return [line.partition("=")[2] for line in lines if line.startswith(f"{name}=")][-1]


def add_checkout(base: Path, name: str, version: str) -> Path:
    """A copy of this checkout that says it is another version, with the virtual environment of this one."""
    folder = base / name
    folder.mkdir(parents=True)
    for part in ("relay", "workers", "config"):
        shutil.copytree(REPOSITORY / part, folder / part)
    (folder / ".venv").symlink_to(REPOSITORY / ".venv")
    init = folder / "relay" / "__init__.py"
    text = init.read_text("utf-8")
    init.write_text(text.replace('__version__ = "', f'__version__ = "{version}-'), "utf-8")
    return folder


class Services:
    """The services of one server. base: the folder of checkouts, with the link `current`.

    environ: what stands in /etc/relay/.env. redis_url: in place of the files of secrets. units: which of them are run;
    `systemctl` says yes to all others and does nothing.
    """

    def __init__(
        self, base: Path, environ: Mapping[str, str], redis_url: str, units: tuple[str, ...] = ("relay-web",)
    ) -> None:
        self.base = base
        self.log = base / "log"
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=BACKLOG)
        self.port: int = self.listener.getsockname()[1]
        self.running: dict[str, subprocess.Popen[bytes]] = {}
        self._environ, self._redis_url, self._units = dict(environ), redis_url, units
        self._bin, self._control = base / "bin", socket.socket(socket.AF_UNIX)

    def __enter__(self) -> Self:
        self._bin.mkdir()
        path = self._bin / "s"
        self._control.bind(str(path))
        self._control.listen()
        command = self._bin / "systemctl"
        command.write_text(SYSTEMCTL.format(python=sys.executable, path=str(path)), "utf-8")
        command.chmod(0o755)
        threading.Thread(target=self._serve, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._control.shutdown(socket.SHUT_RDWR)
        self._control.close()
        for unit in list(self.running):
            self.stop(unit)
        self.listener.close()

    def switch_to(self, name: str) -> subprocess.CompletedProcess[str]:
        """Run switch.sh of a checkout; one without it is switched to by this checkout's."""
        script = self.base / name / "config" / "deploy" / "systemd" / "switch.sh"
        if not script.exists():
            script.parent.mkdir(parents=True)
            shutil.copy(UNITS / "switch.sh", script)
        environ = {**os.environ, "PATH": f"{self._bin}:{os.environ['PATH']}"}
        return subprocess.run(["sh", script], env=environ, capture_output=True, text=True, timeout=300, check=False)

    def start(self, unit: str) -> bool:
        """Start a service, and wait until it is ready. Whether it is."""
        if (running := self.running.get(unit)) and running.poll() is None:
            return True
        file = f"{unit.partition('@')[0]}.service"
        notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        state = self.base / f"state-{unit.partition('@')[0]}"
        state.mkdir(exist_ok=True)
        with notify, self.log.open("ab") as log:
            notify.bind(told := str(self._bin / f"{unit}-{os.urandom(4).hex()}"))
            notify.settimeout(0.1)
            environ = {**self._environ, "STATE_DIRECTORY": str(state), "NOTIFY_SOCKET": told, "LISTEN_FDS": "1"}
            port = self.listener.fileno()
            self.running[unit] = process = subprocess.Popen(
                [sys.executable, "-IS", "-c", ADOPT, str(port), *self._command(file)],
                cwd=self.base / "current",
                env=environ,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=(port,),
                start_new_session=True,
            )
            return setting(file, "Type") != "notify" or self._is_ready(process, notify)

    def stop(self, unit: str) -> None:
        """SIGTERM to the first process, as KillMode=mixed has it, and SIGKILL to all that is left."""
        process = self.running.pop(unit, None)
        if process is None:
            return
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.terminate()
            process.wait(STOP_S)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def _command(self, file: str) -> list[str]:
        text = setting(file, "ExecStart").replace("$$", "$")
        side = "web" if "web" in file else "workers"
        secret = f"REDIS_URL_FILE=/etc/relay/secrets/{side}/REDIS_URL"
        assert secret in text
        return shlex.split(text.replace(secret, f'REDIS_URL="{self._redis_url}"'))

    def _is_ready(self, process: subprocess.Popen[bytes], notify: socket.socket) -> bool:
        for _ in range(int(READY_S / 0.1)):
            with contextlib.suppress(TimeoutError):
                if b"READY=1" in notify.recv(4096).splitlines():
                    return True
            if process.poll() is not None:
                return False
        return False

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                asked, _ = self._control.accept()
                with asked:
                    words = json.loads(asked.makefile().readline())
                    asked.sendall(b"%d\n" % (not self._do(words)))

    def _do(self, words: list[str]) -> bool:
        verb, *units = words
        units = [unit for unit in units if unit.partition("@")[0] in self._units]
        if verb in {"stop", "restart"}:
            for unit in units:
                self.stop(unit)
        return all(self.start(unit) for unit in units) if verb in {"start", "restart"} else True
