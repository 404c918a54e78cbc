"""Copies the whole record as of one moment out of a running server, and into another one.

Out: we ask the server like a replica, and it sends a snapshot that it writes beside its work, so nobody waits. In:
value by value, with commands that every server knows; DUMP and RESTORE would be shorter, but a server refuses the dump
of a newer one (Redis 7.0 that of Valkey 9).

The copy is staged under other names, and replaces the record only when it is complete: a server that refuses a key, or
has no room for it, keeps its record.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any

from redis import Redis
from redis.client import Pipeline
from redis.exceptions import ResponseError

from relay.core.errors import RelayError
from relay.store.redis import keys
from relay.store.redis.scripts import guarded

PIECE = 1 << 20
PATIENCE_S = 60.0
"""A server that prepares its snapshot says so every second."""
AT_ONCE = 500
"""Keys in one round trip, and members of a large value in one command."""
PASSING = (keys.LEASE, keys.CLAIM)
"""Keys of work in progress, which are not copied."""
STAGED = f"{keys.PREFIX}restored:"
"""The prefix of a staged key."""
RESTORING = f"{keys.PREFIX}restoring"
"""Exists while the staged keys replace the record. Nobody may use the record then."""


class SnapshotRefusedError(RelayError):
    """The server sends no snapshot; the text quotes its reason."""


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
def replace_record(source: Redis, target: Redis, tell: Callable[[int], None]) -> None:
    """Replace the record of one server by that of another. tell: called with the number of keys copied so far.

    Raises RelayError where the target refuses a key, or where web or workers use it: then its record is unchanged. A
    kill before the last key leaves it unchanged, too; after a later kill, run it again.
    """
    promises = target.hget(keys.HIGH_WATER, "promises")
    _unstage(target)
    try:
        _stage(source, target, tell)
        is_alone = target.hget(keys.HIGH_WATER, "promises") == promises
        if is_alone:
            target.set(RESTORING, "1")
    except ResponseError as error:  # its text may hold values
        _unstage(target)
        reason = type(error).__name__
        raise RelayError(f"the server refuses what is restored ({reason}): its record is as it was") from None
    if not is_alone:
        _unstage(target)
        raise RelayError("web or workers are at work on this record: stop them. It is as it was")
    replaced = _names(target, f"{keys.PREFIX}*", "rq:*")
    _remove(target, (name for name in replaced if not name.startswith((STAGED, RESTORING))))
    _take_place(target)
    target.delete(RESTORING)


@guarded
def is_restoring(redis: Redis) -> bool:
    """Whether a restore was killed while it replaced the record."""
    return bool(redis.exists(RESTORING))


def _stage(source: Redis, target: Redis, tell: Callable[[int], None]) -> None:
    arrived = 0
    for batch in _batches(_names(source, f"{keys.PREFIX}*")):
        names = [name for name in batch if not name.startswith(PASSING)]
        with source.pipeline(transaction=False) as pipeline:
            for name in names:
                pipeline.type(name)
                pipeline.pexpiretime(name)
            answers = pipeline.execute()
        with target.pipeline(transaction=False) as pipeline:
            for name, kind, until in zip(names, answers[::2], answers[1::2], strict=True):
                COPIERS[kind.decode()](source, name, pipeline)
                if until > 0:
                    pipeline.pexpireat(STAGED + name, until)
            pipeline.execute()
        arrived += len(names)
        tell(arrived)


def _copy_string(source: Redis, name: str, target: Pipeline) -> None:
    target.set(STAGED + name, source.get(name) or b"")


def _copy_hash(source: Redis, name: str, target: Pipeline) -> None:
    for fields in _batches(source.hscan_iter(name, count=AT_ONCE)):
        target.hset(STAGED + name, items=[part for field in fields for part in field])


def _copy_set(source: Redis, name: str, target: Pipeline) -> None:
    for members in _batches(source.sscan_iter(name, count=AT_ONCE)):
        target.sadd(STAGED + name, *members)


def _copy_zset(source: Redis, name: str, target: Pipeline) -> None:
    for members in _batches(source.zscan_iter(name, count=AT_ONCE)):
        target.zadd(STAGED + name, dict(members))


def _copy_list(source: Redis, name: str, target: Pipeline) -> None:
    target.delete(STAGED + name)  # a scan may name a key twice
    for first in range(0, source.llen(name), AT_ONCE):
        target.rpush(STAGED + name, *source.lrange(name, first, first + AT_ONCE - 1))


def _copy_stream(source: Redis, name: str, target: Pipeline) -> None:
    target.delete(STAGED + name)
    entries: Any = source.xrange(name)
    for entry, fields in entries:
        target.xadd(STAGED + name, fields, id=entry)


COPIERS: dict[str, Callable[[Redis, str, Pipeline], None]] = {
    "string": _copy_string,
    "hash": _copy_hash,
    "set": _copy_set,
    "zset": _copy_zset,
    "list": _copy_list,
    "stream": _copy_stream,
    "none": lambda *_: None,  # it has expired since it was listed
}
"""By type of value: the function that copies it to its staged name. Our streams have no consumer groups."""


def _take_place(target: Redis) -> None:
    for batch in _batches(_names(target, f"{STAGED}*")):
        with target.pipeline(transaction=False) as pipeline:
            for staged in dict.fromkeys(batch):
                pipeline.rename(staged, staged.removeprefix(STAGED))
            pipeline.execute(raise_on_error=False)  # only an expired key can fail


def _unstage(target: Redis) -> None:
    _remove(target, _names(target, f"{STAGED}*"))


def _remove(redis: Redis, names: Iterable[str]) -> None:
    for batch in _batches(names):
        redis.unlink(*batch)


def _names(redis: Redis, *patterns: str) -> Iterator[str]:
    for pattern in patterns:
        for name in redis.scan_iter(pattern, count=AT_ONCE):
            yield name.decode()


def _batches(found: Iterable[Any]) -> Iterator[list[Any]]:
    left = iter(found)
    while batch := list(islice(left, AT_ONCE)):
        yield batch
