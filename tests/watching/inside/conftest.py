"""A browser inside a portal that has an application."""

from __future__ import annotations

import pytest

from relay.store import Store


@pytest.fixture
def frame(inside):
    """A browser in a frame of the portal; it has no cookie."""
    return inside.test_client(use_cookies=False)


@pytest.fixture
def store(record):
    """The record, as a worker has it."""
    return Store(record.redis)


@pytest.fixture
def applications(store):
    return store.applications
