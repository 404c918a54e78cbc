"""While the record is away: what senders that never repeat have sent is kept on disk, and recorded when it is back.

The sender is told what the record would have said, with the same ids. Only the word `duplicate` can be wrong: what is a
repeat is known when it is recorded, and then it makes no second delivery. Knows neither files nor Lua.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence

from relay.core.errors import LimitedError, RecordUnavailableError
from relay.core.telemetry import get_logger
from relay.sources import Source
from relay.store.record.collector import Collector
from relay.store.record.entries import Entry, Receipt
from relay.store.record.record import Record
from relay.store.record.spool import Spool, Spooled

INTERVAL_S = 1.0

log = get_logger()


class Spooler:
    """Records; and where the record is away, keeps what may be kept."""

    def __init__(self, record: Record, collector: Collector, spool: Spool) -> None:
        self._record = record
        self._collector = collector
        self._spool = spool

    def record_all(self, source: Source, entries: Sequence[Entry], *, is_refused: bool = False) -> list[Receipt]:
        """Record what one request holds, or keep it on this disk; returns once it is there, all of it.

        Raises LimitedError, and RecordUnavailableError: nothing was promised.
        """
        try:
            return self._collector.record_all(entries)
        except RecordUnavailableError as error:
            if not source.spools or is_refused:
                raise
            # It may be on record all the same, if only the answer was lost: its ids are those that it has there.
            self._spool.keep(entries, is_open=source.is_open)
            log.warning("event.spooled", source=source.name, events=len(entries), reason=str(error))
        return [Receipt(one.event.id, one.event.state, one.event.deliveries, duplicate=False) for one in entries]

    def held(self) -> Spooled:
        """What is kept on this machine now."""
        return self._spool.held()

    def run(self, stop: threading.Event) -> None:
        """Record what is kept as soon as the record is back, until told to stop."""
        self._spool.take_back()
        while not stop.wait(INTERVAL_S):
            self.drain()

    def drain(self) -> int:
        """Record what is kept, in the order it came, until the record is away again; how many requests were."""
        drained = 0
        names = self._spool.names()
        if not names:
            return 0
        with self._spool.drained() as is_ours:
            for name in self._spool.names() if is_ours else ():
                try:
                    self._record_file(name)
                except ValueError:
                    self._spool.set_aside(name)
                    log.error("spool.set_aside", file=name)  # noqa: TRY400 - the traceback says nothing more
                except (RecordUnavailableError, LimitedError):
                    # Is it this one? Those behind it can go, and it is tried again in a second.
                    if not self._is_back():
                        break
                else:
                    drained += 1
        if drained:
            log.info("spool.drained", requests=drained, left=len(self._spool.names()))
        return drained

    def _record_file(self, name: str) -> None:
        """Raises ValueError where it cannot be read, RecordUnavailableError and LimitedError where it can wait."""
        entries = self._spool.read(name)
        receipts = self._collector.record_all(entries) if entries else ()
        for receipt in receipts:
            state = "duplicate" if receipt.duplicate else receipt.state.value
            log.info("event.unspooled", event_id=receipt.event_id, state=state, deliveries=list(receipt.deliveries))
        # A death before this leaves it to be recorded again, which is recording it once.
        self._spool.forget(name)

    def _is_back(self) -> bool:
        try:
            return self._record.is_writable()
        except RecordUnavailableError:
            return False
