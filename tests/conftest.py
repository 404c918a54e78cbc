"""What tests of every folder may ask for: a real Valkey, the record in it, a sandbox portal, the web application."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from hypothesis import settings
from redis import Redis

from relay.configuration.settings import Settings
from relay.sandbox.server import SandboxServer
from relay.store.record.record import Record
from relay.web import create_app
from tests.support.configs import write_config
from tests.support.ends import BASE
from tests.support.folders import READ_TOKEN, SECRETS, WATCHED_RULE, WEB_SECRETS, copy_config
from tests.support.frames import ORDER_RULE, PUBLIC_KEY, forget_who_posted, with_application
from tests.support.processes import Processes, Running
from tests.support.valkey import Valkey

# No deadline: how long an example takes says more of the machine than of it.
settings.register_profile("quick", max_examples=50, deadline=None)
settings.register_profile("long", max_examples=2_000, deadline=None)
settings.load_profile("quick")
HERE = Path(__file__).parent
PATIENT_ROOMS = ("e2e", "changing", "delivering", "browser", "surviving", "failover", "steps")
"""Their tests start processes and wait for them: begun first, so that a run does not end with one core at work."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The patient rooms in their order, then all others in theirs."""
    rank = {name: number for number, name in enumerate(PATIENT_ROOMS)}
    items.sort(key=lambda item: rank.get(item.path.relative_to(HERE).parts[0], len(rank)))


@pytest.fixture(scope="session")
def shared_valkey() -> Iterator[Valkey]:
    """One server for the whole run."""
    with Valkey() as server:
        yield server


@pytest.fixture
def valkey(shared_valkey: Valkey) -> Valkey:
    """The server, empty."""
    shared_valkey.make_fresh()
    return shared_valkey


@pytest.fixture
def own_valkey() -> Iterator[Valkey]:
    """A server of this test's own, which it may stop, pause and kill."""
    with Valkey() as server:
        yield server


@pytest.fixture
def redis(valkey: Valkey) -> Redis:
    return valkey.redis


@pytest.fixture
def record(redis: Redis) -> Record:
    return Record(redis)


@pytest.fixture(scope="session")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shipped configuration with further sources; not to be changed."""
    return copy_config(tmp_path_factory.mktemp("configuration"))


@pytest.fixture
def sandbox() -> Iterator[SandboxServer]:
    """A pretend portal of this test's own, which answers as fast as it is asked."""
    with SandboxServer(settings={"rate": None}) as server:
        yield server


@pytest.fixture(scope="session")
def make_app(config: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Flask]]:
    """Makes the web application on a server, in this process."""
    made: list[Flask] = []

    def make(valkey: Valkey, **changes: object) -> Flask:
        settings = {
            "redis_url": valkey.url,
            "config": config,
            "state": tmp_path_factory.mktemp("state"),
            "api_token": WEB_SECRETS["RELAY_API_TOKEN"],
            "dashboard_password": WEB_SECRETS["RELAY_DASHBOARD_PASSWORD"],
            "viewer_password": "viewer-password-of-the-test",
            "secret_key": WEB_SECRETS["RELAY_SECRET_KEY"],
        }
        with pytest.MonkeyPatch.context() as patch:
            for name, value in SECRETS.items():
                patch.setenv(name, value)
            app = create_app(Settings(**(settings | changes)))
        made.append(app)
        return app

    yield make
    for app in made:
        app.extensions["services"].record.redis.close()


@pytest.fixture(scope="session")
def shared_app(make_app: Callable[..., Flask], shared_valkey: Valkey) -> Flask:
    """One application for the whole run: all that it remembers is in the server."""
    shared_valkey.make_fresh()
    return make_app(shared_valkey)


@pytest.fixture(scope="session")
def watching_app(
    make_app: Callable[..., Flask], config: Path, shared_valkey: Valkey, tmp_path_factory: pytest.TempPathFactory
) -> Flask:
    """The application with a rule that watches for the end of its workflows; its record is not empty."""
    folder = shutil.copytree(config, tmp_path_factory.mktemp("watching") / "config")
    (folder / "rules" / "watched.yaml").write_text(WATCHED_RULE, "utf-8")
    shared_valkey.make_fresh()
    return make_app(shared_valkey, config=folder, public_url=BASE, api_read_token=READ_TOKEN)


@pytest.fixture(scope="session")
def inside_app(
    make_app: Callable[..., Flask], config: Path, shared_valkey: Valkey, tmp_path_factory: pytest.TempPathFactory
) -> Flask:
    """The application with a portal that has an application of its own; its record is not empty."""
    folder = with_application(config, tmp_path_factory.mktemp("inside"))
    (folder / "rules" / "order.yaml").write_text(ORDER_RULE, "utf-8")
    shared_valkey.make_fresh()
    return make_app(shared_valkey, config=folder, seal_public_key=PUBLIC_KEY, public_url=BASE)


@pytest.fixture
def inside(inside_app: Flask, valkey: Valkey) -> Flask:
    """The same with an empty record, and strangers that have not posted yet."""
    forget_who_posted(inside_app)
    return inside_app


@pytest.fixture
def app(shared_app: Flask, valkey: Valkey) -> Flask:
    """The application, with an empty record."""
    return shared_app


@pytest.fixture
def relay(make_app, valkey, tmp_path, monkeypatch) -> Callable[..., FlaskClient]:
    """A client of a relay with these sources and rules; secrets: the environment of its sources."""

    numbers = itertools.count()

    def make(
        sources: Mapping[str, Any],
        rules: list[dict[str, Any]] | None = None,
        secrets: Mapping[str, str] | None = None,
        **settings: Any,
    ) -> FlaskClient:
        for name, value in (secrets or {}).items():
            monkeypatch.setenv(name, value)
        folder = write_config(tmp_path / f"config-{next(numbers)}", sources, rules or [])
        client: FlaskClient = make_app(valkey, config=folder, **settings).test_client()
        return client

    return make


@pytest.fixture(scope="module")
def start_web(shared_valkey: Valkey, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Running]]:
    """Starts `python -m relay serve` with these files on an empty record, for all tests of a file."""
    starters: list[Processes] = []

    def start(config: Path, **environment: str) -> Running:
        shared_valkey.make_fresh()
        starter = Processes(tmp_path_factory.mktemp("served"), config, SECRETS | WEB_SECRETS)
        starters.append(starter)
        running = starter.start("relay", "serve", REDIS_URL=shared_valkey.url, **environment)
        running.wait_for_url()
        return running

    yield start
    for starter in starters:
        starter.clean_up()


@pytest.fixture(scope="module")
def served(start_web: Callable[..., Running], config: Path) -> Running:
    """`python -m relay serve` with the shipped configuration, for all tests of a file."""
    return start_web(config)


@pytest.fixture
def processes(tmp_path: Path, config: Path) -> Iterator[Processes]:
    """Starts the project's processes in a folder of this test's own, and ends them."""
    starter = Processes(tmp_path, config, SECRETS | WEB_SECRETS)
    yield starter
    starter.clean_up()
