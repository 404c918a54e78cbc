"""RQ's names, as the record's scripts write them: which queue, which function, which keys. Names only.

One queue a portal. A job says that there is work at a portal, and nothing else: what is to be done, in which order and
when, stands in the record. So no job can be stale, none carries a person's data or a secret, and one that is lost
costs a second. The name of a job is a word, no path of a function (workers/delivery/worker.py).
"""

from __future__ import annotations

SERVE_JOB = "serve"
JOB_TIMEOUT_S = 300
"""How long a job, and the shift that it begins, may last. A shift begins no call after half a minute; the last call
takes 70 s at most (connect 5, read 65), waiting for the pace and writing the outcome are bounded too."""
FAILURE_TTL_S = 86_400
"""A job that ended by an error of ours stays this long in RQ's failed registry, for a developer to read."""

QUEUE_PREFIX = "portal-"
QUEUE_KEY_PREFIX = "rq:queue:"
JOB_KEY_PREFIX = "rq:job:"
QUEUES_KEY = "rq:queues"
WORKERS_KEY = "rq:workers"
"""The set of the keys of all workers. These are RQ's own names (rq/queue.py, rq/job.py, rq/worker_registration.py),
written here so that the web process need not import RQ; tests/meta compares them."""

IN_LUA = {
    "queue": QUEUE_KEY_PREFIX + QUEUE_PREFIX,
    "queue_name": QUEUE_PREFIX,
    "queues": QUEUES_KEY,
    "job": JOB_KEY_PREFIX,
    "serve": SERVE_JOB,
    "job_timeout_s": str(JOB_TIMEOUT_S),
    "failure_ttl_s": str(FAILURE_TTL_S),
}
"""Values that scripts need to make a job."""


def queue_name(portal: str) -> str:
    """The queue of a portal."""
    return QUEUE_PREFIX + portal


def nudge_key(worker: str) -> str:
    """The list that tells a worker process, by its name, to listen again to the queue of a portal that it has left."""
    return f"rq:nudge:{worker}"


def portal_of(queue: str) -> str:
    """The portal of a queue, by the queue's name."""
    return queue.removeprefix(QUEUE_PREFIX)


def queue_key(portal: str) -> str:
    """The Redis key of the portal's queue."""
    return QUEUE_KEY_PREFIX + queue_name(portal)
