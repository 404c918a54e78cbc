"""The dashboard for people: what came, what became of it. Reads; changes nothing but the session."""

from __future__ import annotations

import json
from typing import Any

from flask import Blueprint, Response, abort, redirect, render_template, request, session, url_for

from relay.errors import NotFoundError
from relay.events import Event
from relay.ids import DELIVERY_PREFIX, EVENT_PREFIX
from relay.lifecycle import EventState, State
from relay.listing import Filter, list_events, parse_state, row_of
from relay.web.auth import for_people, is_logged_in, log_in, refuse_other_sites, safe_next
from relay.web.house import house

blueprint = Blueprint("dashboard", __name__)
PAGE = 50
POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
needs_login = for_people(lambda: house().guard.epoch)


@blueprint.after_app_request
def protect(response: Response) -> Response:
    """Headers for every answer: no framing, no inline code, nothing of a person in a cache."""
    response.headers.setdefault("Content-Security-Policy", POLICY)
    response.headers.setdefault("X-Content-Type-Options", "nosniff")
    response.headers.setdefault("Referrer-Policy", "same-origin")
    if request.endpoint != "static":
        response.headers.setdefault("Cache-Control", "no-store")
    return response


@blueprint.get("/login")
def login() -> Any:
    """The form; who is logged in already goes on."""
    target = safe_next(request.args.get("next"))
    if is_logged_in(house().guard.epoch):
        return redirect(target, 303)
    return render_template("login.html", next=target, wrong=False)


@blueprint.post("/login")
def check_login() -> Any:
    """Open a session, or say that it was not opened; not why."""
    refuse_other_sites()
    target = safe_next(request.form.get("next"))
    if not house().guard.try_password(request.form.get("password", ""), request.remote_addr or ""):
        return render_template("login.html", next=target, wrong=True), 401
    log_in(house().guard.epoch)
    return redirect(target, 303)


@blueprint.post("/logout")
def logout() -> Any:
    """End the session."""
    refuse_other_sites()
    session.clear()
    return redirect(url_for("dashboard.login"), 303)


@blueprint.get("/")
@needs_login
def index() -> Any:
    """The newest events, and how many deliveries are in which state."""
    chosen = request.args.get("state") or ""
    state = parse_state(chosen)
    if chosen and state is None:
        abort(400, "no such state")
    wanted = Filter(state=state, source=request.args.get("source") or None)
    page = list_events(house().record, wanted, request.args.get("cursor") or None, PAGE)
    return render_template(
        "events.html",
        page=page,
        wanted=wanted,
        ledger=house().record.counts(),
        states=list(State),
        event_states=[state for state in EventState if state is not EventState.PROBE],
        sources=sorted(house().sources),
    )


@blueprint.get("/events/<event_id>")
@needs_login
def event(event_id: str) -> Any:
    """One event: the request, the calls made from it, every attempt."""
    found = house().record.event(event_id)
    return render_template("event.html", row=row_of(house().record, found), body=_readable(found))


@blueprint.get("/deliveries/<delivery_id>")
@needs_login
def delivery(delivery_id: str) -> Any:
    """A delivery is shown on the page of its event."""
    found = house().record.delivery(delivery_id)
    return redirect(url_for("dashboard.event", event_id=found.event_id, _anchor=found.id), 303)


@blueprint.get("/find")
@needs_login
def find() -> Any:
    """Go to the event or delivery of this id."""
    wanted = request.args.get("id", "").strip().lower()
    if wanted.startswith(EVENT_PREFIX):
        return redirect(url_for("dashboard.event", event_id=wanted), 303)
    if wanted.startswith(DELIVERY_PREFIX):
        return redirect(url_for("dashboard.delivery", delivery_id=wanted), 303)
    raise NotFoundError("an id begins with evt_ or dlv_")


@blueprint.app_template_filter("pretty")
def pretty(value: Any) -> str:
    """JSON for people."""
    return json.dumps(value, ensure_ascii=False, indent=2)


def _readable(event: Event) -> str:
    """The body as text; JSON is set out in lines."""
    text = event.body.decode("utf-8", "replace")
    try:
        return pretty(json.loads(text))
    except (ValueError, RecursionError):
        return text
