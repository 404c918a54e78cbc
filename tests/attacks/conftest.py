"""What attackers of several files are given: a door that is served, and a worker's hands before a portal."""

from __future__ import annotations

import shutil

import pytest

from relay.store import Store
from tests.support.folders import SECRETS, WEB_SECRETS
from tests.support.processes import Processes
from workers.portal.context import Context


@pytest.fixture(scope="module")
def open_door(shared_valkey, config, tmp_path_factory):
    """Serves the shipped configuration on an empty record, with lines of gunicorn's configuration added."""
    shared_valkey.make_fresh()
    folder = tmp_path_factory.mktemp("door")
    copied = shutil.copytree(config, folder / "config")
    starter = Processes(folder, copied, SECRETS | WEB_SECRETS)

    def make(added):
        with (copied / "gunicorn.conf.py").open("a") as file:
            file.write(added)
        running = starter.start("relay", "serve", REDIS_URL=shared_valkey.url)
        running.wait_for_url()
        return running

    yield make
    starter.clean_up()


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
