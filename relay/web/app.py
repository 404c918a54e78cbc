"""Puts the web process together: configuration in, one Flask application out. Fails at start, never at a request."""

from __future__ import annotations

import os

from flask import Flask

from relay.configuration.settings import Settings
from relay.core.errors import RecordUnavailableError
from relay.core.ids import utc_now
from relay.core.telemetry import get_logger
from relay.health.thresholds import load_thresholds
from relay.operations.bulk_replay import BulkReplays
from relay.operations.configure import Config, load_all, load_config
from relay.operations.ingest import Ingest
from relay.operations.operator_acts import OperatorActs
from relay.operations.probing import Prober
from relay.operations.replay import Replayer
from relay.operations.spooling import Spooler
from relay.rules import RuleBook
from relay.store import Store
from relay.store.operators.sessions import LONGEST
from relay.store.record.collector import Collector
from relay.store.record.persons import PersonIndex
from relay.store.record.spool import Spool
from relay.web import api, dashboard, done, hooks, ops, problems
from relay.web.auth.guard import Guard, Role
from relay.web.auth.proxies import TrustedProxies
from relay.web.plain_way import PLAIN_WAY, PlainWay
from relay.web.services import Services
from relay.web.short_way import ShortWay

log = get_logger()


def create_app(settings: Settings | None = None) -> Flask:
    """The application for a WSGI server.

    settings: absent, they come from the environment. Raises ConfigError with every mistake in environment and files.
    """
    if settings is None:
        settings, config = load_all(os.environ)
    else:
        config = load_config(settings.config, os.environ, base=settings.public_url or "")
    store = Store.open(settings.redis_url, settings.replicas, state=settings.state)
    if warning := store.ensure_durable():
        log.warning("record.not_durable", reason=warning)
    store.set_clock()
    store.reached(utc_now())
    publish(store, config.rules)
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
    app.extensions["services"] = _furnish(settings, config, store)
    problems.register(app)
    for blueprint in (hooks.blueprint, done.blueprint, ops.blueprint, dashboard.blueprint):
        app.register_blueprint(blueprint)
    api.register(app)
    short_way = ShortWay(app, app.wsgi_app, app.extensions["services"])
    proxies = TrustedProxies(short_way, settings.trusted_proxies, settings.sign_in_header)
    app.wsgi_app = proxies  # type: ignore[method-assign] # Flask's way
    app.extensions[PLAIN_WAY] = PlainWay(short_way, proxies)
    return app


def publish(store: Store, rules: RuleBook) -> None:
    """Leave the requirements for the workers; without them their check of templates waits, and nothing else."""
    try:
        store.publish_rules(rules.digest, [rule.requirement for rule in rules.all()], utc_now())
    except RecordUnavailableError as error:
        log.warning("rules.unpublished", reason=str(error))


def _furnish(settings: Settings, config: Config, store: Store) -> Services:
    persons = PersonIndex(settings.secret_key or "")
    spooler = Spooler(store.record, Collector(store.record), Spool.of(settings.state, settings.spool_mb))
    operator_acts = OperatorActs(
        store, Replayer(store.record, config.sources, config.rules, persons, settings.public_url)
    )
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
            store.places,
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
        thresholds=load_thresholds(settings.config),
        bulk=BulkReplays(store, operator_acts),
    )
