"""A whole machine under test: `python -m relay up` with its own data, and a pretend portal beside it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import requests

from relay.core.events import Delivery
from relay.core.lifecycle import State
from relay.runtime.embedded import url_of
from relay.sandbox.server import SandboxServer
from relay.store.record.record import Record
from relay.store.redis.connection import connect
from tests.support.processes import Processes, Running
from tests.support.senders import dump, website
from tests.support.waiting import until


@dataclass
class Machine:
    """A running `up`: post to it, wait for what becomes of it, ask it on the command line."""

    processes: Processes
    running: Running
    portal_url: str

    @property
    def record(self) -> Record:
        """The record that `up` keeps in its folder."""
        return Record(connect(url_of(self.processes.folder / "var" / "record")))

    def post(self, source: str, body: bytes, headers: dict[str, str]) -> dict[str, Any]:
        """Send a webhook; the receipt."""
        answer = requests.post(f"{self.running.url}/hooks/{source}", data=body, headers=headers, timeout=10)
        assert answer.status_code == 200, answer.text
        receipt: dict[str, Any] = answer.json()
        return receipt

    def post_website(self, content: Any) -> dict[str, Any]:
        """Send JSON as the website does; the receipt."""
        return self.post("website", dump(content), website())

    def wait(self, delivery_ids: Iterable[str], state: State = State.STARTED, timeout_s: float = 30) -> list[Delivery]:
        """These deliveries, once all of them are in this state."""
        wanted, record = list(delivery_ids), self.record

        def found() -> list[Delivery]:
            deliveries = record.deliveries(wanted)
            return deliveries if all(one.state is state for one in deliveries) else []

        try:
            return until(found, f"{wanted} to be {state}", timeout_s)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{record.deliveries(wanted)}\n{self.running.log()}") from None
        finally:
            record.redis.close()

    def ask(self, *arguments: str, status: int = 0, given: str = "") -> str:
        """What `python -m relay ...` prints."""
        run = self.processes.ask(*arguments, given=given)
        assert run.returncode == status, run.stderr
        return run.stdout

    def ask_json(self, *arguments: str) -> Any:
        return json.loads(self.ask(*arguments, "--json"))


def start_machine(
    processes: Processes, sandbox: SandboxServer, url: str | None = None, port: int | None = None, **environ: str
) -> Machine:
    """Run `up` against this portal, or one at another address."""
    portal_url = url or f"{sandbox.url}/rest/1/sandbox/"
    running = processes.start("relay", "up", port=port, PORTAL_MAIN_WEBHOOK_URL=portal_url, **environ)
    running.wait_for_url()
    return Machine(processes, running, portal_url)
