"""Opens connections to the record's server, and judges whether the server can keep a promise.

Takes redis://, rediss://, unix:// and Sentinel:
redis+sentinel://[[user]:password@]host:port,host:port/service[/db][?sentinel_username=..&sentinel_password=..].

The primary is the one that most sentinels name, not the one that the first of them names. A sentinel that was cut off
together with an old primary goes on naming it. The others have agreed on another by then, under a higher epoch: of a
majority that answers, at least one has voted for it.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError, ResponseError
from redis.retry import Retry
from redis.sentinel import MasterNotFoundError, Sentinel, SentinelConnectionPool

from relay.core.errors import ConfigError, Mistake, RecordUnavailableError
from relay.core.faults import fault
from relay.core.telemetry import get_logger

LOOK_S = 2.0
"""Interval at which a process checks that it is still connected to the primary."""

log = get_logger()


class Sentinels(Sentinel):
    """The sentinels of one service."""

    def discover_master(self, service_name: str) -> tuple[str, int]:
        """Address and port of the primary. Raises MasterNotFoundError where no sentinel that answers knows one.

        Where most are away, the others are trusted: no replica confirms a write to a wrong primary.
        """
        told: list[dict[str, Any]] = []
        answered, needed = 0, len(self.sentinels) // 2 + 1
        for sentinel in list(self.sentinels):
            try:
                masters: Any = sentinel.sentinel_masters()
            except RedisError:
                # Ask it last from now on: an absent one may cost the time of a connection attempt.
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
    # `rediss` counts for both: without TLS anybody could answer the question for the primary.
    tls: dict[str, Any] = {"ssl": True} if parts.scheme.startswith("rediss") else {}
    certificates = {name: extra[name] for name in extra if name.startswith("ssl_")}
    sentinels = Sentinels(addresses, sentinel_kwargs={**options, **tls, **certificates, **own})  # type: ignore[no-untyped-call]
    login = {name: unquote(value) for name in ("username", "password") if (value := getattr(parts, name))}
    primary: Redis = sentinels.master_for(  # type: ignore[no-untyped-call]
        service or "mymaster", db=int(db or 0), **options, **of_server, **tls, **login, **extra
    )
    return primary


def follow_primary(clients: Sequence[Redis], stop: threading.Event) -> None:
    """Every LOOK_S, disconnect clients from a server that the sentinels no longer name, until `stop` is set.

    A server that was cut off, or that hangs, gives no sign: a client that only reads there, or waits there for a job,
    would stay. Clients without sentinels are left alone.
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
        return  # no election yet, or the sentinels are away
    if before and before != now:
        pool.disconnect(inuse_connections=True)
        log.warning("record.primary_changed", host=now[0], port=now[1])


CONNECT_TIMEOUT_S = 1.0
ANSWER_TIMEOUT_S = 3.0
BLOCKING_TIMEOUT_S = 480.0
"""RQ waits for jobs with blocking commands of up to 405 s (worker_ttl 420): the socket must wait longer."""

DURABLE = {"appendonly": "yes", "appendfsync": "always", "maxmemory-policy": "noeviction"}
"""Settings that the promise needs: an answer means that the write is on disk, and nothing is ever evicted."""

COMPACT = {"hash-max-listpack-value": "4096", "hash-max-listpack-entries": "256"}
"""With these settings, a usual event or delivery takes one piece of memory, not one for each field."""


OLDEST = {"Redis": (7, 0), "Valkey": (7, 2)}
"""The oldest servers that know the first line of our scripts, which says what a full server may run."""


class NotDurableError(RedisConnectionError):
    """The server writes no append-only file, so it forgets acknowledged writes when it ends."""


