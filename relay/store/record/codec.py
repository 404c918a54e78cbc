"""The hashes of the record and the nouns they hold. Pure: no I/O.

What scripts read or write, and what changes, has a field of its own; all else that is known from the beginning stands
in one field, `facts`, as JSON. What is as usual is not written: a field that is absent has its default.
An id is the key, not a field: whoever reads a hash puts it there under `id`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from relay.core.call import Call
from relay.core.events import SETTLE_S, Attempt, Delivery, Event, OnUncertain, Policy
from relay.core.faults import as_text, errors_as_data, errors_from_data, fault_of, from_text
from relay.core.ids import from_ms, ms_of, time_of, to_ms
from relay.core.lifecycle import EventState, State
from relay.core.plan import Plan, StepResult
from relay.core.watching import Watch, Watched, WatchState
from relay.store.record.packing import Hash, attempts_in, unpacked
from relay.store.redis.scripts import Argument

Fields = list[tuple[str, Argument]]

USUAL_METHOD = "POST"

_dump = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def event_facts(event: Event) -> str:
    """Of an event, what never changes and no script reads."""
    facts: dict[str, Any] = {"content_type": event.content_type, "headers": dict(event.headers)}
    if event.query:
        facts["query"] = event.query
    if event.method != USUAL_METHOD:
        facts["method"] = event.method
    if event.envelope:
        facts["envelope"] = event.envelope
    if (received_at := to_ms(event.received_at)) != ms_of(event.id):
        facts["received_at"] = received_at
    return _dump(facts)


def further_event_fields(event: Event) -> Fields:
    """The fields of an event that most have not."""
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
    """The whole of it but its body, as a hash that `event_from_hash` reads: for what is not on record yet."""
    return {
        "id": event.id,
        "state": event.state.value,
        "source": event.source,
        "facts": event_facts(event),
        "deliveries": _dump(event.deliveries),
        **dict(further_event_fields(event)),
    }


def event_from_hash(kept: Hash) -> Event:
    """The event that a hash holds."""
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
    )


def without_body(kept: Hash, now: datetime) -> Hash:
    """The fields of an event without what its sender has written; all else stays as it is."""
    fields = unpacked(kept)
    facts = {name: fact for name, fact in json.loads(fields[b"facts"]).items() if name not in {"query", "envelope"}}
    removed = {"body": "", "facts": _dump(facts | {"headers": {}}), "body_removed_at": str(to_ms(now))}
    return {**fields, **{name.encode(): value.encode() for name, value in removed.items()}}


def delivery_facts(delivery: Delivery) -> str:
    """The same of a delivery; scripts read it only where its end is watched for. Empty where all is as usual."""
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
    if (created_at := to_ms(delivery.created_at)) != ms_of(delivery.id):
        facts["created_at"] = created_at
    return _dump(facts) if facts else ""


def further_delivery_fields(delivery: Delivery) -> Fields:
    """The fields of a new delivery that most have not."""
    fields = [(name, value) for name, value in _step_fields(delivery) if value not in _USUAL]
    if delivery.watched:
        fields += [("address_digest", delivery.watched.digest), ("watch_state", delivery.watched.state.value)]
    if delivery.errors:  # it is final at once
        fields += [("reason", delivery.reason or ""), ("updated_at", to_ms(delivery.updated_at))]
    return fields


def delivery_to_hash(delivery: Delivery) -> dict[str, Argument]:
    """The whole of a new one, as a hash that `delivery_from_hash` reads: for what is not on record yet."""
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
    """What of a delivery changes with every step of its plan: its call, how far it is, and what is called next."""
    return [
        ("call", call_to_json(delivery.call)),
        ("document", delivery.call.document_id[2]),
        *_step_fields(delivery),
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


def delivery_from_hash(kept: Hash, attempts: Sequence[bytes]) -> Delivery:
    """The delivery that a hash and its list of attempts hold; of a packed one, the hash holds them too."""
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
            Watch(**facts["watch"]) if "watch" in facts else None,
        ),
        plan=Plan.from_wire(text["portal"], facts["plan"]) if "plan" in facts else None,
        results=results_from_json(text.get("results", "[]")),
        asked=int(text.get("asked", 0)),
        unsure=tuple(text.get("unsure", "").split()),
        watched=_watched_from(facts["address"], text) if "address" in facts else None,
        own_id_at=text.get("own_id_at", ""),
        errors=errors_from_data(facts.get("errors", {})),
        settle_s=int(text["settle_ms"]) / 1000 if "settle_ms" in text else SETTLE_S,
    )


def _watched_from(address: str, text: Mapping[str, str]) -> Watched:
    """What is known of an end: but for the address, it is written by lua/settle.lua, done.lua and overdue.lua."""
    until, finished_at = text.get("watch_until"), text.get("finished_at")
    return Watched(
        address=address,
        state=WatchState(text["watch_state"]),
        until=from_ms(int(until)) if until else None,
        finished_at=from_ms(int(finished_at)) if finished_at else None,
        query=text.get("finished_query", ""),
        document_id=tuple(json.loads(text.get("finished_document", "[]"))),
    )


def order_key(delivery: Delivery) -> str:
    """What deliveries of one document have in common; empty where the order does not matter."""
    if not delivery.policy.is_ordered:
        return ""
    digest = hashlib.sha256("\0".join(delivery.call.document_id).encode()).hexdigest()[:24]
    return f"{delivery.call.portal}:{digest}"


def ids_to_json(ids: Iterable[str]) -> str:
    """Ids, in which there is nothing to escape, as scripts decode them; empty where there are none."""
    joined = '","'.join(ids)
    return f'["{joined}"]' if joined else ""


def call_to_json(call: Call) -> str:
    """A call without its portal, which is a field of its own."""
    return _dump(call.to_wire())


def results_to_json(results: Sequence[StepResult]) -> str:
    """What has come of the steps of a plan."""
    return _dump([result.to_wire() for result in results])


def results_from_json(text: str) -> tuple[StepResult, ...]:
    """The results that such a text holds."""
    return tuple(StepResult.from_wire(wire) for wire in json.loads(text))


def attempt_to_json(attempt: Attempt) -> str:
    """An attempt as one entry of the list of attempts."""
    return _dump(attempt.to_wire())


def attempt_from_json(text: bytes) -> Attempt:
    """The attempt that an entry holds."""
    return Attempt.from_wire(json.loads(text))


def flat_to_hash(flat: Sequence[bytes]) -> dict[bytes, bytes]:
    """A Lua script's HGETALL, which is a flat list, as a hash."""
    return dict(zip(flat[::2], flat[1::2], strict=True))
