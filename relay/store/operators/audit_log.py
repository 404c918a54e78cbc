"""The audit log: what persons did, newest first.

Who did it is a role, the name a trusted proxy gave, or, of a command, the user of the system who ran it.
"""

from __future__ import annotations

import os
import pwd
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from redis import Redis

from relay.core.ids import from_ms, to_ms
from relay.store.redis import keys
from relay.store.redis.guard import guarded

KEPT = 10_000


@dataclass(frozen=True, slots=True)
class Act:
    """One thing that a person did. subject: an id or name; note: why, in their words."""

    at: datetime
    who: str
    what: str
    subject: str
    note: str


def who_in_terminal() -> str:
    """Whoever runs this command: `terminal (ann)`, by the account of the process, which no variable changes."""
    try:
        return f"terminal ({pwd.getpwuid(os.getuid()).pw_name})"
    except KeyError:  # a container may run as a number without a name
        return f"terminal (user {os.getuid()})"


@guarded
def log_act(redis: Redis, act: Act) -> None:
    """Write an act down. Raises RecordUnavailableError."""
    entry: Any = {
        "at": to_ms(act.at),
        "who": act.who[:100],
        "what": act.what,
        "subject": act.subject[:200],
        "note": act.note[:1000],
    }
    redis.xadd(keys.ACTS, entry, maxlen=KEPT, approximate=True)


@guarded
def read_acts(redis: Redis, limit: int = 100) -> list[Act]:
    """The newest acts. Raises RecordUnavailableError."""
    found: Any = redis.xrevrange(keys.ACTS, count=limit)
    texts = [{name.decode(): value.decode("utf-8", "replace") for name, value in entry.items()} for _, entry in found]
    return [Act(from_ms(int(t["at"])), t["who"], t["what"], t["subject"], t["note"]) for t in texts]
