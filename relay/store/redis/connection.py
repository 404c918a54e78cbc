"""One place that opens connections to the record's server, and judges whether the server can keep a promise.

Takes redis://, rediss://, unix:// and Sentinel:
redis+sentinel://[[user]:password@]host:port,host:port/service[/db][?sentinel_username=..&sentinel_password=..].
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError, ResponseError
from redis.retry import Retry

from relay.core.errors import ConfigError, Mistake, RecordUnavailableError
from relay.core.faults import fault
from relay.store.redis.sentinel import connect_by_sentinels

CONNECT_TIMEOUT_S = 1.0
ANSWER_TIMEOUT_S = 3.0
BLOCKING_TIMEOUT_S = 480.0
"""RQ waits for jobs with blocking commands of up to 405 s (worker_ttl 420): the socket must wait longer."""

DURABLE = {"appendonly": "yes", "appendfsync": "always", "maxmemory-policy": "noeviction"}
"""What the promise stands on: an answer means that the write is on disk, and nothing is ever evicted."""

COMPACT = {"hash-max-listpack-value": "4096", "hash-max-listpack-entries": "256"}
"""With these, an event or a delivery of a usual size takes one piece of memory, not one for each of its fields."""


OLDEST = {"Redis": (7, 0), "Valkey": (7, 2)}
"""Scripts say in their first line what a full server may run, which older servers do not know."""


class NotDurableError(RedisConnectionError):
    """The server writes no append-only file: what it acknowledges is forgotten when it ends."""


def connect(url: str, *, blocking: bool = False, is_copy: bool = False) -> Redis:
    """A client of the record's server, answers as bytes. Opens its connections when first used.

    blocking: for RQ's workers, which wait long; others get their answer, or an error, within seconds. is_copy: the
    server holds a copy for a while, and promises nothing.
    One immediate second try bridges a connection that died while it was idle; every script may be run twice.
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
    """Refuse a server that does not know our scripts, does not keep what it acknowledges, or evicts it.

    An append-only file that is written every second is written at once from now on, if the server remembers that.
    Returns a warning where that was so, or where the server does not let us ask (some hosted ones forbid CONFIG).
    Raises ConfigError with what to do, RecordUnavailableError where it is away.
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
    """Have the server keep hashes in less memory, where it lets us; where not, it only needs more.

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
    """Begin a connection. A server that was restarted without its file is met here, before anything is promised."""
    connection.on_connect()
    connection.send_command("CONFIG", "GET", "appendonly")
    try:
        told = connection.read_response()
    except ResponseError:
        return  # CONFIG is forbidden: `ensure_durable` says so
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
    """A setting that the server would forget at its next start is no promise."""
    try:
        redis.config_set("appendfsync", wrong["appendfsync"])
        redis.config_rewrite()
    except ResponseError:
        raise _unfit(wrong) from None
    return "the server ran without appendfsync always: this is set now, and written into its configuration file"


def _unfit(wrong: dict[str, str]) -> ConfigError:
    # Switched on in a server that came up empty, appendonly would put an empty file in the place of the old one.
    code = "server_not_appending" if "appendonly" in wrong else "server_not_durable"
    return ConfigError([Mistake("environment", 0, fault(code, settings=_wanted(wrong)))])


def _setting(redis: Redis, name: str) -> str:
    answer: Any = redis.config_get(name)
    return next((_text(value) for key, value in answer.items() if _text(key) == name), "")


def _wanted(settings: dict[str, str]) -> list[str]:
    return [f"{name} {value}" for name, value in settings.items()]


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value
