"""Puts the web process together: configuration in, one Flask application out. Fails at start, never at a request."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from flask import Flask

from relay.configuration.portals import Portal, load_portals
from relay.configuration.settings import Settings
from relay.core.errors import ConfigError, Mistake, RecordUnavailableError
from relay.core.ids import utc_now
from relay.core.telemetry import get_logger
from relay.operations.bulk_replay import BulkReplays
from relay.operations.ingest import Door
from relay.operations.operator_acts import Mending
from relay.operations.replay import Replayer
from relay.rules import RuleBook, load_rules
from relay.sources import Source, load_sources
from relay.store.operators.sessions import LONGEST
from relay.store.portals.questions import Questions
from relay.store.portals.requirements import publish_rules
from relay.store.record.collector import Collector
from relay.store.record.persons import Marker
from relay.store.record.record import Record
from relay.store.redis.connection import connect, ensure_durable
from relay.web import api, dashboard, hooks, ops, problems
from relay.web.auth.guard import Guard, Role
from relay.web.auth.proxies import TrustedProxies
from relay.web.services import House

log = get_logger()


def create_app(settings: Settings | None = None) -> Flask:
    """The application for a WSGI server.

    settings: absent, they come from the environment. Raises ConfigError with every mistake in environment and files.
    """
    settings = settings or Settings.from_environment(os.environ, web=True)
    config = load_config(settings.config)
    record = Record(connect(settings.redis_url))
    if warning := ensure_durable(record.redis):
        log.warning("record.not_durable", reason=warning)
    publish(record, config.rules)
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
    app.extensions["house"] = _furnish(settings, config, record)
    problems.register(app)
    for blueprint in (hooks.blueprint, ops.blueprint, dashboard.blueprint):
        app.register_blueprint(blueprint)
    api.register(app)
    app.wsgi_app = TrustedProxies(  # type: ignore[method-assign] # Flask's way
        app.wsgi_app, settings.trusted_proxies, settings.sign_in_header
    )
    return app


def publish(record: Record, rules: RuleBook) -> None:
    """Leave the outlines for the workers; without them their check of templates waits, and nothing else."""
    try:
        publish_rules(record.redis, rules.digest, [rule.outline for rule in rules.all()], utc_now())
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


def _furnish(settings: Settings, config: Config, record: Record) -> House:
    marker = Marker(settings.secret_key or "")
    mending = Mending(record, Replayer(record, config.sources, config.rules, marker))
    return House(
        settings=settings,
        sources=config.sources,
        rules=config.rules,
        record=record,
        door=Door(config.rules, Collector(record), marker),
        guard=Guard(
            record.redis,
            settings.secret_key or "",
            {Role.OPERATOR: settings.dashboard_password, Role.VIEWER: settings.viewer_password},
            settings.operators,
        ),
        marker=marker,
        portals=config.portals,
        mending=mending,
        bulk=BulkReplays(record, mending),
        questions=Questions(record.redis),
    )
