"""Waiting for replicas: what is answered for is on the disks of other machines too. And leaving a server that has been
demoted, or cut off.

A primary that is cut off does not know it: it goes on writing what a failover will throw away. Only an answer of its
replicas tells, so whoever promises something waits for that; whoever does not may write what is forgotten.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from redis import Redis
from redis.client import Pipeline
from redis.exceptions import RedisError, ResponseError

from relay.store.redis import keys

WAIT_MS = 1_000
"""How long replicas have for their answer, which takes a millisecond where all is well. Shorter than any client of ours
waits for an answer (connection.py), so what comes back is a number and no broken connection."""

DEMOTED = ("READONLY", "NOREPLICAS", "MASTERDOWN", "LOADING")
"""The first words of a server that is no primary, or that none of its replicas follows."""


class NotReplicatedError(RedisError):
    """Too few replicas have answered in time: what was written may be forgotten, and nothing may be promised of it."""


def ask_replicas(pipeline: Pipeline, replicas: int) -> None:
    """End a pipeline with a wait for all that stands before it.

    A wait is for the last *write* of its connection; a script that finds its work done by another, or by its own first
    try on a connection that broke, has written nothing, and Valkey would not wait at all. So something is written. A
    message that nobody hears is no data: a full server takes it too.
    """
    pipeline.publish(keys.WAITED, "")
    pipeline.execute_command("WAIT", replicas, WAIT_MS)  # type: ignore[no-untyped-call] # redis-py


def check_replicas(redis: Redis, said: Sequence[Any], replicas: int) -> None:
    """Look at the answers to ask_replicas; none: nobody was asked.

    Raises NotReplicatedError where too few have answered, RedisError where the server would not ask them.
    """
    leave_demoted(redis, said)
    for one in said:
        if isinstance(one, Exception):
            raise one
    if said and said[-1] < replicas:
        leave(redis)
        raise NotReplicatedError(f"{said[-1]} of {replicas}")


def confirm(redis: Redis, replicas: int) -> None:
    """Wait until so many have all that was written so far. Raises what check_replicas raises."""
    with redis.pipeline(transaction=False) as pipeline:
        ask_replicas(pipeline, replicas)
        said = pipeline.execute(raise_on_error=False)
    check_replicas(redis, said, replicas)


def leave_demoted(redis: Redis, answers: Iterable[Any]) -> None:
    """Leave a server one of whose answers says that it is not to be written to."""
    if any(isinstance(one, ResponseError) and _first_word(one) in DEMOTED for one in answers):
        leave(redis)


def leave(redis: Redis) -> None:
    """Drop every connection: the next one asks the sentinels, or the name server, anew who the primary is."""
    redis.connection_pool.disconnect(inuse_connections=False)


def _first_word(error: ResponseError) -> str:
    return error.status_code or str(error).partition(" ")[0]
