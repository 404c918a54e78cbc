"""RQ's scheduler, in a thread of the supervisor: brings retries into their queues when their time has come.

RQ would fork it from each worker; killed with SIGKILL, a worker leaves such a fork behind for ever. In here it
ends with its process. Where another host holds a queue's lock, it is taken over when that host is gone.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

from redis.exceptions import RedisError
from rq.scheduler import RQScheduler
from rq.serializers import JSONSerializer

from relay.queueing import queue_name
from relay.store.connection import connect
from relay.telemetry import get_logger

INTERVAL_S = 1.0
"""RQ's own: scheduled times are whole seconds."""
TAKEOVER_S = 15.0
"""How often a lock that another scheduler holds is tried again: it lapses a minute after that one died."""

log = get_logger()


def run_timekeeper(redis_url: str, portals: Sequence[str], stop: threading.Event) -> None:
    """Enqueue what is due, every second, until told to stop."""
    names = [queue_name(portal) for portal in portals]
    scheduler = RQScheduler(names, connection=connect(redis_url), serializer=JSONSerializer, logging_level="WARNING")
    tried_at = 0.0
    while not stop.is_set():
        try:
            if scheduler.acquired_locks != set(names) and time.monotonic() - tried_at > TAKEOVER_S:
                tried_at = time.monotonic()
                scheduler.acquire_locks()  # type: ignore[no-untyped-call] # rq
                scheduler.register_birth()
            scheduler.heartbeat()  # type: ignore[no-untyped-call] # rq
            scheduler.enqueue_scheduled_jobs()  # type: ignore[no-untyped-call] # rq
        except RedisError as error:
            log.warning("timekeeper.postponed", reason=type(error).__name__)
        stop.wait(INTERVAL_S)
    try:
        scheduler.release_locks()  # type: ignore[no-untyped-call] # rq
        scheduler.register_death()
    except RedisError:
        return  # the locks lapse by themselves
