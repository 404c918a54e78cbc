"""The token server's address, /oauth/token/, on the same host as the portal. Not subject to faults or the bucket."""

from __future__ import annotations

from flask import Blueprint, Response, jsonify, request

from relay.sandbox.portal import Portal
from relay.sandbox.tokens import TokenError


def oauth_blueprint(portal: Portal) -> Blueprint:
    """GET as documented, and POST as a form, which works in practice and keeps the secret out of addresses."""
    blueprint = Blueprint("oauth", __name__)

    @blueprint.route("/oauth/token/", methods=["GET", "POST"])
    @blueprint.route("/oauth/token", methods=["GET", "POST"])
    def token() -> Response | tuple[Response, int]:
        form = request.args.to_dict() | request.form.to_dict()
        try:
            pair = _refresh(portal, form)
        except TokenError as error:
            return jsonify(error.body()), error.status
        return jsonify(pair | _endpoints(portal))

    return blueprint


def _refresh(portal: Portal, form: dict[str, str]) -> dict[str, object]:
    with portal.lock:
        settings = portal.settings
        return portal.tokens.refresh(form, settings.token_lifetime_s, settings.rotate_refresh_tokens)


def _endpoints(portal: Portal) -> dict[str, object]:
    return {
        "domain": request.host,
        "client_endpoint": f"{request.host_url}rest/",
        "server_endpoint": f"{request.host_url}rest/",
        "scope": ",".join(portal.settings.scope),
    }
