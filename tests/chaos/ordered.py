"""Deliveries of one document that go one after the other, and `kill -9` of the worker in mid-call: when they go on."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import replace

from relay.core.events import Policy
from relay.core.lifecycle import State
from relay.store.record.entries import Entry
from tests.chaos.stage import Stage, make_entry, until

CONFIG = "{plan: standard, rate: 100, burst: 1, own_id: 'off', batch: 1, settle_after: %s}"
LATENCY_MS = 200
"""So long a call takes: long enough to be killed in it."""


def ordered(count: int, kills: int, settle_after: str) -> str:
    """One row."""
    with Stage() as stage:
        sandbox = stage.add_portal("main", CONFIG % settle_after, rate=None, latency_ms=LATENCY_MS)
        stage.fill("main", count, make=_of_one_document)
        began = time.monotonic()
        stage.start_workers("main", 1)
        gaps = [_kill(stage, (number + 1) * count // (kills + 1)) for number in range(kills)]
        until(lambda: stage.open_count() == 0, "all are final", 500)
        took, notes = time.monotonic() - began, [one["parameters"]["Note"] for one in sandbox.workflows()]
        ledger = stage.ledger()
    in_order = sorted(notes, key=lambda note: int(note[1:]))
    order = "in order" if notes in (in_order, in_order[::-1]) else "OUT OF ORDER"
    return (
        f"{count} in order, {kills} kills in mid-call, settle_after {settle_after}: {took:.0f} s, "
        f"{', '.join(f'{gap:.0f}' for gap in gaps)} s until the next was started; {len(notes)} workflows, "
        f"{len(notes) - len(set(notes))} doubled, {order}, "
        f"ledger {'balances' if not ledger.imbalances else ledger.imbalances}"
    )


def _kill(stage: Stage, after: int) -> float:
    """Kill the worker in mid-call when so many are started; the seconds until the one that it was calling for is."""

    def started() -> int:
        return stage.ledger().deliveries[State.STARTED]

    until(lambda: started() >= after and stage.ledger().deliveries[State.SENDING] == 1, "a call is made", 300)
    time.sleep(LATENCY_MS / 4000)
    before, killed_at = started(), time.monotonic()
    for pid in stage.worker_pids():
        os.kill(pid, signal.SIGKILL)
    until(lambda: started() > before, "the next is started", 300)
    return time.monotonic() - killed_at


def _of_one_document(portal: str, number: int) -> Entry:
    entry = make_entry(portal, number)
    (delivery,) = entry.deliveries
    call = replace(delivery.call, document_id=(*delivery.call.document_id[:2], "LEAD_7"))
    return replace(entry, deliveries=[replace(delivery, call=call, policy=Policy(is_ordered=True))])
