"""The API's lists and single things. Reads; changes nothing."""

from __future__ import annotations

import json
from typing import Any

from flask_smorest import Blueprint
from marshmallow import RAISE

from relay.core.errors import InvalidEventError, NotFoundError
from relay.core.events import Delivery
from relay.core.faults import codes_of
from relay.operations.preview import RulePreview, faults_in, try_rules
from relay.store.record.search import Row, row_of
from relay.web.api import schemas
from relay.web.api.delivery_schemas import DeliverySchema
from relay.web.api.documented import answers
from relay.web.presenters.event_details import readable, readable_envelope
from relay.web.presenters.finding import search_deliveries, search_events
from relay.web.presenters.masking import Masking, masked_delivery, masked_event, masking_of
from relay.web.presenters.portals import portal_views
from relay.web.services import services
from relay.web.tokens import sees_persons

blueprint = Blueprint("reading", __name__, description="What is on record")
LONGEST_MASKED = 50_000
"""Bytes. A list has up to 200 bodies; masking larger ones would cost too much for a token that only reads."""


@blueprint.get("/events")
@blueprint.arguments(schemas.ListSchema, location="query", unknown=RAISE)
@answers(blueprint, schemas.EventPageSchema, 422)
def events(asked: dict[str, Any]) -> dict[str, Any]:
    """Events, newest first, each with its deliveries. A page may be short, or empty, and still have a next one.

    A token that only reads sees persons' values masked, here and everywhere.
    """
    page = search_events(asked["q"], asked["wanted"], asked["cursor"], asked["limit"])
    return {"events": [_event_wire(row) for row in page.rows], "cursor": page.cursor}


@blueprint.get("/events/<event_id>")
@answers(blueprint, schemas.EventSchema, 404)
def event(event_id: str) -> dict[str, Any]:
    """One event, with its deliveries."""
    record = services().record
    return _event_wire(row_of(record, record.event(event_id)))


@blueprint.get("/deliveries")
@blueprint.arguments(schemas.ListSchema, location="query", unknown=RAISE)
@answers(blueprint, schemas.DeliveryPageSchema, 422)
def deliveries(asked: dict[str, Any]) -> dict[str, Any]:
    """Deliveries, newest first. A page may be short, or empty, and still have a next one."""
    page = search_deliveries(asked["q"], asked["wanted"], asked["cursor"], asked["limit"])
    return {"deliveries": [_delivery_wire(one) for one in page.rows], "cursor": page.cursor}


@blueprint.get("/deliveries/<delivery_id>")
@answers(blueprint, DeliverySchema, 404)
def delivery(delivery_id: str) -> dict[str, Any]:
    """One delivery, with every attempt."""
    return _delivery_wire(services().record.delivery(delivery_id))


@blueprint.get("/needs")
@answers(blueprint, schemas.GroupsSchema)
def needs() -> dict[str, Any]:
    """Everything that failed and waits for a person, grouped by the fault; the newest five thousand of each kind."""
    return {"groups": [group.to_wire() for group in services().store.open_issues.groups()]}


@blueprint.get("/portals")
@answers(blueprint, schemas.PortalsSchema)
def portals() -> dict[str, Any]:
    """Each portal: its gate, its pace, what was learned about it."""
    return {"portals": [one.to_wire() for one in portal_views()]}


@blueprint.get("/rules")
@answers(blueprint, schemas.RulesSchema)
def rules() -> dict[str, Any]:
    """The rules in force."""
    book = services().rules
    presence = services().store.statistics.of_rules([rule.name for rule in book.all()])
    wires = [
        {
            "name": rule.name,
            "source": rule.source,
            "file": rule.file,
            "enabled": rule.is_enabled,
            "portal": rule.requirement.portal,
            "template_id": rule.requirement.template_id,
            "deliveries": presence[rule.name].size,
        }
        for rule in book.all()
    ]
    return {"digest": book.digest, "rules": wires}


@blueprint.post("/rules/try")
@blueprint.arguments(schemas.TrialSchema)
@answers(blueprint, schemas.TriedPageSchema, 400, 404, 413, 415, 422)
def try_on(asked: dict[str, Any]) -> dict[str, Any]:
    """Try the rules on a body; nothing is recorded."""
    source = services().sources.get(asked["source"])
    if source is None:
        raise NotFoundError(f"no source {asked['source']!r}")
    body = asked["body"]
    text = body if isinstance(body, str) else json.dumps(body)
    rules = [services().rules.get(asked["rule"])] if "rule" in asked else list(services().rules.for_source(source.name))
    if faults := faults_in(asked["given"], rules):
        raise InvalidEventError({f"given.{name}": [fault] for name, fault in faults.items()})
    content = text.encode("utf-8", "surrogatepass")
    tried = try_rules(source, rules, asked["content_type"], content, asked["headers"], given=asked["given"])
    return {"tried": [_tried_wire(one) for one in tried]}


@blueprint.get("/audit")
@answers(blueprint, schemas.AuditSchema)
def audit() -> dict[str, Any]:
    """The ledger: whether the books balance."""
    return services().record.counts().to_wire()


def _event_wire(row: Row) -> dict[str, Any]:
    if not sees_persons():
        masking = _masking()
        body, envelope = _masked_body(row, masking), _masked_envelope(row, masking)
        return {**masked_event(row, masking), "body": body, "envelope": envelope}
    return {**row.event.to_wire(), "deliveries": [one.to_wire() for one in row.deliveries]}


def _masked_body(row: Row, masking: Masking) -> str | None:
    if row.event.body_removed_at:
        return None
    size = len(row.event.body)
    if size > LONGEST_MASKED:
        return f"({size} bytes: too large to be masked; RELAY_API_TOKEN sees it)"
    return readable(row.event, masking)[0]


def _masked_envelope(row: Row, masking: Masking) -> str:
    size = len(row.event.envelope)
    if size > LONGEST_MASKED:
        return f"({size} characters: too large to be masked; RELAY_API_TOKEN sees it)"
    return readable_envelope(row.event, masking)


def _delivery_wire(delivery: Delivery) -> dict[str, Any]:
    return delivery.to_wire() if sees_persons() else masked_delivery(delivery, _masking())


def _masking() -> Masking:
    return masking_of(services().rules.all())


def _tried_wire(tried: RulePreview) -> dict[str, Any]:
    return {
        "rule": tried.rule,
        "matches": tried.matches,
        "steps": [one.to_wire() for one in tried.steps],
        "call": tried.call.to_wire() if tried.call else None,
        "errors": tried.errors,
        "codes": codes_of(tried.errors),
    }
