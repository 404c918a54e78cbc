"""One worker process: RQ's SimpleWorker on the queue of one portal.

A module of its own, because a child process finds what it is to run by module and name.
"""

from __future__ import annotations

import os
import socket

from rq import SimpleWorker
from rq.serializers import JSONSerializer

from relay.configuration.mistakes import Mistakes, collecting
from relay.configuration.portals import load_portals
from relay.configuration.settings import Settings
from relay.core.errors import Mistake
from relay.core.telemetry import configure, get_logger
from relay.queue.jobs import queue_name
from relay.store import Store
from relay.store.redis.connection import connect
from workers.delivery.jobs import job_class
from workers.delivery.shift import serve
from workers.portal.context import Context
from workers.portal.credentials import Address, load_addresses

MAINTENANCE_INTERVAL_S = 30
"""How often RQ heals its own registries: within a minute, where its default is ten."""

log = get_logger()


class PortalWorker(SimpleWorker):
    """RQ's worker, which takes no orders from Redis but to serve its portal (jobs.py)."""

    def subscribe(self) -> None:
        """Listen to no commands: whoever can write to Redis could stop the worker with them. Signals end it."""

    @property
    def is_stopping(self) -> bool:
        """Whether it was told to end after the call it is in."""
        return self._stop_requested


def work(address: Address, burst: bool) -> None:
    """One worker process: takes the jobs of one portal, one after the other.

    It is told where the portal is by its parent, which reads the files: one that is started again while they have a
    mistake goes on with what is in force.
    """
    portal = address.portal.name
    configure(f"worker-{portal}")
    settings = Settings.from_environment(os.environ)
    context = Context.open(Store.open(settings.redis_url), address)
    context.pace.learn_site(address.site)
    worker: PortalWorker
    worker = PortalWorker(
        [queue_name(portal)],
        name=f"{portal}.{socket.gethostname()}.{os.getpid()}",
        connection=connect(settings.redis_url, blocking=True),
        serializer=JSONSerializer,
        maintenance_interval=MAINTENANCE_INTERVAL_S,
        log_job_description=False,
        default_result_ttl=0,
        job_class=job_class(lambda: serve(context, lambda: worker.is_stopping)),
    )
    log.info("worker.started", portal=portal, host=address.host)
    if burst:
        context.record.wake([portal], context.clock())
    worker.work(burst=burst, logging_level="WARNING")
    log.info("worker.stopped", portal=portal)


def addresses_of(settings: Settings, only: str | None, mistakes: Mistakes | None = None) -> dict[str, Address]:
    """The address of every portal, or of one.

    Mistakes are added to those that were handed down; else ConfigError is raised with every one.
    """
    with collecting(mistakes) as found:
        portals = load_portals(settings.config / "portals.yaml", found)
        if only is None:
            return load_addresses(portals, os.environ, found)
        if only in portals:
            return load_addresses({only: portals[only]}, os.environ, found)
        if portals:
            known = ", ".join(sorted(portals))
            found.add(Mistake("config", 0, f"no portal {only!r} in portals.yaml: expected one of {known}"))
        return {}
