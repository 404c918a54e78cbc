"""Where a wrong password or token is counted: at the address that sent it, and at all strangers together.

The second makes guessing from many addresses slow, too; and so that it keeps out nobody who has been in, a browser in
which the password was right once is known by a signed cookie and has a counter of its own. A token of the API that is
right is let in whatever was counted: it is too long to be guessed, and a program must not stop because somebody tries.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from datetime import timedelta
from ipaddress import IPv6Address, IPv6Network, ip_address

from itsdangerous import BadData, URLSafeTimedSerializer

from relay.core.ids import utc_now
from relay.store.operators.operators import Operators
from relay.store.operators.sessions import Counter

COOKIE = "relay_known"
KNOWN_FOR = timedelta(days=180)
AT_ADDRESS = (5, timedelta(seconds=60))
"""Tries without a wait, and the longest wait."""
AT_STRANGERS = (30, timedelta(seconds=10))
"""Shorter: who guesses makes others wait here. It leaves 8,640 tries a day for all the strangers of the world."""
AT_BROWSER = (10, timedelta(seconds=60))


@dataclass(frozen=True, slots=True)
class Browser:
    """One in which a password was right before. role: whose password it was."""

    role: str
    name: str


class Guesses:
    """Counts tries. key: of the counters' names, so that no address is kept, and of the cookies."""

    def __init__(self, operators: Operators, key: str) -> None:
        self._operators = operators
        self._key = key.encode()
        self._cookies = URLSafeTimedSerializer(key, salt="known-browser")

    def of_strangers(self, door: str, address: str) -> list[Counter]:
        """Where a try at a door ("login" or "api") counts."""
        return [
            Counter(self._name(door, "address", network_of(address)), *AT_ADDRESS),
            Counter(self._name(door, "all"), *AT_STRANGERS),
        ]

    def of_browser(self, browser: Browser) -> list[Counter]:
        """Where a try of a known browser counts."""
        return [Counter(self._name("browser", browser.name), *AT_BROWSER)]

    def count(self, counters: list[Counter]) -> None:
        """Count a try before it is looked at. Raises TooManyTriesError, RecordUnavailableError."""
        self._operators.tries.count(counters, utc_now())

    def forgive(self, counters: list[Counter]) -> None:
        """The try was right. Raises RecordUnavailableError."""
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
    """What counts as one sender: an address, or with IPv6 the network of 64 bits that one customer has at least."""
    try:
        found = ip_address(address)
    except ValueError:
        return address
    if isinstance(found, IPv6Address):
        return str(found.ipv4_mapped or IPv6Network((found, 64), strict=False))
    return str(found)
