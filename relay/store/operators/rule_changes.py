"""How the files of rules have changed: who, when, and the text before and after. Kept so that a change can be undone.

The files are the truth; this is only what is remembered of them.
"""

from __future__ import annotations

import hashlib
import re
import zlib
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from redis import Redis

from relay.core.errors import NotFoundError
from relay.core.ids import from_ms, to_ms
from relay.core.phrases import phrase
from relay.store.redis import keys
from relay.store.redis.guard import guarded

KEPT = 500
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
        """What it is since; None: there is no such file."""
        return None if self.after is None else digest_of(self.after)


def digest_of(text: str) -> str:
    """What tells one text of a file from another."""
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


class RuleChanges:
    """The newest changes. Every method raises RecordUnavailableError."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    @guarded
    def add(self, change: RuleChange) -> str:
        """Remember one; its id."""
        entry: Any = {"at": to_ms(change.at), "who": change.who[:100], "name": change.name, "file": change.file}
        for side, text in (("before", change.before), ("after", change.after)):
            if text is not None:
                entry[side] = zlib.compress(text.encode("utf-8", "surrogateescape"))
        given: Any = self._redis.xadd(keys.RULE_CHANGES, entry, maxlen=KEPT, approximate=True)
        return f"{PREFIX}{given.decode()}"

    @guarded
    def forget(self, change_id: str) -> None:
        """Take one back that was not made after all."""
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
