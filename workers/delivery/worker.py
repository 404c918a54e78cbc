"""One worker process: RQ's SimpleWorker on the queues of its portals. A job begins a shift on a thread, and is done.

A module of its own, because a child process finds what it is to run by module and name.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Mapping, Sequence
from types import FrameType

from redis import Redis
from redis.client import Pipeline
from rq import SimpleWorker
from rq.job import Job
from rq.queue import Queue
from rq.serializers import JSONSerializer
from rq.worker import WorkerStatus

from relay.configuration.mistakes import Mistakes, collecting
from relay.configuration.portals import load_portals
from relay.configuration.settings import Settings
from relay.core.errors import Mistake
from relay.core.faults import fault
from relay.core.ids import utc_now
from relay.core.telemetry import configure, get_logger
from relay.core.threads import keep_running
from relay.queue.jobs import nudge_key, portal_of, queue_name
from relay.store import Store
from relay.store.redis.connection import connect
from workers.delivery.jobs import OwnJob, job_class
from workers.delivery.queues import nudge, queue_class
from workers.delivery.shift import serve
from workers.delivery.shifts import Shifts
from workers.portal.context import Context
from workers.portal.credentials import Address, load_addresses

MAINTENANCE_INTERVAL_S = 30
"""How often RQ heals its own registries: within a minute, where its default is ten."""

HEARTBEAT_S = 5.0
"""RQ says that it lives several times a job, each time with three commands that wait for the disk."""

log = get_logger()


class PortalWorker(SimpleWorker):
    """RQ's worker, which takes no orders from Redis but to serve its portals (jobs.py)."""

    shifts: Shifts
    called: str = ""
    """The portal whose job is being run."""
    beat_at: float = 0.0
    """When it last said that it lives, by the monotonic clock."""
    turn: int = 0
    """How many queues were healed."""

    def subscribe(self) -> None:
        """Listen to no commands: whoever can write to Redis could stop the worker with them. Signals end it."""

    def heartbeat(self, timeout: int | None = None, pipeline: Pipeline | None = None) -> None:
        """Say that it lives, if it has not done so lately."""
        if pipeline is None and timeout is None:
            if time.monotonic() - self.beat_at < HEARTBEAT_S:
                return
            self.beat_at = time.monotonic()
        super().heartbeat(timeout, pipeline)

    def set_state(self, state: str, pipeline: Pipeline | None = None) -> None:
        """Say what it does, where that has changed."""
        if pipeline is not None or state != self.get_state():
            super().set_state(state, pipeline)

    def clean_registries(self) -> None:
        """Heal the registries of one queue, the next in turn: those of fifty would keep jobs waiting."""
        queues, self.turn = self.queues, self.turn + 1
        self.queues = [queues[self.turn % len(queues)]]
        try:
            super().clean_registries()  # type: ignore[no-untyped-call] # rq
        finally:
            self.queues = queues

    def execute_job(self, job: Job, queue: Queue) -> None:
        """Begin the shift that a job calls for. Which portal it is about, its queue says: a job may be anybody's.

        One that is none of ours is thrown away. The books that RQ keeps of a job cost twenty round trips. They are kept
        of those that fail: a person reads them.
        """
        self.called = portal_of(queue.name)
        is_ours = isinstance(job, OwnJob) and job.is_ours
        if is_ours and not self.shifts.may_begin(self.called):
            super().execute_job(job, queue)
            return
        self._state = WorkerStatus.BUSY  # a signal waits until the job is gone
        if is_ours:
            self.shifts.begin(self.called)
        else:  # nothing of it is repeated: anything may stand there
            log.warning("job.foreign", portal=self.called)
        with self.connection.pipeline(transaction=False) as pipeline:
            pipeline.lrem(queue.intermediate_queue_key, 1, job.id)
            pipeline.delete(job.key)
            pipeline.execute()
        self._state = WorkerStatus.IDLE

    def request_stop(self, signum: int, frame: FrameType | None) -> None:
        """A signal: begin nothing new."""
        self.shifts.stop()
        super().request_stop(signum, frame)  # type: ignore[no-untyped-call] # rq

    def teardown(self) -> None:
        """Leave when every portal's call has ended."""
        self.shifts.finish()
        super().teardown()  # type: ignore[no-untyped-call] # rq


def open_worker(name: str, portals: Sequence[str], shifts: Shifts, connection: Redis) -> PortalWorker:
    """A worker that begins these shifts. connection: a blocking one."""
    worker: PortalWorker
    worker = PortalWorker(
        [queue_name(portal) for portal in portals],
        name=name,
        connection=connection,
        serializer=JSONSerializer,
        maintenance_interval=max(1, MAINTENANCE_INTERVAL_S // len(portals)),
        log_job_description=False,
        default_result_ttl=0,
        job_class=job_class(lambda: shifts.begin(worker.called)),
        queue_class=queue_class(shifts, nudge_key(name)),
    )
    worker.shifts = shifts
    return worker


def work(name: str, addresses: Mapping[str, Address], burst: bool) -> None:
    """One worker process: takes the jobs of its portals, and works at each on a thread of its own.

    It is told where they are by its parent, which reads the files: one that is started again while they have a mistake
    goes on with what is in force.
    """
    configure(f"worker-{name}")
    settings, portals = Settings.from_environment(os.environ), list(addresses)
    redis = connect(settings.redis_url)
    # One store for all: its connections are lent to one thread at a time. Each portal's client is its thread's own.
    store = Store(redis, settings.replicas, state=settings.state)
    store.reached(utc_now())
    contexts = {portal: Context.open(store, address) for portal, address in addresses.items()}
    for portal, context in contexts.items():
        context.pace.learn_site(addresses[portal].site)
    full_name = f"{name}.{socket.gethostname()}.{os.getpid()}"
    shifts: Shifts
    shifts = Shifts(
        lambda portal: serve(contexts[portal], lambda: shifts.is_stopping),
        # A process of one portal waits for its end without asking Redis (queues.py).
        lambda: nudge(redis, nudge_key(full_name)) if len(portals) > 1 else None,
    )
    jobs = connect(settings.redis_url, blocking=True)
    keep_running("primary", lambda stop: store.follow_primary(stop, jobs), threading.Event())
    worker = open_worker(full_name, portals, shifts, jobs)
    log.info("worker.started", portals=portals, hosts=[address.host for address in addresses.values()])
    if burst:
        store.record.wake(portals, utc_now())
    worker.work(burst=burst, logging_level="WARNING")
    log.info("worker.stopped", portals=portals)


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
            found.add(Mistake("config", 0, fault("portal_not_listed", name=repr(only), names=sorted(portals))))
        return {}
