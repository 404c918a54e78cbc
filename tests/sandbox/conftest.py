"""One portal for all tests of this folder, reset before each; its clock stands still unless a test moves it."""

from __future__ import annotations

import asyncio
import gc
import ssl
import warnings
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import gevent.ssl
import pytest
import requests
import trustme
from b24pysdk import BitrixWebhook, Config
from b24pysdk import Client as VendorsClient
from fast_bitrix24 import BitrixAsync

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

    def add(
        self, fields: object, entity_type: int = 1, method: str = "crm.item.add", user: int = 1
    ) -> requests.Response:
        return self.call(method, {"entityTypeId": entity_type, "fields": fields}, user=user)

    def make(self, fields: object, entity_type: int = 1, method: str = "crm.item.add") -> dict[str, object]:
        response = self.add(fields, entity_type, method)
        assert response.status_code == 200, response.text
        return response.json()["result"]["item"]

    def item(self, number: object, entity_type: int = 1) -> dict[str, object]:
        response = self.call("crm.item.get", {"entityTypeId": entity_type, "id": number})
        assert response.status_code == 200, response.text
        return response.json()["result"]["item"]

    def made(self) -> list[dict[str, object]]:
        return self.session.get(f"{self.url}/sandbox/documents", timeout=5).json()

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


# Clients that others wrote. Both want https: a second portal has a certificate of an authority that only tests trust.


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="session")
def secure_server(authority: trustme.CA) -> Iterator[SandboxServer]:
    context = gevent.ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost", "127.0.0.1").configure_cert(context)
    with SandboxServer(ssl_context=context, portal=Portal({"rate": None}, seed=1)) as server:
        yield server


@pytest.fixture
def secure(secure_server: SandboxServer) -> SandboxServer:
    secure_server.portal.reset()
    return secure_server


@pytest.fixture
def vendor(
    secure: SandboxServer, authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., VendorsClient]:
    """Makes the vendor's client of a user."""
    bundle = tmp_path / "authority.pem"
    authority.cert_pem.write_to_path(bundle)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(bundle))
    monkeypatch.setattr(Config(), "default_max_retries", 1)  # it would wait for seconds after each 503

    def make(user: int = 1, secret: str = SECRET) -> VendorsClient:
        domain = secure.url.removeprefix("https://")
        return VendorsClient(BitrixWebhook(domain=domain, webhook_token=f"{user}/{secret}"))

    return make


@pytest.fixture
def popular(secure: SandboxServer, authority: trustme.CA) -> Callable[[Callable[[BitrixAsync], Awaitable]], object]:
    """Runs calls of the popular client."""

    def run(calls: Callable[[BitrixAsync], Awaitable]) -> object:
        async def go() -> object:
            context = ssl.create_default_context()
            authority.configure_trust(context)
            connector = aiohttp.TCPConnector(ssl=context)
            async with aiohttp.ClientSession(connector=connector, raise_for_status=True) as session:
                bitrix = BitrixAsync(f"{secure.url}/rest/1/sandbox/", client=session, verbose=False)
                return await calls(bitrix)

        return asyncio.run(go())

    return run


@pytest.fixture
def collected() -> Iterator[None]:
    """The popular client leaves sockets for the garbage collector, which complains in whatever test runs then: here."""
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()
