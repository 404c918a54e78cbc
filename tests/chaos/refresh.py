"""Ten workers with one application's tokens: how often an expired one is refreshed, and whether all is delivered."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from functools import partial

from relay.core.lifecycle import State
from relay.sandbox.applications.registry import CLIENT_ID, CLIENT_SECRET
from relay.sandbox.applications.tokens import FIRST_ACCESS_TOKEN, FIRST_REFRESH_TOKEN
from relay.sandbox.portal import Portal
from relay.sandbox.server import SandboxServer
from relay.sandbox.settings import Settings
from tests.chaos.stage import Stage, start, until

CONFIG = "portals:\n  main: {plan: self_hosted, own_id: off}\n"
"""No pace and no batches: every worker calls all the time."""


class Refreshes:
    """Counts what the token server of a portal is asked, and makes tokens expire."""

    def __init__(self, server: SandboxServer) -> None:
        self.count = 0
        self._tokens = server.portal.tokens
        self._refresh = self._tokens.refresh
        self._tokens.refresh = self._counted  # type: ignore[method-assign] # the portal is in this process

    def expire(self) -> None:
        """Every token that was given out is old."""
        for token in list(self._tokens._access):
            self._tokens._access[token] = 0.0

    def _counted(self, form: Mapping[str, str], settings: Settings) -> dict[str, object]:
        self.count += 1
        return self._refresh(form, settings)


def has_more(portal: Portal, count: int) -> bool:
    """Whether the portal has started more workflows than this."""
    return len(portal.workflows) > count


def refresh(workers: int, rounds: int, count: int) -> str:
    """One row."""
    with Stage() as stage, SandboxServer(settings={"rate": None, "latency_ms": 20}) as server:
        refreshes = Refreshes(server)
        (stage.folder / "portals.yaml").write_text(CONFIG)
        environ = {
            **os.environ,
            "REDIS_URL": stage.url,
            "RELAY_CONFIG": str(stage.folder),
            "PORTAL_MAIN_ENDPOINT": f"{server.url}/rest/",
            "PORTAL_MAIN_OAUTH_SERVER": server.url,
            "PORTAL_MAIN_CLIENT_ID": CLIENT_ID,
            "PORTAL_MAIN_CLIENT_SECRET": CLIENT_SECRET,
            "PORTAL_MAIN_ACCESS_TOKEN": FIRST_ACCESS_TOKEN,
            "PORTAL_MAIN_REFRESH_TOKEN": FIRST_REFRESH_TOKEN,
        }
        for _ in range(workers):
            stage.supervisors.append(start(["workers", "--portal", "main"], environ, stage.folder / "workers.log"))
        until(lambda: stage.record.redis.scard("rq:workers") == workers, "all workers are there")
        took = 0.0
        for number in range(rounds):
            stage.fill("main", count, 1_000 + number * count)
            until(partial(has_more, server.portal, number * count + count // 4), "they are at it")
            refreshes.expire()
            took += until(lambda: stage.open_count() == 0, "all are final")
        started = stage.ledger().deliveries[State.STARTED]
    return (
        f"refresh: {workers} workers, {rounds} expired tokens: {refreshes.count} refresh requests, "
        f"{started} of {rounds * count} started, {len(server.portal.workflows)} workflows, {took:.1f} s"
    )


if __name__ == "__main__":
    workers, rounds, count = (int(text) for text in sys.argv[1:4]) if len(sys.argv) > 3 else (10, 5, 500)
    print(refresh(workers, rounds, count), flush=True)
