"""A worker before a pretend portal, on a record of this test's own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from relay.sandbox.server import SandboxServer
from relay.store import Store
from tests.delivering.contexts import Clock, use_webhook
from tests.support.valkey import Valkey
from workers.portal.context import Context


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def open_worker(own_valkey: Valkey, sandbox: SandboxServer, clock: Clock) -> Iterator[Callable[..., Context]]:
    """Makes a worker's context; folder: what its machine keeps beside the record."""
    opened: list[Context] = []

    def make(folder: Path | None, **portal: object) -> Context:
        store = Store.open(own_valkey.url, state=folder)
        context = replace(Context.open(store, use_webhook(sandbox.url, **portal)), clock=clock, chance=lambda: 0.0)
        opened.append(context)
        return context

    yield make
    for context in opened:
        context.client.close()
        context.store.close()
