"""The API's acts: replay, settle, cancel, leave, pause, resume, terminate, kill; one by one, or many by a filter.

A POST with an `Idempotency-Key` is done once: its repeat gets the first answer (relay/web/api/idempotency.py).
"""

from __future__ import annotations

from typing import Any

from flask import g
from flask_smorest import Blueprint

from relay.core.errors import NotFoundError
from relay.core.ids import DELIVERY_PREFIX, EVENT_PREFIX
from relay.core.lifecycle import State
from relay.store.operators.bulk_replays import BulkAct
from relay.web.api import schemas
from relay.web.api.delivery_schemas import DeliverySchema
from relay.web.api.documented import answers
from relay.web.api.idempotency import once
from relay.web.api.queries import filter_of
from relay.web.presenters.portals import portal_view
from relay.web.services import services

blueprint = Blueprint("acts", __name__, description="What a person or program can do")


@blueprint.post("/deliveries/<delivery_id>/replay")
@blueprint.arguments(schemas.ReplaySchema)
@answers(blueprint, DeliverySchema, 404, 409, 422, status=201, changes=True)
@once
def replay(asked: dict[str, Any], delivery_id: str) -> dict[str, Any]:
    """A new delivery for a dead or started one: the same call, or what today's rules make of the event."""
    if not delivery_id.startswith(DELIVERY_PREFIX):
        raise NotFoundError(f"no delivery {delivery_id}")
    (made,) = services().operator_acts.replay(delivery_id, g.who, current_rules=asked["rules"] == "current")
    return made.to_wire()


@blueprint.post("/events/<event_id>/replay")
@answers(blueprint, schemas.MadeSchema, 404, 409, 422, status=201, changes=True)
@once
def replay_event(event_id: str) -> dict[str, Any]:
    """New deliveries for an event that no rule could use when it came: what today's rules make of it."""
    if not event_id.startswith(EVENT_PREFIX):
        raise NotFoundError(f"no event {event_id}")
    made = services().operator_acts.replay(event_id, g.who, current_rules=True)
    return {"deliveries": [one.to_wire() for one in made]}


@blueprint.post("/events/<event_id>/leave")
@blueprint.arguments(schemas.NoteSchema)
@answers(blueprint, schemas.LeftSchema, 404, 409, 422, changes=True)
@once
def leave_event(asked: dict[str, Any], event_id: str) -> dict[str, Any]:
    """Acknowledge a rejected event: it stays so, and is no longer counted as a need."""
    services().operator_acts.leave_event(event_id, g.who, asked["note"])
    return {"id": event_id}


@blueprint.post("/deliveries/<delivery_id>/settle")
@blueprint.arguments(schemas.SettleSchema)
@answers(blueprint, DeliverySchema, 404, 409, 422, changes=True)
@once
def settle(asked: dict[str, Any], delivery_id: str) -> dict[str, Any]:
    """Decide an uncertain delivery. Where it is a trigger that is uncertain, `started` says that it was fired."""
    settled = services().operator_acts.settle(
        delivery_id, g.who, State(asked["as_"]), asked["note"], workflow_id=asked.get("workflow_id")
    )
    return settled.to_wire()


@blueprint.post("/deliveries/<delivery_id>/cancel")
@blueprint.arguments(schemas.NoteSchema)
@answers(blueprint, DeliverySchema, 404, 409, 422, changes=True)
@once
def cancel(asked: dict[str, Any], delivery_id: str) -> dict[str, Any]:
    """Give up a delivery that still waits."""
    return services().operator_acts.cancel(delivery_id, g.who, asked["note"]).to_wire()


@blueprint.post("/deliveries/<delivery_id>/leave")
@blueprint.arguments(schemas.NoteSchema)
@answers(blueprint, DeliverySchema, 404, 409, 422, changes=True)
@once
def leave(asked: dict[str, Any], delivery_id: str) -> dict[str, Any]:
    """Acknowledge a dead delivery, or an overdue one: it stays so, and is no longer counted as a need."""
    return services().operator_acts.leave(delivery_id, g.who, asked["note"]).to_wire()


@blueprint.post("/replays")
@blueprint.arguments(schemas.ReplaysSchema)
@answers(blueprint, schemas.BulkSchema, 404, 409, 422, status=201, changes=True)
@once
def replay_many(asked: dict[str, Any]) -> dict[str, Any]:
    """Replay, leave or settle what a filter finds; `dry_run` only counts, and shows a sample."""
    wanted = filter_of(asked["filter"])
    act = BulkAct(asked["act"])
    if asked["dry_run"]:
        return services().bulk.dry_run(wanted, act).to_wire()
    return services().bulk.begin(wanted, asked["rules"], g.who, act=act, note=asked["note"]).to_wire()


@blueprint.get("/replays/<replays_id>")
@answers(blueprint, schemas.BulkSchema, 404)
def replays(replays_id: str) -> dict[str, Any]:
    """How far it is, and what has become of it."""
    bulk = services().bulk
    return bulk.read(replays_id).to_wire() | {"outcomes": bulk.bulks.outcomes(replays_id)}


@blueprint.delete("/replays/<replays_id>")
@answers(blueprint, schemas.BulkSchema, 404)
def cancel_replays(replays_id: str) -> dict[str, Any]:
    """Stop a bulk replay; what was replayed stays replayed."""
    return services().bulk.cancel(replays_id, g.who).to_wire()


@blueprint.post("/replays/<replays_id>/resume")
@answers(blueprint, schemas.BulkSchema, 404, 409, 422, changes=True)
@once
def resume_replays(replays_id: str) -> dict[str, Any]:
    """Let an order go on that was held when the record went back in time; what has changed since is left alone."""
    return services().bulk.go_on(replays_id, g.who).to_wire()


@blueprint.post("/portals/<name>/pause")
@answers(blueprint, schemas.PortalSchema, 404, 409, 422, changes=True)
@once
def pause(name: str) -> dict[str, Any]:
    """Let the deliveries of a portal wait."""
    services().operator_acts.pause(_known(name), g.who)
    return portal_view(name).to_wire()


@blueprint.post("/portals/<name>/resume")
@answers(blueprint, schemas.PortalSchema, 404, 409, 422, changes=True)
@once
def resume(name: str) -> dict[str, Any]:
    """Open a held or paused portal."""
    services().operator_acts.resume(_known(name), g.who)
    return portal_view(name).to_wire()


@blueprint.post("/workflows/<workflow_id>/terminate")
@answers(blueprint, schemas.QuestionSchema, 404, 409, 422, status=202, changes=True)
@once
def terminate(workflow_id: str) -> dict[str, Any]:
    """Ask the portal to end a workflow and keep its data."""
    return services().operator_acts.end_workflow(workflow_id, g.who, "terminate").to_wire()


@blueprint.post("/workflows/<workflow_id>/kill")
@answers(blueprint, schemas.QuestionSchema, 404, 409, 422, status=202, changes=True)
@once
def kill(workflow_id: str) -> dict[str, Any]:
    """Ask the portal to end a workflow and delete its data."""
    return services().operator_acts.end_workflow(workflow_id, g.who, "kill").to_wire()


@blueprint.get("/questions/<question_id>")
@answers(blueprint, schemas.QuestionSchema, 404)
def question(question_id: str) -> dict[str, Any]:
    """What the portal answered."""
    return services().questions.read(question_id).to_wire()


def _known(portal: str) -> str:
    if portal not in services().portals:
        raise NotFoundError(f"no portal {portal!r}")
    return portal
