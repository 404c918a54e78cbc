"""The files of the configuration: those in force, changed ones that wait because of a mistake, and changes of rules.

The files in force are kept whole: a web process that starts while those on disk have a mistake runs with them. A change
of a rule is kept with the text before and after, so that it can be undone. The files on disk are the truth.
"""

from __future__ import annotations

import hashlib
import json
import re
import socket
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from redis import Redis

from relay.core.errors import Mistake, NotFoundError, RecordUnavailableError
from relay.core.faults import as_data, from_data
from relay.core.ids import from_ms, to_ms, utc_now
from relay.core.phrases import phrase
from relay.core.telemetry import get_logger
from relay.store.redis import keys
from relay.store.redis.scripts import guarded

MOST_MISTAKES = 20
FORGOTTEN_AFTER = timedelta(minutes=2)
"""A process that waits reports it every few seconds; one that has not for this long is gone."""
REPORTED_EVERY = timedelta(seconds=15)

log = get_logger()


@dataclass(frozen=True, slots=True)
class InForce:
    """The files in force. packed: as relay/configuration/files.py packs them."""

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
        """Report that these files are in force. The time stays if they were before."""
        if self._redis.hget(keys.IN_FORCE, "digest") != digest.encode():
            entry: Any = {"digest": digest, "packed": packed, "since": to_ms(now)}
            self._redis.hset(keys.IN_FORCE, mapping=entry)

    @guarded
    def in_force(self) -> InForce | None:
        """The files in force; None before the first time."""
        found: Any = self._redis.hmget(keys.IN_FORCE, ["digest", "packed", "since"])
        digest, packed, since = found
        return InForce(digest.decode(), packed, from_ms(int(since))) if digest else None

    @guarded
    def say_waiting(self, who: str, mistakes: Sequence[Mistake], now: datetime) -> None:
        """Report that changed files wait, and why. The time stays as long as some wait."""
        before = self._read(who)
        since = before.since if before and now - before.seen_at < FORGOTTEN_AFTER else now
        found = [_to_wire(one) for one in mistakes[:MOST_MISTAKES]]
        wire = {"mistakes": found, "since": to_ms(since), "seen": to_ms(now)}
        self._redis.hset(keys.WAITING_FILES, who, json.dumps(wire))

    @guarded
    def say_settled(self, who: str) -> None:
        """Report that no files wait."""
        self._redis.hdel(keys.WAITING_FILES, who)

    @guarded
    def waiting(self, now: datetime) -> list[WaitingFiles]:
        """Every process whose changed files wait."""
        found: Any = self._redis.hgetall(keys.WAITING_FILES)
        every = [_waiting_of(who.decode(), text) for who, text in sorted(found.items())]
        return [one for one in every if now - one.seen_at < FORGOTTEN_AFTER]

    @guarded
    def note_rules(self, removed: Sequence[str], done: Sequence[str], now: datetime) -> None:
        """Note the rules that were removed, and those to forget: in force again, or without open deliveries."""
        if removed:
            entry: Any = dict.fromkeys(removed, to_ms(now))
            self._redis.hset(keys.REMOVED_RULES, mapping=entry)
        if done:
            self._redis.hdel(keys.REMOVED_RULES, *done)

    @guarded
    def removed_rules(self) -> dict[str, datetime]:
        """Removed rules that may still have open deliveries, with the time of their removal."""
        found: Any = self._redis.hgetall(keys.REMOVED_RULES)
        return {name.decode(): from_ms(int(at)) for name, at in sorted(found.items())}

    def _read(self, who: str) -> WaitingFiles | None:
        found: Any = self._redis.hget(keys.WAITING_FILES, who)
        return _waiting_of(who, found) if found else None


