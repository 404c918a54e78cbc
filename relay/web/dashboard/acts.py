"""What an operator can do to a delivery or an event. Each act has one page that says what it will do, then one POST.

What is legal is decided by relay/operations/operator_acts.py and the record; the table here only says what to offer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from flask import abort, flash, redirect, render_template, request, url_for

from relay.core.errors import NotFoundError
from relay.core.events import CallbackState, Delivery
from relay.core.lifecycle import FINAL, State
from relay.core.phrases import phrase
from relay.web.dashboard.frame import blueprint, for_operators, who
from relay.web.dashboard.live import AWAITED
from relay.web.language import _
from relay.web.presenters.event_details import details_of, lines_of, rule_named
from relay.web.services import services

LONGEST_NOTE = 500
LONGEST_WORKFLOW_ID = 32


@dataclass(frozen=True, slots=True)
class Offer:
    """One act. states: of the deliveries it is for; asks: fields beside the confirmation; does: the act itself."""

    name: str
    button: str
    says: str
    states: frozenset[State]
    does: Callable[[Delivery], str]
    asks: tuple[str, ...] = ()
    is_grave: bool = False


def _replay(delivery: Delivery, *, current_rules: bool) -> str:
    (made,) = services().operator_acts.replay(delivery.id, who(), current_rules=current_rules)
    return _("A new delivery was made: %(id)s.", id=made.id)


def _settle(delivery: Delivery, state: State) -> str:
    workflow_id = request.form.get("workflow_id", "").strip() or None
    if workflow_id and len(workflow_id) > LONGEST_WORKFLOW_ID:
        abort(
            400,
            _(
                "a workflow's id has at most %(longest_workflow_id)s characters",
                longest_workflow_id=LONGEST_WORKFLOW_ID,
            ),
        )
    settled = services().operator_acts.settle(delivery.id, who(), state, _note(), workflow_id=workflow_id)
    return _("Settled: %(id)s is %(state)s now.", id=delivery.id, state=settled.state)


def _cancel(delivery: Delivery) -> str:
    services().operator_acts.cancel(delivery.id, who(), _note())
    return _("Cancelled: %(id)s will not be sent.", id=delivery.id)


def _leave(delivery: Delivery) -> str:
    services().operator_acts.leave(delivery.id, who(), _note())
    return _("Left: %(id)s stays as it is, and needs nobody any more.", id=delivery.id)


def _end(delivery: Delivery, act: str) -> str:
    return services().operator_acts.end_workflow(delivery.workflow_id or "", who(), act).id


STARTED, DEAD, UNCERTAIN = frozenset({State.STARTED}), frozenset({State.DEAD}), frozenset({State.UNCERTAIN})
WAITING = frozenset({State.PENDING, State.RETRYING})
OFFERS = (
    Offer(
        "replay", "Replay the same call",
        "A new delivery with the call below is made and sent as soon as the portal's pace allows. It goes on with the "
        "documents that were made. The old one stays as it is, and cannot be replayed a second time.",
        FINAL, lambda delivery: _replay(delivery, current_rules=False),
    ),
    Offer(
        "replay-current", "Replay with today's rules",
        "A new delivery is made with the call that today's rules make of the event. What differs from the old call is "
        "marked below. It goes on with the documents that were made. The old one stays as it is, and cannot be "
        "replayed a second time.",
        FINAL, lambda delivery: _replay(delivery, current_rules=True),
    ),
    Offer(
        "leave", "Leave it",
        "The delivery stays dead, and is no longer counted among what needs a person. It can still be replayed.",
        DEAD, _leave, asks=("note",),
    ),
    Offer(
        "leave-overdue", "Leave it",
        "The workflow is no longer counted among those that are overdue. Should its end be heard of later, it is noted "
        "all the same.",
        STARTED, _leave, asks=("note",),
    ),
    Offer(
        "settle-started", "It has started",
        "The delivery becomes started. Do this after you have seen the workflow on the portal; give its id if you know "
        "it.",
        UNCERTAIN, lambda delivery: _settle(delivery, State.STARTED), asks=("workflow_id", "note"),
    ),
    Offer(
        "settle-fired", "It was fired",
        "The trigger counts as fired, and what follows it is done. Do this after you have looked at the document on "
        "the portal.",
        UNCERTAIN, lambda delivery: _settle(delivery, State.STARTED), asks=("note",),
    ),
    Offer(
        "settle-again", "Send it again",
        "The call is sent again. If the first one did arrive, it is done twice: look on the portal first.",
        UNCERTAIN, lambda delivery: _settle(delivery, State.RETRYING), asks=("note",), is_grave=True,
    ),
    Offer(
        "give-up", "Give up",
        "The delivery becomes dead. Nothing is sent; it can be replayed later.",
        UNCERTAIN, lambda delivery: _settle(delivery, State.DEAD), asks=("note",), is_grave=True,
    ),
    Offer(
        "cancel", "Cancel",
        "The delivery becomes dead before it is sent. It can be replayed later.",
        WAITING, _cancel, asks=("note",), is_grave=True,
    ),
    Offer(
        "terminate", "Terminate the workflow",
        "The portal is asked to end the workflow. What it has done stays, and so does its log on the portal.",
        STARTED, lambda delivery: _end(delivery, "terminate"), is_grave=True,
    ),
    Offer(
        "kill", "Kill the workflow",
        "The portal is asked to end the workflow and to delete its data, its log included. This cannot be undone.",
        STARTED, lambda delivery: _end(delivery, "kill"), is_grave=True,
    ),
)  # fmt: skip


def acts_for(delivery: Delivery, *, is_replayed: bool) -> list[Offer]:
    """What can be done to a delivery now."""
    offers = [offer for offer in OFFERS if delivery.state in offer.states]
    offers = [offer for offer in offers if not (is_replayed and offer.name.startswith("replay"))]
    offers = [offer for offer in offers if not (delivery.errors and offer.name == "replay")]
    offers = [offer for offer in offers if delivery.workflow_id or offer.name not in {"terminate", "kill"}]
    other = "settle-started" if delivery.next_step else "settle-fired"
    offers = [offer for offer in offers if offer.name != other]
    overdue = delivery.watched is not None and delivery.watched.state is CallbackState.OVERDUE
    offers = [offer for offer in offers if offer.name != "leave-overdue" or overdue]
    return [offer for offer in offers if offer.name != "leave" or services().record.is_unresolved_dead(delivery.id)]


@blueprint.get("/deliveries/<delivery_id>/acts/<name>")
@for_operators
def confirm(delivery_id: str, name: str) -> Any:
    """Say what an act will do, and ask once."""
    offer, delivery = _offer(name), services().record.delivery(delivery_id)
    if delivery.state not in offer.states:
        abort(409, _("%(id)s is %(state)s now: this cannot be done any more", id=delivery.id, state=delivery.state))
    looked = details_of(services().record.event(delivery.event_id))
    tried = looked.tried_by(delivery.rule)
    today = tried.call_after(delivery.values) if tried and name == "replay-current" else None
    return render_template(
        "confirm.html",
        offer=offer,
        delivery=delivery,
        lines=lines_of(delivery.call, rule_named(delivery.rule), today, looked.masking),
        tried=tried,
        is_current=name == "replay-current",
        unreadable=looked.unreadable,
    )


@blueprint.post("/deliveries/<delivery_id>/acts/<name>")
def act(delivery_id: str, name: str) -> Any:
    """Do it."""
    offer, delivery = _offer(name), services().record.delivery(delivery_id)
    said = offer.does(delivery)
    if name in {"terminate", "kill"}:
        return redirect(url_for("dashboard.question", question_id=said), 303)
    flash(said)
    return redirect(url_for("dashboard.event", event_id=delivery.event_id), 303)


@blueprint.get("/events/<event_id>/replay")
@for_operators
def confirm_event(event_id: str) -> Any:
    """Say what today's rules would make of an event from which no call was made."""
    return render_template("confirm_event.html", details=details_of(services().record.event(event_id)))


