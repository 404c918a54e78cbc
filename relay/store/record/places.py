"""How many requests of one source are in work at the same time, over all web processes.

A place ends with the `with` that it is taken in, or by itself after a death. Nothing of it is kept.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress

from redis import Redis

from relay.core.errors import LimitedError, RecordUnavailableError
from relay.store.redis import keys
from relay.store.redis.guard import guarded
from relay.store.redis.scripts import Script, ScriptCall, run

ENTER = Script.load("enter")
LAPSES_MS = 30_000
"""So long a place is taken by a process that has died in it."""
AGAIN_S = 1
_ANY_NUMBER = nullcontext()


class Places:
    """The places of all sources."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    def taken(self, source: str, most: int | None, *, may_be_away: bool = False) -> AbstractContextManager[None]:
        """One of so many places of a source; None: there are any number, and the record is not asked.

        may_be_away: where nobody can be asked, it begins without one. Entering raises LimitedError where none is free,
        and RecordUnavailableError; leaving never does.
        """
        return _ANY_NUMBER if most is None else self._taken(source, most, may_be_away=may_be_away)

    @contextmanager
    def _taken(self, source: str, most: int, *, may_be_away: bool) -> Iterator[None]:
        who = secrets.token_hex(8)
        try:
            is_free = self._enter(source, who, most)
        except RecordUnavailableError:
            if not may_be_away:
                raise
            is_free = True
        if not is_free:
            raise LimitedError(AGAIN_S)
        try:
            yield
        finally:
            with suppress(RecordUnavailableError):  # then it lapses
                self._enter(source, who, 0)

    @guarded
    def _enter(self, source: str, who: str, most: int) -> bool:
        return bool(run(self._redis, ScriptCall(ENTER, [keys.AT_WORK + source], [who, most, LAPSES_MS])))
