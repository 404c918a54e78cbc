"""RQ's names and jobs: which queue, which function, which id. Makes jobs; the store's scripts write them.

One queue a portal, one job a turn of a delivery, arguments are ids only: no personal data and no secret passes
through RQ. The functions are named, not imported: the web process enqueues work that it cannot load.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from datetime import datetime

from redis import Redis
from rq import Queue
from rq.job import Job, JobStatus
from rq.registry import ScheduledJobRegistry
from rq.serializers import JSONSerializer
from rq.worker_registration import REDIS_WORKER_KEYS

DELIVER_JOB = "workers.jobs.deliver"
RECONCILE_JOB = "workers.jobs.reconcile"
ANSWER_JOB = "workers.jobs.answer"
JOB_NAMES = (DELIVER_JOB, RECONCILE_JOB, ANSWER_JOB)

QUEUE_PREFIX = "portal-"
WORKERS_KEY = REDIS_WORKER_KEYS
"""The set of the keys of all workers, as RQ keeps it."""
JOB_TIMEOUT_S = 180
"""How long RQ lets a job run. A call takes 70 s at most (connect 5, read 65), waiting for the pace is bounded too."""
FAILURE_TTL_S = 86_400
"""A job that ended by an error of ours stays this long in RQ's failed registry, for a developer to read."""


def queue_name(portal: str) -> str:
    """The queue of a portal."""
    return QUEUE_PREFIX + portal


def job_id(delivery_id: str, turn: int) -> str:
    """The id of the job that carries this turn of a delivery."""
    return f"{delivery_id}-{turn}"


@dataclass(frozen=True, slots=True)
class Ticket:
    """A job as the store's scripts write it: what RQ itself would have written (rq/scripts.py)."""

    id: str
    job_key: str
    queue_key: str
    schedule_key: str
    at_s: int
    fields: tuple[str | bytes | int, ...] = field(repr=False)

    def to_argv(self) -> list[str | bytes | int]:
        """The job in the order that `enqueue` in lua/common.lua reads."""
        return [
            self.id,
            self.job_key,
            self.queue_key,
            self.schedule_key,
            self.at_s,
            len(self.fields),
            *self.fields,
        ]


class Queues:
    """Makes the tickets of every portal's queue. Holds the connection for RQ's constructors; does no I/O."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._keys: dict[str, tuple[str, str]] = {}

    def queue_key(self, portal: str) -> str:
        """The Redis key of the portal's queue (RQ's public `Queue.key`)."""
        return self._keys_of(portal)[0]

    def deliver(self, portal: str, delivery_id: str, turn: int, at: datetime | None = None) -> Ticket:
        """A job that sends this delivery, now or at a time to come."""
        return self._ticket(DELIVER_JOB, portal, job_id(delivery_id, turn), [delivery_id, turn], at)

    def reconcile(self, portal: str, delivery_id: str, turn: int, at: datetime | None = None) -> Ticket:
        """A job that finds out whether this uncertain delivery has started its workflow."""
        return self._ticket(RECONCILE_JOB, portal, job_id(delivery_id, turn), [delivery_id, turn], at)

    def ask(self, portal: str, question_id: str) -> Ticket:
        """A job that answers a person's question to a portal."""
        return self._ticket(ANSWER_JOB, portal, question_id, [question_id], None)

    def _ticket(self, function: str, portal: str, name: str, arguments: list[str | int], at: datetime | None) -> Ticket:
        queue_key, schedule_key = self._keys_of(portal)
        job = Job.create(
            function,
            args=arguments,
            id=name,
            connection=self._redis,
            origin=queue_name(portal),
            serializer=JSONSerializer,
            timeout=JOB_TIMEOUT_S,
            result_ttl=0,
            failure_ttl=FAILURE_TTL_S,
            status=JobStatus.SCHEDULED if at else JobStatus.QUEUED,
            description=function,
        )
        job.enqueued_at = job.created_at
        fields: list[str | bytes | int] = []
        for key, value in job.to_dict().items():
            fields += (key, value)
        return Ticket(
            id=job.id,
            job_key=as_text(job.key),
            queue_key=queue_key,
            schedule_key=schedule_key,
            # RQ's scheduler thinks in whole seconds: rather a moment late than early.
            at_s=math.ceil(at.timestamp()) if at else 0,
            fields=tuple(fields),
        )

    def _keys_of(self, portal: str) -> tuple[str, str]:
        if portal not in self._keys:
            queue = Queue(queue_name(portal), connection=self._redis, serializer=JSONSerializer)
            registry = ScheduledJobRegistry(queue=queue)  # type: ignore[no-untyped-call] # rq
            self._keys[portal] = (as_text(queue.key), as_text(registry.key))
        return self._keys[portal]


def as_text(key: str | bytes) -> str:
    """A Redis key as text: RQ gives some of them as bytes."""
    return key.decode() if isinstance(key, bytes) else key
