"""One worker process: RQ's SimpleWorker on the queues of its portals, and a thread for each portal with work.

A job only says that there is work at a portal: it begins to drain that portal on a thread, and is done. A thread has
its portal to itself: order, pace, claims and connections are its own, so a portal that hangs delays no other. Two
threads never work at one portal here; two processes may, and the record's claims keep them apart.

While a portal is drained, its queue is left alone: the next job waits there and keeps others from being made
(lua/common.lua). So a portal that is busy for hours costs a job a drain, not a job a claim.

RQ imports any function that a job names, and whoever can write to Redis can write jobs. So a worker runs nothing but
its own function, and takes nothing from a job: no callback, no webhook, no argument.

`drain` does what comes next at its portal until nothing is left: first the questions of people, whatever the gate says;
then an opening of its application and, if the gate is open, uncertain and waiting deliveries, all in turn, so that none
starves the others: anybody can post an opening. A drain ends after a while, so that an endless one is noticed. What is
left has a job already (relay/store/redis/lua/claim.lua), or the clock makes one within a second.

A child process finds what it runs by module and name, so `work` stands at the top of a module.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import FrameType
from typing import Any, ClassVar

from redis import Redis
from redis.client import Pipeline
from redis.exceptions import RedisError
from rq import SimpleWorker
from rq.exceptions import DequeueTimeout, NoSuchJobError, StopRequested
from rq.intermediate_queue import IntermediateQueue
from rq.job import Job
from rq.queue import Queue
from rq.serializers import JSONSerializer
from rq.timeouts import JobTimeoutException, TimerDeathPenalty
from rq.webhook import Webhook
from rq.worker import WorkerStatus

from relay.configuration.files import Mistakes, collecting
from relay.configuration.portals import load_portals
from relay.configuration.settings import Settings
from relay.core import otel
from relay.core.errors import Mistake, RecordUnavailableError
from relay.core.faults import fault
from relay.core.ids import utc_now
from relay.core.telemetry import configure, get_logger
from relay.core.threads import keep_running, where_of
from relay.queue.jobs import JOB_TIMEOUT_S, QUEUE_KEY_PREFIX, SERVE_JOB, nudge_key, portal_of, queue_name
from relay.store import Store
from relay.store.portals.portal import Survey
from relay.store.redis.connection import connect
from workers.checks import questions
from workers.delivery import deliver, reconcile
from workers.portal import applications, gatekeeper
from workers.portal.context import Context
from workers.portal.credentials import Address, load_addresses

MAINTENANCE_INTERVAL_S = 30
"""Interval of RQ's repair of its own registries; its default is ten minutes."""

HEARTBEAT_S = 5.0
"""Shortest time between heartbeats. RQ would send several a job, each with three commands that wait for the disk."""

log = get_logger()


class PortalWorker(SimpleWorker):
    """RQ's worker. It takes no order from Redis except to serve its portals."""

    drains: Drains
    called: str = ""
    """The portal whose job is being run."""
    beat_at: float = 0.0
    """Time of the last heartbeat, by the monotonic clock."""
    turn: int = 0
    """Number of queues repaired so far."""

    def subscribe(self) -> None:
        """Listen to no commands: whoever can write to Redis could stop the worker with them. Signals end it."""

    def heartbeat(self, timeout: int | None = None, pipeline: Pipeline | None = None) -> None:
        """Send a heartbeat, unless the last one is recent."""
        if pipeline is None and timeout is None:
            if time.monotonic() - self.beat_at < HEARTBEAT_S:
                return
            self.beat_at = time.monotonic()
        super().heartbeat(timeout, pipeline)

    def set_state(self, state: str, pipeline: Pipeline | None = None) -> None:
        """Write the state, where it has changed."""
        if pipeline is not None or state != self.get_state():
            super().set_state(state, pipeline)

    def clean_registries(self) -> None:
        """Repair the registries of one queue, the next in turn: fifty at once would keep jobs waiting."""
        queues, self.turn = self.queues, self.turn + 1
        self.queues = [queues[self.turn % len(queues)]]
        try:
            super().clean_registries()  # type: ignore[no-untyped-call] # rq
        finally:
            self.queues = queues

    def execute_job(self, job: Job, queue: Queue) -> None:
        """Begin to drain the portal of the job's queue. The job itself is not trusted: anybody may have written it.

        A foreign job is thrown away. RQ's bookkeeping costs twenty round trips a job, so it is done only for a job that
        fails, where a person reads it.
        """
        self.called = portal_of(queue.name)
        is_ours = isinstance(job, OwnJob) and job.is_ours
        if is_ours and not self.drains.may_begin(self.called):
            super().execute_job(job, queue)
            return
        self._state = WorkerStatus.BUSY  # a signal waits until the job is gone
        if is_ours:
            self.drains.begin(self.called)
        else:  # log nothing of it: it can hold anything
            log.warning("job.foreign", portal=self.called)
        with self.connection.pipeline(transaction=False) as pipeline:
            pipeline.lrem(queue.intermediate_queue_key, 1, job.id)
            pipeline.delete(job.key)
            pipeline.execute()
        self._state = WorkerStatus.IDLE

    def request_stop(self, signum: int, frame: FrameType | None) -> None:
        """Begin nothing new, after a signal."""
        self.drains.stop()
        super().request_stop(signum, frame)  # type: ignore[no-untyped-call] # rq

    def teardown(self) -> None:
        """Leave when every call has ended."""
        self.drains.finish()
        super().teardown()  # type: ignore[no-untyped-call] # rq


