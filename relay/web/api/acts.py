"""The API's acts, from replay and settle to terminate and kill; one by one, or many by a filter.

A POST with an `Idempotency-Key` is done once: its repeat gets the first answer (relay/web/api/idempotency.py).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from flask import g
from flask_smorest import Blueprint

from relay.core.errors import NotFoundError
from relay.core.ids import DELIVERY_PREFIX, EVENT_PREFIX
from relay.core.lifecycle import BulkAct
from relay.operations.operator_acts import ACTS, Act, Subject
from relay.web.api import schemas
from relay.web.api.delivery_schemas import DeliverySchema
from relay.web.api.documented import answers
from relay.web.api.idempotency import once
from relay.web.presenters.portals import portal_view
from relay.web.problems import ProblemError
from relay.web.services import services
from relay.web.tokens import is_agent

blueprint = Blueprint("acts", __name__, description="What a person or program can do")


@dataclass(frozen=True, slots=True)
class Kind:
    """The path and the answer that all acts on one kind of subject share.

    wire: makes the answer from the subject's id and the act's result. prefix: of its ids. statuses: by verb, if not
    200.
    """

    path: str
    schema: Any
    wire: Callable[[str, Any], dict[str, Any]]
    prefix: str = ""
    statuses: Mapping[str, int] = field(default_factory=dict)


KINDS = {
    Subject.DELIVERY: Kind(
        "/deliveries/<delivery_id>",
        DeliverySchema,
        lambda _id, came: (came[0] if isinstance(came, list) else came).to_wire(),
        DELIVERY_PREFIX,
        {"replay": 201},
    ),
    Subject.EVENT: Kind(
        "/events/<event_id>",
        schemas.LeftSchema,
        lambda event_id, came: {"deliveries": [one.to_wire() for one in came]} if came else {"id": event_id},
        EVENT_PREFIX,
        {"replay": 201},
    ),
    Subject.PORTAL: Kind("/portals/<name>", schemas.PortalSchema, lambda name, _came: portal_view(name).to_wire()),
    Subject.WORKFLOW: Kind(
        "/workflows/<workflow_id>",
        schemas.QuestionSchema,
        lambda _id, came: came.to_wire(),
        statuses={"terminate": 202, "kill": 202},
    ),
}
ASKED = {
    (Subject.DELIVERY, "replay"): schemas.ReplaySchema,
    (Subject.DELIVERY, "settle"): schemas.SettleSchema,
    (Subject.PORTAL, "accept"): schemas.InstallationSchema,
    (Subject.PORTAL, "refuse"): schemas.InstallationSchema,
}
"""Schemas of requests that carry more than a note, by subject and verb."""


def _add_acts() -> None:
    """A path for each verb of each subject in the table of acts (relay/operations/operator_acts.py)."""
    verbs: dict[tuple[Subject, str], list[Act]] = {}
    for act in ACTS:
        verbs.setdefault((act.subject, act.verb), []).append(act)
    for (subject, verb), acts in verbs.items():
        _add(subject, verb, acts)


def _add(subject: Subject, verb: str, acts: list[Act]) -> None:
    kind = KINDS[subject]

    def view(*asked: dict[str, Any], **path: str) -> dict[str, Any]:
        (one,), given = path.values(), asked[0] if asked else {}
        _check(subject, one)
        chosen = next(act for act in acts if not asked or all(given[name] == act.given[name] for name in act.given))
        return kind.wire(one, chosen.does(services().operator_acts, one, g.who, given))

    view.__name__, view.__doc__ = f"{verb}_{subject}", acts[0].summary
    schema = schemas.MadeSchema if verb == "replay" and subject is not Subject.DELIVERY else kind.schema
    answer = answers(blueprint, schema, 404, 409, 422, status=kind.statuses.get(verb, 200), changes=True)(once(view))
    if (subject, verb) in ASKED:
        answer = blueprint.arguments(ASKED[subject, verb])(answer)
    elif acts[0].asks_note:
        answer = blueprint.arguments(schemas.NoteSchema)(answer)
    blueprint.post(f"{kind.path}/{verb}")(answer)


def _check(subject: Subject, one: str) -> None:
    """Raises NotFoundError where an id is none of this subject."""
    if not one.startswith(KINDS[subject].prefix) or (subject is Subject.PORTAL and one not in services().portals):
        raise NotFoundError(f"no {subject} {one!r}" if subject is Subject.PORTAL else f"no {subject} {one}")


_add_acts()


@blueprint.post("/replays")
@blueprint.arguments(schemas.ReplaysSchema)
@answers(blueprint, schemas.BulkSchema, 404, 409, 422, status=201, changes=True)
@once
def replay_many(asked: dict[str, Any]) -> dict[str, Any]:
    """Replay, leave or settle what a filter finds; `dry_run` only counts, and shows a sample and a confirmation."""
    wanted, rules = asked["filter"], asked["rules"]
    act = BulkAct(asked["act"])
    if asked["dry_run"]:
        foreseen, proof = services().bulk.foresee(wanted, rules, act)
        return foreseen.to_wire() | {"confirmation": proof}
    confirmation: str | None = asked.get("confirmation")
    if is_agent() and confirmation is None:
        raise ProblemError(409, "an agent has to confirm a dry run: repeat the request with its `confirmation`")
    begun = services().bulk.begin(wanted, rules, g.who, act=act, note=asked["note"], confirmation=confirmation)
    return begun.to_wire()


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


@blueprint.get("/questions/<question_id>")
@answers(blueprint, schemas.QuestionSchema, 404)
def question(question_id: str) -> dict[str, Any]:
    """The portal's answer to a question."""
    return services().questions.read(question_id).to_wire()
