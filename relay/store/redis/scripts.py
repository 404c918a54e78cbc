"""Typed calls of the Lua files. Each builds one EVALSHA, so that calls can share a pipeline.

A script that the server does not know (it was restarted, or failed over) is loaded and run again. One whose answer is
lost with its connection is sent again by the client (connection.py). Every script compares before it swaps, so running
one twice is safe; and one on whose answer somebody acts tells the second time what it told the first (`tells_again`).
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from redis import Redis
from redis.exceptions import NoScriptError

from relay.queue import jobs
from relay.store.redis import keys
from relay.store.redis.replicas import ask_replicas, check_replicas, leave_demoted

Argument = str | bytes | int


@dataclass(frozen=True, slots=True)
class Script:
    """A Lua file with the shared part and the names of keys before it.

    tells_again: its answer, a number, is kept for a minute under a name of the call, which is its last argument.
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
        # A full server runs a script only where its first line says so: what takes nothing in, or makes room.
        first, rest = own.split("\n", 1) if own.startswith("#!") else ("#!lua", own)
        act = f"local function act()\n{rest}\nend\n{_read('again')}" if tells_again else rest
        text = f"{first}\nlocal KEY = {{{names}}}\n{_read('common')}\n{act}"
        sha = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()
        return cls(name, text, sha, tells_again)


@dataclass(frozen=True, slots=True)
class ScriptCall:
    """One call to come: a script with its keys and arguments."""

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

    replicas: how many of them have to have what was written, in the same round trip (replicas.py).
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
    """The answers of the scripts, and what replicas have said."""
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
