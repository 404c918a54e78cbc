"""What persons did (the audit log), and what the relay thought a person should know (the alerts)."""

from __future__ import annotations

from typing import Any

from flask import render_template

from relay.store.operators.alerts import read_alerts
from relay.store.operators.audit_log import read_acts
from relay.web.dashboard.frame import blueprint
from relay.web.presenters.masking import Shade
from relay.web.services import house

SHOWN = 200


@blueprint.get("/log")
def log() -> Any:
    """The newest acts."""
    return render_template("log.html", acts=read_acts(house().record.redis, SHOWN), shade=Shade(), shown=SHOWN)


@blueprint.get("/alerts")
def alerts() -> Any:
    """The newest alerts."""
    return render_template("alerts.html", alerts=read_alerts(house().record.redis, SHOWN), shade=Shade(), shown=SHOWN)
