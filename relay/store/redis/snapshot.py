"""The whole record as of one moment, out of a running server and into another one.

Out: the server is asked as a replica asks it, and hands out a snapshot that it has written beside its work: nobody
waits for it. In: value by value, with commands that every server knows; DUMP and RESTORE would be shorter, but a server
refuses what a newer one has dumped (Redis 7.0 what Valkey 9 has).

What comes in is staged under other names, and takes the record's place only when all of it has arrived: a server that
refuses something, or has no room for it, keeps the record that it has.
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
from relay.store.redis.guard import guarded

PIECE = 1 << 20
PATIENCE_S = 60.0
"""A server that prepares its snapshot says so every second."""
AT_ONCE = 500
"""Keys in one round trip, and members of a large value in one command."""
PASSING = (keys.LEASE, keys.CLAIM)
"""What processes that are gone were doing: not copied."""
STAGED = f"{keys.PREFIX}restored:"
"""Before the name of a key that has arrived, and does not belong to the record yet."""
RESTORING = f"{keys.PREFIX}restoring"
"""Stands while what was staged takes the record's place. Nobody may use the record then."""


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
def replace_record(source: Redis, target: Redis, tell: Callable[[int], None]) -> None:
    """Let all keys of the record in one server take the place of those in another. tell: how many have arrived so far.

    Raises RelayError where the target refuses one of them, or where web or workers are at work on it: its record is as
    it was. What is killed before the last key has arrived leaves the record as it was too; after that, it is run again.
    """
    promises = target.hget(keys.HIGH_WATER, "promises")
    _unstage(target)
    try:
        _stage(source, target, tell)
        is_alone = target.hget(keys.HIGH_WATER, "promises") == promises
        if is_alone:
            target.set(RESTORING, "1")
    except ResponseError as error:  # whose text may hold values
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
    """Whether a restore was killed while it put one record in the place of another."""
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
    "none": lambda *_: None,  # its time has come since it was listed
}
"""By the kind of a value: how it is written under its staged name. Streams have no groups of readers here."""


def _take_place(target: Redis) -> None:
    for batch in _batches(_names(target, f"{STAGED}*")):
        with target.pipeline(transaction=False) as pipeline:
            for staged in dict.fromkeys(batch):
                pipeline.rename(staged, staged.removeprefix(STAGED))
            pipeline.execute(raise_on_error=False)  # what refuses is a key whose time has come


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
