"""The audit log: acts of people, newest first.

The author is a role, a name from a trusted proxy, or, for a command, the user of the system who ran it.
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
from relay.store.redis.scripts import guarded

KEPT = 10_000


@dataclass(frozen=True, slots=True)
class Act:
    """One act of a person. subject: an id or name; note: the reason, in their words."""

    at: datetime
    who: str
    what: str
    subject: str
    note: str


def who_in_terminal() -> str:
    """The user of this command, such as `terminal (ann)`, by the account of the process: no variable can change it."""
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
    redis.xadd(keys.AUDIT_LOG, entry, maxlen=KEPT, approximate=True)


@guarded
def read_acts(redis: Redis, limit: int = 100) -> list[Act]:
    """The newest acts. Raises RecordUnavailableError."""
    found: Any = redis.xrevrange(keys.AUDIT_LOG, count=limit)
    texts = [{name.decode(): value.decode("utf-8", "replace") for name, value in entry.items()} for _, entry in found]
    return [Act(from_ms(int(t["at"])), t["who"], t["what"], t["subject"], t["note"]) for t in texts]
