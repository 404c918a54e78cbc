"""What persons did: the audit log."""

from __future__ import annotations

from typing import Any

from flask import render_template

from relay.web.dashboard.frame import blueprint
from relay.web.presenters.masking import Masking
from relay.web.services import services

SHOWN = 200


@blueprint.get("/log")
def log() -> Any:
    """The newest acts."""
    return render_template("log.html", acts=services().store.operators.acts(SHOWN), masking=Masking(), shown=SHOWN)
