"""Lets concurrent requests share one round trip and one fsync to the record.

Whoever comes first becomes the leader and writes everything that waits; what arrives meanwhile forms the next group.
Measured: 2,775 to 3,040 events/s with fsync on every write against 2,590 with a round trip an event.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass

from redis.exceptions import RedisError

from relay.core.errors import RecordUnavailableError
from relay.store.record.record import Entry, Receipt, Record
from relay.store.record.unproven import limited
from relay.store.redis.scripts import run_all

GROUP = 100
"""How many requests share a round trip at most: a bound on what one answer waits for."""


@dataclass(slots=True)
class _Waiter:
    entries: Sequence[Entry]
    receipts: list[Receipt] | None = None
    error: Exception | None = None

    @property
    def is_done(self) -> bool:
        return self.receipts is not None or self.error is not None


class Collector:
    """Group commit, for the threads or greenlets of one process."""

    def __init__(self, record: Record) -> None:
        self._record = record
        self._waiting: list[_Waiter] = []
        self._writing = threading.Lock()  # looked up when made: gevent puts its own in place

    def record(self, entry: Entry) -> Receipt:
        """Record an entry; returns once Redis has it on disk. Raises what record_all raises."""
        return self.record_all([entry])[0]

    def record_all(self, entries: Sequence[Entry]) -> list[Receipt]:
        """Record what one request holds, all of it or nothing; returns once Redis has it on disk.

        Raises LimitedError: nothing is on record. Raises RecordUnavailableError: then nothing was promised. It may be
        on record all the same, if only the answer was lost; the sender's repeat then meets its own dedup key.
        """
        waiter = _Waiter(entries)
        self._waiting.append(waiter)
        with self._writing:
            # Everybody takes the lock in turn; most find that a leader before them has written their entry.
            while not waiter.is_done:
                self._write(self._take(GROUP))
        if waiter.receipts is None:
            raise waiter.error or RecordUnavailableError("unwritten")
        return waiter.receipts

    def _take(self, most: int) -> list[_Waiter]:
        # Two steps, neither of which touches what others append meanwhile.
        group = self._waiting[:most]
        del self._waiting[: len(group)]
        return group

    def _write(self, group: list[_Waiter]) -> None:
        try:
            calls = [self._record.entries_call(waiter.entries) for waiter in group]
            answers = run_all(self._record.redis, calls, self._record.replicas)
        except RedisError as error:
            # Whoever waits is told now, instead of trying in turn a server that is away.
            group += self._take(len(self._waiting))
            self._fail(group, error)
        except Exception as error:  # noqa: BLE001 - one request cannot be sent: it fails alone, and whose it is learns why
            if len(group) == 1:
                group[0].error = error
                return
            for waiter in group:
                self._write([waiter])
        else:
            for waiter, answer in zip(group, answers, strict=True):
                if isinstance(answer, Exception):
                    self._fail([waiter], answer)
                else:
                    waiter.receipts = [Receipt.from_answer(one) for one in answer]
        finally:
            # A leader that was ended in the middle leaves nobody waiting for ever.
            self._fail([waiter for waiter in group if not waiter.is_done], None)

    @staticmethod
    def _fail(group: list[_Waiter], error: Exception | None) -> None:
        # The text of a client's error may hold what was sent, so only its kind goes further.
        for waiter in group:
            over = limited(error) if error else None
            waiter.error = over or RecordUnavailableError(type(error).__name__ if error else "interrupted")
