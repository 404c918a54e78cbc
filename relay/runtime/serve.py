"""Runs gunicorn for `python -m relay serve`, without its command line. Import it after gevent has patched."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from functools import partial
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from gunicorn.app.base import Application
from gunicorn.systemd import sd_notify

from relay.configuration.settings import Settings
from relay.core import otel
from relay.core.errors import ConfigError, RecordUnavailableError
from relay.core.telemetry import configure, get_logger
from relay.core.threads import keep_running
from relay.health.assessment import say_topology_warning
from relay.operations.bulk_replay import run_bulk_replays
from relay.operations.configure import load_all
from relay.runtime.web_worker import WebWorker, open_files
from relay.store import Store
from relay.web.app import create_app, put_in_force
from relay.web.services import services_of

log = get_logger()
NOTIFY = "NOTIFY_SOCKET"
"""The variable in which systemd says where it waits for the news that a service is ready."""
HEAD_S = 5
"""Seconds for the head of a request, if the file sets none."""
SHIPPED = Path(__file__).resolve().parents[2] / "config" / "gunicorn.conf.py"


class WebServer(Application):  # type: ignore[misc] # gunicorn has no types
    """gunicorn's arbiter with our settings.

    say_listening: called once the port is held. notify: see NOTIFY; empty without systemd.
    """

    def __init__(self, settings: Settings, say_listening: Callable[[], None], notify: str = "") -> None:
        self._settings = settings
        self._say_listening = say_listening
        self._notify = notify
        self._read: Any = None
        super().__init__(prog="python -m relay serve")

    def init(self, parser: Any, opts: Any, args: Any) -> None:
        """No command line is read."""

    def load_config(self) -> None:
        """Load the operator's file, or the shipped one, then the address from the environment.

        An unreadable file ends a start. When a SIGHUP reads it again, the earlier configuration stays.
        """
        own = self._settings.config / "gunicorn.conf.py"
        try:
            self.load_config_from_module_name_or_filename(str(own if own.exists() else SHIPPED))
        except (Exception, SystemExit):  # gunicorn exits if it cannot read the file
            if self._read is None:
                raise
            log.error("gunicorn.unread", file=str(own))  # noqa: TRY400 - gunicorn has printed the mistake
            self.cfg = self._read
        self._read = self.cfg
        self.cfg.set("bind", f"{self._settings.host}:{self._settings.port}")
        # Deadlines hold for every operator's file.
        self.cfg.set("worker_class", WebWorker)
        self.cfg.set("keepalive", self.cfg.keepalive or HEAD_S)
        operators = self.cfg.when_ready
        self.cfg.set("when_ready", lambda arbiter: (operators(arbiter), self._say_listening()))

    def load(self) -> Any:
        """Make the application, in each worker process."""
        # A worker that starts while files have a mistake uses the last set in force; otherwise the arbiter would end.
        app = create_app(self._settings_now(), or_last=True)
        otel.start("web")
        parts, stop = services_of(app), threading.Event()
        # A new set of files changes neither store nor spool; bulk replays ask for the rules each time.
        keep_running("bulk-replays", partial(run_bulk_replays, lambda: services_of(app).bulk), stop)
        keep_running("configuration", partial(parts.in_force.run, partial(put_in_force, app)), stop)
        keep_running("primary", parts.store.follow_primary, stop)
        keep_running("high-water", parts.store.watch_high_water, stop)
        keep_running("spool", parts.spooler.run, stop)
        if otel.METRICS in otel.wanted(os.environ):
            from relay.web import otlp_metrics  # noqa: PLC0415 - it imports OpenTelemetry, which may not be installed

            keep_running("otlp-metrics", partial(otlp_metrics.run, lambda: services_of(app)), stop)
        self._say_ready()
        return app

    def _say_ready(self) -> None:
        """Tell systemd that a process takes requests from now on."""
        if self._notify:
            os.environ[NOTIFY] = self._notify
            sd_notify("READY=1", log, unset_environment=True)

    def _settings_now(self) -> Settings:
        """The current settings, because a secret in a file may have changed; after a mistake, the earlier ones."""
        try:
            return Settings.from_environment(os.environ, web=True)
        except ConfigError as error:
            log.error("settings.waiting", mistakes=[str(one) for one in error.mistakes])  # noqa: TRY400 - no traceback
            return self._settings


def warn_of_proxies(settings: Settings) -> None:
    """Warn if other machines have access and no proxy is trusted: all senders may seem to have one address."""
    is_alone = _is_loopback(settings.host) and settings.public_url is None
    if settings.trusted_proxies or is_alone:
        return
    log.warning(
        "proxies.none_trusted",
        host=settings.host,
        reason="RELAY_TRUSTED_PROXIES is empty. If a proxy or a container network stands in front of the relay, all "
        "senders have its address: one who guesses passwords slows down everybody, and limits by address count all "
        "as one. Name its network there; if nothing stands in front, all is well",
    )


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def run_gunicorn(say_listening: Callable[[], None]) -> None:
    """Serve until told to stop. say_listening: called once it listens. Raises ConfigError before any worker starts."""
    configure("web", otel.line_processors())
    settings, _ = load_all(os.environ)
    warn_of_proxies(settings)
    _look_at_record(settings)
    open_files()
    # gunicorn itself would say that it is ready before any process has loaded the application.
    WebServer(settings, say_listening, os.environ.pop(NOTIFY, "")).run()


def _look_at_record(settings: Settings) -> None:
    """Check the server of the record before listening. One that is away may come back, so that is only logged."""
    store = Store.open(settings.redis_url, settings.replicas)
    try:
        store.begin()
        for warning in store.servers.warnings():
            log.warning("record.misfit", code=warning.code, server=warning.server, reason=say_topology_warning(warning))
        if (memory := store.servers.memory()).is_filling:
            log.warning("record.filling", used=memory.used, most=memory.most)
    except RecordUnavailableError as error:
        log.error("record.away", reason=str(error))  # noqa: TRY400 - the traceback says nothing more
    finally:
        store.close()
