"""Access to the dashboard: two passwords, sessions, the name that a trusted proxy gives, and a limit on guessing.

A session is in the record (store/operators/sessions.py); its cookie, signed with RELAY_SECRET_KEY, holds its id.

Wrong passwords and tokens are counted per address, and for all strangers together, which slows down guessing from many
addresses. That count must not lock out an operator: a signed cookie marks a browser in which the password was right
once, and that browser has a counter of its own. A right API token is accepted whatever was counted: it is too long to
be guessed, and a program must not stop because a stranger tries.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from ipaddress import IPv6Address, IPv6Network, ip_address
from urllib.parse import urlsplit

from flask import abort, g, request, session, url_for
from itsdangerous import BadData, URLSafeTimedSerializer

from relay.core.ids import utc_now
from relay.store.operators.operators import Operators
from relay.store.operators.sessions import Counter, Session, TooManyTriesError, digest_of
from relay.web.proxies import SIGNED_IN

BACKGROUND = "X-Background"
"""The header with which a page refreshes itself."""
REVEALED_KEPT = 20
"""How many events a session remembers as revealed: a cookie is small."""
SAFE_PATH = re.compile(r"/(?![/\\])[!-\[\]-~]*")
"""A path on this site. Browsers take a backslash for a slash and leave out tabs and line ends, so none may be there."""
KNOWN_COOKIE = "relay_known"
KNOWN_FOR = timedelta(days=180)
AT_ADDRESS = (5, timedelta(seconds=60))
"""Tries without a wait, and the longest wait."""
AT_STRANGERS = (30, timedelta(seconds=10))
"""A shorter wait, because a guesser makes others wait too. It allows 8,640 tries a day for all strangers together."""
AT_BROWSER = (10, timedelta(seconds=60))


class Role(StrEnum):
    """The rights of a session's holder."""

    OPERATOR = "operator"
    """Sees and acts."""
    VIEWER = "viewer"
    """Sees, with persons' values masked; changes nothing."""


class Guard:
    """Checks passwords, limits guessing, and keeps the sessions. key: RELAY_SECRET_KEY."""

    def __init__(
        self,
        operators_record: Operators,
        key: str,
        passwords: Mapping[Role, str | None],
        operators: Collection[str] = (),
    ) -> None:
        self._key = key.encode()
        self._operators = frozenset(operators)
        self._passwords = {role: password.encode() for role, password in passwords.items() if password}
        self.sessions = operators_record.sessions(Role)
        self.guesses = Guesses(operators_record, key)

    def try_password(self, given: str, address: str, browser: Browser | None = None) -> Role | None:
        """The role that this password opens. A known browser tries its own role first, with its own counter.

        Raises TooManyTriesError, RecordUnavailableError.
        """
        if browser and self._is_right_in(browser, given):
            return Role(browser.role)
        counters = self.guesses.of_strangers("login", address)
        self.guesses.count(counters)
        opened = [role for role, known in self._passwords.items() if hmac.compare_digest(given.encode(), known)]
        if opened:
            self.guesses.forgive(counters)
        return opened[0] if opened else None

    def proof(self, role: Role) -> str:
        """The value that a session of this role must carry; a new password or a new key changes it."""
        password = self._passwords.get(role, b"")
        return hmac.digest(self._key, b"\0".join((b"session", role.encode(), password)), "sha256").hex()[:32]

    def is_known(self, role: Role) -> bool:
        """Whether the role has a password."""
        return role in self._passwords

    def role_of_name(self, name: str) -> Role:
        """The role of a person whom a trusted proxy has signed in: named operators act, everyone else is a viewer."""
        return Role.OPERATOR if name in self._operators else Role.VIEWER

    def _is_right_in(self, browser: Browser, given: str) -> bool:
        password, counters = self._passwords.get(Role(browser.role)), self.guesses.of_browser(browser)
        if password is None:
            return False
        try:
            self.guesses.count(counters)
        except TooManyTriesError:
            return False  # it may still try as a stranger does
        if not hmac.compare_digest(given.encode(), password):
            return False
        self.guesses.forgive(counters)
        return True


def log_in(guard: Guard, role: Role) -> None:
    """Open a session for the sender of this request, and end the one that it had. Raises RecordUnavailableError."""
    log_out(guard)
    session.permanent = True
    session["id"] = guard.sessions.open(role.value, guard.proof(role), utc_now())


def log_out(guard: Guard) -> None:
    """End the session of this request, for every copy of its cookie. Raises RecordUnavailableError."""
    if token := session.get("id"):
        guard.sessions.end(digest_of(str(token)))
    session.clear()


