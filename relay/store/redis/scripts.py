"""Runs the Lua scripts: typed calls, replicas that confirm a write, leases. And turns redis-py's exceptions into ours.

Each call builds one EVALSHA, so that calls can share a pipeline. A script that the server does not know (it was
restarted, or failed over) is loaded and run again. A script whose answer was lost is sent again by the client
(connection.py). Every script compares before it swaps, so running it twice is safe; a script whose answer decides
something gives the same answer the second time (`tells_again`).

A primary that is cut off goes on writing what a failover will throw away. Only an answer of its replicas proves that a
write survives, so a promise waits for that answer. Writes that promise nothing do not wait.

A lease lets one holder at a time do a task. It ends with its `with`, or by itself after a death.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import wraps
from importlib.resources import files
from typing import Any, ParamSpec, TypeVar

from redis import Redis
from redis.client import Pipeline
from redis.exceptions import NoScriptError, RedisError, ResponseError

from relay.core.errors import RecordUnavailableError
from relay.queue import jobs
from relay.store.redis import keys

P = ParamSpec("P")
R = TypeVar("R")


def guarded(function: Callable[P, R]) -> Callable[P, R]:
    """Turn redis-py's exceptions into ours, without their texts, which may quote the request."""

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except RedisError as error:
            raise RecordUnavailableError(type(error).__name__) from None

    return call


WAIT_MS = 1_000
"""The longest wait for replicas, which normally takes a millisecond. Shorter than any client's timeout (connection.py),
so the result is a number and not a broken connection."""

DEMOTED = ("READONLY", "NOREPLICAS", "MASTERDOWN", "LOADING")
"""The first words of errors from a server that is no primary, or that no replica follows."""


class NotReplicatedError(RedisError):
    """Too few replicas answered in time: the write may be lost, so nothing may be promised."""


def ask_replicas(pipeline: Pipeline, replicas: int) -> None:
    """End a pipeline with a wait for the replicas.

    WAIT waits for the last *write* of its connection. A script that finds its work done, perhaps by its own first try
    on a broken connection, has written nothing, and Valkey would not wait at all. So publish a message first: it has no
    listener and is no data, so a full server takes it too.
    """
    pipeline.publish(keys.WAITED, "")
    pipeline.execute_command("WAIT", replicas, WAIT_MS)  # type: ignore[no-untyped-call] # redis-py


def check_replicas(redis: Redis, said: Sequence[Any], replicas: int) -> None:
    """Check the answers to ask_replicas; empty: no replica was asked.

    Raises NotReplicatedError where too few have answered, RedisError where the server refused to wait.
    """
    leave_demoted(redis, said)
    for one in said:
        if isinstance(one, Exception):
            raise one
    if said and said[-1] < replicas:
        leave(redis)
        raise NotReplicatedError(f"{said[-1]} of {replicas}")


def confirm(redis: Redis, replicas: int) -> None:
    """Wait until this many replicas have all writes so far. Raises what check_replicas raises."""
    with redis.pipeline(transaction=False) as pipeline:
        ask_replicas(pipeline, replicas)
        said = pipeline.execute(raise_on_error=False)
    check_replicas(redis, said, replicas)


def leave_demoted(redis: Redis, answers: Iterable[Any]) -> None:
    """Leave a server if one of its answers refuses writes."""
    if any(isinstance(one, ResponseError) and _first_word(one) in DEMOTED for one in answers):
        leave(redis)


def leave(redis: Redis) -> None:
    """Drop every connection: the next one looks up the primary again."""
    redis.connection_pool.disconnect(inuse_connections=False)


def _first_word(error: ResponseError) -> str:
    return error.status_code or str(error).partition(" ")[0]


Argument = str | bytes | int


@dataclass(frozen=True, slots=True)
class Script:
    """A Lua file, preceded by the shared part and the names of keys.

    tells_again: its answer, a number, is kept for a minute under the name of the call, its last argument.
    """

    name: str
    text: str
    sha: str
    tells_again: bool = False

    @classmethod
    def load(cls, name: str, *, tells_again: bool = False) -> Script:
        known = {**keys.IN_LUA, **jobs.IN_LUA, "recovery_ms": str(keys.RECOVERY_MS)}
        names = ", ".join(f"{short} = '{key}'" for short, key in known.items())
        own = _read(name)
        # A full server runs only scripts whose first line allows it: those that add nothing, or make room.
        first, rest = own.split("\n", 1) if own.startswith("#!") else ("#!lua", own)
        act = f"local function act()\n{rest}\nend\n{_read('again')}" if tells_again else rest
        text = f"{first}\nlocal KEY = {{{names}}}\n{_read('common')}\n{act}"
        sha = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()
        return cls(name, text, sha, tells_again)


