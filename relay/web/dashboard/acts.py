"""Acts of an operator on a delivery or an event. Each has a page that says what it will do, and one POST.

relay/operations/operator_acts.py has the table of acts, and decides with the record what is legal.
"""

from __future__ import annotations

from typing import Any

from flask import abort, flash, redirect, render_template, request, url_for

from relay.core.errors import NotFoundError
from relay.core.events import Delivery
from relay.core.phrases import phrase
from relay.operations.operator_acts import (
    ACTS,
    DELIVERY,
    LEAVE,
    LEAVE_EVENT,
    REPLAY_CURRENT,
    REPLAY_EVENT,
    WORKFLOW,
    Act,
)
from relay.web.dashboard.frame import blueprint, for_operators, who
from relay.web.dashboard.live import AWAITED
from relay.web.language import _
from relay.web.presenters.event_details import details_of, lines_of, rule_named
from relay.web.services import services

LONGEST_NOTE = 500
LONGEST_WORKFLOW_ID = 32
OFFERED = [act for act in ACTS if act.subject in {DELIVERY, WORKFLOW}]


def acts_for(delivery: Delivery, *, is_replayed: bool) -> list[Act]:
    """The acts that a delivery allows now."""
    offered = [act for act in OFFERED if delivery.state in act.states and act.fits(delivery)]
    offered = [act for act in offered if not (is_replayed and act.verb == "replay")]
    return [act for act in offered if act is not LEAVE or services().record.is_unresolved_dead(delivery.id)]


@blueprint.get("/deliveries/<delivery_id>/acts/<name>")
@for_operators
def confirm(delivery_id: str, name: str) -> Any:
    """Say what an act will do, and ask once."""
    offer, delivery = _offer(name), services().record.delivery(delivery_id)
    if delivery.state not in offer.states:
        abort(409, _("%(id)s is %(state)s now: this cannot be done any more", id=delivery.id, state=delivery.state))
    looked = details_of(services().record.event(delivery.event_id))
    tried = looked.tried_by(delivery.rule)
    today = tried.call_after(delivery.values) if tried and offer is REPLAY_CURRENT else None
    rule = rule_named(delivery.rule)
    return render_template(
        "confirm.html",
        offer=offer,
        delivery=delivery,
        lines=lines_of(delivery.call, rule, today, looked.masking),
        rule=rule,
        tried=tried,
        is_current=offer is REPLAY_CURRENT,
        unreadable=looked.unreadable,
    )


@blueprint.post("/deliveries/<delivery_id>/acts/<name>")
def act(delivery_id: str, name: str) -> Any:
    """Do it."""
    offer, delivery = _offer(name), services().record.delivery(delivery_id)
    if offer.subject is WORKFLOW:
        asked = offer.does(services().operator_acts, delivery.workflow_id or "", who(), {})
        return redirect(url_for("dashboard.question", question_id=asked.id), 303)
    return _done(offer, delivery.id, delivery.event_id)


@blueprint.get("/events/<event_id>/replay")
@for_operators
def confirm_event(event_id: str) -> Any:
    """Say what today's rules would make of an event from which no call was made."""
    return render_template(
        "confirm_event.html",
        act=REPLAY_EVENT,
        details=details_of(services().record.event(event_id)),
        rule_named=rule_named,
    )


@blueprint.post("/events/<event_id>/replay")
def replay_event(event_id: str) -> Any:
    """Make the deliveries."""
    return _done(REPLAY_EVENT, event_id, event_id)


@blueprint.get("/events/<event_id>/leave")
@for_operators
def confirm_leaving(event_id: str) -> Any:
    """Say what it means to leave a rejected event, and ask once."""
    return render_template("confirm_leave.html", act=LEAVE_EVENT, event=services().record.event(event_id))


@blueprint.post("/events/<event_id>/leave")
def leave_event(event_id: str) -> Any:
    """Leave it."""
    return _done(LEAVE_EVENT, event_id, event_id)


@blueprint.get("/questions/<question_id>")
def question(question_id: str) -> Any:
    """Show a question to a portal and its answer; the page refreshes itself until there is one."""
    found = services().questions.read(question_id)
    delivery_id = services().record.delivery_of_workflow(found.workflow_id) if found.workflow_id else None
    fresh = AWAITED if found.state == "asked" else None
    return render_template("question.html", question=found, delivery_id=delivery_id, fresh=fresh)


def _done(act: Act, one: str, event_id: str) -> Any:
    """Do an act as the form asks, say so, and go back to the event."""
    workflow_id = request.form.get("workflow_id", "").strip() or None
    if workflow_id and len(workflow_id) > LONGEST_WORKFLOW_ID:
        abort(
            400,
            _(
                "a workflow's id has at most %(longest_workflow_id)s characters",
                longest_workflow_id=LONGEST_WORKFLOW_ID,
            ),
        )
    asked = {"note": request.form.get("note", "").strip()[:LONGEST_NOTE], "workflow_id": workflow_id}
    came = act.does(services().operator_acts, one, who(), asked)
    made = came if isinstance(came, list) else [came] if came else []
    state = made[0].state if made else None
    flash(_(act.done, id=made[0].id if made else one, state=state, names=", ".join(each.id for each in made)))
    return redirect(url_for("dashboard.event", event_id=event_id), 303)


def _offer(name: str) -> Act:
    for offer in OFFERED:
        if offer.name == name:
            return offer
    raise NotFoundError(phrase("no act %(name)r", name=name))
