"""One worker process: RQ's SimpleWorker on the queue of one portal, before the portal's gate.

A module of its own, because a child process finds what it is to run by module and name.
"""

from __future__ import annotations

import os
import socket
import time
from datetime import timedelta
from typing import Any

from rq import Queue, SimpleWorker
from rq.job import Job
from rq.serializers import JSONSerializer

from relay.errors import ConfigError, Mistake, RecordUnavailableError
from relay.portals import load_portals
from relay.queueing import DELIVER_JOB, queue_name
from relay.settings import Settings
from relay.store.connection import connect
from relay.store.gate import GateState
from relay.store.questions import Questions
from relay.store.record import Record
from relay.telemetry import configure, get_logger
from workers import jobs, porter, questions
from workers.bitrix24 import bizproc
from workers.desk import Desk
from workers.portals import Address, load_addresses

MAINTENANCE_INTERVAL_S = 30
"""How often RQ heals its own registries: within a minute, where its default is ten."""
GATE_POLL_S = 0.5
TRIAL = timedelta(seconds=75)
"""Longer than one call can take: while one worker tries a portal, the others wait."""
PROBE_EVERY = timedelta(seconds=60)

log = get_logger()


class PortalWorker(SimpleWorker):
    """Takes no job while the portal's gate is closed, so that deliveries wait in their queue, in their order."""

    desk: Desk

    def dequeue_job_and_maintain_ttl(self, timeout: int | None, max_idle_time: int | None = None) -> Any:
        """Wait at the gate, then do what RQ does. Burst mode gives no timeout: then a closed gate ends the work."""
        while not self._may_pass():
            if timeout is None:
                return None
            self.heartbeat()
            self._answer_ping()
            time.sleep(GATE_POLL_S)
        return super().dequeue_job_and_maintain_ttl(timeout, max_idle_time)

    def _answer_ping(self) -> None:
        """A portal that is held is the one that a person wants to ping. The job of the ping finds it answered."""
        try:
            question_id = Questions(self.desk.record.redis).next_ping(self.desk.portal.name)
            if question_id:
                questions.answer(self.desk, question_id)
        except RecordUnavailableError:
            log.warning("question.postponed", portal=self.desk.portal.name)

    def execute_job(self, job: Job, queue: Queue) -> None:
        """Run it, unless a batch has taken its delivery: then it is put away, which costs far less than to run it."""
        if job.func_name == DELIVER_JOB and not self._is_waiting(job):
            with self.connection.pipeline(transaction=True) as pipeline:
                pipeline.lrem(queue.intermediate_queue_key, 1, job.id)
                pipeline.delete(job.key)
                pipeline.execute()
            return
        super().execute_job(job, queue)

    def _is_waiting(self, job: Job) -> bool:
        try:
            return self.desk.record.is_waiting(*job.args)
        except RecordUnavailableError:
            return True  # the job will find out, and RQ will say so

    def _may_pass(self) -> bool:
        desk = self.desk
        try:
            view = desk.gate.look()
            if view.state is GateState.OPEN:
                return True
            if view.state is GateState.HELD:
                return self._probe()
            if porter.is_closed(view, desk):
                return False
            return desk.gate.take_trial(self.name, TRIAL)
        except RecordUnavailableError:
            return False

    def _probe(self) -> bool:
        """Ask a held portal, once a minute among all workers, whether it accepts calls again. Starts nothing."""
        desk = self.desk
        if not desk.record.lease(f"probe:{desk.portal.name}", self.name, PROBE_EVERY):
            return False
        desk.line.wait()
        if not isinstance(desk.line.call(bizproc.TEMPLATES, {"SELECT": ["ID"]}).result, list):
            return False
        porter.reopen(desk)
        return True


def work(portal: str, burst: bool) -> None:
    """One worker process: takes the jobs of one portal, one after the other."""
    configure(f"worker-{portal}")
    settings = Settings.from_environment(os.environ)
    address = addresses_of(settings, portal)[portal]
    desk = Desk.open(Record(connect(settings.redis_url)), address)
    jobs.sit_at(desk)
    worker = PortalWorker(
        [queue_name(portal)],
        name=f"{portal}.{socket.gethostname()}.{os.getpid()}",
        connection=connect(settings.redis_url, blocking=True),
        serializer=JSONSerializer,
        maintenance_interval=MAINTENANCE_INTERVAL_S,
        log_job_description=False,
        default_result_ttl=0,
    )
    worker.desk = desk
    log.info("worker.started", portal=portal, host=address.host)
    worker.work(burst=burst, logging_level="WARNING")
    log.info("worker.stopped", portal=portal)


def addresses_of(settings: Settings, only: str | None) -> dict[str, Address]:
    """The address of every portal, or of one. Raises ConfigError."""
    portals = load_portals(settings.config / "portals.yaml")
    if only is None:
        return load_addresses(portals, os.environ)
    if only not in portals:
        known = ", ".join(sorted(portals))
        raise ConfigError([Mistake("config", 0, f"no portal {only!r} in portals.yaml: expected one of {known}")])
    return load_addresses({only: portals[only]}, os.environ)
