"""Which files of the configuration are in force, and which changed ones wait because something is wrong with them.

The files are kept whole: a web process that begins while those on disk have a mistake runs with these.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from redis import Redis

from relay.core.errors import Mistake
from relay.core.faults import as_data, from_data
from relay.core.ids import from_ms, to_ms
from relay.store.redis import keys
from relay.store.redis.guard import guarded

MOST_MISTAKES = 20
FORGOTTEN_AFTER = timedelta(minutes=2)
"""Who waits says so every few seconds; who has not for so long is gone."""


@dataclass(frozen=True, slots=True)
class InForce:
    """What was put in force last. packed: the files, as relay/configuration/file_set.py packs them."""

    digest: str
    packed: bytes
    since: datetime


@dataclass(frozen=True, slots=True)
class WaitingFiles:
    """Changed files that are not in force. who: `web` or `workers`, and the host."""

    who: str
    mistakes: tuple[Mistake, ...]
    since: datetime
    seen_at: datetime

    def to_wire(self) -> dict[str, Any]:
        return {"who": self.who, "since": self.since.isoformat(), "mistakes": [str(one) for one in self.mistakes]}


class KeptFiles:
    """The files as the record knows them. Every method raises RecordUnavailableError."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    @guarded
    def put_in_force(self, digest: str, packed: bytes, now: datetime) -> None:
        """Say that these files are in force; the time stays where they were before."""
        if self._redis.hget(keys.IN_FORCE, "digest") != digest.encode():
            entry: Any = {"digest": digest, "packed": packed, "since": to_ms(now)}
            self._redis.hset(keys.IN_FORCE, mapping=entry)

    @guarded
    def in_force(self) -> InForce | None:
        """What was put in force last; None before the first."""
        found: Any = self._redis.hmget(keys.IN_FORCE, ["digest", "packed", "since"])
        digest, packed, since = found
        return InForce(digest.decode(), packed, from_ms(int(since))) if digest else None

    @guarded
    def say_waiting(self, who: str, mistakes: Sequence[Mistake], now: datetime) -> None:
        """Say which changed files wait, and why; the time stays for as long as some wait."""
        before = self._read(who)
        since = before.since if before and now - before.seen_at < FORGOTTEN_AFTER else now
        found = [_to_wire(one) for one in mistakes[:MOST_MISTAKES]]
        wire = {"mistakes": found, "since": to_ms(since), "seen": to_ms(now)}
        self._redis.hset(keys.WAITING_FILES, who, json.dumps(wire))

    @guarded
    def say_settled(self, who: str) -> None:
        """None wait any more."""
        self._redis.hdel(keys.WAITING_FILES, who)

    @guarded
    def waiting(self, now: datetime) -> list[WaitingFiles]:
        """Everybody whose changed files wait."""
        found: Any = self._redis.hgetall(keys.WAITING_FILES)
        every = [_waiting_of(who.decode(), text) for who, text in sorted(found.items())]
        return [one for one in every if now - one.seen_at < FORGOTTEN_AFTER]

    @guarded
    def note_rules(self, removed: Sequence[str], done: Sequence[str], now: datetime) -> None:
        """Note which rules are in force no more; and which need no look: they are again, or nothing is left of them."""
        if removed:
            entry: Any = dict.fromkeys(removed, to_ms(now))
            self._redis.hset(keys.REMOVED_RULES, mapping=entry)
        if done:
            self._redis.hdel(keys.REMOVED_RULES, *done)

    @guarded
    def removed_rules(self) -> dict[str, datetime]:
        """The rules that were in force once, and of which deliveries may still be on their way; since when."""
        found: Any = self._redis.hgetall(keys.REMOVED_RULES)
        return {name.decode(): from_ms(int(at)) for name, at in sorted(found.items())}

    def _read(self, who: str) -> WaitingFiles | None:
        found: Any = self._redis.hget(keys.WAITING_FILES, who)
        return _waiting_of(who, found) if found else None


def _waiting_of(who: str, text: bytes) -> WaitingFiles:
    wire = json.loads(text)
    mistakes = tuple(_from_wire(one) for one in wire["mistakes"])
    return WaitingFiles(who, mistakes, from_ms(wire["since"]), from_ms(wire["seen"]))


def _to_wire(mistake: Mistake) -> list[Any]:
    return [mistake.file, mistake.line, list(mistake.keys), as_data(mistake.fault)]


def _from_wire(wire: list[Any] | str) -> Mistake:
    if isinstance(wire, str):  # of an earlier version, a line of text
        return Mistake("", 0, from_data(wire))
    file, line, keys_of, data = wire
    return Mistake(file, line, from_data(data), tuple(keys_of))
