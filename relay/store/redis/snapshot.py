"""The whole record as of one moment, out of a running server and into another one.

Out: the server is asked as a replica asks it, and hands out a snapshot that it has written beside its work: nobody
waits for it. In: key by key, so that any server takes it, over whatever connection.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from typing import Any

from redis import Redis

from relay.core.errors import RelayError
from relay.store.redis import keys
from relay.store.redis.guard import guarded

PIECE = 1 << 20
PATIENCE_S = 60.0
"""A server that prepares its snapshot says so every second."""
AT_ONCE = 500
PASSING = (keys.LEASE, keys.CLAIM)
"""What is of the processes that were, and says nothing to others."""
RESTORING = f"{keys.PREFIX}restoring"


class SnapshotRefusedError(RelayError):
    """The server hands out no snapshot; the text says what it said."""


@guarded
def read_snapshot(redis: Redis) -> Iterator[bytes]:
    """The server's snapshot (an RDB), in pieces. Raises SnapshotRefusedError and OSError on the way."""
    connection: Any = redis.connection_pool.get_connection()
    connection.send_command("SYNC")
    return _received(connection)


def _received(connection: Any) -> Iterator[bytes]:
    plug: socket.socket = connection._sock  # noqa: SLF001 - what follows is no reply that the client could read
    plug.settimeout(PATIENCE_S)
    try:
        with plug.makefile("rb") as stream:
            line = b"\n"
            while line == b"\n":
                line = stream.readline()
            if not line.startswith(b"$") or not line[1:].strip().isdigit():
                said = line.decode("ascii", "replace").strip()
                raise SnapshotRefusedError(f"the server hands out no snapshot, take one by its own means: {said}")
            left = int(line[1:])
            while left:
                piece = stream.read(min(left, PIECE))
                if not piece:
                    raise SnapshotRefusedError("the server has broken off its snapshot")
                left -= len(piece)
                yield piece
    finally:
        connection.disconnect()


@guarded
def copy_record(source: Redis, target: Redis, tell: Callable[[int], None]) -> int:
    """Put every key of ours into a server that has none of them; how many. tell: how many so far.

    While it lasts, and where it was broken off, the server holds a mark, by which nobody takes it for a record.
    """
    target.set(RESTORING, "1")
    copied, batch = 0, []
    for key in source.scan_iter(f"{keys.PREFIX}*", count=AT_ONCE):
        if not key.decode().startswith(PASSING):
            batch.append(key)
        if len(batch) >= AT_ONCE:
            copied += _copy(source, target, batch)
            batch = []
            tell(copied)
    copied += _copy(source, target, batch)
    target.delete(RESTORING)
    tell(copied)
    return copied


@guarded
def clear_record(redis: Redis) -> None:
    """Take out every key of ours, and the jobs, which are made anew."""
    redis.set(RESTORING, "1")
    for pattern in (f"{keys.PREFIX}*", "rq:*"):
        batch = []
        for key in redis.scan_iter(pattern, count=AT_ONCE):
            if key.decode() != RESTORING:
                batch.append(key)
            if len(batch) >= AT_ONCE:
                redis.unlink(*batch)
                batch = []
        if batch:
            redis.unlink(*batch)


@guarded
def is_restoring(redis: Redis) -> bool:
    """Whether a record is being put into it, or was in part."""
    return bool(redis.exists(RESTORING))


def _copy(source: Redis, target: Redis, batch: list[bytes]) -> int:
    with source.pipeline(transaction=False) as pipeline:
        for key in batch:
            pipeline.dump(key)
            pipeline.pexpiretime(key.decode())
        answers = pipeline.execute()
    copied = 0
    with target.pipeline(transaction=False) as pipeline:
        for key, dumped, until in zip(batch, answers[::2], answers[1::2], strict=True):
            if dumped is not None:  # else its time has come meanwhile
                pipeline.restore(key, max(0, until), dumped, replace=True, absttl=True)
                copied += 1
        pipeline.execute()
    return copied
