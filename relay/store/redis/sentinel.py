"""Who is the primary, asked of sentinels: what most of them say, not whichever answers first.

A sentinel that was cut off together with an old primary goes on naming it. The others have agreed on another by then,
under a higher epoch: of a majority that answers, at least one has voted for it.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any
from urllib.parse import SplitResult, parse_qs, unquote

from redis import Redis
from redis.exceptions import RedisError
from redis.sentinel import MasterNotFoundError, Sentinel, SentinelConnectionPool

from relay.core.telemetry import get_logger

LOOK_S = 2.0
"""How often a process asks whether it is still connected with the primary."""

log = get_logger()


class Sentinels(Sentinel):
    """The sentinels of one service."""

    def discover_master(self, service_name: str) -> tuple[str, int]:
        """Address and port of the primary. Raises MasterNotFoundError where no sentinel that answers knows one.

        Where most are away, the others are believed: what a wrong primary is given, no replica answers for.
        """
        told: list[dict[str, Any]] = []
        answered, needed = 0, len(self.sentinels) // 2 + 1
        for sentinel in list(self.sentinels):
            try:
                masters: Any = sentinel.sentinel_masters()
            except RedisError:
                # Asked last from now on: each one that is away may cost the time in which a connection is made.
                self.sentinels = [*(one for one in self.sentinels if one is not sentinel), sentinel]
                continue
            answered += 1
            state = masters.get(service_name)
            if state and self.check_master_state(state, service_name):  # type: ignore[no-untyped-call]
                told.append(state)
            if answered == needed:
                break
        if not told:
            raise MasterNotFoundError(f"{answered} of {len(self.sentinels)} sentinels answered")
        newest = max(told, key=lambda state: int(state["config-epoch"]))
        return newest["ip"], newest["port"]


def connect_by_sentinels(parts: SplitResult, options: dict[str, Any], of_server: dict[str, Any]) -> Redis:
    """A client of the primary that the sentinels of this URL name (connection.py says how it is written).

    options: of every connection. of_server: of those to the primary alone.
    """
    service, _, db = parts.path.strip("/").partition("/")
    hosts = parts.netloc.rpartition("@")[2]
    addresses = [(host.rpartition(":")[0] or host, int(host.rpartition(":")[2] or 26379)) for host in hosts.split(",")]
    extra = {key: values[-1] for key, values in parse_qs(parts.query).items()}
    own = {name: extra.pop(f"sentinel_{name}") for name in ("username", "password") if f"sentinel_{name}" in extra}
    # A `rediss` is one for both: to ask in the open who the primary is would let anybody answer.
    tls: dict[str, Any] = {"ssl": True} if parts.scheme.startswith("rediss") else {}
    certificates = {name: extra[name] for name in extra if name.startswith("ssl_")}
    sentinels = Sentinels(addresses, sentinel_kwargs={**options, **tls, **certificates, **own})  # type: ignore[no-untyped-call]
    login = {name: unquote(value) for name in ("username", "password") if (value := getattr(parts, name))}
    primary: Redis = sentinels.master_for(  # type: ignore[no-untyped-call]
        service or "mymaster", db=int(db or 0), **options, **of_server, **tls, **login, **extra
    )
    return primary


def follow_primary(clients: Sequence[Redis], stop: threading.Event) -> None:
    """Every LOOK_S, take clients away from a server that the sentinels no longer name, until told to stop.

    A server that was cut off, or that hangs, says nothing of it: who only reads there, or waits there for a job, would
    stay with it. Clients that know no sentinels are left as they are.
    """
    pools = [pool for client in clients if isinstance(pool := client.connection_pool, SentinelConnectionPool)]
    while not stop.wait(LOOK_S):
        for pool in pools:
            _follow(pool)


def _follow(pool: SentinelConnectionPool) -> None:
    before = pool.master_address
    try:
        now = pool.sentinel_manager.discover_master(pool.service_name)
    except RedisError:
        return  # none was elected yet, or the sentinels are away: nobody knows better
    if before and before != now:
        pool.disconnect(inuse_connections=True)
        log.warning("record.primary_changed", host=now[0], port=now[1])
