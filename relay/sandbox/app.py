"""Puts the addresses together into a WSGI application. May not open a socket."""

from __future__ import annotations

from flask import Flask

from relay.sandbox.control import control_blueprint
from relay.sandbox.oauth import oauth_blueprint
from relay.sandbox.portal import Portal
from relay.sandbox.rest import rest_blueprint

MAX_FORM_BYTES = 16 * 1024 * 1024
"""A batch of fifty commands as a form may be larger than Flask's own half megabyte."""


def create_app(portal: Portal) -> Flask:
    """The portal as a WSGI application."""
    app = Flask(__name__, template_folder="pages", static_folder="static", static_url_path="/sandbox/static")
    app.config["MAX_FORM_MEMORY_SIZE"] = MAX_FORM_BYTES
    app.json.sort_keys = False  # type: ignore[attr-defined] # the default provider has it
    app.url_map.strict_slashes = False
    app.url_map.merge_slashes = False  # a redirect would turn a POST into something else
    app.register_blueprint(rest_blueprint(portal))
    app.register_blueprint(oauth_blueprint(portal))
    app.register_blueprint(control_blueprint(portal))
    return app
