"""What attackers of several files are given: a door that is served, and a worker's hands before a portal."""

from __future__ import annotations

import shutil

import pytest

from relay.store import Store
from workers.portal.context import Context


@pytest.fixture(scope="module")
def open_door(start_web, config, tmp_path_factory):
    """Serves the shipped configuration on an empty record, with lines of gunicorn's configuration added."""
    copied = shutil.copytree(config, tmp_path_factory.mktemp("door") / "config")

    def make(added):
        with (copied / "gunicorn.conf.py").open("a") as file:
            file.write(added)
        return start_web(copied)

    return make


@pytest.fixture
def open_context(record):
    """Makes contexts of workers, by the address of their portal."""
    opened = []

    def make(address):
        opened.append(Context.open(Store(record.redis), address))
        return opened[-1]

    yield make
    for context in opened:
        context.client.close()
