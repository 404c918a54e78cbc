"""The hashes of the record and the nouns they hold. Pure: no I/O."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from relay.core.call import Call
from relay.core.events import Attempt, Delivery, Event, OnUncertain, Policy
from relay.core.ids import from_ms, to_ms
from relay.core.lifecycle import EventState, State
from relay.core.plan import Plan, StepResult
from relay.core.watching import Watch, Watched, WatchState
from relay.store.record.entries import Entry
from relay.store.record.packing import Hash, attempts_in, unpacked
from relay.store.redis.scripts import Argument, pairs


def event_fields(event: Event) -> list[tuple[str, Argument]]:
    """An event as the fields of its hash."""
    return [
        ("id", event.id),
        ("source", event.source),
        ("state", event.state.value),
        ("received_at", to_ms(event.received_at)),
        ("method", event.method),
        ("content_type", event.content_type),
        ("query", event.query),
        ("headers", _dump(dict(event.headers))),
        ("body", event.body),
        ("reason", event.reason or ""),
        ("errors", _dump(dict(event.errors))),
        ("deliveries", _dump(list(event.deliveries))),
        ("duplicates", event.duplicates),
        ("marks", _dump(list(event.person_keys))),
        *([("envelope", event.envelope)] if event.envelope else []),
        *([("body_removed_at", to_ms(event.body_removed_at))] if event.body_removed_at else []),
    ]


def event_from_hash(kept: Hash) -> Event:
    """The event that a hash holds."""
    kept = unpacked(kept)
    text = {name.decode(): value.decode("utf-8", "replace") for name, value in kept.items() if name != b"body"}
    return Event(
        id=text["id"],
        source=text["source"],
        state=EventState(text["state"]),
        received_at=from_ms(int(text["received_at"])),
        method=text["method"],
        content_type=text["content_type"],
        query=text["query"],
        headers=json.loads(text["headers"]),
        body=kept[b"body"],
        reason=text["reason"] or None,
        errors=json.loads(text["errors"]),
        deliveries=tuple(json.loads(text["deliveries"])),
        duplicates=int(text["duplicates"]),
        person_keys=tuple(json.loads(text["marks"])),
        envelope=text.get("envelope", ""),
        body_removed_at=from_ms(int(text["body_removed_at"])) if "body_removed_at" in text else None,
    )


def delivery_fields(delivery: Delivery) -> list[tuple[str, Argument]]:
    """A delivery as the fields of its hash; its attempts are a list of their own, here only their number."""
    return [
        ("id", delivery.id),
        ("event_id", delivery.event_id),
        ("rule", delivery.rule),
        ("portal", delivery.call.portal),
        ("state", delivery.state.value),
        ("turn", delivery.turn),
        ("attempts", len(delivery.attempts)),
        ("created_at", to_ms(delivery.created_at)),
        ("updated_at", to_ms(delivery.updated_at)),
        ("next_attempt_at", to_ms(delivery.next_attempt_at) if delivery.next_attempt_at else ""),
        ("workflow_id", delivery.workflow_id or ""),
        ("reason", delivery.reason or ""),
        ("replay_of", delivery.replay_of or ""),
        ("looks", delivery.looks),
        ("on_uncertain", delivery.policy.on_uncertain),
        ("order_key", order_key(delivery)),
        *([("plan", _dump(delivery.plan.to_wire()))] if delivery.plan else []),
        *([("watch", _dump(asdict(watch)))] if (watch := delivery.policy.watch) else []),
        *(_watched_fields(delivery.watched) if delivery.watched else []),
        *next_fields(delivery),
    ]


def next_fields(delivery: Delivery) -> list[tuple[str, Argument]]:
    """What of a delivery changes with every step of its plan: its call, how far it is, and what is called next."""
    call: list[tuple[str, Argument]] = [
        ("call", _dump(delivery.call.to_wire())),
        ("template_id", delivery.call.template_id or ""),
        ("document", delivery.call.document_id[2]),
        ("goes_alone", int(delivery.goes_alone)),
    ]
    if delivery.plan is None:
        return call
    return [
        *call,
        ("method", delivery.next_method),
        ("results", results_to_json(delivery.results)),
        ("asked", delivery.asked),
        ("unsure", " ".join(delivery.unsure)),
    ]


def entry_argv(entry: Entry) -> list[Argument]:
    """What is to be recorded of one event, in the order that `entry_at` in lua/record.lua reads."""
    event = entry.event
    argv: list[Argument] = [
        event.id,
        event.state.value,
        event.source,
        int(entry.dedup_window.total_seconds() * 1000) if entry.dedup_digest else 0,
        entry.bounds.to_json(),
        len(entry.deliveries),
        *pairs(event_fields(event)),
    ]
    for delivery in entry.deliveries:
        argv += creation_argv(delivery)
    return argv


def creation_argv(delivery: Delivery) -> list[Argument]:
    """A new delivery, in the order that `create` in lua/common.lua reads."""
    fields = pairs(delivery_fields(delivery))
    return [delivery.id, delivery.call.portal, to_ms(delivery.created_at), *fields]


def delivery_from_hash(kept: Hash, attempts: Sequence[bytes]) -> Delivery:
    """The delivery that a hash and its list of attempts hold; of a packed one, the hash holds them too."""
    kept = unpacked(kept)
    attempts = [*attempts_in(kept), *attempts]
    text = {name.decode(): value.decode() for name, value in kept.items()}
    return Delivery(
        id=text["id"],
        event_id=text["event_id"],
        rule=text["rule"],
        call=Call.from_wire(text["portal"], json.loads(text["call"])),
        state=State(text["state"]),
        created_at=from_ms(int(text["created_at"])),
        updated_at=from_ms(int(text["updated_at"])),
        attempts=tuple(attempt_from_json(attempt) for attempt in attempts),
        workflow_id=text["workflow_id"] or None,
        reason=text["reason"] or None,
        next_attempt_at=from_ms(int(text["next_attempt_at"])) if text["next_attempt_at"] else None,
        replay_of=text["replay_of"] or None,
        turn=int(text["turn"]),
        looks=int(text["looks"]),
        # Where a rule has no steps and does not watch, there is none of these.
        policy=Policy(
            OnUncertain(text["on_uncertain"]),
            bool(text["order_key"]),
            Watch(**json.loads(text["watch"])) if text.get("watch") else None,
        ),
        plan=Plan.from_wire(text["portal"], json.loads(text["plan"])) if text.get("plan") else None,
        results=results_from_json(text.get("results", "[]")),
        asked=int(text.get("asked", 0)),
        unsure=tuple(text.get("unsure", "").split()),
        watched=_watched_from(text) if text.get("address") else None,
    )


def _watched_fields(watched: Watched) -> list[tuple[str, Argument]]:
    """What a new delivery is watched by; the rest is written by lua/settle.lua, done.lua and overdue.lua."""
    return [("address", watched.address), ("address_digest", watched.digest), ("watch_state", watched.state.value)]


def _watched_from(text: Mapping[str, str]) -> Watched:
    until, finished_at = text.get("watch_until"), text.get("finished_at")
    return Watched(
        address=text["address"],
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


def _dump(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
