"""The commands that run processes: serve, sandbox, up, demo.

`up` gives each child only its own secrets: the web process gets no portal credential, the workers no sender's secret.
"""

from __future__ import annotations

import argparse
import importlib
import json
import multiprocessing
import os
import runpy
import socket
import sys
import threading
from collections.abc import Callable
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Self
from urllib.request import Request, urlopen

from relay.configuration.files import OF_WORKERS, SIDES, Mistakes
from relay.configuration.portals import Portal
from relay.configuration.sealing import KEY
from relay.core.errors import ConfigError, Mistake, RelayError
from relay.core.faults import fault
from relay.core.telemetry import configure
from relay.runtime.processes import Child, Supervisor
from relay.runtime.wiping import begin_with_wiping, wiping

VAR = Path("var")
WEB_ONLY = (
    *("SOURCE_", "RELAY_SECRET_KEY", "RELAY_DASHBOARD_PASSWORD", "RELAY_VIEWER_PASSWORD"),
    *("RELAY_API_", "RELAY_METRICS_TOKEN"),
)
WEB_STOP_S = 25.0
"""Longer than the graceful_timeout of config/gunicorn.conf.py."""
WORKER_STOP_S = 80.0
"""Longer than the time that workers/__main__.py gives its children to finish their calls."""


def serve(_options: argparse.Namespace) -> int:
    """The web process: gunicorn with config/gunicorn.conf.py."""
    begin_with_wiping()
    return _serve(lambda: None)


def _serve(say_ready: Callable[[], None]) -> int:
    """The web process. say_ready: called once it listens."""
    # Patch before anything opens a socket or makes a lock. relay.runtime.serve needs the patched modules.
    from gevent import monkey  # noqa: PLC0415

    monkey.patch_all()
    from relay.runtime.serve import run_gunicorn  # noqa: PLC0415

    run_gunicorn(say_ready)
    return 0


def sandbox(options: argparse.Namespace) -> int:
    """The pretend portal, until Ctrl-C."""
    from relay.sandbox.server import serve as serve_sandbox  # noqa: PLC0415 - gevent, only where it is needed

    def announce(url: str) -> None:
        print(f"sandbox portal: {url}\ncredential:     {url}/rest/1/sandbox/", flush=True)

    try:
        serve_sandbox("127.0.0.1", options.port, options.profile, announce)
    except OSError as error:
        raise RelayError(f"port {options.port}: {error.strerror}: --port 0 takes a free one") from None
    return 0


def up(options: argparse.Namespace) -> int:
    """Record, web and workers (and the sandbox) as children of this process, until Ctrl-C."""
    with Machine(VAR) as machine:
        if options.sandbox:
            machine.add_sandbox()
        machine.check()
        machine.start()
        machine.describe()
        return machine.supervisor.run()


def demo(options: argparse.Namespace) -> int:
    """Run everything with sample events; `--once` ends when each has its workflow."""
    from relay.runtime.demo import add_applications, open_application, show_samples, start_afresh  # noqa: PLC0415

    log = VAR / "demo" / "relay.log"
    with Machine(VAR / "demo", any_port=True, log=log) as machine:
        start_afresh(machine.var)
        print(f"starting record, sandbox, web and workers; what they say is in {log}", flush=True)
        machine.use_config(add_applications(machine.config, machine.var / "config", os.environ))
        sandbox_url = machine.add_sandbox()
        machine.check()
        machine.start()
        for portal in machine.pretended:
            open_application(machine.url, sandbox_url, portal)
        status, card = show_samples(machine.url, sandbox_url, machine.config)
        if options.once:
            return status
        machine.describe(card)
        return machine.supervisor.run()


