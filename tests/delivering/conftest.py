"""One pretend portal for all tests of this folder, as new for each, and contexts of workers in front of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from redis import Redis

from relay.sandbox import portal as pretend
from relay.sandbox.server import SandboxServer
from relay.store.record.record import Record
from relay.store.redis.connection import connect
from tests.delivering.contexts import Clock, PortalTime, make_context, use_webhook
from tests.support.valkey import Valkey
from workers.portal.context import Context


@pytest.fixture(scope="session")
def portal_time() -> PortalTime:
    return PortalTime()


@pytest.fixture(scope="session")
def shared_sandbox(portal_time: PortalTime) -> Iterator[SandboxServer]:
    portal = pretend.Portal({"rate": None}, clock=portal_time, sleep=portal_time.sleep, seed=1)
    with SandboxServer(portal=portal) as server:
        yield server


@pytest.fixture
def sandbox(shared_sandbox: SandboxServer, portal_time: PortalTime) -> SandboxServer:
    """The portal, as new; it answers as fast as it is asked, and waiting moves its clock."""
    portal_time.reset()
    shared_sandbox.portal.reset()
    return shared_sandbox


@pytest.fixture
def portal(sandbox: SandboxServer) -> pretend.Portal:
    """What the portal remembers."""
    return sandbox.portal


@pytest.fixture
def clock() -> Clock:
    """The workers' clock: begins now, and stands still until it is moved."""
    return Clock()


@pytest.fixture
def open_context(
    record: Record, sandbox: SandboxServer, clock: Clock, valkey: Valkey
) -> Iterator[Callable[..., Context]]:
    """Makes contexts of workers; url: of another portal. own: with connections to the record of its own."""
    opened: list[Context] = []
    connections: list[Redis] = []

    def make(url: str | None = None, *, own: bool = False, user: int = 1, **options: object) -> Context:
        at = record
        if own:
            connections.append(connect(valkey.url))
            at = Record(connections[-1])
        address = options.pop("address", None) or use_webhook(url or sandbox.url, user, **options)
        context = make_context(at, address, clock)
        opened.append(context)
        return context

    yield make
    for context in opened:
        context.client.close()
    for connection in connections:
        connection.close()


@pytest.fixture
def context(open_context: Callable[..., Context]) -> Context:
    """A worker's context, before a portal that may be called as fast as one likes."""
    return open_context()
