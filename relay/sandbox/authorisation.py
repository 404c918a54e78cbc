"""The addresses of the authorisation server.

`<portal>/oauth` is the whole of it, as https://oauth.bitrix.info is: /oauth/token/ and /rest/app.info below it. Tokens
are to be had at `<portal>/oauth/token/` too, for a portal passes such requests on.
"""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import urlencode

from flask import Blueprint, Response, redirect, request

from relay.sandbox.answers import CONNECTION, Reply, html_reply, json_reply
from relay.sandbox.applications.tokens import Grant, TokenError
from relay.sandbox.faults import spoil
from relay.sandbox.php import to_int
from relay.sandbox.portal import Portal
from relay.sandbox.workflows import iso_time

TOKEN = "oauth.token"  # noqa: S105 - the name by which faults reach the address
APP_INFO = "oauth.app.info"


def oauth_blueprint(portal: Portal) -> Blueprint:
    """Tokens by GET as documented, and by POST as a form, which keeps the secret out of addresses."""
    blueprint = Blueprint("oauth", __name__)

    @blueprint.route("/oauth/token/", methods=["GET", "POST"])
    @blueprint.route("/oauth/oauth/token/", methods=["GET", "POST"])
    def token() -> Response:
        form = request.args.to_dict() | request.form.to_dict()
        return _answer(portal, TOKEN, lambda: _issue(portal, form))

    @blueprint.route("/oauth/rest/app.info", methods=["GET", "POST"])
    @blueprint.route("/oauth/rest/app.info.json", methods=["GET", "POST"])
    def app_info() -> Response:
        form = request.args.to_dict() | request.form.to_dict()
        return _answer(portal, APP_INFO, lambda: _describe(portal, form.get("auth", "")))

    @blueprint.get("/oauth/authorize/")
    def authorize() -> Response | tuple[Response, int]:
        """As if the user had agreed: the browser goes to the application's own handler, with a code."""
        application = portal.applications.find(request.args.get("client_id", ""))
        user = portal.person(to_int(request.args.get("user", "1")))
        if application is None or not application.is_installed or not application.handler or user is None:
            return Response("The application is not installed on this portal.", content_type="text/plain"), 400
        with portal.lock:
            code = portal.tokens.issue_code(Grant(application, user.id))
        query = {
            "code": code,
            "state": request.args.get("state", ""),
            "domain": portal.domain,
            "member_id": portal.settings.member_id,
            "scope": ",".join(application.scope(portal.settings)),
            "server_domain": request.host,
        }
        joint = "&" if "?" in application.handler else "?"
        return redirect(f"{application.handler}{joint}{urlencode(query)}")  # type: ignore[return-value] # werkzeug's type

    return blueprint


def _answer(portal: Portal, name: str, run: Callable[[], dict[str, object]]) -> Response:
    """The answer, unless the server is away or a fault that names this address hits it."""
    with portal.lock:
        fault = portal.faults.take_named(name)
        is_executed = fault is None or fault.executed
        reply = _reply(portal, run) if is_executed else html_reply(500, "Not executed")
    if fault is not None:
        reply = spoil(fault, reply, portal.settings.statuses)
        request.environ[CONNECTION] = reply.connection
        if fault.delay_s() and reply.connection != "reset":
            portal.sleep(fault.delay_s())
    return Response(reply.body, reply.status, {**reply.headers, "Content-Type": reply.content_type})


def _reply(portal: Portal, run: Callable[[], dict[str, object]]) -> Reply:
    if not portal.settings.oauth_available:
        return html_reply(502, "Bad Gateway")
    try:
        return json_reply(200, run())
    except TokenError as error:
        return json_reply(error.status, error.body())


def _issue(portal: Portal, form: dict[str, str]) -> dict[str, object]:
    """`domain` is the server's own, not the portal's."""
    is_code = form.get("grant_type") == "authorization_code"
    give = portal.tokens.exchange if is_code else portal.tokens.refresh
    endpoints = {
        "domain": request.host,
        "client_endpoint": f"{portal.url}/rest/",
        "server_endpoint": portal.server_endpoint,
    }
    return give(form, portal.settings) | endpoints


def _describe(portal: Portal, token: str) -> dict[str, object]:
    result = portal.tokens.describe(token, portal.settings, portal.domain, portal.url)
    now = portal.clock()
    time = {"start": now, "finish": now, "duration": 0.0, "processing": 0.0}
    return {"result": result, "time": time | {"date_start": iso_time(now), "date_finish": iso_time(now)}}
