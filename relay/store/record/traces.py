"""Where else than in events a person's value may stand: logs, kept answers, questions, dedup keys, failed jobs."""

from __future__ import annotations

import zlib
from base64 import b64decode
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

from redis import Redis
from redis.exceptions import ResponseError

from relay.queue.jobs import JOB_KEY_PREFIX
from relay.store.record.topology import rewrite_files
from relay.store.redis import keys
from relay.store.redis.guard import guarded

STREAMS = (keys.ACTS, keys.ALERTS, keys.MESSAGES)
JOBS = (f"{JOB_KEY_PREFIX}*", "rq:results:*")
"""Of jobs that failed RQ keeps what they were to do, and the traceback."""
TEXTS = f"{keys.PREFIX}[bdoq]*"
"""Every key that begins as these do: bulk, dedup, once, question."""

Holds = Callable[[str], bool]


class Traces:
    """Looks through everything that is not an event. Every method raises RecordUnavailableError."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    @guarded
    def entries(self, holds: Holds) -> list[tuple[str, bytes]]:
        """Entries of the audit log and of the alerts that hold it, each with its stream."""
        found = []
        for stream in STREAMS:
            entries: Any = self._redis.xrange(stream)
            for entry_id, fields in entries:
                if any(holds(value.decode("utf-8", "replace")) for value in fields.values()):
                    found.append((stream, entry_id))
        return found

    @guarded
    def texts(self, holds: Holds, events: set[str]) -> list[bytes]:
        """Keys with a text that holds it, or dedup keys of one of these events: their digest may be of the value."""
        found: list[bytes] = []
        every: Any = self._redis.scan_iter(TEXTS, count=5_000)
        for key in every:
            name = key.decode("utf-8", "replace")
            if name.startswith((keys.ONCE, keys.BULK, keys.DEDUP)):
                kept: Any = self._redis.get(key)
                text = (kept or b"").decode("utf-8", "replace")
            elif name.startswith(keys.QUESTION):
                fields: Any = self._redis.hgetall(key)
                text = "\n".join(value.decode("utf-8", "replace") for value in fields.values())
            else:
                continue
            if holds(text) or (name.startswith(keys.DEDUP) and text in events):
                found.append(key)
        return found + [key for pattern in JOBS for key in self._jobs(pattern, holds)]

    def _jobs(self, pattern: str, holds: Holds) -> Iterator[bytes]:
        for key in self._redis.scan_iter(pattern, count=5_000):
            read: Any = self._redis.hgetall if key.startswith(JOB_KEY_PREFIX.encode()) else self._redis.xrange
            try:
                kept = read(key)
            except ResponseError:
                continue  # no job of RQ's
            fields = [kept] if isinstance(kept, dict) else [entry for _, entry in kept]
            if any(holds(text) for each in fields for value in each.values() for text in _texts_of(value)):
                yield key

    @guarded
    def delete(self, entries: list[tuple[str, bytes]], texts: list[bytes]) -> None:
        """Delete what was found."""
        for stream, entry_id in entries:
            self._redis.xdel(stream, entry_id)
        if texts:
            self._redis.delete(*texts)

    def rewrite_file(self) -> list[str]:
        """Have the server and its replicas write their files anew; those that have yet to do it."""
        return rewrite_files(self._redis)


def _texts_of(value: bytes) -> Iterator[str]:
    """As it is, and as RQ packs what is long (rq/job.py, rq/results.py): zlib, in a result as base64."""
    yield value.decode("utf-8", "replace")
    for unpack in (zlib.decompress, lambda packed: zlib.decompress(b64decode(packed))):
        with suppress(zlib.error, ValueError):
            yield unpack(value).decode("utf-8", "replace")
