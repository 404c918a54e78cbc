"""Finds a person's events, and other places where a person's value may stand, without an index of persons.

Events carry a keyed hash of a value, such as an e-mail. The key is RELAY_SECRET_KEY, so an index that leaks cannot be
tried against a list of addresses. Other places are logs, kept answers, questions, dedup keys and failed jobs.
"""

from __future__ import annotations

import hashlib
import hmac
import zlib
from base64 import b64decode
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from typing import Any

from redis import Redis
from redis.exceptions import ResponseError

from relay.core.ids import QUESTION_PREFIX
from relay.core.phones import tail_of
from relay.queue.jobs import JOB_KEY_PREFIX
from relay.store.record.servers import rewrite_files
from relay.store.redis import keys
from relay.store.redis.scripts import guarded


class PersonIndex:
    """Makes the keys. Values compare without case and outer blanks, telephone numbers by their last digits."""

    def __init__(self, key: str) -> None:
        self._key = hashlib.sha256(b"marks\0" + key.encode()).digest()

    def key_of(self, value: str) -> str:
        """The key of a value: 24 hexadecimal digits."""
        tail = tail_of(value)
        # With a word before it, for it is no value that somebody could have typed.
        return self._digest(f"number {tail}" if tail else value.strip().casefold())

    def exact_key_of(self, value: str) -> str:
        """The key of a value as it is written; earlier versions kept it for telephone numbers, too."""
        return self._digest(value.strip().casefold())

    def keys_of(self, values: Iterable[str]) -> tuple[str, ...]:
        """The keys of several values, each once."""
        return tuple(dict.fromkeys(self.key_of(value) for value in values if value.strip()))

    def _digest(self, text: str) -> str:
        return hmac.new(self._key, text.encode(), hashlib.sha256).hexdigest()[:24]


JOINED_S = 60
"""Lifetime of a joined key, for one search."""


STREAMS = (keys.AUDIT_LOG, keys.AGENT_CALLS, keys.ALERTS, keys.MESSAGES)
JOBS = (f"{JOB_KEY_PREFIX}*", "rq:results:*")
"""RQ keeps the content of failed jobs, and their tracebacks."""
TEXTS = f"{keys.PREFIX}[bdoq]*"
"""A pattern for the keys of bulks, dedup keys, idempotency keys and questions."""

Holds = Callable[[str], bool]


class Traces:
    """Traces of a person outside of events. Every method raises RecordUnavailableError."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    @guarded
    def one_key_for(self, person_keys: Sequence[str]) -> str | None:
        """A key with the events of all these keys of one person; None where there are none.

        A telephone number has many spellings, and each may have been indexed with other events.
        """
        with self._redis.pipeline(transaction=False) as pipeline:
            for key in person_keys:
                pipeline.exists(keys.PERSON_INDEX + key)
            known = [key for key, count in zip(person_keys, pipeline.execute(), strict=True) if count]
        if len(known) < 2:
            return known[0] if known else None
        joined = "any:" + hashlib.sha256("".join(sorted(known)).encode()).hexdigest()[:24]
        with self._redis.pipeline(transaction=True) as pipeline:
            pipeline.zunionstore(keys.PERSON_INDEX + joined, [keys.PERSON_INDEX + key for key in known])
            pipeline.expire(keys.PERSON_INDEX + joined, JOINED_S)
            pipeline.execute()
        return joined

    @guarded
    def entries(self, holds: Holds) -> list[tuple[str, bytes]]:
        """Entries of the audit log, agents' requests, alerts and messages that hold the value, each with its stream."""
        with self._redis.pipeline(transaction=False) as pipeline:
            for stream in STREAMS:
                pipeline.xrange(stream)
            every: Any = pipeline.execute()
        return [
            (stream, entry_id)
            for stream, entries in zip(STREAMS, every, strict=True)
            for entry_id, fields in entries
            if any(holds(value.decode("utf-8", "replace")) for value in fields.values())
        ]

    @guarded
    def texts(self, holds: Holds, events: set[str]) -> list[bytes]:
        """Keys with a text that holds the value, and dedup keys of these events: their digest may be of the value."""
        found: list[bytes] = []
        every: Any = self._redis.scan_iter(TEXTS, count=5_000)
        for key in every:
            name = key.decode("utf-8", "replace")
            if name.startswith((keys.ONCE, keys.BULK, keys.DEDUP)):
                kept: Any = self._redis.get(key)
                text = (kept or b"").decode("utf-8", "replace")
            elif name.startswith(f"{keys.QUESTION}{QUESTION_PREFIX}"):
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
        """Make the server and its replicas rewrite their files. Returns the servers that have not begun."""
        return rewrite_files(self._redis)


def _texts_of(value: bytes) -> Iterator[str]:
    """The value, also unpacked from RQ's form of long values (rq/job.py, rq/results.py): zlib, or base64 of it."""
    yield value.decode("utf-8", "replace")
    for unpack in (zlib.decompress, lambda packed: zlib.decompress(b64decode(packed))):
        with suppress(zlib.error, ValueError):
            yield unpack(value).decode("utf-8", "replace")
