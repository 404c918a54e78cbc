"""One place that opens connections to the record's server, and judges whether the server can keep a promise.

Takes redis://, rediss://, unix:// and Sentinel:
redis+sentinel://[[user]:password@]host:port,host:port/service[/db][?sentinel_username=..&sentinel_password=..].
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError
from redis.retry import Retry

from relay.core.errors import ConfigError, Mistake, RecordUnavailableError
from relay.store.redis.sentinel import connect_by_sentinels

CONNECT_TIMEOUT_S = 1.0
ANSWER_TIMEOUT_S = 3.0
BLOCKING_TIMEOUT_S = 480.0
"""RQ waits for jobs with blocking commands of up to 405 s (worker_ttl 420): the socket must wait longer."""

DURABLE = {"appendonly": "yes", "appendfsync": "always", "maxmemory-policy": "noeviction"}
"""What the promise stands on: an answer means that the write is on disk, and nothing is ever evicted."""

COMPACT = {"hash-max-listpack-value": "4096", "hash-max-listpack-entries": "256"}
"""With these, an event or a delivery of a usual size takes one piece of memory, not one for each of its fields."""


def connect(url: str, *, blocking: bool = False) -> Redis:
    """A client of the record's server, answers as bytes. Opens its connections when first used.

    blocking: for RQ's workers, which wait long; others get their answer, or an error, within seconds.
    One immediate second try bridges a connection that died while it was idle; every script may be run twice.
    """
    options = {
        "socket_connect_timeout": CONNECT_TIMEOUT_S,
        "socket_timeout": BLOCKING_TIMEOUT_S if blocking else ANSWER_TIMEOUT_S,
        "retry": Retry(NoBackoff(), 1),
        "health_check_interval": 30 if blocking else 0,
    }
    parts = urlsplit(url)
    if parts.scheme.endswith("+sentinel"):
        return connect_by_sentinels(parts, options)
    return Redis.from_url(url, **options)


def ensure_durable(redis: Redis) -> str | None:
    """See to it that the server acknowledges only what is on disk, and refuse one that evicts what was promised.

    A server that writes no append-only file, or not at once, is told to, and its configuration file too if it has one.
    Returns a warning where that was so, or where the server does not let us ask (some hosted ones forbid CONFIG).
    Raises ConfigError where it cannot be made durable, RecordUnavailableError where it is away.
    """
    try:
        wrong = {name: value for name, value in DURABLE.items() if _setting(redis, name) != value}
        if not wrong:
            return None
        if "maxmemory-policy" in wrong:
            raise _unfit(wrong)
        return _make_durable(redis, wrong)
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


def _make_durable(redis: Redis, wrong: dict[str, str]) -> str:
    try:
        for name, value in wrong.items():
            redis.config_set(name, value)
    except ResponseError:
        raise _unfit(wrong) from None
    told = f"the server ran without {', '.join(_wanted(wrong))}: this is set now"
    try:
        redis.config_rewrite()
    except ResponseError:
        return f"{told}, and forgotten when it restarts: write it into its configuration (see config/redis.conf)"
    return f"{told}, and written into its configuration file"


def _unfit(wrong: dict[str, str]) -> ConfigError:
    text = f"the server behind REDIS_URL must run with {', '.join(_wanted(wrong))} (see config/redis.conf)"
    return ConfigError([Mistake("environment", 0, text)])


def _setting(redis: Redis, name: str) -> str:
    answer: Any = redis.config_get(name)
    return next((_text(value) for key, value in answer.items() if _text(key) == name), "")


def _wanted(settings: dict[str, str]) -> list[str]:
    return [f"{name} {value}" for name, value in settings.items()]


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value
