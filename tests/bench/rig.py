"""What a measurement stands on: a record with `appendfsync always`, and our own processes on it, on loopback only.

Use as a context manager: whatever it has started ends with it, also after an error or Ctrl-C.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

import requests

from relay.core.lifecycle import State
from relay.store.record.ledger import Ledger
from relay.store.record.record import Record
from tests.support.folders import SECRETS, WEB_SECRETS, copy_config
from tests.support.processes import Processes, Running, free_port
from tests.support.valkey import Valkey
from tests.support.waiting import until

UNLIMITED: dict[str, Any] = {"rate": None, "operating_limit_s": None}


class Rig:
    """A record, a configuration, and the processes that are started on them.

    configure: makes the configuration in a folder; absent, the shipped one with a portal that may be called at will.
    """

    def __init__(self, configure: Callable[[Path], Path] = copy_config) -> None:
        self._configure = configure
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self.folder = Path(tempfile.mkdtemp(prefix="relay-bench-"))
            stack.callback(shutil.rmtree, self.folder, ignore_errors=True)
            self.valkey = stack.enter_context(Valkey())
            self.record = Record(self.valkey.redis)
            self.processes = Processes(self.folder, self._configure(self.folder), SECRETS | WEB_SECRETS)
            stack.callback(self.processes.clean_up)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def start_web(self, config: Path | None = None) -> Running:
        """`relay serve`, once it answers. config: another than the rig's."""
        environ = {"REDIS_URL": self.valkey.url} | ({"RELAY_CONFIG": str(config)} if config else {})
        web = self.processes.start("relay", "serve", port=None, **environ)
        web.wait_for_url()
        return web

    def start_sandbox(self, **settings: Any) -> str:
        """A pretend portal, by default without limits; its address."""
        port = free_port()
        url = f"http://127.0.0.1:{port}"
        running = self.processes.start("relay", "sandbox", "--port", str(port))
        until(lambda: url in running.printed(), f"the sandbox to listen\n{running.log()}")
        requests.post(f"{url}/sandbox/settings", json=settings or UNLIMITED, timeout=5).raise_for_status()
        return url

    def start_workers(self, portal_url: str, *portals: str) -> Running:
        """`python -m workers`, not waited for. portals: their names; every one of them is at this address."""
        names = [f"PORTAL_{name.upper()}_WEBHOOK_URL" for name in portals or ("main",)]
        environ = dict.fromkeys(names, f"{portal_url}/rest/1/sandbox/")
        return self.processes.start("workers", port=None, REDIS_URL=self.valkey.url, **environ)

    def ledger(self) -> Ledger:
        """What is on record, in numbers."""
        return self.record.counts()

    def started(self) -> int:
        """How many deliveries have their workflow."""
        return self.ledger().deliveries[State.STARTED]


def say(text: str) -> None:
    """Progress, for who waits: stdout is for what was found."""
    print(text, file=sys.stderr, flush=True)
