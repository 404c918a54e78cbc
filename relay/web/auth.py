"""Who may look: the dashboard's password, its session, and the checks that keep other sites from using it.

The session cookie is signed (RELAY_SECRET_KEY) and says only that its holder has logged in, and when.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec, TypeVar
from urllib.parse import urlsplit

from flask import abort, redirect, request, session, url_for
from redis import Redis
from redis.exceptions import RedisError

from relay.errors import RecordUnavailableError
from relay.store import keys

LOGINS_PER_WINDOW = 10
LOGIN_WINDOW_S = 300
SAFE_PATH = re.compile(r"/(?![/\\])[!-\[\]-~]*")
"""A path on this site. Browsers take a backslash for a slash and leave out tabs and line ends, so none may be there."""
P = ParamSpec("P")
R = TypeVar("R")


class Guard:
    """Checks the password, slowly for those who guess. Counts in Redis, so that all web processes count together."""

    def __init__(self, redis: Redis, password: str) -> None:
        self._redis = redis
        self._password = password.encode()
        # A session dies with the password it was opened with.
        self.epoch = hashlib.sha256(b"session\0" + self._password).hexdigest()[:16]

    def try_password(self, given: str, address: str) -> bool:
        """Whether this password opens the dashboard. False, too, while the address has guessed too often.

        Raises RecordUnavailableError.
        """
        key = keys.LOGINS + hashlib.sha256(address.encode()).hexdigest()[:16]
        try:
            with self._redis.pipeline(transaction=True) as pipeline:
                pipeline.incr(key)
                pipeline.expire(key, LOGIN_WINDOW_S, nx=True)
                tries = int(pipeline.execute()[0])
        except RedisError as error:
            raise RecordUnavailableError(type(error).__name__) from None
        return tries <= LOGINS_PER_WINDOW and hmac.compare_digest(given.encode(), self._password)


def log_in(epoch: str) -> None:
    """Open a session for the sender of this request."""
    session.clear()
    session.permanent = True
    session["epoch"] = epoch


def is_logged_in(epoch: str) -> bool:
    """Whether this request belongs to a session that is open."""
    return bool(session.get("epoch") == epoch)


def for_people(epoch: Callable[[], str]) -> Callable[[Callable[P, R]], Callable[P, Any]]:
    """A page that needs a login; without one, the way to it."""

    def decorate(view: Callable[P, R]) -> Callable[P, Any]:
        @wraps(view)
        def guarded(*args: P.args, **kwargs: P.kwargs) -> Any:
            if not is_logged_in(epoch()):
                return redirect(url_for("dashboard.login", next=request.full_path.rstrip("?")), 303)
            return view(*args, **kwargs)

        return guarded

    return decorate


def refuse_other_sites() -> None:
    """Abort a changing request that another site caused: its Origin (or Referer) must be ours."""
    origin = request.headers.get("Origin") or request.headers.get("Referer")
    if not origin or urlsplit(origin).netloc != request.host:
        abort(403, "this request came from another site")


def safe_next(target: str | None) -> str:
    """Where to go after the login: a path of ours, never another site."""
    if not target or not SAFE_PATH.fullmatch(target):
        return url_for("dashboard.index")
    return target
