"""What a browser is pointed at: the web process under gunicorn, workers, a record and a pretend portal, all real."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

from relay.core.events import Delivery
from relay.core.lifecycle import State
from relay.sandbox.server import SandboxServer
from relay.store.record.record import Record
from tests.support.folders import SECRETS, WEB_SECRETS, copy_config
from tests.support.processes import Processes, Running, free_port
from tests.support.senders import dump, website
from tests.support.valkey import Valkey
from tests.support.waiting import until

SOON_S = 40.0
"""The end of a web process waits for idle connections, which end after 5 s; others it would cut off only after the
minute that stands here in gunicorn.conf.py, so that a slow machine and a page that holds the process are two things."""
PASSWORD = WEB_SECRETS["RELAY_DASHBOARD_PASSWORD"]


@dataclass
class Stage:
    """The processes, and what a sender and an operator's editor can do beside the browser."""

    valkey: Valkey
    sandbox: SandboxServer
    processes: Processes
    port: int
    web: Running | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def record(self) -> Record:
        return Record(self.valkey.redis)

    def start_web(self, **environ: str) -> None:
        """The web process, on the port that it had before."""
        self.web = self.processes.start("relay", "serve", port=self.port, REDIS_URL=self.valkey.url, **environ)
        self.web.wait_for_url()

    def restart_web(self) -> None:
        """End the web process, whatever pages are open, and start it anew with the files as they are now."""
        assert self.web is not None
        assert self.web.stop(timeout_s=SOON_S) == 0, self.web.log()
        self.start_web()

    def start_workers(self, **environ: str) -> None:
        self.processes.start(
            "workers",
            REDIS_URL=self.valkey.url,
            PORTAL_MAIN_WEBHOOK_URL=f"{self.sandbox.url}/rest/1/sandbox/",
            **environ,
        )

    def post(self, content: Any) -> dict[str, Any]:
        """Send as the website does; the receipt."""
        answer = requests.post(f"{self.url}/hooks/website", data=dump(content), headers=website(), timeout=10)
        assert answer.status_code in {200, 422}, answer.text
        receipt: dict[str, Any] = answer.json()
        return receipt

    def wait(self, delivery_ids: Iterable[str], state: State) -> list[Delivery]:
        """These deliveries, once all of them are in this state."""
        wanted = list(delivery_ids)

        def found() -> list[Delivery]:
            deliveries = self.record.deliveries(wanted)
            return deliveries if all(one.state is state for one in deliveries) else []

        return until(found, f"{wanted} to be {state}")

    def rule_file(self, name: str) -> Path:
        return self.processes.config / "rules" / f"{name}.yaml"

    def change_rule(self, name: str, old: str, new: str) -> None:
        """Edit a rule's file, as a person would."""
        text = self.rule_file(name).read_text("utf-8")
        assert text.count(old) == 1
        self.rule_file(name).write_text(text.replace(old, new), "utf-8")


@contextlib.contextmanager
def staged(folder: Path, make_config: Callable[[Path], Path] = copy_config) -> Iterator[Stage]:
    """A stage with nothing running on it yet but the record and the portal; at the end, everything is ended."""
    config = make_config(folder)
    server = config / "gunicorn.conf.py"
    text = server.read_text("utf-8").replace("graceful_timeout = 20", "graceful_timeout = 60")
    server.write_text(f"{text}\nworkers = 1  # one browser has no use for two\n", "utf-8")
    secrets = folder / "secrets"
    (secrets / "web").mkdir(mode=0o700, parents=True)
    processes = Processes(folder, config, SECRETS | WEB_SECRETS | {"RELAY_SECRETS": str(secrets)})
    with Valkey() as valkey, SandboxServer(settings={"rate": None}) as sandbox:
        try:
            yield Stage(valkey, sandbox, processes, free_port())
        finally:
            for running in processes.started:
                running.process.send_signal(signal.SIGINT)
            processes.clean_up()
