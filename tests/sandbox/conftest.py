"""One portal for all tests of this folder, reset before each; its clock stands still unless a test moves it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
import requests

from relay.sandbox.portal import Portal
from relay.sandbox.server import SandboxServer

SECRET = "sandbox"
NOON = 1_800_000_000.0  # a round number of seconds, 2027-01-15 08:00 UTC


class Clock:
    """Seconds since 1970 that pass only when told to, or when the portal waits."""

    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


@dataclass
class Client:
    """Speaks to the portal over HTTP, by default as user 1."""

    url: str
    session: requests.Session

    def call(self, method: str, body: object = None, user: int | str = 1, secret: str = SECRET) -> requests.Response:
        return self.session.post(
            f"{self.url}/rest/{user}/{secret}/{method}", json=body, timeout=5, allow_redirects=False
        )

    def start(self, template: object = 1, document: object = None, **parameters: object) -> requests.Response:
        triple = ["crm", "CCrmDocumentLead", "LEAD_7"] if document is None else document
        body = {"TEMPLATE_ID": template, "DOCUMENT_ID": triple, "PARAMETERS": parameters}
        return self.call("bizproc.workflow.start", body)

    def started(self) -> list[dict[str, object]]:
        return self.session.get(f"{self.url}/sandbox/workflows", timeout=5).json()

    def order(self, knob: str, body: object) -> requests.Response:
        return self.session.post(f"{self.url}/sandbox/{knob}", json=body, timeout=5)


@pytest.fixture(scope="session")
def standing_clock() -> Clock:
    return Clock()


@pytest.fixture(scope="session")
def server(standing_clock: Clock) -> Iterator[SandboxServer]:
    portal = Portal(clock=standing_clock, sleep=standing_clock.advance, seed=1)
    with SandboxServer(portal=portal) as running:
        yield running


@pytest.fixture(scope="session")
def session() -> Iterator[requests.Session]:
    with requests.Session() as opened:
        yield opened


@pytest.fixture
def clock(standing_clock: Clock) -> Clock:
    standing_clock.now = NOON
    return standing_clock


@pytest.fixture
def portal(server: SandboxServer, clock: Clock) -> Portal:
    server.portal.reset()
    return server.portal


@pytest.fixture
def client(portal: Portal, server: SandboxServer, session: requests.Session) -> Client:
    return Client(server.url, session)
