"""The ends of workflows on record: heard of by a call of a one-time address, or overdue. Each write is one script."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from redis import Redis

from relay.core.ids import to_ms
from relay.core.lifecycle import State, states_before
from relay.core.watching import digest_of
from relay.store.redis import keys
from relay.store.redis.guard import guarded
from relay.store.redis.scripts import Argument, Script, ScriptCall, run

DONE, OVERDUE = Script.load("done"), Script.load("overdue")
PER_PASS = 500
"""How many are found overdue at once: a bound on how long it keeps Redis."""


@dataclass(frozen=True, slots=True)
class Ending:
    """A call of a one-time address. is_first: whether it was the one that counts.

    replayed_by: where the delivery was dead until this call, the one that had replayed it, which may have started, too.
    """

    delivery_id: str
    is_first: bool
    replayed_by: str | None = None


class Endings:
    """The ends of workflows, for those who hear of them and those who wait."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    @guarded
    def is_known(self, token: str) -> bool:
        """Whether the start of a delivery on record carries the address with this token."""
        return bool(self._redis.hexists(keys.ADDRESSES, digest_of(token)))

    @guarded
    def finish(self, token: str, now: datetime, query: str = "", document_id: Sequence[str] = ()) -> Ending | None:
        """The address with this token was called; None where no delivery on record carries it.

        Where it was not known whether the workflow has started, or it was given up, it is known now. While a worker is
        calling the portal for the delivery, that worker has the last word on its state, and the record holds it to
        this (lua/settle.lua).
        """
        proves = [state for state in states_before(State.STARTED) if state is not State.SENDING]
        argv: list[Argument] = [digest_of(token), to_ms(now), query, json.dumps(list(document_id), ensure_ascii=False)]
        answer: Any = run(self._redis, ScriptCall(DONE, [keys.ADDRESSES], [*argv, len(proves), *proves]))
        return Ending(answer[0].decode(), bool(answer[1]), answer[2].decode() or None) if answer else None

    @guarded
    def note_overdue(self, now: datetime) -> list[str]:
        """Deliveries whose end was not heard of in time, and that were not known as such before."""
        found: Any = run(self._redis, ScriptCall(OVERDUE, [keys.AWAITED], [to_ms(now), PER_PASS]))
        return [member.decode() for member in found]

    @guarded
    def overdue(self) -> int:
        """How many there are that nobody has left or replayed."""
        count: Any = self._redis.zcard(keys.OVERDUE)
        return int(count)
