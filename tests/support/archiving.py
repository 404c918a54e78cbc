"""Events that are final, watched or forgotten into an archive, and what stands there then."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any

from relay.core.events import CallbackSettings, Delivery, Policy, new_callback
from relay.core.lifecycle import EventState, State
from relay.store.archive.archive import Archive
from relay.store.record.record import Record
from relay.store.record.search import Row, row_of
from tests.support.making import DAY, NOON, claim_one, make_attempt, make_call, make_delivery, make_entry, write
from workers.maintenance.retention import prune

OLD = NOON + 90 * DAY


def write_final(
    record: Record, at: datetime = NOON, state: State = State.DEAD, parameters: Any = None, **about: Any
) -> Row:
    """An event with a delivery that is final after one attempt; its row."""
    entry = make_entry([], at=at, state=EventState.ACCEPTED)
    delivery = make_delivery(entry.event.id, at=at, call=make_call(parameters=parameters or {"Note": "\u00fcn\u00ef"}))
    write(record, replace(entry, event=replace(entry.event, deliveries=(delivery.id,), **about), deliveries=[delivery]))
    claimed = claim_one(record, delivery, at)
    workflow_id = f"wf-{delivery.id}" if state is State.STARTED else None
    record.settle(claimed, state, at, attempt=make_attempt(), workflow_id=workflow_id, reason="because")
    return row_of(record, record.event(entry.event.id))


def write_watched(record: Record, **about: Any) -> Delivery:
    """A started delivery whose end is waited for."""
    entry = make_entry()
    watched = new_callback("https://relay.example.com")
    policy = Policy(watch=CallbackSettings("Back", 3600))
    watching = replace(entry.deliveries[0], policy=policy, watched=watched, **about)
    write(record, replace(entry, deliveries=[watching]))
    record.settle(claim_one(record, watching), State.STARTED, NOON, workflow_id="wf-1")
    return record.delivery(watching.id)


def forget(record: Record, archive: Archive, before: datetime = OLD) -> None:
    """Archive and forget what was received before this time."""
    prune(record, before, archive=archive)


def all_rows(archive: Archive) -> list[Row]:
    """Everything that stands in it."""
    return [row for path in archive.files() for row in archive.rows(path)]
