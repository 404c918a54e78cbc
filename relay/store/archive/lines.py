"""An event with its deliveries as one line of JSON, and back. Pure: no I/O.

It has the members of the API, for readers with jq, and further ones that a restore needs:
`marks`, `body_base64` where the body is no text, and `record` in each delivery and in an event with a reason.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any

from relay.core.events import (
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
from relay.core.faults import as_text, errors_as_data, errors_from_data, from_text
from relay.core.ids import EVENT_PREFIX
from relay.core.lifecycle import EventState, State
from relay.core.plan import Call, Plan, StepResult
from relay.store.record.search import Row

BEGIN = b'{"id":"'
ID = slice(len(BEGIN), len(BEGIN) + len(EVENT_PREFIX) + 26)
"""The position of the event's id in a line."""


def line_of(row: Row) -> bytes:
    """The line, with its end."""
    event = row.event
    wire = event.to_wire() | {"marks": list(event.person_keys)}
    if event.reason or event.errors:
        faults = {"reason": as_text(event.reason or ""), "errors": errors_as_data(event.errors), "fault": event.fault}
        wire["record"] = faults
    if not event.body_removed_at and wire["body"].encode() != event.body:
        wire["body_base64"] = base64.b64encode(event.body).decode()
    wire["deliveries"] = [one.to_wire() | {"record": _kept_of(one)} for one in row.deliveries]
    return json.dumps(wire, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass") + b"\n"


def id_in(line: bytes) -> str:
    """The event's id, without reading the rest. Raises ValueError where the line is none of ours."""
    if not line.startswith(BEGIN + EVENT_PREFIX.encode()):
        raise ValueError("expected an event")
    return line[ID].decode()


def row_of_line(line: bytes) -> Row:
    """The event and its deliveries. Raises ValueError, KeyError or TypeError where the line is none of ours."""
    wire = json.loads(line.decode("utf-8", "surrogatepass"))
    deliveries = tuple(_delivery_of(one) for one in wire["deliveries"])
    return Row(_event_of(wire, tuple(one.id for one in deliveries)), deliveries)


def _event_of(wire: Mapping[str, Any], deliveries: tuple[str, ...]) -> Event:
    encoded = wire.get("body_base64")
    kept = wire.get("record") or wire  # lines of earlier versions hold sentences
    return Event(
        id=wire["id"],
        source=wire["source"],
        state=EventState(wire["state"]),
        received_at=datetime.fromisoformat(wire["received_at"]),
        method=wire["method"],
        content_type=wire["content_type"],
        query=wire["query"],
        headers=wire["headers"],
        body=base64.b64decode(encoded) if encoded else (wire["body"] or "").encode(),
        reason=from_text(kept["reason"] or "") or None,
        errors=errors_from_data(kept["errors"]),
        fault=kept.get("fault", ""),
        deliveries=deliveries,
        duplicates=wire["duplicates"],
        person_keys=tuple(wire["marks"]),
        envelope=wire["envelope"],
        body_removed_at=_time(wire["body_removed_at"]),
        tail=wire.get("tail", ""),  # missing in lines of earlier versions
    )


def _kept_of(delivery: Delivery) -> dict[str, Any]:
    """The facts of a delivery that the API does not show."""
    policy, watched = delivery.policy, delivery.watched
    return {
        "on_uncertain": policy.on_uncertain.value,
        "is_ordered": policy.is_ordered,
        "watch": asdict(policy.watch) if policy.watch else None,
        "address": watched.address if watched else None,
        "plan": delivery.plan.to_wire() if delivery.plan else None,
        "results": [result.to_wire() for result in delivery.results],
        "unsure": list(delivery.unsure),
        "asked": delivery.asked,
        "looks": delivery.looks,
        "turn": delivery.turn,
        "replayed_by": delivery.replayed_by,
        "errors": errors_as_data(delivery.errors),
    }


def _delivery_of(wire: Mapping[str, Any]) -> Delivery:
    kept, portal = wire["record"], wire["portal"]
    watch = CallbackSettings(**kept["watch"]) if kept["watch"] else None
    return Delivery(
        id=wire["id"],
        event_id=wire["event_id"],
        rule=wire["rule"],
        call=Call.from_wire(portal, wire["call"]),
        state=State(wire["state"]),
        created_at=datetime.fromisoformat(wire["created_at"]),
        updated_at=datetime.fromisoformat(wire["updated_at"]),
        attempts=tuple(Attempt.from_wire(attempt) for attempt in wire["attempts"]),
        workflow_id=wire["workflow_id"],
        reason=wire["reason"],
        replay_of=wire["replay_of"],
        replayed_by=kept.get("replayed_by"),
        turn=kept["turn"],
        looks=kept["looks"],
        policy=Policy(OnUncertain(kept["on_uncertain"]), kept["is_ordered"], watch),
        plan=Plan.from_wire(portal, kept["plan"]) if kept["plan"] else None,
        results=tuple(StepResult.from_wire(result) for result in kept["results"]),
        asked=kept["asked"],
        unsure=tuple(kept["unsure"]),
        watched=_watched_of(wire["watch"], kept["address"]) if kept["address"] else None,
        comment=_comment_of(wire["comment"]) if wire.get("comment") else None,  # earlier versions had none
        errors=errors_from_data(
            kept.get("errors") or wire.get("errors", {})
        ),  # earlier versions wrote sentences, or none
    )


def _comment_of(wire: Mapping[str, Any]) -> CommentProgress:
    return CommentProgress(CommentState(wire["state"]), wire["reason"] or "", _time(wire["at"]))


def _watched_of(wire: Mapping[str, Any], address: str) -> CompletionCallback:
    return CompletionCallback(
        address=address,
        state=CallbackState(wire["state"]),
        until=_time(wire["until"]),
        finished_at=_time(wire["finished_at"]),
        query=wire["query"],
        document_id=tuple(wire["document_id"]),
    )


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
