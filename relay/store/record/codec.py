"""The hashes of the record and the objects they hold, packed or not. Pure: no I/O.

A value that scripts read or write, or that changes, has a field of its own. The other facts, known from the beginning,
are one JSON field, `facts`. A default is not written: an absent field has its default. An id is the key, not a field:
the reader of a hash adds it under `id`.

A final hash is packed: one field `z` holds what no script reads, beside the fields that scripts do read. `z` is a
byte that names a dictionary, and raw deflate of names and values, each as `length:text,`. Attempts, a list of their own
while a delivery lives, are in it too. Fields beside `z` were written later and count. A dictionary that a released
version has written with is never changed: a better one gets the next number.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from functools import cache
from importlib.resources import files
from typing import Any

from relay.core.events import (
    SETTLE_S,
    Attempt,
    CallbackSettings,
    CallbackState,
    CommentProgress,
    CommentState,
    CompletionCallback,
    Delivery,
    Event,
    OnUncertain,
    Policy,
)
from relay.core.faults import as_text, errors_as_data, errors_from_data, fault_of, from_text
from relay.core.ids import from_ms, ms_of, time_of, to_ms
from relay.core.lifecycle import EventState, State
from relay.core.plan import Call, Plan, StepResult
from relay.store.redis.scripts import Argument

Hash = Mapping[bytes, bytes]

PACKED = b"z"
TRIED = b"tried"
"""In `z`: the attempts of a delivery, as a JSON list."""

PLAIN_EVENT = frozenset(
    {b"state", b"source", b"deliveries", b"marks", b"duplicates", b"reason", b"errors", b"fault", b"replayed_by"}
    | {b"body_removed_at", b"beside"}
)
"""Fields of a final event that scripts read or write: record, prune, replay, walk, groups, bodies."""

PLAIN_DELIVERY = frozenset(
    {b"state", b"event_id", b"rule", b"portal", b"template_id", b"document", b"reason", b"workflow_id"}
    | {b"address_digest", b"watch_state", b"finished_at", b"replayed_by"}
    | {b"comment", b"comment_alone", b"comment_tries"}
)
"""The same for a delivery: prune, replay, done, overdue, leave, walk, say, said. Not `updated_at`: a packed hash has
none."""

LEVEL, RAW = 9, -15

FOLDER = files("relay.store.record").joinpath("dictionaries")
CURRENT = 1
"""Number of the dictionary: frequent texts of events and deliveries, the most frequent last."""


def unpacked(kept: Hash) -> Hash:
    """The fields of a hash, packed or not; packed attempts are in `tried`."""
    if PACKED not in kept:
        return kept
    return _read(kept[PACKED]) | {name: value for name, value in kept.items() if name != PACKED}


def packed(kept: Hash, attempts: Sequence[bytes], plain: Collection[bytes]) -> dict[bytes, bytes]:
    """The packed form of a hash. plain: the fields that stay beside `z`."""
    fields = dict(unpacked(kept))
    if attempts:
        fields[TRIED] = b"[" + b",".join([*_entries(fields.get(TRIED)), *attempts]) + b"]"
    beside = {name: value for name, value in fields.items() if name in plain}
    return beside | {PACKED: _write((name, value) for name, value in fields.items() if name not in plain)}


def attempts_in(fields: Hash) -> list[bytes]:
    """The attempts that were packed with a delivery, oldest first, each as JSON."""
    return _entries(fields.get(TRIED))


def digest_of(kept: Hash) -> str:
    """A digest by which a script checks that a hash is unchanged (lua/pack.lua)."""
    flat = [part for pair in kept.items() for part in pair]
    return hashlib.sha1(b"\0".join(flat), usedforsecurity=False).hexdigest()


def _entries(tried: bytes | None) -> list[bytes]:
    return [json.dumps(one, ensure_ascii=False, separators=(",", ":")).encode() for one in json.loads(tried or b"[]")]


def _write(fields: Iterable[tuple[bytes, bytes]]) -> bytes:
    text = b"".join(b"%d:%b," % (len(part), part) for field in fields for part in field)
    deflate = zlib.compressobj(LEVEL, zlib.DEFLATED, RAW, zdict=_dictionary(CURRENT))
    return bytes([CURRENT]) + deflate.compress(text) + deflate.flush()


def _read(value: bytes) -> dict[bytes, bytes]:
    inflate = zlib.decompressobj(RAW, zdict=_dictionary(value[0]))
    text = inflate.decompress(value[1:]) + inflate.flush()
    parts, at = [], 0
    while at < len(text):
        colon = text.index(b":", at)
        end = colon + 1 + int(text[at:colon])
        parts.append(text[colon + 1 : end])
        at = end + 1
    return dict(zip(parts[::2], parts[1::2], strict=True))


@cache
def _dictionary(number: int) -> bytes:
    return FOLDER.joinpath(f"{number}.txt").read_bytes().replace(b"\n", b"")


Fields = list[tuple[str, Argument]]

USUAL_METHOD = "POST"

_dump = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def event_facts(event: Event) -> str:
    """The facts of an event, which never change and no script reads."""
    facts: dict[str, Any] = {"content_type": event.content_type, "headers": dict(event.headers)}
    if event.query:
        facts["query"] = event.query
    if event.tail:
        facts["tail"] = event.tail
    if event.method != USUAL_METHOD:
        facts["method"] = event.method
    if event.envelope:
        facts["envelope"] = event.envelope
    if event.trace:
        facts["trace"] = event.trace
    if (received_at := to_ms(event.received_at)) != ms_of(event.id):
        facts["received_at"] = received_at
    return _dump(facts)


def further_event_fields(event: Event) -> Fields:
    """The fields that few events have."""
    fields: Fields = []
    if event.reason:
        fields.append(("reason", as_text(event.reason)))
    if event.errors:
        fields.append(("errors", _dump(errors_as_data(event.errors))))
    if event.state is EventState.REJECTED:
        fields.append(("fault", event.fault or as_text(fault_of(event.reason, event.errors))))
    if event.person_keys:
        fields.append(("marks", _dump(event.person_keys)))
    return fields


def event_to_hash(event: Event) -> dict[str, Argument]:
    """All of it except the body, as a hash for `event_from_hash`: for an event that is not on record yet."""
    return {
        "id": event.id,
        "state": event.state.value,
        "source": event.source,
        "facts": event_facts(event),
        "deliveries": _dump(event.deliveries),
        **dict(further_event_fields(event)),
    }


def event_from_hash(kept: Hash) -> Event:
    """The event in a hash."""
    kept = unpacked(kept)
    text = {name.decode(): value.decode("utf-8", "replace") for name, value in kept.items() if name != b"body"}
    facts = json.loads(text["facts"])
    received_at = facts.get("received_at")
    return Event(
        id=text["id"],
        source=text["source"],
        state=EventState(text["state"]),
        received_at=time_of(text["id"]) if received_at is None else from_ms(received_at),
        method=facts.get("method", USUAL_METHOD),
        content_type=facts["content_type"],
        query=facts.get("query", ""),
        headers=facts["headers"],
        body=kept[b"body"],
        reason=from_text(text.get("reason", "")) or None,
        errors=errors_from_data(json.loads(text.get("errors", "{}"))),
        deliveries=tuple(json.loads(text.get("deliveries", "[]"))),
        duplicates=int(text.get("duplicates", 0)),
        person_keys=tuple(json.loads(text.get("marks", "[]"))),
        envelope=facts.get("envelope", ""),
        body_removed_at=from_ms(int(text["body_removed_at"])) if "body_removed_at" in text else None,
        fault=text.get("fault", ""),
        trace=facts.get("trace", ""),
        tail=facts.get("tail", ""),
    )


def without_body(kept: Hash, now: datetime) -> Hash:
    """The fields of an event without its body, headers and query; the others are unchanged."""
    fields = unpacked(kept)
    facts = {name: fact for name, fact in json.loads(fields[b"facts"]).items() if name not in {"query", "envelope"}}
    removed = {"body": "", "facts": _dump(facts | {"headers": {}}), "body_removed_at": str(to_ms(now))}
    return {**fields, **{name.encode(): value.encode() for name, value in removed.items()}}


def delivery_facts(delivery: Delivery) -> str:
    """The facts of a delivery. Scripts read them only if its end is watched. Empty if all are defaults."""
    facts: dict[str, Any] = {}
    if delivery.replay_of:
        facts["replay_of"] = delivery.replay_of
    if delivery.policy.on_uncertain is not OnUncertain.HOLD:
        facts["on_uncertain"] = delivery.policy.on_uncertain
    if delivery.plan:
        facts["plan"] = delivery.plan.to_wire()
    if delivery.policy.watch:
        facts["watch"] = asdict(delivery.policy.watch)
    if delivery.watched:
        facts["address"] = delivery.watched.address
    if delivery.errors:
        facts["errors"] = errors_as_data(delivery.errors)
    if delivery.trace:
        facts["trace"] = delivery.trace
    if (created_at := to_ms(delivery.created_at)) != ms_of(delivery.id):
        facts["created_at"] = created_at
    return _dump(facts) if facts else ""


def further_delivery_fields(delivery: Delivery) -> Fields:
    """The fields that few new deliveries have."""
    fields = [
        (name, value) for name, value in (*_step_fields(delivery), *_comment_fields(delivery)) if value not in _USUAL
    ]
    if delivery.watched:
        fields += [("address_digest", delivery.watched.digest), ("watch_state", delivery.watched.state.value)]
    if delivery.errors:  # it is final at once
        fields += [("reason", delivery.reason or ""), ("updated_at", to_ms(delivery.updated_at))]
    return fields


def delivery_to_hash(delivery: Delivery) -> dict[str, Argument]:
    """A new delivery as a hash for `delivery_from_hash`: for one that is not on record yet."""
    return {
        "id": delivery.id,
        "state": delivery.state.value,
        "turn": delivery.turn,
        "event_id": delivery.event_id,
        "rule": delivery.rule,
        "portal": delivery.call.portal,
        "call": call_to_json(delivery.call),
        "order_key": order_key(delivery),
        "facts": delivery_facts(delivery),
        **dict(further_delivery_fields(delivery)),
    }


def next_fields(delivery: Delivery) -> Fields:
    """The fields that change with every step of a plan: the call, the progress, the next method."""
    return [
        ("call", call_to_json(delivery.call)),
        ("document", delivery.call.document_id[2]),
        *_step_fields(delivery),
        *_comment_fields(delivery),
    ]


_USUAL = ("", 0, "[]")


def _step_fields(delivery: Delivery) -> Fields:
    alone: Fields = [("goes_alone", int(delivery.goes_alone))]
    if delivery.plan is None:
        return alone
    return [
        *alone,
        ("method", delivery.next_method),
        ("results", results_to_json(delivery.results)),
        ("asked", delivery.asked),
        ("unsure", " ".join(delivery.unsure)),
    ]


def _comment_fields(delivery: Delivery) -> Fields:
    """The fields of a comment before its start; lua/say.lua and said.lua write the others."""
    progress, comment = delivery.comment, delivery.call.comment
    return [
        ("comment", progress.state.value if progress else ""),
        ("comment_reason", progress.reason if progress else ""),
        ("comment_alone", 1 if progress and comment and comment.goes_alone else ""),
    ]


def delivery_from_hash(kept: Hash, attempts: Sequence[bytes]) -> Delivery:
    """The delivery in a hash and its list of attempts; a packed hash holds the attempts itself."""
    kept = unpacked(kept)
    attempts = [*attempts_in(kept), *attempts]
    text = {name.decode(): value.decode() for name, value in kept.items()}
    facts = json.loads(text.get("facts") or "{}")
    created_at = from_ms(facts["created_at"]) if "created_at" in facts else time_of(text["id"])
    return Delivery(
        id=text["id"],
        event_id=text["event_id"],
        rule=text["rule"],
        call=Call.from_wire(text["portal"], json.loads(text["call"])),
        state=State(text["state"]),
        created_at=created_at,
        updated_at=from_ms(int(text["updated_at"])) if text.get("updated_at") else created_at,
        attempts=tuple(attempt_from_json(attempt) for attempt in attempts),
        workflow_id=text.get("workflow_id") or None,
        reason=text.get("reason") or None,
        next_attempt_at=from_ms(int(text["next_attempt_at"])) if text.get("next_attempt_at") else None,
        replay_of=facts.get("replay_of"),
        replayed_by=text.get("replayed_by") or None,
        turn=int(text["turn"]),
        looks=int(text.get("looks", 0)),
        policy=Policy(
            OnUncertain(facts.get("on_uncertain", OnUncertain.HOLD)),
            bool(text.get("order_key")),
            CallbackSettings(**facts["watch"]) if "watch" in facts else None,
        ),
        plan=Plan.from_wire(text["portal"], facts["plan"]) if "plan" in facts else None,
        results=results_from_json(text.get("results", "[]")),
        asked=int(text.get("asked", 0)),
        unsure=tuple(text.get("unsure", "").split()),
        watched=_watched_from(facts["address"], text) if "address" in facts else None,
        comment=_comment_from(text) if text.get("comment") else None,
        own_id_at=text.get("own_id_at", ""),
        errors=errors_from_data(facts.get("errors", {})),
        settle_s=int(text["settle_ms"]) / 1000 if "settle_ms" in text else SETTLE_S,
        trace=facts.get("trace", ""),
    )


def _watched_from(address: str, text: Mapping[str, str]) -> CompletionCallback:
    """The end of a workflow. Except for the address, lua/settle.lua, done.lua and overdue.lua write it."""
    until, finished_at = text.get("watch_until"), text.get("finished_at")
    return CompletionCallback(
        address=address,
        state=CallbackState(text["watch_state"]),
        until=from_ms(int(until)) if until else None,
        finished_at=from_ms(int(finished_at)) if finished_at else None,
        query=text.get("finished_query", ""),
        document_id=tuple(json.loads(text.get("finished_document", "[]"))),
    )


def _comment_from(text: Mapping[str, str]) -> CommentProgress:
    return CommentProgress(
        CommentState(text["comment"]),
        reason=text.get("comment_reason", ""),
        at=from_ms(int(text["comment_at"])) if text.get("comment_at") else None,
        tries=int(text.get("comment_tries") or 0),
    )


def order_key(delivery: Delivery) -> str:
    """The key of deliveries of one document; empty where their order does not matter."""
    if not delivery.policy.is_ordered:
        return ""
    digest = hashlib.sha256("\0".join(delivery.call.document_id).encode()).hexdigest()[:24]
    return f"{delivery.call.portal}:{digest}"


def ids_to_json(ids: Iterable[str]) -> str:
    """Ids as JSON for scripts, without escapes, which ids do not need; empty where there are none."""
    joined = '","'.join(ids)
    return f'["{joined}"]' if joined else ""


def call_to_json(call: Call) -> str:
    """A call without its portal, which is a field of its own."""
    return _dump(call.to_wire())


def results_to_json(results: Sequence[StepResult]) -> str:
    """The results of the steps of a plan."""
    return _dump([result.to_wire() for result in results])


def results_from_json(text: str) -> tuple[StepResult, ...]:
    """The results in such a text."""
    return tuple(StepResult.from_wire(wire) for wire in json.loads(text))


def attempt_to_json(attempt: Attempt) -> str:
    """An attempt as one entry of the list of attempts."""
    return _dump(attempt.to_wire())


def attempt_from_json(text: bytes) -> Attempt:
    """The attempt in an entry."""
    return Attempt.from_wire(json.loads(text))


def flat_to_hash(flat: Sequence[bytes]) -> dict[bytes, bytes]:
    """A Lua script's HGETALL, which is a flat list, as a hash."""
    return dict(zip(flat[::2], flat[1::2], strict=True))