@blueprint.post("/events/<event_id>/replay")
def replay_event(event_id: str) -> Any:
    """Make the deliveries."""
    made = services().operator_acts.replay(event_id, who(), current_rules=True)
    flash(_("Deliveries were made: %(names)s.", names=", ".join(one.id for one in made)))
    return redirect(url_for("dashboard.event", event_id=event_id), 303)


@blueprint.get("/events/<event_id>/leave")
@for_operators
def confirm_leaving(event_id: str) -> Any:
    """Say what it means to leave a rejected event, and ask once."""
    return render_template("confirm_leave.html", event=services().record.event(event_id))


@blueprint.post("/events/<event_id>/leave")
def leave_event(event_id: str) -> Any:
    """Leave it."""
    services().operator_acts.leave_event(event_id, who(), _note())
    flash(_("Left: %(event_id)s stays as it is, and needs nobody any more.", event_id=event_id))
    return redirect(url_for("dashboard.event", event_id=event_id), 303)


@blueprint.get("/questions/<question_id>")
def question(question_id: str) -> Any:
    """What was asked of a portal, and its answer; looks again by itself until there is one."""
    found = services().questions.read(question_id)
    delivery_id = services().record.delivery_of_workflow(found.workflow_id) if found.workflow_id else None
    fresh = AWAITED if found.state == "asked" else None
    return render_template("question.html", question=found, delivery_id=delivery_id, fresh=fresh)


def _offer(name: str) -> Offer:
    for offer in OFFERS:
        if offer.name == name:
            return offer
    raise NotFoundError(phrase("no act %(name)r", name=name))


def _note() -> str:
    return request.form.get("note", "").strip()[:LONGEST_NOTE]