@dataclass(frozen=True, slots=True)
class ScriptCall:
    """A call to be made: a script with its keys and arguments."""

    script: Script
    keys: Sequence[str]
    argv: Sequence[Argument]


def run(redis: Redis, call: ScriptCall, replicas: int = 0) -> Any:
    """Run one script. replicas: see run_all. Raises redis.exceptions.RedisError."""
    answer = run_all(redis, [call], replicas)[0]
    if isinstance(answer, Exception):
        raise answer
    return answer


def run_all(redis: Redis, calls: Sequence[ScriptCall], replicas: int = 0) -> list[Any]:
    """Run scripts in one round trip; each answer, or the exception in its place.

    replicas: number that must have the writes, confirmed in the same round trip.
    Raises redis.exceptions.RedisError where the connection fails as a whole, or too few replicas answer.
    """
    answers, said = _pipeline(redis, calls, replicas)
    unknown = [index for index, answer in enumerate(answers) if isinstance(answer, NoScriptError)]
    if unknown:
        for script in {calls[index].script for index in unknown}:
            redis.script_load(script.text)
        late, said = _pipeline(redis, [calls[index] for index in unknown], replicas)
        for index, answer in zip(unknown, late, strict=True):
            answers[index] = answer
    leave_demoted(redis, answers)
    check_replicas(redis, said, replicas)
    return answers


def read_together(redis: Redis, *reads: Sequence[Argument]) -> list[Any]:
    """The answers to several reads at one moment, each a command with its arguments. Hashes come as flat lists.

    Raises redis.exceptions.RedisError.
    """
    answers: list[Any] = run(redis, ScriptCall(READ, [], [word for read in reads for word in (len(read), *read)]))
    return answers


def as_hash(flat: Sequence[bytes]) -> dict[bytes, bytes]:
    """A hash that came as a flat list."""
    return dict(zip(flat[::2], flat[1::2], strict=True))


def pairs(fields: Iterable[tuple[str, Argument]]) -> list[Argument]:
    """Fields for HSET, flat, with their count before them."""
    flat: list[Argument] = []
    for name, value in fields:
        flat += (name, value)
    return [len(flat), *flat]


def _pipeline(redis: Redis, calls: Sequence[ScriptCall], replicas: int) -> tuple[list[Any], list[Any]]:
    """The answers of the scripts, and those of the wait for replicas."""
    with redis.pipeline(transaction=False) as pipeline:
        for call in calls:
            named = [secrets.token_hex(8)] if call.script.tells_again else []
            pipeline.evalsha(call.script.sha, len(call.keys), *call.keys, *call.argv, *named)
        if replicas:
            ask_replicas(pipeline, replicas)
        answers: list[Any] = pipeline.execute(raise_on_error=False)
    return answers[: len(calls)], answers[len(calls) :]


def _read(name: str) -> str:
    return files("relay.store.redis").joinpath("lua", f"{name}.lua").read_text("utf-8")


READ = Script.load("read")


FIELDS = Script.load("fields")


@guarded
def write_fields(redis: Redis, key: str, fields: Mapping[str, str], replicas: int = 0) -> None:
    """Write fields into a hash, even on a full server, and wait for replicas. Raises RecordUnavailableError.

    For small hashes that finishing accepted work depends on.
    """
    argv: list[Argument] = [word for field in fields.items() for word in field]
    run(redis, ScriptCall(FIELDS, [key], argv), replicas)


LEASE = Script.load("lease")


@contextmanager
def lease(redis: Redis, task: str, holder: str, duration: timedelta) -> Iterator[bool]:
    """Whether this holder may do the task inside the `with`. Raises RecordUnavailableError at its start only.

    A holder that takes its lease again extends it, and ends only its own.
    """
    is_ours = _take_lease(redis, task, holder, duration)
    try:
        yield is_ours
    finally:
        if is_ours:
            with suppress(RecordUnavailableError):  # else it expires by itself
                _end_lease(redis, task, holder)


@guarded
def _take_lease(redis: Redis, task: str, holder: str, duration: timedelta) -> bool:
    duration_ms = int(duration.total_seconds() * 1000)
    return bool(run(redis, ScriptCall(LEASE, [keys.LEASE + task], [holder, duration_ms])))


@guarded
def _end_lease(redis: Redis, task: str, holder: str) -> None:
    run(redis, ScriptCall(LEASE, [keys.LEASE + task], [holder, 0]))
