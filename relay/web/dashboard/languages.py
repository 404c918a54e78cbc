"""The link in the header that changes the language of the pages."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from flask import abort, current_app, redirect, request

from relay.web.auth.guard import safe_next
from relay.web.dashboard.frame import blueprint, for_anybody
from relay.web.language import COOKIE, _, languages

KEPT_FOR = timedelta(days=365)


@blueprint.post("/language")
@for_anybody
def choose_language() -> Any:
    """Remember the language in this browser, and go back to the page."""
    chosen = request.form.get("language", "")
    if chosen not in languages():
        abort(400, _("pages do not speak this language"))
    answer = redirect(safe_next(request.form.get("back", "").rstrip("?")), 303)
    answer.set_cookie(
        COOKIE,
        chosen,
        max_age=KEPT_FOR,
        secure=bool(current_app.config["SESSION_COOKIE_SECURE"]),
        httponly=True,
        samesite="Lax",
    )
    return answer
