"""The WSGI application: REST, the authorisation server, and the sandbox's own addresses: pages, lists, knobs.

May not open a socket, nor touch a REST answer: a knob takes effect through the portal's state. The knobs are not
subject to faults or limits; the authorisation server only to faults that name it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from urllib.parse import urlencode

from flask import Blueprint, Flask, Response, jsonify, render_template

from relay.sandbox import php
from relay.sandbox.application_pages import applications_blueprint
from relay.sandbox.applications.placements import tab_of
from relay.sandbox.authorisation import oauth_blueprint
from relay.sandbox.bizproc import document_of
from relay.sandbox.crm.items import Item
from relay.sandbox.orders import read_order
from relay.sandbox.portal import Portal
from relay.sandbox.rest import rest_blueprint
from relay.sandbox.settings import UsageError
from relay.sandbox.workflows import utc_time

SHOWN = 200
"""Documents and workflows on the page; /sandbox/documents and /sandbox/workflows have all of them."""
CLIENTS_SHOWN = 20
LONG = 160
"""Characters of a value; a file is longer than anybody reads."""

Workflows = Mapping[str, list[Mapping[str, object]]]
"""Element of a document, such as LEAD_1001 -> the workflows on it, newest first."""


@dataclass(frozen=True, slots=True)
class Card:
    """A document that a call has made.

    name: such as LEAD_1001. made_at: UTC, ISO 8601. times_made: how many have the same own id.
    workflows: those that run on it, as GET /sandbox/workflows shows them.
    tab: the address of its page with an application's tab; "" where no application has one.
    """

    name: str
    heading: str
    title: str
    fields: Mapping[str, str]
    made_at: str
    made_by: int
    method: str
    times_made: int
    workflows: tuple[Mapping[str, object], ...]
    tab: str


@dataclass(frozen=True, slots=True)
class Client:
    """A contact or company that no call has made, with its phones and e-mails."""

    heading: str
    title: str
    reached: tuple[str, ...]


def cards_of(portal: Portal, started: list[dict[str, object]]) -> list[Card]:
    """The newest documents that calls have made. started: all workflows, newest first."""
    running: dict[str, list[Mapping[str, object]]] = {}
    for workflow in started:
        element = (php.as_map(workflow["document"]) or {}).get("2")
        running.setdefault(str(element), []).append(workflow)
    return [_card(portal, item, running) for item in reversed(portal.items.made[-SHOWN:])]


def known_clients(portal: Portal) -> list[Client]:
    """Contacts and companies that a search for duplicates can find."""
    clients = [item for item in portal.items.seeded if item.multifields][:CLIENTS_SHOWN]
    return [Client(_heading(item), _title(item), tuple(each.value for each in item.multifields)) for item in clients]


def _card(portal: Portal, item: Item, running: Workflows) -> Card:
    name = document_of(item.entity.name, item.id).element
    return Card(
        name=name,
        heading=_heading(item),
        title=_title(item),
        fields={
            field: _short_text(field, value)
            for field, value in item.given.items()
            if field != "title" and value not in (None, "", [])
        },
        made_at=utc_time(item.created_at),
        made_by=item.created_by,
        method=item.method or "",
        times_made=portal.items.times_made_of(item),
        workflows=tuple(running.get(name, ())),
        tab=_tab_of(portal, item),
    )


def _tab_of(portal: Portal, item: Item) -> str:
    code = tab_of(item.entity)
    application = next((each for each in portal.applications if each.placement(code)), None)
    if application is None:
        return ""
    query = {"placement": code, "id": item.id, "client_id": application.client_id}
    return f"/sandbox/open?{urlencode(query)}"


def _heading(item: Item) -> str:
    return f"{item.entity.title} {item.id}"


def _title(item: Item) -> str:
    """The title, or a person's names."""
    names = [item.values.get(name) for name in ("name", "lastName")]
    return str(item.values.get("title") or " ".join(str(name) for name in names if name))


def _short_text(field: str, value: object) -> str:
    """A value as one short text; phones and e-mails without the words around them."""
    members = php.as_map(value)
    if field == "fm" and members:
        entries = [php.as_map(member) or {} for member in members.values()]
        text = ", ".join(str(entry.get("value", "")) for entry in entries)
    else:
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= LONG else f"{text[:LONG]}…"


_PAGE_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}


def control_blueprint(portal: Portal) -> Blueprint:
    """GET / and /sandbox/*."""
    blueprint = Blueprint("control", __name__)
    _add_lists(blueprint, portal)
    _add_state(blueprint, portal)
    _add_knobs(blueprint, portal)
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

    @blueprint.get("/sandbox/comments")
    def comments() -> Response:
        with portal.lock:
            return jsonify([asdict(comment) for comment in reversed(portal.comments)])

    @blueprint.get("/sandbox/requests")
    def requests() -> Response:
        with portal.lock:
            return jsonify(portal.log.to_json())


def _add_state(blueprint: Blueprint, portal: Portal) -> None:
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
        portal.add_faults(read_order())
        with portal.lock:
            return jsonify(portal.faults.to_json())

    @blueprint.delete("/sandbox/faults")
    def clear_faults() -> Response:
        with portal.lock:
            portal.faults.clear()
        return jsonify([])

    @blueprint.post("/sandbox/settings")
    def change_settings() -> Response:
        changes = read_order()
        if not isinstance(changes, dict):
            raise UsageError("settings are an object of names and values")
        return jsonify(portal.configure(**changes).to_json())

    @blueprint.post("/sandbox/templates")
    def add_templates() -> Response:
        return jsonify([asdict(template) for template in portal.add_templates(read_order())])

    @blueprint.post("/sandbox/documents")
    def seed_documents() -> Response:
        return jsonify(portal.add_documents(read_order()))

    @blueprint.post("/sandbox/reset")
    def reset() -> Response:
        portal.reset()
        return jsonify({"reset": True})


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
            applications=[each for each in portal.applications if each.is_installed and each.handler],
            fired=list(reversed(portal.triggers))[:SHOWN],
            names={number: template.name for number, template in portal.templates.items()},
            counters=portal.log.counters(),
            faults=portal.faults.to_json(),
            settings=portal.settings,
            now=utc_time(portal.clock()),
        )


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
    app.register_blueprint(applications_blueprint(portal))
    app.register_error_handler(UsageError, _refuse)
    return app


def _refuse(error: UsageError) -> tuple[Response, int]:
    """An order to the sandbox that cannot be used: 400 and one sentence."""
    return jsonify({"error": str(error)}), 400
