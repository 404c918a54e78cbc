"""Events and deliveries as the API and exports tell them to who may not see persons' values. Reads nothing.

Headers are of any name and hold anything: only those that HTTP itself needs are shown, the others by a first letter.
"""

from __future__ import annotations

from typing import Any

from relay.core.events import Delivery
from relay.store.record.search import Row
from relay.web.presenters.masking import Masking, cover

PLAIN_HEADERS = frozenset(
    {"accept", "accept-encoding", "connection", "content-encoding", "content-length", "content-type", "host"}
    | {"transfer-encoding", "user-agent"}
)


def masked_event(row: Row, masking: Masking) -> dict[str, Any]:
    """An event without its body and its envelope, with its deliveries."""
    event, wire = row.event, row.event.to_wire()
    del wire["body"], wire["envelope"]
    masked = {
        "headers": {
            name: masking.text(value) if name.lower() in PLAIN_HEADERS else cover(value)
            for name, value in event.headers.items()
        },
        "query": masking.query(event.query),
        "content_type": masking.text(event.content_type),
        "reason": masking.text(event.reason or "") or None,
        "errors": masking.value(event.errors),
    }
    return wire | masked | {"deliveries": [masked_delivery(one, masking) for one in row.deliveries]}


def masked_delivery(delivery: Delivery, masking: Masking) -> dict[str, Any]:
    """A delivery with its attempts."""
    wire = delivery.to_wire()
    wire["reason"] = masking.text(wire["reason"] or "") or None
    wire["errors"] = masking.value(delivery.errors)
    wire["call"]["document_id"] = [masking.text(member) for member in wire["call"]["document_id"]]
    wire["call"]["parameters"] = masking.value(wire["call"]["parameters"])
    if wire["watch"]:
        wire["watch"]["query"] = masking.query(wire["watch"]["query"])
    for attempt in wire["attempts"]:
        attempt["description"] = masking.text(attempt["description"] or "") or None
    return wire
