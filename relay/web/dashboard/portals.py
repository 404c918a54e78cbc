"""The portals: whether each may be called, why not, how fast, and what a person can do: pause, resume, ping."""

from __future__ import annotations

from collections import Counter
from typing import Any

from flask import flash, redirect, render_template, url_for

from relay.core.errors import NotFoundError
from relay.core.phrases import phrase
from relay.web.dashboard.frame import blueprint, for_operators, who
from relay.web.dashboard.live import OVERVIEW
from relay.web.language import N_, _
from relay.web.presenters.portals import portal_views
from relay.web.services import services

SWITCHES = {
    "pause": N_(
        "No delivery is sent to this portal until a person resumes it. Events are still taken; deliveries wait."
    ),
    "resume": N_(
        "Deliveries are sent to this portal again at once, whatever has closed it. If the trouble is not mended, "
        "the next call closes it again."
    ),
}


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
    )


@blueprint.get("/portals/<name>/<switch>")
@for_operators
def confirm_switch(name: str, switch: str) -> Any:
    """Say what pausing or resuming does."""
    return render_template("confirm_switch.html", name=_known(name), switch=switch, says=_says(switch))


@blueprint.post("/portals/<name>/<switch>")
def switch_portal(name: str, switch: str) -> Any:
    """Pause or resume."""
    _says(switch)
    if switch == "pause":
        services().operator_acts.pause(_known(name), who())
    else:
        services().operator_acts.resume(_known(name), who())
    flash(_("%(name)s is paused now.", name=name) if switch == "pause" else _("%(name)s is open now.", name=name))
    return redirect(url_for("dashboard.portals"), 303)


@blueprint.post("/portals/<name>/ping")
def ping_portal(name: str) -> Any:
    """Ask a worker to look; starts nothing, so it asks nobody whether they are sure."""
    asked = services().operator_acts.ping(_known(name), who())
    return redirect(url_for("dashboard.question", question_id=asked.id), 303)


def _known(name: str) -> str:
    if name not in services().portals:
        raise NotFoundError(phrase("no portal %(name)r", name=name))
    return name


def _says(switch: str) -> str:
    if switch not in SWITCHES:
        raise NotFoundError(phrase("no switch %(switch)r", switch=switch))
    return SWITCHES[switch]
