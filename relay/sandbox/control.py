"""The sandbox's own addresses: the page, the lists of what happened, and the knobs. Not part of Bitrix24.

May not touch a REST answer; what is set here takes effect through the portal's state.
"""

from __future__ import annotations

from dataclasses import asdict

from flask import Blueprint, Response, jsonify, render_template, request

from relay.sandbox.page import SHOWN, cards_of, known_clients
from relay.sandbox.portal import Portal
from relay.sandbox.usage import UsageError
from relay.sandbox.workflows import utc_time

_PAGE_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}


def control_blueprint(portal: Portal) -> Blueprint:
    """GET / and /sandbox/*. Unusable input is answered with 400 and {"error": one sentence}."""
    blueprint = Blueprint("control", __name__)
    _add_lists(blueprint, portal)
    _add_knobs(blueprint, portal)

    @blueprint.errorhandler(UsageError)
    def refuse(error: UsageError) -> tuple[Response, int]:
        return jsonify({"error": str(error)}), 400

    return blueprint


def _add_lists(blueprint: Blueprint, portal: Portal) -> None:
    @blueprint.get("/")
    def page() -> Response:
        return Response(_render(portal), headers=_PAGE_HEADERS, content_type="text/html; charset=utf-8")

    @blueprint.get("/sandbox/workflows")
    def workflows() -> Response:
        return jsonify(portal.started())

    @blueprint.get("/sandbox/documents")
    def documents() -> Response:
        with portal.lock:
            return jsonify(portal.items.to_json())

    @blueprint.get("/sandbox/triggers")
    def triggers() -> Response:
        with portal.lock:
            return jsonify([asdict(fired) for fired in reversed(portal.triggers)])

    @blueprint.get("/sandbox/messages")
    def messages() -> Response:
        with portal.lock:
            return jsonify([asdict(message) for message in reversed(portal.messages)])

    @blueprint.get("/sandbox/requests")
    def requests() -> Response:
        with portal.lock:
            return jsonify(portal.log.to_json())

    @blueprint.get("/sandbox/faults")
    def faults() -> Response:
        with portal.lock:
            return jsonify(portal.faults.to_json())

    @blueprint.get("/sandbox/settings")
    def settings() -> Response:
        return jsonify(portal.settings.to_json())

    @blueprint.get("/sandbox/templates")
    def templates() -> Response:
        with portal.lock:
            return jsonify([asdict(template) for template in portal.templates.values()])


def _add_knobs(blueprint: Blueprint, portal: Portal) -> None:
    @blueprint.post("/sandbox/faults")
    def add_faults() -> Response:
        portal.add_faults(_body())
        with portal.lock:
            return jsonify(portal.faults.to_json())

    @blueprint.delete("/sandbox/faults")
    def clear_faults() -> Response:
        with portal.lock:
            portal.faults.clear()
        return jsonify([])

    @blueprint.post("/sandbox/settings")
    def change_settings() -> Response:
        changes = _body()
        if not isinstance(changes, dict):
            raise UsageError("settings are an object of names and values")
        return jsonify(portal.configure(**changes).to_json())

    @blueprint.post("/sandbox/templates")
    def add_templates() -> Response:
        return jsonify([asdict(template) for template in portal.add_templates(_body())])

    @blueprint.post("/sandbox/documents")
    def seed_documents() -> Response:
        return jsonify(portal.add_documents(_body()))

    @blueprint.post("/sandbox/reset")
    def reset() -> Response:
        portal.reset()
        return jsonify({"reset": True})


def _body() -> object:
    """The JSON body. Raises UsageError for another content type, so that no foreign web page can post here."""
    if not request.is_json:
        raise UsageError("send JSON with Content-Type: application/json")
    body: object = request.get_json(silent=True)
    if body is None:
        raise UsageError("the body is not JSON")
    return body


def _render(portal: Portal) -> str:
    with portal.lock:
        started = portal.started()
        return render_template(
            "portal.html",
            started=started[:SHOWN],
            total=len(started),
            cards=cards_of(portal, started),
            made=len(portal.items.made),
            clients=known_clients(portal),
            fired=list(reversed(portal.triggers))[:SHOWN],
            names={number: template.name for number, template in portal.templates.items()},
            counters=portal.log.counters(),
            faults=portal.faults.to_json(),
            settings=portal.settings,
            now=utc_time(portal.clock()),
        )