def open_worker(name: str, portals: Sequence[str], drains: Drains, connection: Redis) -> PortalWorker:
    """A worker for these drains. connection: a blocking one."""
    worker: PortalWorker
    worker = PortalWorker(
        [queue_name(portal) for portal in portals],
        name=name,
        connection=connection,
        serializer=JSONSerializer,
        maintenance_interval=max(1, MAINTENANCE_INTERVAL_S // len(portals)),
        log_job_description=False,
        default_result_ttl=0,
        job_class=job_class(lambda: drains.begin(worker.called)),
        queue_class=queue_class(drains, nudge_key(name)),
    )
    worker.drains = drains
    return worker


def work(name: str, addresses: Mapping[str, Address], burst: bool) -> None:
    """Run one worker process: take the jobs of its portals, and drain each on a thread of its own.

    addresses: from the parent process, which reads the files. So a process that is started again while the files have a
    mistake goes on with the configuration in force.
    """
    configure(f"worker-{name}", otel.line_processors())
    otel.start(f"worker-{name}")
    settings, portals = Settings.from_environment(os.environ), list(addresses)
    redis = connect(settings.redis_url)
    # One store for all: its connections are lent to one thread at a time. Each portal's client is its thread's own.
    store = Store(redis, settings.replicas, state=settings.state)
    store.reached(utc_now())
    contexts = {portal: Context.open(store, address) for portal, address in addresses.items()}
    for portal, context in contexts.items():
        gatekeeper.begin(context)
        if addresses[portal].base_url:
            context.pace.learn_site(addresses[portal].site)
    full_name = f"{name}.{socket.gethostname()}.{os.getpid()}"
    drains: Drains
    drains = Drains(
        lambda portal: drain(contexts[portal], lambda: drains.is_stopping),
        # A process of one portal waits for the end without asking Redis (PortalQueue.lmove).
        lambda: nudge(redis, nudge_key(full_name)) if len(portals) > 1 else None,
    )
    jobs = connect(settings.redis_url, blocking=True)
    keep_running("primary", lambda stop: store.follow_primary(stop, jobs), threading.Event())
    worker = open_worker(full_name, portals, drains, jobs)
    log.info("worker.started", portals=portals, hosts=[address.host for address in addresses.values()])
    if burst:
        store.record.notify(portals, utc_now())
    worker.work(burst=burst, logging_level="WARNING")
    log.info("worker.stopped", portals=portals)
    otel.stop()


def addresses_of(settings: Settings, only: str | None, mistakes: Mistakes | None = None) -> dict[str, Address]:
    """The address of every portal, or of one. Adds to `mistakes` if given; else raises ConfigError with all of them."""
    with collecting(mistakes) as found:
        portals = load_portals(settings.config / "portals.yaml", found)
        if only is None:
            return load_addresses(portals, os.environ, found)
        if only in portals:
            return load_addresses({only: portals[only]}, os.environ, found)
        if portals:
            found.add(Mistake("config", 0, fault("portal_not_listed", name=repr(only), names=sorted(portals))))
        return {}


class UnknownJobError(Exception):
    """A job that names a foreign function. Its name is not repeated here: it can be anything."""


class OwnJob(Job):
    """A job that can run one of the functions that this process has given it."""

    table: ClassVar[dict[str, Callable[[], None]]] = {}

    @property
    def is_ours(self) -> bool:
        """Whether it names a function of ours. A stranger's job may not even be readable."""
        try:
            return self.func_name in self.table
        except Exception:  # noqa: BLE001 - any defect of it
            return False

    @property
    def func(self) -> Callable[..., None]:
        """The function of ours that the job names. Raises UnknownJobError."""
        serve = self.table.get(self.func_name or "")
        if serve is None:
            raise UnknownJobError
        return lambda *_args, **_kwargs: serve()

    def restore(self, raw_data: dict[bytes, bytes]) -> Any:
        """Read the job as RQ does, but without callbacks and webhooks.

        A job that RQ cannot read would end the worker: it is read as one that names no function.
        """
        try:
            restored = super().restore(raw_data)
        except NoSuchJobError:
            raise
        except Exception:  # noqa: BLE001 - any content
            restored = super().restore({b"data": b""})
        self._success_callback_name = self._failure_callback_name = self._stopped_callback_name = None
        self.webhooks: list[Webhook] = []
        return restored


def job_class(serve: Callable[[], None]) -> type[OwnJob]:
    """The class of jobs of one worker. They can only begin to serve one of its portals."""
    return type("PortalJob", (OwnJob,), {"table": {SERVE_JOB: serve}})


LISTEN_ANEW_S = 1.0
"""The queues are checked again after this time, in case the nudge at a drain's end or a signal to stop is lost."""
NUDGE_TTL_S = 60


class PortalQueue(Queue):
    """One of the queues of a process. drains: of the process. nudges: the list that announces the end of a drain."""

    drains: ClassVar[Drains]
    nudges: ClassVar[str]

    @classmethod
    def lpop(cls, queue_keys: Sequence[str], timeout: int | None, connection: Redis | None = None) -> Any:
        """The next job of a portal that is not being drained here: queue and id. None at the end of a burst.

        Raises DequeueTimeout.
        """
        assert connection is not None  # noqa: S101 - for the type checker: RQ gives it
        if timeout is None:
            return cls._in_burst(lambda: super(PortalQueue, cls).lpop(cls._free(queue_keys), None, connection))
        for wait_s in cls._waits(timeout):
            found: Any = connection.blpop([*cls._free(queue_keys), cls.nudges], wait_s)
            if found and found[0].decode() != cls.nudges:
                return found
        raise DequeueTimeout(timeout, queue_keys)

    @classmethod
    def lmove(cls, connection: Redis, queue_key: str, timeout: int | None) -> Any:
        """The same for a process with one portal: RQ keeps a job that it moves until it is done."""
        if timeout is None:
            return cls._in_burst(
                lambda: super(PortalQueue, cls).lmove(connection, queue_key, None) if cls._free([queue_key]) else None
            )
        for wait_s in cls._waits(timeout):
            if not cls._free([queue_key]):
                cls.drains.wait_for_an_end(wait_s)
                continue
            kept = IntermediateQueue(queue_key, connection).key
            if found := connection.blmove(queue_key, kept, wait_s):  # type: ignore[arg-type] # a float is right
                return queue_key, found
        raise DequeueTimeout(timeout, queue_key)

    @classmethod
    def _waits(cls, timeout: float) -> Iterator[float]:
        """Short waits, in seconds, until the timeout is over. Raises StopRequested once the process is to stop.

        RQ's signal handler raises it too, but at any line of the main thread, also where a library throws every
        exception away (redis/observability/recorder.py): so it is asked again here, before each wait.
        """
        end = time.monotonic() + timeout
        while (left_s := end - time.monotonic()) > 0:
            if cls.drains.is_stopping:
                raise StopRequested
            yield max(min(left_s, LISTEN_ANEW_S), 0.01)

    @classmethod
    def _free(cls, queue_keys: Sequence[str]) -> list[str]:
        """The queues of portals that are not being drained. Ends overdue drains, a second late at most."""
        cls.drains.end_overdue()
        return [key for key in queue_keys if not cls.drains.is_on(portal_of(key.removeprefix(QUEUE_KEY_PREFIX)))]

    @classmethod
    def _in_burst(cls, take: Callable[[], Any]) -> Any:
        """Take a job. A burst is over when nothing is queued and nothing is drained: a drain may leave a job."""
        while True:
            was_on = cls.drains.are_on
            found = take()
            if found is not None or not was_on:
                return found
            cls.drains.wait_for_an_end(LISTEN_ANEW_S)


def queue_class(drains: Drains, nudges: str) -> type[PortalQueue]:
    """The class of the queues of one process."""
    return type("OwnQueue", (PortalQueue,), {"drains": drains, "nudges": nudges})


def nudge(redis: Redis, nudges: str) -> None:
    """Tell the process that a drain has ended. Where the record is away, it finds out within a second."""
    try:
        with redis.pipeline(transaction=False) as pipeline:
            pipeline.lpush(nudges, "")
            pipeline.ltrim(nudges, 0, 0)
            pipeline.expire(nudges, NUDGE_TTL_S)
            pipeline.execute()
    except RedisError:
        return


AGAIN_S = 1.0


class Drains:
    """The threads that drain the portals of this process.

    drain: works at a portal until there is nothing to do, or `is_stopping`. ended: called after it, on its thread.
    """

    def __init__(self, drain: Callable[[str], object], ended: Callable[[], object] = lambda: None) -> None:
        self._drain = drain
        self._ended = ended
        self._change = threading.Condition()
        self._threads: dict[str, threading.Thread] = {}
        self._deaths: dict[str, Exception] = {}
        self._penalties: dict[str, tuple[float, TimerDeathPenalty]] = {}
        self.is_stopping = False
        """Whether to begin nothing new."""

    def may_begin(self, portal: str) -> bool:
        """Whether its last drain ended well."""
        return portal not in self._deaths

    def begin(self, portal: str) -> None:
        """Drain a portal, unless a thread does. Raises once what ended the last drain, so that a job fails with it."""
        with self._change:
            if death := self._deaths.pop(portal, None):
                raise death
            if portal in self._threads or self.is_stopping:
                return
            # A daemon: a process that is ended by force cuts the call.
            thread = threading.Thread(target=self._work, args=(portal,), name=f"drain-{portal}", daemon=True)
            self._threads[portal] = thread
        thread.start()

    def is_on(self, portal: str) -> bool:
        """Whether a thread drains this portal."""
        return portal in self._threads

    @property
    def are_on(self) -> bool:
        """Whether any thread runs."""
        return bool(self._threads)

    def wait_for_an_end(self, timeout_s: float | None = None) -> None:
        """Wait until a running thread has ended, or this time is over; not at all where none runs."""
        with self._change:
            if self._threads:
                self._change.wait(timeout_s)

    def end_overdue(self) -> None:
        """End each that lasts too long, by RQ's own means: a socket's timeout does not notice a trickle of bytes."""
        with self._change:
            now = time.monotonic()
            for portal, (end, penalty) in list(self._penalties.items()):
                if now > end:
                    # Again a second later, in case the thread swallows the exception.
                    self._penalties[portal] = (now + AGAIN_S, penalty)
                    penalty.handle_death_penalty()  # type: ignore[no-untyped-call] # rq

    def stop(self) -> None:
        """Begin nothing new. Takes no lock, so that a signal handler may call it."""
        self.is_stopping = True

    def finish(self) -> None:
        """Begin nothing new, and wait until each thread has ended its call."""
        self.stop()
        while self.are_on:
            self.wait_for_an_end()

    def _work(self, portal: str) -> None:
        penalty = TimerDeathPenalty(JOB_TIMEOUT_S, JobTimeoutException)  # type: ignore[no-untyped-call] # rq
        self._penalties[portal] = (time.monotonic() + JOB_TIMEOUT_S, penalty)
        try:
            try:
                self._drain(portal)
            finally:
                self._penalties.pop(portal, None)  # the rest must not be interrupted
        except Exception as death:  # noqa: BLE001 - the portal's next job fails with it
            kind, where = type(death).__name__, where_of(death)
            log.error("shift.died", portal=portal, kind=kind, where=where)  # noqa: TRY400 - no values
            self._deaths[portal] = death
        finally:
            with self._change:
                del self._threads[portal]
                self._change.notify_all()
            self._ended()


DRAIN_S = 30.0
"""After this time, a drain begins no new call."""


def drain(context: Context, is_stopping: Callable[[], bool] = lambda: False) -> None:
    """Work until nothing is left to do now, or time is up. If the record is away, the clock notifies us again."""
    end = time.monotonic() + DRAIN_S
    try:
        while not is_stopping() and time.monotonic() < end:
            if not step(context):
                return
    except RecordUnavailableError as error:
        log.warning("shift.ended", portal=context.portal.name, reason=str(error))


def step(context: Context) -> bool:
    """Do what comes next. Returns whether there was anything. Raises RecordUnavailableError."""
    if context.claim.is_unanswered:
        deliver.give_back(context)
    portal = context.survey()
    if portal.questions and (question_id := context.store.questions.take(context.portal.name)):
        questions.answer(context, question_id)
        return True
    answered = portal.openings > 0 and applications.answer_next(context)
    if answered:
        portal = context.survey()
    worked = _work(context, portal) if portal.gate.is_open else gatekeeper.ask(context)
    return worked or answered


def _work(context: Context, portal: Survey) -> bool:
    looked = portal.doubtful > 0 and reconcile.reconcile_next(context)
    return deliver.deliver_next(context, context.survey() if looked else portal) or looked