class FileReport:
    """The report of one process about changed files that it cannot use. side: `web` or `workers`."""

    def __init__(self, files: KeptFiles, side: str) -> None:
        self._files = files
        self._who = f"{side}@{socket.gethostname()}"
        self._mistakes: tuple[Mistake, ...] = ()
        self._told_at: datetime | None = None

    def change(self, mistakes: Sequence[Mistake]) -> None:
        """Report these with the next `tell`; none: no files wait."""
        self._mistakes, self._told_at = tuple(mistakes), None

    def tell(self) -> None:
        """Tell the record whether files wait: at once where that is new, and again while they do."""
        now = utc_now()
        if self._told_at and (not self._mistakes or now - self._told_at < REPORTED_EVERY):
            return
        try:
            if self._mistakes:
                self._files.say_waiting(self._who, self._mistakes, now)
            else:
                self._files.say_settled(self._who)
            self._told_at = now
        except RecordUnavailableError as error:
            log.warning("configuration.unsaid", reason=str(error))


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


CHANGES_KEPT = 500
PREFIX = "chg_"
_ID = re.compile(PREFIX + r"([0-9]{1,15})-([0-9]{1,9})")


@dataclass(frozen=True, slots=True)
class RuleChange:
    """One change of one file. id: None until it is on record.

    name: of the rule. file: its name within the folder of rules. before, after: its text; None: there was no such file.
    """

    at: datetime
    who: str
    name: str
    file: str
    before: str | None = field(repr=False)
    after: str | None = field(repr=False)
    id: str | None = None

    @property
    def digest_after(self) -> str | None:
        """Digest of the text after the change; None: the file was removed."""
        return None if self.after is None else digest_of(self.after)


def digest_of(text: str) -> str:
    """The digest of a file's text."""
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


class RuleChanges:
    """The newest changes. Every method raises RecordUnavailableError."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    @guarded
    def add(self, change: RuleChange) -> str:
        """Keep a change. Returns its id."""
        entry: Any = {"at": to_ms(change.at), "who": change.who[:100], "name": change.name, "file": change.file}
        for side, text in (("before", change.before), ("after", change.after)):
            if text is not None:
                entry[side] = zlib.compress(text.encode("utf-8", "surrogateescape"))
        given: Any = self._redis.xadd(keys.RULE_CHANGES, entry, maxlen=CHANGES_KEPT, approximate=True)
        return f"{PREFIX}{given.decode()}"

    @guarded
    def forget(self, change_id: str) -> None:
        """Forget a change that was not made after all."""
        self._redis.xdel(keys.RULE_CHANGES, change_id.removeprefix(PREFIX))

    @guarded
    def read(self, change_id: str) -> RuleChange:
        """Raises NotFoundError."""
        if not _ID.fullmatch(change_id):
            raise NotFoundError(phrase("no change %(change_id)r", change_id=change_id))
        place = change_id.removeprefix(PREFIX)
        found: Any = self._redis.xrange(keys.RULE_CHANGES, place, place)
        if not found:
            raise NotFoundError(phrase("no change %(change_id)r is remembered", change_id=change_id))
        return _change_of(*found[0])

    @guarded
    def newest(self, limit: int, name: str | None = None) -> list[RuleChange]:
        """The newest ones, of one rule or of all; newest first."""
        found: Any = self._redis.xrevrange(keys.RULE_CHANGES, count=limit if name is None else None)
        changes = [_change_of(*entry) for entry in found if name is None or entry[1].get(b"name") == name.encode()]
        return changes[:limit]


def _change_of(place: bytes, entry: dict[bytes, bytes]) -> RuleChange:
    sides = {
        side: zlib.decompress(entry[side.encode()]).decode("utf-8", "surrogateescape")
        if side.encode() in entry
        else None
        for side in ("before", "after")
    }
    at, who, name, file = (entry[key].decode("utf-8", "replace") for key in (b"at", b"who", b"name", b"file"))
    return RuleChange(from_ms(int(at)), who, name, file, sides["before"], sides["after"], PREFIX + place.decode())
