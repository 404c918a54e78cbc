"""Packs final events, removes old bodies, and restores forgotten events. A hash is swapped only if it is unchanged.

For the maintenance of the workers, and for `relay restore` of archived events, which sends nothing. It may be killed
anywhere and run again, and by two at once.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from redis import Redis

from relay.core.events import CallbackState, CommentState, CompletionCallback, Delivery, Event
from relay.core.ids import EVENT_PREFIX, earliest_id, to_ms
from relay.store.record import codec
from relay.store.redis import keys
from relay.store.redis.scripts import Argument, Script, ScriptCall, guarded, pairs, run, run_all

PACKABLE, PACK = Script.load("packable"), Script.load("pack")
RESTORE = Script.load("restore", tells_again=True)


@dataclass(frozen=True, slots=True)
class Found:
    """Hashes that can be packed. last: the last event looked at; is_end: whether none follows it."""

    keys: tuple[str, ...]
    last: str | None
    is_end: bool


class Compaction:
    """Makes the record smaller. Every method raises RecordUnavailableError."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    @guarded
    def packable(self, unchanged_since: datetime, after: str | None, limit: int) -> Found:
        """The hashes that can be packed, of `limit` events after this one: final, and unchanged since a time."""
        before = f"({earliest_id(EVENT_PREFIX, unchanged_since)}"
        argv: list[Argument] = [f"({after}" if after else "-", before, limit, to_ms(unchanged_since)]
        last, looked_at, *found = run(self._redis, ScriptCall(PACKABLE, [keys.EVENTS], argv))
        return Found(tuple(key.decode() for key in found), last.decode() or after, looked_at < limit)

    @guarded
    def pack(self, names: Sequence[str]) -> int:
        """Pack these hashes, except changed ones. Returns the number of packed ones."""
        with self._redis.pipeline(transaction=False) as pipeline:
            for name in names:
                pipeline.hgetall(name)
            for name in filter(_is_of_delivery, names):
                pipeline.lrange(_attempts_of(name), 0, -1)
            answers: list[Any] = pipeline.execute()
        tried = dict(zip(filter(_is_of_delivery, names), answers[len(names) :], strict=True))
        read = [(name, kept) for name, kept in zip(names, answers[: len(names)], strict=True) if kept]
        return self._swap([_swap_call(name, kept, kept, tried.get(name, ())) for name, kept in read])

    @guarded
    def remove_bodies(self, event_ids: Sequence[str], now: datetime) -> int:
        """Remove the bodies of these events, except changed ones. Returns the number of removed ones."""
        names = [keys.EVENT + event_id for event_id in event_ids]
        with self._redis.pipeline(transaction=False) as pipeline:
            for name in names:
                pipeline.hexists(name, "body_removed_at")
            removed: list[Any] = pipeline.execute()
        names = [name for name, is_removed in zip(names, removed, strict=True) if not is_removed]
        with self._redis.pipeline(transaction=False) as pipeline:
            for name in names:
                pipeline.hgetall(name)
            hashes: list[Any] = pipeline.execute()
        read = [(name, kept) for name, kept in zip(names, hashes, strict=True) if kept]
        return self._swap([_swap_call(name, kept, codec.without_body(kept, now)) for name, kept in read])

    @guarded
    def restore(self, event: Event, deliveries: Sequence[Delivery]) -> bool:
        """Restore a forgotten event. Returns False if it is on record. deliveries: all of its own, all final."""
        replays = {one.replay_of: one.id for one in deliveries if one.replay_of}
        argv: list[Argument] = [event.id, *pairs(_fields_of_event(event)), len(deliveries)]
        for delivery in map(_as_left, deliveries):
            attempts = [codec.attempt_to_json(attempt) for attempt in delivery.attempts]
            replayed_by = delivery.replayed_by or replays.get(delivery.id, "")  # not in lines of earlier versions
            argv += [delivery.id, replayed_by, *pairs(_fields_of(delivery)), len(attempts), *attempts]
        return bool(run(self._redis, ScriptCall(RESTORE, [keys.EVENT + event.id], argv)))

    def _swap(self, calls: Sequence[ScriptCall]) -> int:
        answers = run_all(self._redis, calls)
        for answer in answers:
            if isinstance(answer, Exception):
                raise answer
        return sum(answers)


def _swap_call(name: str, kept: codec.Hash, fresh: codec.Hash, attempts: Sequence[bytes] = ()) -> ScriptCall:
    """Swap the fields that were read for fresh, packed ones."""
    plain = codec.PLAIN_DELIVERY if _is_of_delivery(name) else codec.PLAIN_EVENT
    fields = codec.packed(fresh, attempts, plain)
    argv: list[Argument] = [codec.digest_of(kept), len(attempts), *(part for pair in fields.items() for part in pair)]
    return ScriptCall(PACK, [name, _attempts_of(name)], argv)


def _is_of_delivery(name: str) -> bool:
    return name.startswith(keys.DELIVERY)


def _attempts_of(name: str) -> str:
    """The key of a delivery's attempts; of an event, which has none, its own."""
    return keys.ATTEMPTS + name.removeprefix(keys.DELIVERY) if _is_of_delivery(name) else name


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
        ("comment_at", to_ms(delivery.comment.at) if delivery.comment and delivery.comment.at else ""),
    ]
    return _said(fields)


def _said(fields: codec.Fields) -> codec.Fields:
    """The fields with content: empty ones are not written."""
    return [(name, value) for name, value in fields if value != ""]


def _as_left(delivery: Delivery) -> Delivery:
    """The delivery without a watch: the end of a forgotten delivery is no longer awaited, and nothing is said of it."""
    watched, comment = delivery.watched, delivery.comment
    if watched and watched.state is not CallbackState.FINISHED:
        watched = replace(watched, state=CallbackState.LEFT)
    if comment and comment.state is CommentState.WAITING:
        comment = replace(comment, state=CommentState.MISSING)
    return replace(delivery, watched=watched, comment=comment)


def _ended(watched: CompletionCallback | None) -> codec.Fields:
    """The fields of an end, which otherwise only scripts write."""
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
