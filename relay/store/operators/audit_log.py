"""The audit log: acts of people, newest first, and beside them the requests of agents.

The author is a role, a name from a trusted proxy, an agent, or, for a command, the user of the system who ran it.
Agents ask often, so their requests have a stream of their own: they never push out what people did.
"""

from __future__ import annotations

import json
import os
import pwd
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from redis import Redis

from relay.core.faults import as_text, from_text
from relay.core.ids import from_ms, to_ms
from relay.store.redis import keys
from relay.store.redis.scripts import guarded

KEPT = 10_000
AGENT_CALLS_KEPT = 1_000
ASKED = "ask"
"""The word for a request of an agent."""


@dataclass(frozen=True, slots=True)
class Act:
    """One act of a person. subject: an id or name; note: the reason, in their words, or the id of what came of it.

    said: a Fault with what the program adds. wanted: the filter of a bulk order, as a query.
    """

    at: datetime
    who: str
    what: str
    subject: str
    note: str
    said: str = ""
    wanted: Mapping[str, str] = field(default_factory=dict)


def who_in_terminal() -> str:
    """The user of this command, such as `terminal (ann)`, by the account of the process: no variable can change it."""
    try:
        return f"terminal ({pwd.getpwuid(os.getuid()).pw_name})"
    except KeyError:  # a container may run as a number without a name
        return f"terminal (user {os.getuid()})"


@guarded
def log_act(redis: Redis, act: Act) -> None:
    """Write an act down. Raises RecordUnavailableError."""
    stream, kept = (keys.AGENT_CALLS, AGENT_CALLS_KEPT) if act.what == ASKED else (keys.AUDIT_LOG, KEPT)
    entry: Any = {
        "at": to_ms(act.at),
        "who": act.who[:100],
        "what": act.what,
        "subject": act.subject[:200],
        "note": act.note[:1000],
    }
    if act.said:
        entry["said"] = as_text(act.said)
    if act.wanted:
        entry["wanted"] = json.dumps(dict(act.wanted))
    redis.xadd(stream, entry, maxlen=kept, approximate=True)


@guarded
def read_acts(redis: Redis, limit: int = 100) -> list[Act]:
    """The newest acts. Raises RecordUnavailableError."""
    return _read(redis, keys.AUDIT_LOG, limit)


@guarded
def read_agent_calls(redis: Redis, limit: int = 100) -> list[Act]:
    """The newest requests of agents. Raises RecordUnavailableError."""
    return _read(redis, keys.AGENT_CALLS, limit)


def _read(redis: Redis, stream: str, limit: int) -> list[Act]:
    found: Any = redis.xrevrange(stream, count=limit)
    texts = [{name.decode(): value.decode("utf-8", "replace") for name, value in entry.items()} for _, entry in found]
    return [_act_of(text) for text in texts]


def _act_of(text: Mapping[str, str]) -> Act:
    """An entry; earlier versions wrote what is said in English, into the note."""
    return Act(
        from_ms(int(text["at"])),
        text["who"],
        text["what"],
        text["subject"],
        text["note"],
        from_text(text.get("said", "")),
        json.loads(text.get("wanted", "{}")),
    )
