"""The record's servers: how full the primary is, and whether a failover would forget a promise. Changes no setting.

The warnings are codes; relay/health/words.py words them.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from redis import Redis
from redis.connection import Connection, ConnectionPool, SSLConnection
from redis.exceptions import RedisError
from redis.sentinel import SentinelConnectionPool

from relay.store.redis.connection import DURABLE
from relay.store.redis.scripts import guarded

FILLING, NEARLY_FULL = 0.6, 0.85
LOOK_EVERY_S = 60.0
"""Interval between two looks at the topology."""


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes that the server uses, and may use: its `maxmemory`, or else the machine's memory."""

    used: int
    most: int

    @property
    def share(self) -> float:
        """The used part, from 0 to 1; 0 where it is unknown."""
        return self.used / self.most if self.most else 0.0

    @property
    def is_filling(self) -> bool:
        """Whether a person should make room: by retention, more memory, or fewer events."""
        return self.share >= FILLING

    @property
    def is_nearly_full(self) -> bool:
        """Whether senders will soon be refused for a while."""
        return self.share >= NEARLY_FULL


class Servers:
    """The record's servers. Every method raises RecordUnavailableError."""

    def __init__(self, redis: Redis, replicas: int = 0) -> None:
        self._redis = redis
        self._replicas = replicas
        self._warnings: list[TopologyWarning] = []
        self._look_at = 0.0

    def warnings(self) -> list[TopologyWarning]:
        """The topology warnings, at most LOOK_EVERY_S old."""
        if time.monotonic() >= self._look_at:
            # Set before the look: others need not wait for a server that does not answer.
            self._look_at = time.monotonic() + LOOK_EVERY_S
            self._warnings = self.look()
        return self._warnings

    @guarded
    def memory(self) -> Memory:
        """The present use of memory."""
        told: Any = self._redis.info("memory")
        return Memory(
            int(told.get("used_memory", 0)), int(told.get("maxmemory") or told.get("total_system_memory") or 0)
        )

    @guarded
    def look(self) -> list[TopologyWarning]:
        """The topology warnings of this moment."""
        pool = self._redis.connection_pool
        sentinels = pool.sentinel_manager.sentinels if isinstance(pool, SentinelConnectionPool) else []
        attached = list(_attached(self._redis))
        if not self._replicas:
            unwaited = (
                [TopologyWarning(TopologyCode.UNWAITED, found=str(len(attached)))] if sentinels or attached else []
            )
            return unwaited + _undurable("primary", self._redis)
        found = list(_of_numbers(len(attached), self._replicas))
        if sentinels and len(sentinels) < FEWEST_SENTINELS:
            found.append(
                TopologyWarning(TopologyCode.FEW_SENTINELS, found=str(len(sentinels)), wanted=str(FEWEST_SENTINELS))
            )
        found += _of_server("primary", self._redis, self._replicas)
        for host, port in attached:
            with _client_beside(self._redis, host, port) as replica:
                found += _of_server(f"{host}:{port}", replica, self._replicas)
        return found


FEWEST_SENTINELS = 3
LONGEST_LAG_S = 10
SETTINGS = (*DURABLE, "min-replicas-to-write", "min-replicas-max-lag", "replica-priority")
TIMEOUT_S = 1.0
OF_POOL = ("host", "port", "path", "connection_pool")
"""The options of a client that name its server."""


class TopologyCode(StrEnum):
    """The kinds of topology warnings."""

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
class TopologyWarning:
    """A warning about the topology. server: host:port of a replica, or `primary`; empty: all together.

    found, wanted: values of a setting, or numbers.
    """

    code: TopologyCode
    server: str = ""
    found: str = ""
    wanted: str = ""


@guarded
def rewrite_files(redis: Redis) -> list[str]:
    """Make each server rewrite its append-only file: the old one still holds removed data.

    Returns the servers that have not begun. Raises RecordUnavailableError.
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
    except RedisError:  # also where a rewrite is running, which began before the removal
        return False
    return True


def _attached(redis: Redis) -> Iterator[tuple[str, int]]:
    told: Any = redis.info("replication")
    for number in range(int(told.get("connected_slaves", 0))):
        if one := told.get(f"slave{number}"):
            yield str(one["ip"]), int(one["port"])


def _of_numbers(attached: int, replicas: int) -> Iterator[TopologyWarning]:
    """Any replica's answer counts. With more replicas than answers, one without the write may be promoted."""
    if attached < replicas:
        yield TopologyWarning(TopologyCode.TOO_FEW, found=str(attached), wanted=str(replicas))
    if attached > replicas:
        yield TopologyWarning(TopologyCode.TOO_MANY, found=str(attached), wanted=str(replicas))


def _undurable(name: str, server: Redis) -> list[TopologyWarning]:
    """Warnings of a single server about durability. One that forbids CONFIG was reported at the start."""
    try:
        return list(_of_durability(name, _settings(server)))
    except RedisError:
        return []


def _of_durability(name: str, settings: dict[str, str]) -> Iterator[TopologyWarning]:
    for setting, wanted in DURABLE.items():
        if settings[setting] != wanted:
            yield TopologyWarning(
                TopologyCode.NOT_DURABLE, name, f"{setting} {settings[setting]}", f"{setting} {wanted}"
            )


def _of_server(name: str, server: Redis, replicas: int) -> Iterator[TopologyWarning]:
    try:
        settings = _settings(server)
    except RedisError as error:
        forbidden = any(word in str(error).lower() for word in ("unknown command", "noperm", "no permissions"))
        yield TopologyWarning(TopologyCode.FORBIDDEN if forbidden else TopologyCode.UNREACHABLE, name)
        return
    yield from _of_durability(name, settings)
    if settings["replica-priority"] == "0":
        yield TopologyWarning(TopologyCode.NEVER_PROMOTED, name)
    if not 1 <= int(settings["min-replicas-to-write"] or 0) <= replicas:
        yield TopologyWarning(TopologyCode.WRITES_ALONE, name, settings["min-replicas-to-write"], str(replicas))
    elif int(settings["min-replicas-max-lag"] or 0) > LONGEST_LAG_S:
        yield TopologyWarning(TopologyCode.LONG_LAG, name, settings["min-replicas-max-lag"], str(LONGEST_LAG_S))


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
