"""One place that opens connections to the record's server, and judges whether the server can keep a promise.

Takes redis://, rediss://, unix:// and Sentinel: redis+sentinel://[:password@]host:port,host:port/service[/db].
"""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry
from redis.sentinel import Sentinel

from relay.errors import ConfigError, Mistake, RecordUnavailableError

CONNECT_TIMEOUT_S = 1.0
ANSWER_TIMEOUT_S = 3.0
BLOCKING_TIMEOUT_S = 480.0
"""RQ waits for jobs with blocking commands of up to 405 s (worker_ttl 420): the socket must wait longer."""

DURABLE = {"appendonly": "yes", "appendfsync": "always", "maxmemory-policy": "noeviction"}
"""What the promise stands on: an answer means that the write is on disk, and nothing is ever evicted."""


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
    if not parts.scheme.endswith("+sentinel"):
        return Redis.from_url(url, **options)
    service, _, db = parts.path.strip("/").partition("/")
    hosts = parts.netloc.rpartition("@")[2]
    sentinels = [(host.rpartition(":")[0] or host, int(host.rpartition(":")[2] or 26379)) for host in hosts.split(",")]
    password = unquote(parts.password) if parts.password else None
    extra = {key: values[-1] for key, values in parse_qs(parts.query).items()}
    tls = parts.scheme.startswith("rediss")
    sentinel = Sentinel(sentinels, password=password, ssl=tls, **options)  # type: ignore[no-untyped-call] # redis-py
    master: Redis = sentinel.master_for(service or "mymaster", db=int(db or 0), **extra)  # type: ignore[no-untyped-call]
    return master


def check_durable(redis: Redis) -> str | None:
    """Refuse a server that would acknowledge what is not on disk, or evict what was promised.

    Returns a warning where the server does not let us ask (some hosted ones forbid CONFIG), else None.
    Raises ConfigError for wrong settings, RecordUnavailableError where the server is away.
    """
    try:
        found = {name: _setting(redis, name) for name in DURABLE}
    except RedisError as error:
        text = str(error).lower()
        if "unknown command" in text or "noperm" in text or "no permissions" in text:
            return "the server forbids CONFIG: make sure that it runs with " + ", ".join(_wanted(DURABLE))
        raise RecordUnavailableError(type(error).__name__) from None
    wrong = {name: value for name, value in DURABLE.items() if found[name] != value}
    if wrong:
        text = f"the server behind REDIS_URL must run with {', '.join(_wanted(wrong))} (see config/redis.conf)"
        raise ConfigError([Mistake("environment", 0, text)])
    return None


def _setting(redis: Redis, name: str) -> str:
    answer: Any = redis.config_get(name)
    return next((_text(value) for key, value in answer.items() if _text(key) == name), "")


def _wanted(settings: dict[str, str]) -> list[str]:
    return [f"{name} {value}" for name, value in settings.items()]


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value
