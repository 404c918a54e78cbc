"""The API's lists and single things. Reads; changes nothing."""

from __future__ import annotations

import json
from typing import Any

from flask import g
from flask_smorest import Blueprint
from marshmallow import RAISE

from relay import __version__
from relay.core.errors import InvalidEventError, NotFoundError
from relay.core.events import Delivery
from relay.core.faults import codes_of
from relay.health.words import sentence_of_group
from relay.operations.preview import RulePreview, faults_in, try_rules
from relay.store.record.search import Row, row_of
from relay.web.api import schemas
from relay.web.api.delivery_schemas import DeliverySchema
from relay.web.api.documented import answers
from relay.web.presenters.event_details import details_of, readable, readable_envelope
from relay.web.presenters.finding import search_deliveries, search_events
from relay.web.presenters.masking import Masking, masked_call, masked_delivery, masked_event, masking_of
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
    return {"events": [_event_wire(row, body=asked["body"]) for row in page.rows], "cursor": page.cursor}


@blueprint.get("/events/<event_id>")
@blueprint.arguments(schemas.BodySchema, location="query", unknown=RAISE)
@answers(blueprint, schemas.EventSchema, 404, 422)
def event(asked: dict[str, Any], event_id: str) -> dict[str, Any]:
    """One event, with its deliveries."""
    record = services().record
    return _event_wire(row_of(record, record.event(event_id)), body=asked["body"])


@blueprint.get("/events/<event_id>/tried")
@answers(blueprint, schemas.TriedEventSchema, 404)
def try_on_event(event_id: str) -> dict[str, Any]:
    """Try today's rules on an event as it came; nothing is recorded."""
    tried = details_of(services().record.event(event_id))
    masking = None if sees_persons() else tried.masking
    return {"tried": [_tried_wire(one, masking) for one in tried.tried], "unreadable": tried.unreadable}


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
@blueprint.arguments(schemas.SinceSchema, location="query", unknown=RAISE)
@answers(blueprint, schemas.GroupsSchema, 422)
def needs(asked: dict[str, Any]) -> dict[str, Any]:
    """Everything that failed and waits for a person, grouped by the fault; the newest five thousand of each kind."""
    groups = services().store.open_issues.groups(asked.get("since"))
    return {"groups": [group.to_wire() | {"says": sentence_of_group(group)} for group in groups]}


@blueprint.get("/token")
@answers(blueprint, schemas.TokenSchema)
def token() -> dict[str, Any]:
    """The rights of the token that was sent."""
    return {"who": g.who, "may_act": g.may_act, "sees_persons": sees_persons(), "version": __version__}


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
    masking = None if sees_persons() else _masking()
    return {"tried": [_tried_wire(one, masking) for one in tried]}


@blueprint.get("/audit")
@answers(blueprint, schemas.AuditSchema)
def audit() -> dict[str, Any]:
    """The ledger: whether the books balance."""
    return services().record.counts().to_wire()


def _event_wire(row: Row, *, body: bool) -> dict[str, Any]:
    if not sees_persons():
        masking = _masking()
        content = {"body": _masked_body(row, masking), "envelope": _masked_envelope(row, masking)} if body else {}
        return masked_event(row, masking) | content
    wire = row.event.to_wire() | {"deliveries": [one.to_wire() for one in row.deliveries]}
    return wire if body else {name: value for name, value in wire.items() if name not in {"body", "envelope"}}


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


def _tried_wire(tried: RulePreview, masking: Masking | None) -> dict[str, Any]:
    """masking: None shows all of it."""
    steps, call = [one.to_wire() for one in tried.steps], tried.call.to_wire() if tried.call else None
    errors: Any = tried.errors
    if masking:
        steps = [step | {"fields": masking.value(step["fields"])} for step in steps]
        errors = masking.value(errors)
        call = masked_call(call, masking) if call else None
    return {
        "rule": tried.rule,
        "matches": tried.matches,
        "steps": steps,
        "call": call,
        "errors": errors,
        "codes": codes_of(tried.errors),
    }
