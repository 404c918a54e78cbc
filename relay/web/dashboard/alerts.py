"""The alerts: channels, sent messages, a test message, and what the relay noticed by itself; and the log of people's
acts.
"""

from __future__ import annotations

from typing import Any

from flask import flash, redirect, render_template, url_for

from relay.core.ids import utc_now
from relay.web.dashboard.frame import blueprint, who
from relay.web.dashboard.live import AWAITED, OVERVIEW
from relay.web.language import _
from relay.web.presenters.masking import Masking
from relay.web.services import services

MOST_SENT, MOST_NOTICED = 50, 200
MOST_ACTS, MOST_AGENT_CALLS = 200, 100


@blueprint.get("/alerts")
def alerts() -> Any:
    """Every channel, and the newest messages."""
    kept = services().store.operators.alerts
    channels = kept.channels(utc_now())
    return render_template(
        "alerts.html",
        fresh=AWAITED if any(one.is_asked for one in channels) else OVERVIEW,
        channels=channels,
        sent=kept.sent(MOST_SENT),
        alerts=kept.newest(MOST_NOTICED),
        masking=Masking(),
        most_sent=MOST_SENT,
        shown=MOST_NOTICED,
    )


@blueprint.post("/alerts/<name>/test")
def test_alert(name: str) -> Any:
    """Have a worker send a test message. It says that nothing is wrong, so it needs no confirmation."""
    services().operator_acts.test_channel(name, who())
    flash(_("A test of %(name)s is on its way: a worker sends it within seconds.", name=name))
    return redirect(url_for("dashboard.alerts"), 303)


@blueprint.get("/log")
def log() -> Any:
    """The newest acts, and the newest requests of agents."""
    operators = services().store.operators
    return render_template(
        "log.html",
        acts=operators.acts(MOST_ACTS),
        agent_calls=operators.agent_calls(MOST_AGENT_CALLS),
        masking=Masking(),
        shown=MOST_ACTS,
        shown_agent_calls=MOST_AGENT_CALLS,
    )
