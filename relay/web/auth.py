"""Who may look and who may act: two passwords, the session, the name that a trusted proxy gives, and the checks that
keep other sites from using them.

The session cookie is signed (RELAY_SECRET_KEY) and says only that its holder has logged in, and as what.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from urllib.parse import urlsplit

from flask import abort, request, session, url_for
from redis import Redis
from redis.exceptions import RedisError

from relay.errors import RecordUnavailableError
from relay.store import keys
from relay.store.guard import guarded
from relay.web.proxies import SIGNED_IN

LOGINS_PER_WINDOW = 10
LOGIN_WINDOW_S = 300
REVEALED_KEPT = 20
"""How many events a session remembers as revealed: a cookie is small."""
SAFE_PATH = re.compile(r"/(?![/\\])[!-\[\]-~]*")
"""A path on this site. Browsers take a backslash for a slash and leave out tabs and line ends, so none may be there."""


class Role(StrEnum):
    """What the holder of a session may do."""

    OPERATOR = "operator"
    """Sees and acts."""
    VIEWER = "viewer"
    """Sees, with persons' values masked; changes nothing."""


class Guard:
    """Checks passwords, slowly for those who guess. Counts in Redis, so that all web processes count together."""

    def __init__(self, redis: Redis, passwords: Mapping[Role, str | None], operators: Collection[str] = ()) -> None:
        self._redis = redis
        self._operators = frozenset(operators)
        self._passwords = {role: password.encode() for role, password in passwords.items() if password}

    def try_password(self, given: str, address: str) -> Role | None:
        """The role that this password opens. None, too, while the address has guessed too often.

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
        opened = [role for role, known in self._passwords.items() if hmac.compare_digest(given.encode(), known)]
        return opened[0] if opened and tries <= LOGINS_PER_WINDOW else None

    def epoch(self, role: Role) -> str:
        """What a session of this role has to carry: another one after a new password, or after `end_all`.

        Raises RecordUnavailableError.
        """
        password = self._passwords.get(role, b"")
        return hashlib.sha256(b"\0".join((b"session", role.encode(), password, self._ended()))).hexdigest()[:16]

    def is_known(self, role: Role) -> bool:
        """Whether the role has a password."""
        return role in self._passwords

    def role_of_name(self, name: str) -> Role:
        """What somebody may do whom a trusted proxy has signed in: who is not named as an operator only looks."""
        return Role.OPERATOR if name in self._operators else Role.VIEWER

    @guarded
    def end_all(self) -> None:
        """End every session of every role."""
        self._redis.incr(keys.SESSIONS)

    @guarded
    def _ended(self) -> bytes:
        kept: Any = self._redis.get(keys.SESSIONS)
        return kept or b"0"


def log_in(guard: Guard, role: Role) -> None:
    """Open a session for the sender of this request. Raises RecordUnavailableError."""
    epoch = guard.epoch(role)
    session.clear()
    session.permanent = True
    session["role"], session["epoch"] = role.value, epoch


def role_of_session(guard: Guard) -> Role | None:
    """The role of the session that this request belongs to; None where it has none. Raises RecordUnavailableError."""
    kept = session.get("role")
    if kept not in set(Role):
        return None
    role = Role(kept)
    return role if guard.is_known(role) and session.get("epoch") == guard.epoch(role) else None


@dataclass(frozen=True, slots=True)
class Visitor:
    """Who has sent this request. name: for the audit log."""

    role: Role
    name: str


def identify(guard: Guard) -> Visitor | None:
    """The holder of this request's session, or whom a trusted proxy has signed in; of both, the role that may more.

    None: nobody. Raises RecordUnavailableError.
    """
    role, name = role_of_session(guard), request.environ.get(SIGNED_IN)
    if name is None:
        return Visitor(role, role.value) if role else None
    return Visitor(role if role is Role.OPERATOR else guard.role_of_name(name), name)


def reveal(event_id: str) -> None:
    """Show this session the persons' values of an event from now on."""
    session["revealed"] = [*session.get("revealed", []), event_id][-REVEALED_KEPT:]


def is_revealed(event_id: str) -> bool:
    """Whether this session has asked to see the persons' values of an event."""
    return event_id in session.get("revealed", [])


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
