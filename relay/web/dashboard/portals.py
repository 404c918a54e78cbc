"""The portals: whether and how fast each may be called, and what a person can do: pause, resume, ping."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta
from typing import Any

from flask import abort, flash, redirect, render_template, request, url_for

from relay.core.errors import NotFoundError
from relay.core.ids import utc_now
from relay.core.phrases import phrase
from relay.operations.operator_acts import ACTS, PAUSE, PORTAL, Act
from relay.web.dashboard.frame import blueprint, for_operators, who
from relay.web.dashboard.live import OVERVIEW
from relay.web.language import _
from relay.web.presenters.filters import LONGEST, moment_asked
from relay.web.presenters.portals import portal_views
from relay.web.services import services
from relay.web.zone import local, typed

SWITCHES = {act.name: act for act in ACTS if act.subject is PORTAL}
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
        prefixes={name: portal.variable_prefix for name, portal in services().portals.items()},
        codes={name: store.portal(name).codes() for name in names},
        jobs={name: store.portal(name).jobs() for name in names},
        workers=Counter(portal for worker in store.workers() for portal in worker.portals),
    )


@blueprint.get("/portals/<name>/<switch>")
@for_operators
def confirm_switch(name: str, switch: str) -> Any:
    """Say what pausing or resuming does."""
    page, store = "pause.html" if switch == "pause" else "confirm_switch.html", services().store
    gate, held = store.portal(_known(name)).gate.look(), store.operators.bulk_replays.held()
    return render_template(page, name=name, switch=switch, says=_switch(switch).says, gate=gate, held=held)


@blueprint.post("/portals/<name>/<switch>")
def switch_portal(name: str, switch: str) -> Any:
    """Pause or resume."""
    act = _switch(switch)
    until = _end_of_pause(utc_now()) if act is PAUSE else None
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
    return moment_asked("until", text, is_ahead=True) if text else abort(400, _("until: a time is needed"))


def _known(name: str) -> str:
    if name not in services().portals:
        raise NotFoundError(phrase("no portal %(name)r", name=name))
    return name


def _switch(name: str) -> Act:
    if name not in SWITCHES:
        raise NotFoundError(phrase("no switch %(switch)r", switch=name))
    return SWITCHES[name]
