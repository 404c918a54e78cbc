"""200 posts a second, each on a connection of its own or on one that is kept, while rules are swapped 20 times and
`serve` is restarted twice by SIGHUP: none is refused, and each event that was acknowledged has its delivery on record.
"""

from __future__ import annotations

import http.client
import itertools
import json
import os
import signal
import subprocess
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from tests.chaos.stage import Stage, end, free_port, is_open, start, until
from tests.support.folders import SECRETS, WEB_SECRETS, copy_config
from tests.support.senders import website

THREADS = 20
CLOSED = (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError)
"""What a kept connection says that the server has closed while nothing was on it: every client of HTTP asks again."""
RULE = """name: swapped
source: website
when: body.form == 'swapped'
extract:
  id: {from: body.id, type: integer, required: true}
start: {portal: main, template_id: %d, document_id: {lead: "{id}"}}
"""


@dataclass
class Senders:
    """Threads that post at a pace together. kept: those that keep their connection."""

    port: int
    rate_per_s: float
    acknowledged: dict[str, int] = field(default_factory=dict)
    failures: Counter[str] = field(default_factory=Counter)
    asked_again: int = 0
    stop: threading.Event = field(default_factory=threading.Event)
    numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(1))
    took_ms: list[float] = field(default_factory=list)

    def run(self) -> list[threading.Thread]:
        threads = [threading.Thread(target=self._send, args=(index % 2 == 0,)) for index in range(THREADS)]
        for thread in threads:
            thread.start()
        return threads

    def _send(self, is_kept: bool) -> None:
        connection, due = None, time.monotonic()
        while not self.stop.is_set():
            begin = time.monotonic()
            connection = self._post(connection or self._connection(), next(self.numbers), is_kept=is_kept)
            self.took_ms.append((time.monotonic() - begin) * 1000)
            due += THREADS / self.rate_per_s
            self.stop.wait(max(0.0, due - time.monotonic()))
        if connection:
            connection.close()

    def _connection(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)

    def _post(
        self, connection: http.client.HTTPConnection, number: int, *, is_kept: bool
    ) -> http.client.HTTPConnection | None:
        """One post; the connection, if the next one may go over it."""
        is_fresh = connection.sock is None
        body = json.dumps({"form": "swapped", "id": number})
        try:
            connection.request("POST", "/hooks/website", body, website())
            answer = connection.getresponse()
            content = answer.read()
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            if not is_fresh and isinstance(error, CLOSED):
                self.asked_again += 1
                return self._post(self._connection(), number, is_kept=is_kept)
            self.failures[type(error).__name__] += 1
            return None
        if answer.status == 200 and (events := json.loads(content)).get("deliveries"):
            self.acknowledged[events["event_id"]] = number
        else:
            self.failures[str(answer.status)] += 1
        if is_kept and not answer.will_close:
            return connection
        connection.close()
        return None


def swapped(swaps: int, restarts: int, rate_per_s: float = 200) -> str:
    """One row."""
    with Stage() as stage:
        config, port = copy_config(stage.folder), free_port()
        file = config / "rules" / "swapped.yaml"
        _write(file, 1)
        environ = {**os.environ, **SECRETS, **WEB_SECRETS, "REDIS_URL": stage.url, "RELAY_CONFIG": str(config)}
        serve = start(["relay", "serve"], environ | {"RELAY_PORT": str(port)}, stage.folder / "serve.log")
        try:
            until(lambda: is_open(port), "the web process listens")
            senders = Senders(port, rate_per_s)
            threads, begin, restarted = senders.run(), time.monotonic(), 0
            hang_ups = {(index + 1) * swaps // (restarts + 1) for index in range(restarts)}
            for number in range(swaps):
                _write(file, number + 2)
                if number in hang_ups:
                    _restart(serve)
                    restarted += 1
                until(partial(_is_in_force, stage, number + 2), "the swap", 60)
            took = time.monotonic() - begin
            senders.stop.set()
            for thread in threads:
                thread.join()
        finally:
            end(serve)
        missing = sum(1 for event_id in senders.acknowledged if not is_there(stage, event_id))
        imbalances = stage.ledger().imbalances
    times = sorted(senders.took_ms)
    return (
        f"swapped {swaps} times, {restarted} restarts, {len(senders.acknowledged) / took:.0f} posts/s: "
        f"{len(senders.acknowledged)} acknowledged, "
        f"{sum(senders.failures.values())} refused{named(senders.failures)}, "
        f"{senders.asked_again} asked again, {missing} lost, p50 {times[len(times) // 2]:.0f} ms, "
        f"p99 {times[len(times) * 99 // 100]:.0f} ms, longest {times[-1]:.0f} ms, "
        f"ledger {imbalances or 'balances'}, {took:.0f} s"
    )


def named(failures: Counter[str]) -> str:
    return f" ({', '.join(f'{count} {name}' for name, count in failures.items())})" if failures else ""


def _restart(serve: subprocess.Popen[bytes]) -> None:
    """A rolling restart: new processes, and the old ones end what they are in."""
    before = set(_workers(serve.pid))
    serve.send_signal(signal.SIGHUP)
    until(lambda: not before & set(_workers(serve.pid)), "the old web processes end", 60)


def _workers(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _write(file: Path, template: int) -> None:
    draft = file.with_suffix(".new")
    draft.write_text(RULE % template)
    draft.replace(file)


def _is_in_force(stage: Stage, template: int) -> bool:
    published = stage.store.rules.read()
    return any(one.rule == "swapped" and one.template_id == template for one in published[1]) if published else False


def is_there(stage: Stage, event_id: str) -> bool:
    return bool(stage.record.event(event_id).deliveries)


if __name__ == "__main__":
    print(swapped(20, 2))
