"""What RQ holds for each portal: how many jobs wait and have failed, and by which error. Reads only.

Tells of a failed job its id, and the class and place of the error; never arguments, and never the error's own words,
which may quote what was being sent.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from redis import Redis
from rq import Queue
from rq.job import Job
from rq.registry import FailedJobRegistry
from rq.results import Result
from rq.serializers import JSONSerializer

from relay.core.ids import to_ms, utc_now
from relay.queue.jobs import queue_name
from relay.store.redis.guard import guarded

SHOWN = 3
"""So many of the newest failed jobs are told by name; the others are counted."""
_PLACE = re.compile(r'^ *File "(?:.*/)?([\w.-]+/[\w.-]+)", line (\d+)', re.MULTILINE)
_CLASS = re.compile(r"^(?:[A-Za-z_]\w*\.)*([A-Za-z_]\w*)(?=:|$)")


@dataclass(frozen=True, slots=True)
class Failure:
    """A job that ended by an error of the relay's own. error: its class and, where known, its place."""

    job: str
    error: str


@dataclass(frozen=True, slots=True)
class Jobs:
    """The jobs of one portal. failures: the newest of the failed."""

    waiting: int
    failed: int
    failures: tuple[Failure, ...] = ()


@guarded
def read_jobs(redis: Redis, portal: str) -> Jobs:
    """The jobs of a portal, in a bounded number of reads. Raises RecordUnavailableError."""
    queue = Queue(queue_name(portal), connection=redis, serializer=JSONSerializer)
    failed = FailedJobRegistry(queue=queue)
    with redis.pipeline(transaction=False) as pipeline:
        pipeline.llen(queue.key)
        # Scored with the time of their end; RQ takes them away some time after that.
        pipeline.zcount(failed.key, to_ms(utc_now()) / 1000, "+inf")
        pipeline.zrevrange(failed.key, 0, SHOWN - 1)
        answers: list[Any] = pipeline.execute()
    waiting, count, newest = answers
    names = [name.decode("utf-8", "replace")[:100] for name in newest[:count]]
    return Jobs(waiting, count, tuple(Failure(name, _error_of(redis, name)) for name in names))


def _error_of(redis: Redis, name: str) -> str:
    result = Result.fetch_latest(Job(name, connection=redis, serializer=JSONSerializer), JSONSerializer)
    text = (result.exc_string if result else None) or ""
    found, places = _CLASS.match(text.strip().rpartition("\n")[2]), _PLACE.findall(text)
    error = found[1] if found else "an error"
    return f"{error} in {places[-1][0]}, line {places[-1][1]}" if places else error
