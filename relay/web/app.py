"""Puts the web process together: configuration in, one Flask application out. Fails at start, never at a request."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from flask import Flask

from relay.configuration.alerts import FILE as ALERTS_FILE
from relay.configuration.alerts import load_alerting_thresholds
from relay.configuration.portals import Portal, load_portals
from relay.configuration.settings import Settings
from relay.core.errors import ConfigError, Mistake, RecordUnavailableError
from relay.core.ids import utc_now
from relay.core.telemetry import get_logger
from relay.health.assessment import DEFAULT, Thresholds
from relay.operations.bulk_replay import BulkReplays
from relay.operations.ingest import Ingest
from relay.operations.operator_acts import OperatorActs
from relay.operations.replay import Replayer
from relay.rules import RuleBook, load_rules
from relay.sources import Source, load_sources
from relay.store import Store
from relay.store.operators.sessions import IDLE
from relay.store.record.collector import Collector
from relay.store.record.persons import Marker
from relay.web import api, dashboard, hooks, ops, problems
from relay.web.auth.guard import Guard, Role
from relay.web.auth.proxies import TrustedProxies
from relay.web.services import Services

log = get_logger()


def create_app(settings: Settings | None = None) -> Flask:
    """The application for a WSGI server.

    settings: absent, they come from the environment. Raises ConfigError with every mistake in environment and files.
    """
    settings = settings or Settings.from_environment(os.environ, web=True)
    config = load_config(settings.config)
    store = Store.open(settings.redis_url)
    if warning := store.ensure_durable():
        log.warning("record.not_durable", reason=warning)
    publish(store, config.rules)
    app = Flask("relay.web")
    app.secret_key = settings.secret_key
    app.config.update(
        SESSION_COOKIE_NAME="relay_session",
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
        SESSION_COOKIE_SECURE=bool(settings.public_url and settings.public_url.startswith("https://")),
        PERMANENT_SESSION_LIFETIME=IDLE,
        MAX_FORM_MEMORY_SIZE=64_000,
        MAX_CONTENT_LENGTH=64_000,  # forms of the dashboard; a hook has its source's own
    )
    app.extensions["services"] = _furnish(settings, config, store)
    problems.register(app)
    for blueprint in (hooks.blueprint, ops.blueprint, dashboard.blueprint):
        app.register_blueprint(blueprint)
    api.register(app)
    app.wsgi_app = TrustedProxies(  # type: ignore[method-assign] # Flask's way
        app.wsgi_app, settings.trusted_proxies, settings.sign_in_header
    )
    return app


def publish(store: Store, rules: RuleBook) -> None:
    """Leave the requirements for the workers; without them their check of templates waits, and nothing else."""
    try:
        store.publish_rules(rules.digest, [rule.requirement for rule in rules.all()], utc_now())
    except RecordUnavailableError as error:
        log.warning("rules.unpublished", reason=str(error))


@dataclass(frozen=True, slots=True)
class Config:
    """What config/ says, checked."""

    portals: Mapping[str, Portal]
    sources: Mapping[str, Source]
    rules: RuleBook


def load_config(folder: Path) -> Config:
    """Portals, sources and rules of a folder. Raises ConfigError with the mistakes of all files together."""
    mistakes: list[Mistake] = []
    portals: dict[str, Portal] = {}
    sources: dict[str, Source] = {}
    try:
        portals = load_portals(folder / "portals.yaml")
    except ConfigError as error:
        mistakes.extend(error.mistakes)
    try:
        sources = load_sources(folder / "sources.yaml", os.environ)
    except ConfigError as error:
        mistakes.extend(error.mistakes)
    if mistakes:
        raise ConfigError(mistakes)
    return Config(portals, sources, load_rules(folder / "rules", sources=sources, portals=portals))


def load_thresholds(folder: Path) -> Thresholds:
    """From when on something needs a person, as alerts.yaml says; the first page and the alerts agree."""
    return Thresholds(*load_alerting_thresholds(folder)) if (folder / ALERTS_FILE).exists() else DEFAULT


def _furnish(settings: Settings, config: Config, store: Store) -> Services:
    marker = Marker(settings.secret_key or "")
    operator_acts = OperatorActs(store, Replayer(store.record, config.sources, config.rules, marker))
    return Services(
        settings=settings,
        sources=config.sources,
        rules=config.rules,
        store=store,
        ingest=Ingest(config.rules, Collector(store.record), marker),
        guard=Guard(
            store.operators,
            settings.secret_key or "",
            {Role.OPERATOR: settings.dashboard_password, Role.VIEWER: settings.viewer_password},
            settings.operators,
        ),
        marker=marker,
        portals=config.portals,
        operator_acts=operator_acts,
        thresholds=load_thresholds(settings.config),
        bulk=BulkReplays(store, operator_acts),
    )
