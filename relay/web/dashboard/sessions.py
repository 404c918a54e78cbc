"""Logging in and out, here or everywhere."""

from __future__ import annotations

from typing import Any

from flask import flash, redirect, render_template, request, session, url_for

from relay.ids import utc_now
from relay.store.acts import Act, log_act
from relay.web.auth import log_in, role_of_session, safe_next
from relay.web.dashboard.frame import blueprint, for_anybody, for_viewers, who
from relay.web.house import house


@blueprint.get("/login")
@for_anybody
def login() -> Any:
    """The form; who is logged in already goes on."""
    target = safe_next(request.args.get("next"))
    if role_of_session(house().guard):
        return redirect(target, 303)
    return render_template("login.html", next=target, wrong=False)


@blueprint.post("/login")
@for_anybody
def check_login() -> Any:
    """Open a session, or say that it was not opened; not why."""
    target = safe_next(request.form.get("next"))
    role = house().guard.try_password(request.form.get("password", ""), request.remote_addr or "")
    if role is None:
        return render_template("login.html", next=target, wrong=True), 401
    log_in(house().guard, role)
    return redirect(target, 303)


@blueprint.post("/logout")
@for_anybody
def logout() -> Any:
    """End this session."""
    session.clear()
    return redirect(url_for("dashboard.login"), 303)


@blueprint.get("/sessions")
@for_viewers
def sessions() -> Any:
    """What a session is, and how to end all of them."""
    return render_template("sessions.html")


@blueprint.post("/sessions/end")
def end_sessions() -> Any:
    """End every session, this one too."""
    house().guard.end_all()
    log_act(house().record.redis, Act(utc_now(), who(), "end all sessions", "", ""))
    session.clear()
    flash("Every session has ended.")
    return redirect(url_for("dashboard.login"), 303)
