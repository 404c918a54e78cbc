"""The addresses for applications: adding and deleting one, and the pages that show one in a frame.

A real portal's administrator does this by hand. GET /sandbox/open is the page of a card, or of the application; POST
/sandbox/frame gives a script what that page would post.
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

from flask import Blueprint, Response, jsonify, redirect, render_template, request

from relay.sandbox.application_events import EVENTS, UNINSTALLED, prepare, send
from relay.sandbox.crm.items import Item
from relay.sandbox.frames import OPENING_KEYS, Opening, make_frame, read_opening
from relay.sandbox.orders import read_object, read_order
from relay.sandbox.php import as_map, to_int
from relay.sandbox.portal import Portal
from relay.sandbox.settings import UsageError


def applications_blueprint(portal: Portal) -> Blueprint:
    """/sandbox/application and what belongs to it."""
    blueprint = Blueprint("applications", __name__)
    _add_knobs(blueprint, portal)
    _add_pages(blueprint, portal)
    return blueprint


def _add_knobs(blueprint: Blueprint, portal: Portal) -> None:
    @blueprint.get("/sandbox/application")
    def applications() -> Response:
        with portal.lock:
            return jsonify([each.to_json(portal.settings) for each in portal.applications])

    @blueprint.post("/sandbox/application")
    def save() -> Response:
        order = read_order()
        with portal.lock:
            return jsonify(portal.applications.save(order, portal.settings).keys(portal.settings))

    @blueprint.post("/sandbox/application/uninstall")
    def uninstall() -> Response:
        """Delete it. silent: the event is lost on its way."""
        order = read_object(frozenset({"client_id", "silent"}))
        with portal.lock:
            application = portal.applications.chosen(order.get("client_id"))
            data = {"LANGUAGE_ID": portal.settings.language, "CLEAN": 1}
            sendings = prepare(portal, application, UNINSTALLED, data, None)
            portal.applications.delete(application)
        if order.get("silent"):
            sendings = []
        send(sendings)
        return jsonify({"client_id": application.client_id, "told": [each.address for each in sendings]})

    @blueprint.post("/sandbox/application/event")
    def fire() -> Response:
        """Send an event to the handlers that are bound to it."""
        order = read_object(frozenset({"client_id", "event", "data", "user"}))
        if order.get("event") not in EVENTS:
            raise UsageError(f'"event" must be one of {", ".join(EVENTS)}')
        user = None if order.get("user") is None else to_int(order["user"])
        with portal.lock:
            application = portal.applications.chosen(order.get("client_id"))
            sendings = prepare(portal, application, str(order["event"]), as_map(order.get("data")) or {}, user)
        send(sendings)
        return jsonify({"told": [each.address for each in sendings]})

    @blueprint.post("/sandbox/application/expire")
    def expire() -> Response:
        """End the time of access tokens that are out."""
        order = read_object(frozenset({"client_id", "user"}))
        user = None if order.get("user") is None else to_int(order["user"])
        with portal.lock:
            return jsonify({"expired": portal.tokens.expire(portal.applications.chosen(order.get("client_id")), user)})

    @blueprint.post("/sandbox/frame")
    def frame() -> Response:
        order = read_object(OPENING_KEYS)
        with portal.lock:
            opening = read_opening(portal, order)
            if not opening.handler:
                raise UsageError(f"the application has not bound {opening.code}")
            made = make_frame(portal, opening)
        return jsonify({"address": made.address, "query": made.query, "fields": made.fields})


def _add_pages(blueprint: Blueprint, portal: Portal) -> None:
    @blueprint.get("/sandbox/open")
    def open_page() -> Response:
        """A page of the portal, at the portal's own host, for a frame is told who may hold it."""
        if request.host != portal.domain:
            return redirect(f"{portal.url}{request.full_path}")  # type: ignore[return-value] # werkzeug's type
        try:
            with portal.lock:
                opening = read_opening(portal, {name: request.args[name] for name in request.args})
                status, refusal = _refusal(portal, opening)
                return _refused(status, refusal) if refusal else _page(portal, opening)
        except UsageError as error:
            return _refused(404, str(error))


def _refusal(portal: Portal, opening: Opening) -> tuple[int, str]:
    """The status and the words where the portal shows no frame; no words where it does."""
    user = opening.user
    if not opening.application.is_installed:
        return 404, "the application is not installed"
    if not user.is_active:
        return 403, "this user was dismissed"
    if not portal.settings.rest_available:
        return 403, "applications are available only on commercial plans"
    if user.id in portal.settings.users_without_access and not user.is_admin:
        return 403, "this user has no access to the application"
    if not opening.handler:
        return 404, f"the application has not bound {opening.code}"
    return 200, ""


def _page(portal: Portal, opening: Opening) -> Response:
    item = None if opening.entity is None else portal.items.find(opening.entity, opening.number)
    frame = make_frame(portal, opening)
    page = render_template(
        "card.html",
        opening=opening,
        item=item,
        shown=_shown_fields(item),
        frame=frame,
        comments=[each for each in portal.comments if item and each.document == opening.document],
    )
    parts = urlsplit(frame.address)
    origin = f"{parts.scheme}://{parts.netloc}"
    policy = (
        f"default-src 'none'; style-src 'self'; script-src 'self'; form-action {origin}; frame-src {origin}; "
        "base-uri 'none'; frame-ancestors 'none'"
    )
    return _html(page, 200, policy)


def _shown_fields(item: Item | None) -> Mapping[str, object]:
    """A few fields of the document, where it has them."""
    names = ("title", "name", "lastName", "stageId", "assignedById", "createdTime")
    return {} if item is None else {name: item.values[name] for name in names if item.values.get(name)}


def _refused(status: int, words: str) -> Response:
    policy = "default-src 'none'; style-src 'self'; base-uri 'none'; frame-ancestors 'none'"
    return _html(render_template("no_card.html", words=words), status, policy)


def _html(page: str, status: int, policy: str) -> Response:
    headers = {"Content-Security-Policy": policy, "X-Content-Type-Options": "nosniff", "Cache-Control": "no-store"}
    return Response(page, status, headers, content_type="text/html; charset=utf-8")
