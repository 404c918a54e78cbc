"""One boundary for redis-py's exceptions: what leaves the record is ours."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from redis.exceptions import RedisError

from relay.core.errors import RecordUnavailableError

P = ParamSpec("P")
R = TypeVar("R")


def guarded(function: Callable[P, R]) -> Callable[P, R]:
    """Turn redis-py's exceptions into ours. Their text may hold what was sent, so it goes no further."""

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except RedisError as error:
            raise RecordUnavailableError(type(error).__name__) from None

    return call
