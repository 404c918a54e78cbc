"""Puts an event back on record that was forgotten, with its deliveries as they were. Nothing is sent by it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace

from redis import Redis

from relay.core.events import Delivery, Event
from relay.core.ids import to_ms
from relay.core.watching import Watched, WatchState
from relay.store.record import codec
from relay.store.redis import keys
from relay.store.redis.guard import guarded
from relay.store.redis.scripts import Argument, Script, ScriptCall, pairs, run

RESTORE = Script.load("restore", tells_again=True)


@guarded
def restore(redis: Redis, event: Event, deliveries: Sequence[Delivery]) -> bool:
    """Whether it was put back; False: it is on record. deliveries: all of the event's, every one final.

    Raises RecordUnavailableError.
    """
    replays = {one.replay_of: one.id for one in deliveries if one.replay_of}
    argv: list[Argument] = [event.id, *pairs(_fields_of_event(event)), len(deliveries)]
    for delivery in map(_as_left, deliveries):
        attempts = [codec.attempt_to_json(attempt) for attempt in delivery.attempts]
        replayed_by = delivery.replayed_by or replays.get(delivery.id, "")  # lines of earlier versions do not say it
        argv += [delivery.id, replayed_by, *pairs(_fields_of(delivery)), len(attempts), *attempts]
    return bool(run(redis, ScriptCall(RESTORE, [keys.EVENT + event.id], argv)))


def _fields_of_event(event: Event) -> codec.Fields:
    """Every field of its hash."""
    fields: codec.Fields = [
        ("state", event.state.value),
        ("source", event.source),
        ("facts", codec.event_facts(event)),
        ("deliveries", codec.ids_to_json(event.deliveries)),
        ("duplicates", event.duplicates or ""),
        ("body_removed_at", to_ms(event.body_removed_at) if event.body_removed_at else ""),
        *codec.further_event_fields(event),
    ]
    return [("body", event.body), *_said(fields)]


def _fields_of(delivery: Delivery) -> codec.Fields:
    """The same of a delivery that is final."""
    fields: codec.Fields = [
        ("state", delivery.state.value),
        ("turn", delivery.turn),
        ("event_id", delivery.event_id),
        ("rule", delivery.rule),
        ("portal", delivery.call.portal),
        ("call", codec.call_to_json(delivery.call)),
        ("template_id", delivery.call.template_id or ""),
        ("document", delivery.call.document_id[2]),
        ("order_key", codec.order_key(delivery)),
        ("facts", codec.delivery_facts(delivery)),
        ("workflow_id", delivery.workflow_id or ""),
        ("reason", delivery.reason or ""),
        ("attempts", len(delivery.attempts)),
        ("looks", delivery.looks or ""),
        ("updated_at", to_ms(delivery.updated_at)),
        *codec.further_delivery_fields(delivery),
        *_ended(delivery.watched),
    ]
    return _said(fields)


def _said(fields: codec.Fields) -> codec.Fields:
    """Those that say something: what is empty is not written."""
    return [(name, value) for name, value in fields if value != ""]


def _as_left(delivery: Delivery) -> Delivery:
    """An end that was waited for when its delivery was forgotten is waited for no more."""
    watched = delivery.watched
    if watched is None or watched.state is WatchState.FINISHED:
        return delivery
    return replace(delivery, watched=replace(watched, state=WatchState.LEFT))


def _ended(watched: Watched | None) -> codec.Fields:
    """What of the end is written by scripts only."""
    if watched is None:
        return []
    fields: codec.Fields = []
    if watched.until:
        fields.append(("watch_until", to_ms(watched.until)))
    if watched.finished_at:
        document = json.dumps(list(watched.document_id), ensure_ascii=False)
        fields += [("finished_at", to_ms(watched.finished_at)), ("finished_query", watched.query)]
        fields.append(("finished_document", document))
    return fields
