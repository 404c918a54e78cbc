"""The portals: whether and how fast each may be called, and what a person can do: add, connect by an inbound webhook,
pause, resume, ping. connection.py connects one by an application.

No credential of a portal is typed into a page or read here: the page shows the command of the workers that takes it.
"""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta
from typing import Any

from flask import flash, redirect, render_template, request, url_for
from werkzeug.exceptions import BadRequest

from relay.configuration.portals import PLANS, variable_prefix
from relay.core.errors import NotFoundError, RecordUnavailableError, RelayError
from relay.core.ids import utc_now
from relay.core.phrases import phrase
from relay.operations.operator_acts import ACCEPT, ACTS, PAUSE, PORTAL, REFUSE, Act
from relay.store.portals.questions import QuestionState
from relay.web.dashboard.connection import application_of
from relay.web.dashboard.frame import blueprint, for_operators, who
from relay.web.dashboard.live import AWAITED, OVERVIEW
from relay.web.dashboard.new_source import LONGEST_NAME, config_files, reason_of
from relay.web.language import _
from relay.web.presenters.filters import LONGEST, moment_asked
from relay.web.presenters.portals import portal_views
from relay.web.services import services
from relay.web.zone import local, typed

SWITCHES = {act.name: act for act in ACTS if act.subject is PORTAL and act not in (ACCEPT, REFUSE)}
PAUSES = {"hour": timedelta(hours=1), "shift": timedelta(hours=8)}
"""Pauses of a fixed length. A pause can also last until the next morning or a given time, both in the visitor's zone,
or until a person ends it."""
MORNING = 9


@blueprint.get("/portals")
def portals() -> Any:
    """Every portal."""
    store, names = services().store, services().portals
    return render_template(
        "portals.html",
        fresh=OVERVIEW,
        views=portal_views(),
        codes={name: store.portal(name).codes() for name in names},
        jobs={name: store.portal(name).jobs() for name in names},
        workers=Counter(portal for worker in store.workers() for portal in worker.portals),
        applications={name: application_of(name) for name, one in services().portals.items() if one.application},
    )


@blueprint.get("/portals/add")
@for_operators
def new_portal() -> Any:
    """The form of a new portal."""
    return _portal_form("", "standard")


@blueprint.post("/portals/add")
def add_portal() -> Any:
    """Write it, and have the first worker that gets its credential ping it."""
    name, plan = request.form.get("name", "").strip()[:LONGEST_NAME], request.form.get("plan", "")
    if plan not in PLANS:
        plan = "standard"
    try:
        config_files().add_portal(name, plan, who())
    except RecordUnavailableError:
        raise
    except RelayError as error:
        return _portal_form(name, plan, reason_of(error)), 422
    asked = services().operator_acts.ping(name, who())
    return redirect(url_for("dashboard.connect_portal", name=name, asked=asked.id), 303)


def _portal_form(name: str, plan: str, why: str = "") -> Any:
    read_only = config_files().read_only(with_secrets=False)
    return render_template("new_portal.html", plans=PLANS, name=name, plan=plan, read_only=read_only, why=why)


@blueprint.get("/portals/<name>/connect")
@for_operators
def connect_portal(name: str) -> Any:
    """The command that takes its credential; after a ping was asked for, its answer."""
    if name not in services().portals and name not in config_files().portals_written():
        raise NotFoundError(phrase("no portal %(name)r", name=name))
    asked_id = request.args.get("asked", "")
    asked = services().questions.read(asked_id) if asked_id else None
    if asked and asked.portal != name:
        raise NotFoundError(phrase("no question %(question_id)s", question_id=asked_id))
    is_asked = asked is not None and asked.state is QuestionState.ASKED
    prefix = variable_prefix(name)
    faults = [one for each in services().store.files.waiting(utc_now()) for one in each.mistakes if prefix in str(one)]
    return render_template(
        "connect.html",
        fresh=AWAITED if is_asked else None,
        name=name,
        variable=f"{prefix}WEBHOOK_URL",
        question=asked,
        faults=faults if is_asked else [],
    )


@blueprint.get("/portals/<name>/<switch>")
@for_operators
def confirm_switch(name: str, switch: str) -> Any:
    """Say what pausing or resuming does."""
    return _confirm(name, switch)


def _confirm(name: str, switch: str, typed_until: str = "", why: str = "") -> Any:
    page, store = "pause.html" if switch == "pause" else "confirm_switch.html", services().store
    gate, held = store.portal(_known(name)).gate.look(), store.operators.bulk_replays.held()
    return render_template(
        page,
        name=name,
        switch=switch,
        says=_switch(switch).says,
        gate=gate,
        held=held,
        typed_until=typed_until,
        why=why,
    )


@blueprint.post("/portals/<name>/<switch>")
def switch_portal(name: str, switch: str) -> Any:
    """Pause or resume."""
    act = _switch(switch)
    try:
        until = _end_of_pause(utc_now()) if act is PAUSE else None
    except BadRequest as error:  # a typo costs no more than itself
        typed_until = request.form.get("until", "")[:LONGEST]
        return _confirm(name, switch, typed_until, error.description or ""), 400
    act.does(services().operator_acts, _known(name), who(), {"until": until})
    if until:
        flash(_("%(name)s is paused until %(until)s.", name=name, until=typed(until)))
    else:
        flash(_(act.done, name=name))
    return redirect(url_for("dashboard.portals"), 303)


@blueprint.post("/portals/<name>/ping")
def ping_portal(name: str) -> Any:
    """Have a worker ping the portal. It starts nothing, so it needs no confirmation."""
    asked = services().operator_acts.ping(_known(name), who())
    if "connect" in request.form:
        return redirect(url_for("dashboard.connect_portal", name=name, asked=asked.id), 303)
    return redirect(url_for("dashboard.question", question_id=asked.id), 303)


def _end_of_pause(now: datetime) -> datetime | None:
    """The end of the requested pause; None: until a person ends it."""
    lasts = request.form.get("lasts", "")
    if lasts in PAUSES:
        return now + PAUSES[lasts]
    if lasts == "morning":
        here = local(now)
        morning = here.replace(hour=MORNING, minute=0, second=0, microsecond=0)
        return morning if morning > here else morning + timedelta(days=1)
    if lasts != "time":
        return None
    text = request.form.get("until", "").strip()[:LONGEST]
    if not text:
        raise BadRequest(_("until: a time is needed"))
    return moment_asked("until", text, is_ahead=True)


def _known(name: str) -> str:
    if name not in services().portals:
        raise NotFoundError(phrase("no portal %(name)r", name=name))
    return name


def _switch(name: str) -> Act:
    if name not in SWITCHES:
        raise NotFoundError(phrase("no switch %(switch)r", switch=name))
    return SWITCHES[name]
