"""Bugs that are put in on purpose: each breaks a promise at one step, or where something changes at one.

The first four are put into the process under test only, the others into every process of their world.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from relay.configuration.portals import OwnIds
from relay.core import ids
from relay.core.events import Delivery
from relay.core.ids import utc_now
from relay.core.lifecycle import EventState, State
from relay.store.portals import rollback
from relay.store.portals.learned import Learned
from relay.store.record import record
from relay.store.record.collector import Collector
from relay.store.record.entries import Entry, Settlement
from relay.store.record.record import HARD_DEADLINE, Record
from relay.store.record.search import Filter, list_deliveries
from relay.store.redis.clock import Clock
from relay.store.redis.scripts import Script
from workers.bitrix24.verdicts import Concern, Judgement
from workers.delivery import deliver, reconcile
from workers.maintenance import repair, retention
from workers.portal import gatekeeper
from workers.portal.context import Context
from workers.portal.pace import HONOURED

WAKING = "local function notify_where_open(portal)\n"
"""The beginning of the function that notifies a worker, in every script."""


def write_the_event_in_two_trips(patch: pytest.MonkeyPatch) -> None:
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

    patch.setattr(Collector, "record_all", record_apart)


def wake_outside_the_script(patch: pytest.MonkeyPatch) -> None:
    """The job of a worker after the event, in a trip of its own."""
    patch.setattr(record, "RECORD", _changed(record.RECORD, WAKING, f"{WAKING}  do return end\n"))
    record_all = Collector.record_all

    def record_and_wake(self: Collector, entries: Sequence[Entry]) -> Any:
        receipts = record_all(self, entries)
        self._record.notify(["main"], utc_now())
        return receipts

    patch.setattr(Collector, "record_all", record_and_wake)


def write_the_outcome_before_the_call(patch: pytest.MonkeyPatch) -> None:
    """`started` is on record, and then the portal is called."""
    try_them = deliver._try

    def settle_and_try(context: Any, calls: Any, not_after: Any) -> Any:
        context.record.settle_all([Settlement(one.delivery, State.STARTED) for one in calls], context.clock())
        return try_them(context, calls, not_after)

    patch.setattr(deliver, "_try", settle_and_try)


def claim_after_the_call(patch: pytest.MonkeyPatch) -> None:
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

    patch.setattr(Record, "claim", peek)
    patch.setattr(deliver, "settle_all", claim_and_settle)


def look_by_todays_setting(patch: pytest.MonkeyPatch) -> None:
    """Where ids of ours are on today, the same call is sent again under one: whether the first bore it, nobody asks."""

    def may_send_again(context: Context, _delivery: Delivery, learned: Learned) -> bool:
        return context.portal.own_id is OwnIds.ECHO and learned.echo_at(context.address.mark) is HONOURED

    patch.setattr(reconcile, "may_send_again", may_send_again)


def sweep_at_once_where_the_portal_is_unknown(patch: pytest.MonkeyPatch) -> None:
    """How long a call may still be running is taken from the sweeper's own configuration, and else for nothing."""
    mend = repair._mend
    patch.setattr(repair, "_mend", lambda record, one, *rest: mend(record, replace(one, settle_s=0.0), *rest))


def go_on_with_orders_when_the_record_went_back(patch: pytest.MonkeyPatch) -> None:
    """Portals are held, and orders on many are not."""
    patch.setattr(rollback, "_hold_orders", lambda *_: 0)


def want_room_for_outcomes(patch: pytest.MonkeyPatch) -> None:
    """The scripts that write an outcome are refused by a full server; the worker gives up soon."""
    for name in ("SETTLE", "SETTLE_ONE"):
        patch.setattr(record, name, _changed(getattr(record, name), "#!lua flags=allow-oom", "#!lua"))
    patch.setattr(deliver, "SETTLE_MARGIN_S", HARD_DEADLINE.total_seconds())


def close_the_gate_for_one_content(patch: pytest.MonkeyPatch) -> None:
    """A page that can be of the portal or of one call is taken to be of the portal."""

    def concluded(_context: Context, judgements: Sequence[Judgement], _not_after: Any = None) -> list[Judgement]:
        return [replace(one, concern=Concern.PORTAL) if one.concern is Concern.UNCLEAR else one for one in judgements]

    patch.setattr(gatekeeper, "resolve", concluded)


def forget_by_the_clock_of_the_machine(patch: pytest.MonkeyPatch) -> None:
    """Processes go by a clock that can be set, and what is old is told by it."""
    started_ms = time.time_ns() // 1_000_000 - ids.steady_ms()
    patch.setattr(ids, "steady_ms", lambda: time.time_ns() // 1_000_000 - started_ms)
    patch.setattr(Clock, "set", lambda *_, **__: None)
    patch.setattr(retention, "_time_to_forget_by", lambda *_: ids.utc_now())


def _changed(script: Script, part: str, other: str) -> Script:
    text = script.text.replace(part, other)
    assert text != script.text, f"there is no {part!r} in {script.name}"
    return replace(script, text=text, sha=hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())


BUGS: dict[str, Callable[[pytest.MonkeyPatch], None]] = {
    bug.__name__: bug
    for bug in (
        write_the_event_in_two_trips,
        wake_outside_the_script,
        write_the_outcome_before_the_call,
        claim_after_the_call,
        look_by_todays_setting,
        sweep_at_once_where_the_portal_is_unknown,
        go_on_with_orders_when_the_record_went_back,
        want_room_for_outcomes,
        close_the_gate_for_one_content,
        forget_by_the_clock_of_the_machine,
    )
}
