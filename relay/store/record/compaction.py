"""Packs what is final, and takes away bodies whose time has come. Each hash is swapped only if it is as it was read.

For the maintenance of the workers. It may be killed anywhere and run again, and by two at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from redis import Redis

from relay.core.ids import EVENT_PREFIX, earliest_id, to_ms
from relay.store.record import codec, packing
from relay.store.redis import keys
from relay.store.redis.guard import guarded
from relay.store.redis.scripts import Argument, Script, ScriptCall, run, run_all

PACKABLE, PACK = Script.load("packable"), Script.load("pack")


@dataclass(frozen=True, slots=True)
class Found:
    """Hashes that can be packed. last: the last event that was looked at; is_end: whether none follows it."""

    keys: tuple[str, ...]
    last: str | None
    is_end: bool


class Compaction:
    """Makes the record smaller. Every method raises RecordUnavailableError."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    @guarded
    def packable(self, unchanged_since: datetime, after: str | None, limit: int) -> Found:
        """Of so many events after this one, the hashes that can be packed: all final, and as they are since then."""
        before = f"({earliest_id(EVENT_PREFIX, unchanged_since)}"
        argv: list[Argument] = [f"({after}" if after else "-", before, limit, to_ms(unchanged_since)]
        last, looked_at, *found = run(self._redis, ScriptCall(PACKABLE, [keys.EVENTS], argv))
        return Found(tuple(key.decode() for key in found), last.decode() or after, looked_at < limit)

    @guarded
    def pack(self, names: Sequence[str]) -> int:
        """Pack these hashes; of how many that came about. What has changed meanwhile is left as it is."""
        with self._redis.pipeline(transaction=False) as pipeline:
            for name in names:
                pipeline.hgetall(name)
            for name in filter(_is_of_delivery, names):
                pipeline.lrange(_attempts_of(name), 0, -1)
            answers: list[Any] = pipeline.execute()
        tried = dict(zip(filter(_is_of_delivery, names), answers[len(names) :], strict=True))
        read = [(name, kept) for name, kept in zip(names, answers[: len(names)], strict=True) if kept]
        return self._swap([_swap_call(name, kept, kept, tried.get(name, ())) for name, kept in read])

    @guarded
    def remove_bodies(self, event_ids: Sequence[str], now: datetime) -> int:
        """Take away what the senders of these events have written; of how many. What has changed meanwhile is left."""
        names = [keys.EVENT + event_id for event_id in event_ids]
        with self._redis.pipeline(transaction=False) as pipeline:
            for name in names:
                pipeline.hexists(name, "body_removed_at")
            removed: list[Any] = pipeline.execute()
        names = [name for name, is_removed in zip(names, removed, strict=True) if not is_removed]
        with self._redis.pipeline(transaction=False) as pipeline:
            for name in names:
                pipeline.hgetall(name)
            hashes: list[Any] = pipeline.execute()
        read = [(name, kept) for name, kept in zip(names, hashes, strict=True) if kept]
        return self._swap([_swap_call(name, kept, codec.without_body(kept, now)) for name, kept in read])

    def _swap(self, calls: Sequence[ScriptCall]) -> int:
        answers = run_all(self._redis, calls)
        for answer in answers:
            if isinstance(answer, Exception):
                raise answer
        return sum(answers)


def _swap_call(name: str, kept: packing.Hash, fresh: packing.Hash, attempts: Sequence[bytes] = ()) -> ScriptCall:
    """Put fresh fields, packed, in the place of those that were read."""
    plain = packing.PLAIN_DELIVERY if _is_of_delivery(name) else packing.PLAIN_EVENT
    fields = packing.packed(fresh, attempts, plain)
    argv: list[Argument] = [packing.digest_of(kept), len(attempts), *(part for pair in fields.items() for part in pair)]
    return ScriptCall(PACK, [name, _attempts_of(name)], argv)


def _is_of_delivery(name: str) -> bool:
    return name.startswith(keys.DELIVERY)


def _attempts_of(name: str) -> str:
    """The key of a delivery's attempts; of an event, which has none, its own."""
    return keys.ATTEMPTS + name.removeprefix(keys.DELIVERY) if _is_of_delivery(name) else name