class Machine:
    """The processes of one machine, with their data in one folder, which no other machine may use meanwhile.

    Raises RelayError where another does.
    """

    def __init__(self, var: Path, *, any_port: bool = False, log: Path | None = None) -> None:
        from relay.runtime import secret_file  # noqa: PLC0415 - only where secrets are made
        from relay.runtime.embedded import take_lock  # noqa: PLC0415

        configure("relay")

        var.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.var = var
        self._lock = (var / "up.lock").open("w")
        if not take_lock(self._lock):
            raise RelayError(
                f"{var} is in use: an `up` or a `demo` runs with the record in it. Stop it with Ctrl-C where it runs, "
                "or start this one in another folder"
            )
        os.environ.setdefault("RELAY_STATE", str(var / "state"))
        self.log = log
        self.config = Path(os.environ.get("RELAY_CONFIG") or "config")
        names = [*secret_file.WEB_SECRETS, KEY]
        given = os.environ.get("RELAY_SECRETS")
        # In a folder as `init` makes it, a missing secret is a mistake, and is not made up.
        if not given or not Path(given, SIDES[0]).is_dir():
            names += secret_file.source_secrets(self.config / "sources.yaml")
        if not given:
            kept = var / "kept-secrets"
            for folder in (kept, *(kept / side for side in SIDES)):
                folder.mkdir(mode=0o700, exist_ok=True)
            os.environ["RELAY_SECRETS"] = str(kept)
        self.made_secrets = secret_file.fill_in(os.environ, names, var / "secrets.env")
        self.supervisor = Supervisor([])
        self.sandbox_url: str | None = None
        self.pretended: list[Portal] = []
        self._is_web_ready = multiprocessing.get_context("spawn").Event()
        self._leave: list[Callable[[], None]] = []
        self.mistakes = Mistakes()
        wanted = os.environ.get("RELAY_PORT") or "8080"
        with self.mistakes.catching():
            secret_file.tell_public_key(os.environ)
        with self.mistakes.catching():
            os.environ["RELAY_PORT"] = str(_free_port(wanted, any_port=any_port))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.supervisor.stop()
        for leave in reversed(self._leave):
            leave()
        self._lock.close()

    @property
    def url(self) -> str:
        """The address of the web process."""
        return f"http://{os.environ.get('RELAY_HOST') or '127.0.0.1'}:{os.environ['RELAY_PORT']}"

    def use_config(self, folder: Path) -> None:
        """Have every process read its configuration there."""
        self.config = folder
        os.environ["RELAY_CONFIG"] = str(folder)

    def add_sandbox(self) -> str:
        """Start a pretend portal in a thread of this process; every portal without a credential uses it.

        The application of a portal is added there, as an administrator adds one, and waits to be opened: `pretended`
        lists these portals. Returns the address of the pretend portal.
        """
        from relay.configuration.portals import load_portals  # noqa: PLC0415
        from relay.sandbox.server import SandboxServer  # noqa: PLC0415

        server = SandboxServer()
        server.start()
        self._leave.append(server.stop)
        self.sandbox_url = server.url
        # check() reports mistakes of the file.
        for portal in load_portals(self.config / "portals.yaml", Mistakes()).values():
            if portal.application:
                self._add_application(server.url, portal)
                continue
            variable = f"{portal.variable_prefix}WEBHOOK_URL"
            if not os.environ.get(f"{variable}_FILE"):
                os.environ.setdefault(variable, f"{server.url}/rest/1/sandbox/")
        return server.url

    def _add_application(self, sandbox_url: str, portal: Portal) -> None:
        from relay.runtime.secret_file import new_secret  # noqa: PLC0415

        variable = f"{portal.variable_prefix}CLIENT_SECRET"
        if os.environ.get(variable) or os.environ.get(f"{variable}_FILE"):
            return  # of a real portal
        os.environ[variable] = new_secret()
        os.environ.setdefault(f"{portal.variable_prefix}OAUTH_SERVER", f"{sandbox_url}/oauth")
        os.environ.setdefault("RELAY_PUBLIC_URL", self.url)
        order = {
            "client_id": portal.application,
            "client_secret": os.environ[variable],
            "handler": f"{os.environ['RELAY_PUBLIC_URL']}/app/{portal.name}",
            "title": "Relay",
        }
        body, headers = json.dumps(order).encode(), {"Content-Type": "application/json"}
        with urlopen(Request(f"{sandbox_url}/sandbox/application", body, headers), timeout=10):  # noqa: S310 - our own
            self.pretended.append(portal)

    def check(self) -> None:
        """Find every mistake of the environment and the configuration before anything starts."""
        from relay.configuration.settings import names_a_record  # noqa: PLC0415
        from relay.operations.configure import load_all  # noqa: PLC0415
        from relay.runtime.embedded import url_of  # noqa: PLC0415

        if not names_a_record(os.environ):
            os.environ["REDIS_URL"] = url_of(self.var / "record")
            self.supervisor.children.append(
                Child(
                    "record",
                    run_record,
                    (self.var / "record",),
                    stop_s=30.0,
                    is_needed=True,
                    without=(*OF_WORKERS, *WEB_ONLY),
                    log=self.log,
                )
            )
        load_all(os.environ, self.mistakes)
        if self.mistakes:
            # Nothing will start, so add the workers' mistakes. Imported by name: relay may not import workers.
            importlib.import_module("workers.__main__").read_configuration(None, self.mistakes, to_run=True)
        self.mistakes.raise_any()

    def start(self) -> None:
        """Start the processes, the record first. Returns when the web process answers."""
        self.supervisor.listen_for_signals()
        for child in self.supervisor.children:
            child.start()
        if self.supervisor.children:
            from relay.runtime.embedded import wait_until_ready  # noqa: PLC0415

            (record,) = self.supervisor.children
            wait_until_ready(self.var / "record", lambda: record.is_alive and not self.supervisor.stopping.is_set())
        web = Child(
            "web",
            run_web,
            (self._is_web_ready,),
            stop_s=WEB_STOP_S,
            without=OF_WORKERS,
            besides=wiping(os.environ),
            is_hung_up=True,
            log=self.log,
        )
        workers = Child("workers", run_workers, stop_s=WORKER_STOP_S, without=WEB_ONLY, log=self.log, must_start=True)
        self.supervisor.children += [web, workers]
        web.start()
        workers.start()
        self._wait_for_web(web)

    def describe(self, card: str = "") -> None:
        """Print the addresses. card: of a deal for which something has arrived."""
        print(f"dashboard: {self.url}/\nwebhooks:  {self.url}/hooks/<source>")
        if self.sandbox_url:
            print(f"sandbox:   {self.sandbox_url}/")
        if card:
            print(f"a deal:    {card}  (its card, with what arrived)")
        if self.made_secrets:
            print(f"secrets:   {self.var / 'secrets.env'} (RELAY_DASHBOARD_PASSWORD opens the dashboard)")
        print("Ctrl-C stops.", flush=True)

    def _wait_for_web(self, web: Child) -> None:
        pause = threading.Event()
        while web.is_alive and not self.supervisor.stopping.is_set():
            if self._is_web_ready.is_set():
                return
            pause.wait(0.05)
        _free_port(os.environ["RELAY_PORT"], any_port=False)  # another program may have taken it since
        raise ConfigError(
            [
                Mistake(
                    "environment",
                    0,
                    fault("web_not_started", log=str(self.log)) if self.log else fault("web_not_started_here"),
                )
            ]
        )


def run_record(folder: Path) -> int:
    """Child: the embedded server."""
    from relay.runtime.embedded import keep_record  # noqa: PLC0415

    return keep_record(folder)


def run_web(is_ready: Event) -> int:
    """Child: the web process. is_ready: set once it listens; somebody else may answer at its port."""
    return _serve(is_ready.set)


def run_workers() -> None:
    """Child: the workers. By name: relay may not import them."""
    sys.argv[1:] = []
    runpy.run_module("workers", run_name="__main__")


def _free_port(wanted: str, *, any_port: bool) -> int:
    port = int(wanted) if wanted.isdigit() else 8080  # a mistake in it is reported when settings are read
    host = os.environ.get("RELAY_HOST") or "127.0.0.1"
    for candidate in (port, 0) if any_port else (port,):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, candidate))
            except OSError:
                continue
            taken: int = probe.getsockname()[1]
            return taken
    raise ConfigError([Mistake("environment", 0, fault("port_in_use", port=port))])
