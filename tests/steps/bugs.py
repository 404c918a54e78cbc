"""Bugs that are put in on purpose, in the process under test only: each breaks a promise at one step."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from relay.core.ids import utc_now
from relay.core.lifecycle import EventState, State
from relay.store.record import calls
from relay.store.record.collector import Collector
from relay.store.record.record import Entry, Record, Settlement
from relay.store.record.search import Filter, list_deliveries
from relay.store.redis.scripts import Script
from workers.delivery import deliver

WAKING = "local function wake_where_open(portal)\n"
"""The beginning of what wakes a worker, in every script."""


def write_the_event_in_two_trips() -> None:
    """The event first, its deliveries after it."""
    record_all = Collector.record_all

    def record_apart(self: Collector, entries: Sequence[Entry]) -> Any:
        bare = [replace(one.event, state=EventState.IGNORED, deliveries=()) for one in entries]
        receipts = record_all(
            self, [replace(one, event=event, deliveries=()) for one, event in zip(entries, bare, strict=True)]
        )
        for entry, receipt in zip(entries, receipts, strict=True):
            if not receipt.duplicate:
                self._record.replay(entry.event, None, entry.deliveries)
        return receipts

    Collector.record_all = record_apart  # type: ignore[method-assign]


def wake_outside_the_script() -> None:
    """The job of a worker after the event, in a trip of its own."""
    whole = calls.RECORD
    text = whole.text.replace(WAKING, f"{WAKING}  do return end\n")
    assert text != whole.text, "nothing in the script wakes a worker by this name"
    calls.RECORD = Script(whole.name, text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())
    record_all = Collector.record_all

    def record_and_wake(self: Collector, entries: Sequence[Entry]) -> Any:
        receipts = record_all(self, entries)
        self._record.wake(["main"], utc_now())
        return receipts

    Collector.record_all = record_and_wake  # type: ignore[method-assign]


def write_the_outcome_before_the_call() -> None:
    """`started` is on record, and then the portal is called."""
    try_them = deliver._try

    def settle_and_try(context: Any, calls: Any, not_after: float) -> Any:
        context.record.settle_all([Settlement(one.delivery, State.STARTED) for one in calls], context.clock())
        return try_them(context, calls, not_after)

    deliver._try = settle_and_try


def claim_after_the_call() -> None:
    """The portal is called for what waits, and only then it is claimed."""
    claim, settle_all = Record.claim, deliver.settle_all
    postponed: list[tuple[Any, ...]] = []

    def peek(self: Record, *arguments: Any, **_: Any) -> Any:
        postponed.append(arguments)
        waiting = list_deliveries(self, Filter(state=State.PENDING), None, 1).rows
        return [replace(one, state=State.SENDING, turn=one.turn + 1) for one in waiting]

    def claim_and_settle(context: Any, tried: Any, began: float) -> None:
        claim(context.record, *postponed.pop())
        settle_all(context, tried, began)

    Record.claim = peek  # type: ignore[method-assign]
    deliver.settle_all = claim_and_settle


BUGS: dict[str, Callable[[], None]] = {
    bug.__name__: bug
    for bug in (
        write_the_event_in_two_trips,
        wake_outside_the_script,
        write_the_outcome_before_the_call,
        claim_after_the_call,
    )
}