def connect(url: str, *, blocking: bool = False, is_copy: bool = False) -> Redis:
    """A client of the record's server, answers as bytes. Opens its connections when first used.

    blocking: for RQ's workers, which wait long; others get their answer, or an error, within seconds. is_copy: the
    server holds a temporary copy, and promises nothing.
    One immediate second try bridges a connection that died while idle; every script may run twice.
    """
    options: dict[str, Any] = {
        "socket_connect_timeout": CONNECT_TIMEOUT_S,
        "socket_timeout": BLOCKING_TIMEOUT_S if blocking else ANSWER_TIMEOUT_S,
        "retry": Retry(NoBackoff(), 1),
        "health_check_interval": 30 if blocking else 0,
    }
    of_server = {} if is_copy else {"redis_connect_func": _meet}
    parts = urlsplit(url)
    if parts.scheme.endswith("+sentinel"):
        return connect_by_sentinels(parts, options, of_server)
    return Redis.from_url(url, **options, **of_server)


def ensure_durable(redis: Redis) -> str | None:
    """Refuse a server that does not know our scripts, does not keep acknowledged writes, or evicts keys.

    Sets appendfsync to always, if the server can keep that setting. Returns a warning after that, or where the server
    forbids CONFIG (some hosted ones do). Raises ConfigError with a remedy, RecordUnavailableError where it is away.
    """
    try:
        _check_version(redis)
        wrong = {name: value for name, value in DURABLE.items() if _setting(redis, name) != value}
        if not wrong:
            return None
        if wrong.keys() != {"appendfsync"}:
            raise _unfit(wrong)
        return _write_at_once(redis, wrong)
    except NotDurableError:
        raise _unfit({"appendonly": "yes"}) from None
    except RedisError as error:
        text = str(error).lower()
        if "unknown command" in text or "noperm" in text or "no permissions" in text:
            return "the server forbids CONFIG: make sure that it runs with " + ", ".join(_wanted(DURABLE))
        raise RecordUnavailableError(type(error).__name__) from None


def prefer_compact(redis: Redis) -> None:
    """Make the server store hashes in less memory, where it allows that.

    Raises RecordUnavailableError where it is away.
    """
    for name, value in COMPACT.items():
        try:
            redis.config_set(name, value)
        except ResponseError:
            return
        except RedisError as error:
            raise RecordUnavailableError(type(error).__name__) from None


def _meet(connection: Any) -> None:
    """Begin a connection. Detects a server that was restarted without its file, before anything is promised."""
    connection.on_connect()
    connection.send_command("CONFIG", "GET", "appendonly")
    try:
        told = connection.read_response()
    except ResponseError:
        return  # CONFIG is forbidden: `ensure_durable` warns about it
    if b"no" in (told.values() if isinstance(told, dict) else told):
        connection.disconnect()
        raise NotDurableError("the server writes no append-only file")


def _check_version(redis: Redis) -> None:
    told: Any = redis.info("server")
    name = "Valkey" if "valkey_version" in told else "Redis"
    version = str(told.get(f"{name.lower()}_version", "0"))
    if tuple(int(part) for part in version.split(".")[:2]) < OLDEST[name]:
        oldest = [f"{each} {'.'.join(map(str, number))}" for each, number in OLDEST.items()]
        wrong = fault("server_too_old", found=f"{name} {version}", one=oldest[0], other=oldest[1])
        raise ConfigError([Mistake("environment", 0, wrong)])


def _write_at_once(redis: Redis, wrong: dict[str, str]) -> str:
    """Set appendfsync to always, and write it into the server's file, or the next start would lose it."""
    try:
        redis.config_set("appendfsync", wrong["appendfsync"])
        redis.config_rewrite()
    except ResponseError:
        raise _unfit(wrong) from None
    return "the server ran without appendfsync always: this is set now, and written into its configuration file"


def _unfit(wrong: dict[str, str]) -> ConfigError:
    # Switching it on in a server that started empty would replace the old file with an empty one.
    code = "server_not_appending" if "appendonly" in wrong else "server_not_durable"
    return ConfigError([Mistake("environment", 0, fault(code, settings=_wanted(wrong)))])


def _setting(redis: Redis, name: str) -> str:
    answer: Any = redis.config_get(name)
    return next((_text(value) for key, value in answer.items() if _text(key) == name), "")


def _wanted(settings: dict[str, str]) -> list[str]:
    return [f"{name} {value}" for name, value in settings.items()]


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value
