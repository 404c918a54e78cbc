"""Logging in and out, here and on other devices, and the language of the pages.

A login is no entry of the audit log, which records acts; the page of sessions lists the open ones.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from flask import abort, current_app, flash, redirect, render_template, request, url_for

from relay.core.faults import fault
from relay.core.ids import utc_now
from relay.core.phrases import Moment
from relay.store.operators.audit_log import Act
from relay.store.operators.sessions import IDLE, LONGEST, TooManyTriesError
from relay.web.auth import (
    KNOWN_COOKIE,
    KNOWN_FOR,
    Role,
    is_operator,
    log_in,
    log_out,
    role_of_session,
    safe_next,
    session_now,
)
from relay.web.dashboard.frame import blueprint, for_anybody, for_viewers, who
from relay.web.language import COOKIE, _, languages
from relay.web.services import services

KEPT_FOR = timedelta(days=365)


@blueprint.get("/login")
@for_anybody
def login() -> Any:
    """The form; a logged-in visitor is sent on."""
    target = safe_next(request.args.get("next"))
    if role_of_session(services().guard):
        return redirect(target, 303)
    return render_template("login.html", next=target, wrong=False)


@blueprint.post("/login")
@for_anybody
def check_login() -> Any:
    """Open a session, or say that it was refused, without the reason."""
    target, guard = safe_next(request.form.get("next")), services().guard
    browser = guard.guesses.known(request.cookies.get(KNOWN_COOKIE))
    try:
        role = guard.try_password(request.form.get("password", ""), request.remote_addr or "", browser)
    except TooManyTriesError as error:
        page = render_template("login.html", next=target, wrong=True, wait_s=error.wait_s)
        return page, 429, {"Retry-After": str(error.wait_s)}
    if role is None:
        return render_template("login.html", next=target, wrong=True), 401
    log_in(guard, role)
    answer = redirect(target, 303)
    answer.set_cookie(
        KNOWN_COOKIE,
        guard.guesses.cookie_for(role, browser),
        max_age=KNOWN_FOR,
        path=url_for("dashboard.login"),
        secure=bool(current_app.config["SESSION_COOKIE_SECURE"]),
        httponly=True,
        samesite="Lax",
    )
    return answer


@blueprint.post("/logout")
@for_anybody
def logout() -> Any:
    """End this session, and with it every copy of its cookie."""
    log_out(services().guard)
    return redirect(url_for("dashboard.login"), 303)


@blueprint.get("/sessions")
@for_viewers
def sessions() -> Any:
    """The page about sessions; an operator also sees the open ones and can end them."""
    guard = services().guard
    found = guard.sessions.all(utc_now()) if is_operator() else []
    return render_template("sessions.html", sessions=found, mine=session_now(guard), idle=IDLE, longest=LONGEST)


@blueprint.post("/sessions/end")
def end_sessions() -> Any:
    """End one other session, or all of them."""
    guard = services().guard
    whose: str = ""
    if one := request.form.get("session"):
        # Its digest opens nothing; the log names the session by what the page says of it.
        found = [each for each in guard.sessions.all(utc_now()) if each.digest == one]
        for each in found:
            code = "operator_session" if each.role == Role.OPERATOR else "viewer_session"
            whose = fault(code, opened=Moment(each.opened))
        guard.sessions.end(one)
    else:
        mine = session_now(guard)
        guard.sessions.end_others(mine.digest if mine else None)
    what = "end a session" if one else "end all other sessions"
    services().store.operators.log(Act(utc_now(), who(), what, "", "", whose))
    flash(_("That session has ended.") if one else _("Every other session has ended."))
    return redirect(url_for("dashboard.sessions"), 303)


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
