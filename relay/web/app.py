"""Puts the web process together: configuration in, one Flask application out. Fails at start, never at a request."""

from __future__ import annotations

import os
from dataclasses import replace

from flask import Flask, request

from relay.configuration.settings import Settings
from relay.core.telemetry import get_logger
from relay.operations.bulk_replay import BulkReplays
from relay.operations.configure import load_all
from relay.operations.in_force import InForce, Loaded
from relay.operations.ingest import Ingest, Prober, Spooler
from relay.operations.operator_acts import OperatorActs
from relay.store import Store
from relay.store.operators.sessions import LONGEST
from relay.store.record.collector import Collector
from relay.store.record.persons import PersonIndex
from relay.store.record.spool import Spool
from relay.web import api, application, dashboard, done, hooks, ops, problems
from relay.web.answers import protect
from relay.web.auth import Guard, Role
from relay.web.fast_path import FAST_PATH, FastPath
from relay.web.language import show_what_is_there, speak
from relay.web.moments import tell_time
from relay.web.services import SERVICES, Services, services_of

log = get_logger()
KEPT = {"static", "application.static"}
"""Endpoints whose answers browsers may keep."""


def create_app(settings: Settings | None = None, *, or_last: bool = False) -> Flask:
    """The application for a WSGI server.

    settings: absent, they come from the environment. or_last: where files have mistakes, those that were in force last
    are used. While the record is away, or its server is unfit, nothing is taken; the door opens by itself.
    Raises ConfigError with every mistake in environment and files.
    """
    if settings is None:
        settings, _ = load_all(os.environ)
    store = Store.open(settings.redis_url, settings.replicas, state=settings.state)
    store.begin_or_wait()
    in_force = InForce(settings, os.environ, store)
    loaded = in_force.begin(or_last=or_last)
    app = Flask("relay.web")
    app.secret_key = settings.secret_key
    app.config.update(
        SESSION_COOKIE_NAME="relay_session",
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
        SESSION_COOKIE_SECURE=bool(settings.public_url and settings.public_url.startswith("https://")),
        # The record ends a session; its cookie only has to last. It is sent when it has changed, not with every answer:
        # an answer that comes late would bring back what was in it before.
        PERMANENT_SESSION_LIFETIME=LONGEST,
        SESSION_REFRESH_EACH_REQUEST=False,
        MAX_FORM_MEMORY_SIZE=64_000,
        MAX_CONTENT_LENGTH=64_000,  # forms of the dashboard; a hook has its source's own
    )
    app.extensions[SERVICES] = _furnish(settings, loaded, store, in_force)
    speak(app)
    show_what_is_there(app)
    tell_time(app)
    problems.register(app)
    app.after_request(lambda answer: protect(answer, is_kept=request.endpoint in KEPT))
    for blueprint in (hooks.blueprint, done.blueprint, application.blueprint, ops.blueprint, dashboard.blueprint):
        app.register_blueprint(blueprint)
    api.register(app)
    fast_path = FastPath(app, app.wsgi_app, settings.trusted_proxies, settings.sign_in_header)
    app.wsgi_app = fast_path.wsgi  # type: ignore[method-assign] # Flask's way
    app.extensions[FAST_PATH] = fast_path
    return app


def put_in_force(app: Flask, loaded: Loaded) -> None:
    """Use other files from the next request on. A request in progress ends with the files it began with."""
    parts = services_of(app)
    config = loaded.config
    operator_acts = OperatorActs.of(parts.store, config, parts.persons, parts.settings.public_url)
    app.extensions[SERVICES] = replace(
        parts,
        sources=config.sources,
        rules=config.rules,
        portals=config.portals,
        thresholds=loaded.thresholds,
        ingest=parts.ingest.with_rules(config.rules),
        operator_acts=operator_acts,
        bulk=BulkReplays(parts.store, operator_acts),
    )


def _furnish(settings: Settings, loaded: Loaded, store: Store, in_force: InForce) -> Services:
    config, persons = loaded.config, PersonIndex(settings.secret_key or "")
    spooler = Spooler(store.record, Collector(store.record), Spool.of(settings.state, settings.spool_mb))
    operator_acts = OperatorActs.of(store, config, persons, settings.public_url)
    return Services(
        settings=settings,
        sources=config.sources,
        rules=config.rules,
        store=store,
        ingest=Ingest(
            config.rules,
            spooler,
            persons,
            Prober(store.senders),
            store.slots,
            base=settings.public_url,
        ),
        guard=Guard(
            store.operators,
            settings.secret_key or "",
            {Role.OPERATOR: settings.dashboard_password, Role.VIEWER: settings.viewer_password},
            settings.operators,
        ),
        persons=persons,
        spooler=spooler,
        portals=config.portals,
        operator_acts=operator_acts,
        thresholds=loaded.thresholds,
        in_force=in_force,
        bulk=BulkReplays(store, operator_acts),
    )