def session_now(guard: Guard) -> Session | None:
    """The session of this request, or None. Raises RecordUnavailableError.

    A page that refreshes itself does not prolong it: the page may be open with nobody there.
    """
    token = session.get("id")
    if not token:
        return None
    found = guard.sessions.read(str(token), utc_now(), uses=BACKGROUND not in request.headers)
    if found is None or not guard.is_known(Role(found.role)) or found.proof != guard.proof(Role(found.role)):
        return None
    return found


def role_of_session(guard: Guard) -> Role | None:
    """The role of this request's session, or None. Raises RecordUnavailableError."""
    found = session_now(guard)
    return Role(found.role) if found else None


@dataclass(frozen=True, slots=True)
class Visitor:
    """The sender of this request. name: for the audit log."""

    role: Role
    name: str


def identify(guard: Guard) -> Visitor | None:
    """The holder of this request's session, or the person whom a trusted proxy signed in; the stronger role of the two.

    None: nobody is logged in. Raises RecordUnavailableError.
    """
    role, name = role_of_session(guard), request.environ.get(SIGNED_IN)
    if name is None:
        return Visitor(role, role.value) if role else None
    return Visitor(role if role is Role.OPERATOR else guard.role_of_name(name), name)


def reveal(event_id: str) -> None:
    """Show this session the persons' values of an event from now on."""
    session["revealed"] = [*session.get("revealed", []), event_id][-REVEALED_KEPT:]


def is_revealed(event_id: str) -> bool:
    """Whether this session has revealed the personal values of an event."""
    return event_id in session.get("revealed", [])


def refuse_other_sites() -> None:
    """Abort a changing request that another site caused: its Origin (or Referer) must be ours."""
    origin = request.headers.get("Origin") or request.headers.get("Referer")
    if not origin or urlsplit(origin).netloc != request.host:
        abort(403, "this request came from another site")


def safe_next(target: str | None) -> str:
    """The path to go to after the login: one of ours, never another site."""
    if not target or not SAFE_PATH.fullmatch(target):
        return url_for("dashboard.index")
    return target


def is_operator() -> bool:
    """Whether this request is an operator's."""
    return g.get("role") is Role.OPERATOR


@dataclass(frozen=True, slots=True)
class Browser:
    """A browser in which a password was right before. role: the password's role."""

    role: str
    name: str


class Guesses:
    """Counts tries. key: signs the cookies and hashes the counters' names, so that no address is stored."""

    def __init__(self, operators: Operators, key: str) -> None:
        self._operators = operators
        self._key = key.encode()
        self._cookies = URLSafeTimedSerializer(key, salt="known-browser")

    def of_strangers(self, door: str, address: str) -> list[Counter]:
        """The counters of a stranger's try at the "login" or the "api"."""
        return [
            Counter(self._name(door, "address", network_of(address)), *AT_ADDRESS),
            Counter(self._name(door, "all"), *AT_STRANGERS),
        ]

    def of_browser(self, browser: Browser) -> list[Counter]:
        """The counters of a known browser's try."""
        return [Counter(self._name("browser", browser.name), *AT_BROWSER)]

    def count(self, counters: list[Counter]) -> None:
        """Count a try before it is checked. Raises TooManyTriesError, RecordUnavailableError."""
        self._operators.tries.count(counters, utc_now())

    def forgive(self, counters: list[Counter]) -> None:
        """Take back the count of a right try. Raises RecordUnavailableError."""
        self._operators.tries.forgive(counters)

    def known(self, cookie: str | None) -> Browser | None:
        """The browser that a cookie of ours names."""
        try:
            role, name = self._cookies.loads(cookie or "", max_age=int(KNOWN_FOR.total_seconds()))
        except (BadData, ValueError, TypeError):
            return None
        return Browser(str(role), str(name))

    def cookie_for(self, role: str, browser: Browser | None) -> str:
        """The cookie for a browser in which this role's password was right now."""
        name = browser.name if browser and browser.role == role else secrets.token_urlsafe(16)
        return str(self._cookies.dumps([role, name]))

    def _name(self, *parts: str) -> str:
        return hmac.digest(self._key, "\0".join(parts).encode(), hashlib.sha256).hex()[:32]


def network_of(address: str) -> str:
    """The network that counts as one sender: an IPv4 address, or the /64 of an IPv6 address, which one customer has."""
    try:
        found = ip_address(address)
    except ValueError:
        return address
    if isinstance(found, IPv6Address):
        return str(found.ipv4_mapped or IPv6Network((found, 64), strict=False))
    return str(found)
