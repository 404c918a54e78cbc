"""Unfinished rules of the studio, kept for each person: a reload, a second window or an ended session loses none.

Two windows may edit one draft. A draft has a version, and is replaced only by a window that has seen this version. The
other one is told, with what is kept, and its person decides. A draft keeps the texts that it had before, for *Undo*.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from redis import Redis

from relay.core.ids import from_ms, to_ms
from relay.store.redis import keys
from relay.store.redis.scripts import Script, ScriptCall, guarded, run

KEEP = Script.load("draft")
KEPT_FOR = timedelta(days=14)
"""All drafts of a person are forgotten this long after the last one was changed."""
MOST_DRAFTS = 20
"""Of one person; one more forgets the oldest."""
MOST_EARLIER, EARLIER_CHARACTERS = 30, 200_000
"""How many earlier texts a draft keeps, and how long they are together."""


@dataclass(frozen=True, slots=True)
class Draft:
    """An unfinished rule.

    subject: what it is about, such as `rule:callback`. digest: of the file that it changes; empty for a new rule.
    differs: from the text from which it began. earlier: the texts before, the newest last. is_typed: its last change
    was typed, not made by a button. version: of what is on record; empty if it was never kept.
    """

    subject: str
    text: str = field(repr=False)
    digest: str
    at: datetime
    differs: bool = True
    earlier: tuple[str, ...] = field(default=(), repr=False)
    is_typed: bool = False
    version: str = ""

    def changed(self, text: str, now: datetime, *, typed: bool = False) -> Draft:
        """The draft with another text. What is typed in a row is one step back."""
        if text == self.text:
            return self
        goes_on = typed and self.is_typed and self.earlier
        earlier = self.earlier if goes_on else (*self.earlier, self.text)[-MOST_EARLIER:]
        while sum(map(len, earlier)) > EARLIER_CHARACTERS:
            earlier = earlier[1:]
        return replace(self, text=text, at=now, earlier=earlier, is_typed=typed)

    def undone(self, now: datetime) -> Draft:
        """The draft with the text before its last change; the same if there is none."""
        if not self.earlier:
            return self
        *earlier, text = self.earlier
        return replace(self, text=text, at=now, earlier=tuple(earlier), is_typed=False)


class Drafts:
    """The drafts of every person. Every method raises RecordUnavailableError."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    @guarded
    def read(self, who: str, subject: str) -> Draft | None:
        """The person's draft about this; None if there is none."""
        held: Any = self._redis.hget(_key(who), subject)
        return _draft_of(subject, held) if held is not None else None

    @guarded
    def all(self, who: str) -> list[Draft]:
        """Every draft of a person, the newest first."""
        held: Any = self._redis.hgetall(_key(who))
        found = [_draft_of(subject.decode(), one) for subject, one in held.items()]
        return sorted(found, key=lambda one: one.at, reverse=True)

    @guarded
    def keep(self, who: str, draft: Draft) -> Draft:
        """Keep a draft in place of the version that it was made from. Returns the draft that is on record then.

        Its text is another one if it was changed elsewhere meanwhile; nothing was kept then.
        """
        packed = _packed(draft)
        held = self._swap(who, draft, packed)
        return _draft_of(draft.subject, packed if held is None else held)

    @guarded
    def forget(self, who: str, draft: Draft) -> bool:
        """Forget a draft. False if it was changed elsewhere meanwhile; it stays then."""
        return self._swap(who, draft, b"") is None

    @guarded
    def holding(self, holds: Callable[[str], bool]) -> list[tuple[bytes, bytes]]:
        """The drafts of all persons with a text, now or before, of which `holds` is true: key and subject of each."""
        every: Any = self._redis.scan_iter(f"{keys.DRAFTS}*", count=5_000)
        found: list[tuple[bytes, bytes]] = []
        for key in every:
            held: Any = self._redis.hgetall(key)
            drafts = [(subject, _draft_of(subject.decode(), one)) for subject, one in held.items()]
            found += [(key, subject) for subject, one in drafts if any(map(holds, (one.text, *one.earlier)))]
        return found

    @guarded
    def delete(self, found: Iterable[tuple[bytes, bytes]]) -> None:
        """Forget these drafts, whatever has become of them meanwhile."""
        for key, subject in found:
            self._redis.hdel(key, subject)

    def _swap(self, who: str, draft: Draft, packed: bytes) -> bytes | None:
        ttl_s = int(KEPT_FOR.total_seconds())
        argv: list[str | bytes | int] = [draft.subject, draft.version, packed, MOST_DRAFTS, ttl_s]
        held: bytes | None = run(self._redis, ScriptCall(KEEP, [_key(who)], argv))
        return held


def _key(who: str) -> str:
    return keys.DRAFTS + hashlib.sha256(who.encode()).hexdigest()[:32]


def _packed(draft: Draft) -> bytes:
    wire = {
        "text": draft.text,
        "digest": draft.digest,
        "differs": draft.differs,
        "earlier": draft.earlier,
        "typed": draft.is_typed,
    }
    return b"%d:%b" % (to_ms(draft.at), zlib.compress(json.dumps(wire).encode()))


def _draft_of(subject: str, held: bytes) -> Draft:
    at, _, packed = held.partition(b":")
    wire = json.loads(zlib.decompress(packed))
    version = hashlib.sha1(held, usedforsecurity=False).hexdigest()  # as draft.lua names it
    return Draft(
        subject,
        wire["text"],
        wire["digest"],
        from_ms(int(at)),
        wire["differs"],
        tuple(wire["earlier"]),
        wire["typed"],
        version,
    )
