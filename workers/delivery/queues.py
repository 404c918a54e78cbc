"""The queues of one worker process, as RQ takes jobs from them: those whose portal is being worked at are left alone.

While a shift is on, its portal's next job waits in the queue and keeps others from being made (lua/common.lua): so a
portal that is busy for hours costs a job a shift, not a job a claim.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from redis import Redis
from redis.exceptions import RedisError
from rq import Queue
from rq.exceptions import DequeueTimeout

from relay.queue.jobs import QUEUE_KEY_PREFIX, portal_of
from workers.delivery.shifts import Shifts

LISTEN_ANEW_S = 1.0
"""While a shift is on, its queue is looked at again at least so often, should the word that it has ended be lost."""
NUDGE_TTL_S = 60


class PortalQueue(Queue):
    """One of the queues of a process. shifts: of the process. nudges: the list through which a shift says its end."""

    shifts: ClassVar[Shifts]
    nudges: ClassVar[str]

    @classmethod
    def lpop(cls, queue_keys: Sequence[str], timeout: int | None, connection: Redis | None = None) -> Any:
        """The next job of a portal that nobody works at here: queue and id. None in a burst, where there is none left.

        Raises DequeueTimeout.
        """
        assert connection is not None  # noqa: S101 - for the type checker: RQ gives it
        if timeout is None:
            return cls._in_burst(lambda: super(PortalQueue, cls).lpop(cls._free(queue_keys), None, connection))
        end = time.monotonic() + timeout
        while (left_s := end - time.monotonic()) > 0:
            free = cls._free(queue_keys)
            wait_s = left_s if len(free) == len(queue_keys) else min(left_s, LISTEN_ANEW_S)
            found: Any = connection.blpop([*free, cls.nudges], max(wait_s, 0.01))
            if found and found[0].decode() != cls.nudges:
                return found
        raise DequeueTimeout(timeout, queue_keys)

    @classmethod
    def lmove(cls, connection: Redis, queue_key: str, timeout: int | None) -> Any:
        """The same where the process has one portal: RQ keeps a job that it moves until it is done."""
        if timeout is None:
            return cls._in_burst(
                lambda: super(PortalQueue, cls).lmove(connection, queue_key, None) if cls._free([queue_key]) else None
            )
        while not cls._free([queue_key]):
            cls.shifts.wait_for_an_end(LISTEN_ANEW_S)
        return super().lmove(connection, queue_key, timeout)

    @classmethod
    def _free(cls, queue_keys: Sequence[str]) -> list[str]:
        """Those of portals that nobody works at. A shift that has no end is given one here, a second late at most."""
        cls.shifts.end_overdue()
        return [key for key in queue_keys if not cls.shifts.is_on(portal_of(key.removeprefix(QUEUE_KEY_PREFIX)))]

    @classmethod
    def _in_burst(cls, take: Callable[[], Any]) -> Any:
        """Nothing is left when nothing is queued and nobody is at work: whoever is may leave a job."""
        while True:
            was_on = cls.shifts.are_on
            found = take()
            if found is not None or not was_on:
                return found
            cls.shifts.wait_for_an_end(LISTEN_ANEW_S)


def queue_class(shifts: Shifts, nudges: str) -> type[PortalQueue]:
    """The class of the queues of one process."""
    return type("OwnQueue", (PortalQueue,), {"shifts": shifts, "nudges": nudges})


def nudge(redis: Redis, nudges: str) -> None:
    """Tell the process that a shift has ended. Where the record is away, it finds out within a second by itself."""
    try:
        with redis.pipeline(transaction=False) as pipeline:
            pipeline.lpush(nudges, "")
            pipeline.ltrim(nudges, 0, 0)
            pipeline.expire(nudges, NUDGE_TTL_S)
            pipeline.execute()
    except RedisError:
        return
