"""Whether the servers stand so that a failover forgets nothing that was promised: the primary, and each replica. Says
what does not fit; what that means and what to do is said in relay/health/words.py. Changes no setting.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from redis import Redis
from redis.connection import Connection, ConnectionPool, SSLConnection
from redis.exceptions import RedisError
from redis.sentinel import SentinelConnectionPool

from relay.store.redis.connection import DURABLE
from relay.store.redis.guard import guarded

FEWEST_SENTINELS = 3
LONGEST_LAG_S = 10
SETTINGS = (*DURABLE, "min-replicas-to-write", "min-replicas-max-lag", "replica-priority")
TIMEOUT_S = 1.0
OF_POOL = ("host", "port", "path", "connection_pool")
"""What a client's options say of the server that it is for."""


class MisfitCode(StrEnum):
    """What does not fit."""

    UNWAITED = "unwaited"
    TOO_FEW = "too_few"
    TOO_MANY = "too_many"
    NEVER_PROMOTED = "never_promoted"
    NOT_DURABLE = "not_durable"
    WRITES_ALONE = "writes_alone"
    LONG_LAG = "long_lag"
    UNREACHABLE = "unreachable"
    FORBIDDEN = "config_forbidden"
    FEW_SENTINELS = "few_sentinels"


@dataclass(frozen=True, slots=True)
class Misfit:
    """One thing. server: host:port of a replica, or `primary`; empty: of all together.

    found, wanted: as a setting has it, or a number.
    """

    code: MisfitCode
    server: str = ""
    found: str = ""
    wanted: str = ""


@guarded
def read_misfits(redis: Redis, replicas: int) -> list[Misfit]:
    """What does not fit, where so many replicas are waited for. Raises RecordUnavailableError."""
    pool = redis.connection_pool
    sentinels = pool.sentinel_manager.sentinels if isinstance(pool, SentinelConnectionPool) else []
    attached = list(_attached(redis))
    if not replicas:
        unwaited = [Misfit(MisfitCode.UNWAITED, found=str(len(attached)))] if sentinels or attached else []
        return unwaited + _undurable("primary", redis)
    found = list(_of_numbers(len(attached), replicas))
    if sentinels and len(sentinels) < FEWEST_SENTINELS:
        found.append(Misfit(MisfitCode.FEW_SENTINELS, found=str(len(sentinels)), wanted=str(FEWEST_SENTINELS)))
    found += _of_server("primary", redis, replicas)
    for host, port in attached:
        with _client_beside(redis, host, port) as replica:
            found += _of_server(f"{host}:{port}", replica, replicas)
    return found


@guarded
def rewrite_files(redis: Redis) -> list[str]:
    """Have each server write its append-only file anew: the old one still holds what was removed.

    Returns the servers that have yet to do it. Raises RecordUnavailableError.
    """
    left = [] if _rewrites(redis) else ["primary"]
    for host, port in _attached(redis):
        with _client_beside(redis, host, port) as replica:
            if not _rewrites(replica):
                left.append(f"{host}:{port}")
    return left


def _rewrites(server: Redis) -> bool:
    try:
        server.bgrewriteaof()
    except RedisError:  # also where it is being written anew just now: that began before
        return False
    return True


def _attached(redis: Redis) -> Iterator[tuple[str, int]]:
    told: Any = redis.info("replication")
    for number in range(int(told.get("connected_slaves", 0))):
        if one := told.get(f"slave{number}"):
            yield str(one["ip"]), int(one["port"])


def _of_numbers(attached: int, replicas: int) -> Iterator[Misfit]:
    """Any replica's answer counts. With more of them than answers, one that has not answered may be promoted."""
    if attached < replicas:
        yield Misfit(MisfitCode.TOO_FEW, found=str(attached), wanted=str(replicas))
    if attached > replicas:
        yield Misfit(MisfitCode.TOO_MANY, found=str(attached), wanted=str(replicas))


def _undurable(name: str, server: Redis) -> list[Misfit]:
    """Of a server alone: whether it keeps what it acknowledges. One that forbids the question has said so at start."""
    try:
        return list(_of_durability(name, _settings(server)))
    except RedisError:
        return []


def _of_durability(name: str, settings: dict[str, str]) -> Iterator[Misfit]:
    for setting, wanted in DURABLE.items():
        if settings[setting] != wanted:
            yield Misfit(MisfitCode.NOT_DURABLE, name, f"{setting} {settings[setting]}", f"{setting} {wanted}")


def _of_server(name: str, server: Redis, replicas: int) -> Iterator[Misfit]:
    try:
        settings = _settings(server)
    except RedisError as error:
        forbidden = any(word in str(error).lower() for word in ("unknown command", "noperm", "no permissions"))
        yield Misfit(MisfitCode.FORBIDDEN if forbidden else MisfitCode.UNREACHABLE, name)
        return
    yield from _of_durability(name, settings)
    if settings["replica-priority"] == "0":
        yield Misfit(MisfitCode.NEVER_PROMOTED, name)
    if not 1 <= int(settings["min-replicas-to-write"] or 0) <= replicas:
        yield Misfit(MisfitCode.WRITES_ALONE, name, settings["min-replicas-to-write"], str(replicas))
    elif int(settings["min-replicas-max-lag"] or 0) > LONGEST_LAG_S:
        yield Misfit(MisfitCode.LONG_LAG, name, settings["min-replicas-max-lag"], str(LONGEST_LAG_S))


def _settings(server: Redis) -> dict[str, str]:
    with server.pipeline(transaction=False) as pipeline:
        for name in SETTINGS:
            pipeline.config_get(name)
        answers: list[dict[Any, Any]] = pipeline.execute()
    told = {_text(name): _text(value) for answer in answers for name, value in answer.items()}
    return {name: told.get(name, "") for name in SETTINGS}


def _client_beside(redis: Redis, host: str, port: int) -> Redis:
    """A client of another server with the same login and the same TLS."""
    pool = redis.connection_pool
    kind = SSLConnection if issubclass(pool.connection_class, SSLConnection) else Connection
    options = {name: value for name, value in pool.connection_kwargs.items() if name not in OF_POOL}
    options |= {"socket_connect_timeout": TIMEOUT_S, "socket_timeout": TIMEOUT_S}
    return Redis.from_pool(ConnectionPool(connection_class=kind, host=host, port=port, **options))


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value
