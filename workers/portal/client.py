"""The client of one portal: a paced call with its credential, which refreshes a token and follows a portal that moved.

Sends a call a second time only where the first was certainly not executed: an expired token, a redirect.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from relay.core.errors import RecordUnavailableError
from relay.core.telemetry import get_logger
from relay.store.portals.portal import PortalRecord
from relay.store.record.record import HARD_DEADLINE
from workers.bitrix24.answers import Answer, Fault
from workers.bitrix24.client import CONNECT_TIMEOUT_S, READ_TIMEOUT_S, Client
from workers.bitrix24.oauth import RefreshFault, Tokens
from workers.bitrix24.verdicts import Remedy, judge
from workers.portal.credentials import Address, may_inherit
from workers.portal.limiter import Limiter
from workers.portal.pace import Pace
from workers.portal.tokens import TokenStore

SEND_WITHIN_S = HARD_DEADLINE.total_seconds() - CONNECT_TIMEOUT_S - READ_TIMEOUT_S
"""How soon after its delivery was claimed a call is sent, if at all: so it is over when the sweeper comes to it."""

log = get_logger()


class PacedClient:
    """Calls methods of one portal. Methods raise RecordUnavailableError."""

    def __init__(self, kept: PortalRecord, address: Address, limiter: Limiter, pace: Pace) -> None:
        self._address = address
        self._limiter = limiter
        self._pace = pace
        self._tokens = TokenStore(kept, address.app) if address.app else None
        self._pair: Tokens | None = None
        self._base_url = address.base_url
        self._client = Client(address.base_url)
        self._is_fresh = False

    def wait(self) -> int:
        """Wait for a slot of the portal's pace. How many could go at once beside it."""
        return self._limiter.wait()

    def call(self, method: str, parameters: Mapping[str, Any], not_after: Callable[[], float] | None = None) -> Answer:
        """Call a method, in a slot that the caller has waited for.

        not_after: says by the monotonic clock, in seconds, when nothing is sent any more, however long all else takes.
        """
        if not self._is_fresh:
            self._connect()
        answer = self._client.call(method, parameters, not_after)
        remedy = judge(answer).remedy
        if remedy is Remedy.SLOW_DOWN:
            self._slow_down()
        if remedy is Remedy.REFRESH and self._tokens:
            return self._call_refreshed(answer, method, parameters, not_after)
        if remedy is Remedy.FOLLOW and self._move_to(answer.location):
            self._limiter.wait()
            return self._client.call(method, parameters, not_after)
        return answer

    def close(self) -> None:
        """Close the pooled connections."""
        self._client.close()

    def _slow_down(self) -> None:
        try:
            pace = self._limiter.slow_down()
        except RecordUnavailableError:
            return  # the answer is worth more than the lesson
        log.warning("portal.slowed", portal=self._address.portal.name, pace=pace)

    def _connect(self) -> None:
        """Take up what is known: the host the portal has moved to, the tokens in force."""
        self._is_fresh = True
        if self._tokens:
            self._pair = self._tokens.current()
        # Whoever can write to the record must not be able to name the host that gets the credential.
        for known in (self._pace.read().host, self._pair.endpoint if self._pair else None):
            if known and may_inherit(known, self._address.base_url):
                self._base_url = _with_host(self._address.base_url, known)
                break
        self._open_client()

    def _open_client(self) -> None:
        self._client.close()
        self._client = Client(self._base_url, self._pair.access if self._pair else None)

    def _call_refreshed(
        self, refused: Answer, method: str, parameters: Mapping[str, Any], not_after: Callable[[], float] | None
    ) -> Answer:
        """The call once more with a new token; nothing was executed with the old one."""
        assert self._tokens is not None  # noqa: S101 - for the type checker: the caller has looked
        renewed = self._tokens.renew(self._pair or self._tokens.current())
        if renewed.tokens is None:
            is_over = renewed.fault is RefreshFault.OVER
            described = f"refresh refused: {renewed.word}"
            fault = None if is_over else Fault.NOT_SENT
            return Answer(refused.at, refused.duration_ms, refused.status, None, refused.code, described, fault=fault)
        self._pair = renewed.tokens
        self._open_client()
        self._limiter.wait()
        return self._client.call(method, parameters, not_after)

    def _move_to(self, location: str | None) -> bool:
        """Follow a portal that was renamed, if the new place may have its credential and answers as a portal does."""
        if not location or not may_inherit(location, self._address.base_url):
            return False
        parts = urlsplit(location)
        moved = _with_host(self._base_url, location)
        candidate = Client(moved, self._pair.access if self._pair else None)
        self._limiter.wait()
        answer = candidate.call("scope", {})
        candidate.close()
        if not isinstance(answer.result, list):
            return False
        self._base_url = moved
        self._open_client()
        self._pace.learn_host(f"{parts.scheme}://{parts.netloc}")
        log.warning("portal.moved", portal=self._address.portal.name, host=parts.netloc)
        return True


def _with_host(url: str, host: str) -> str:
    new, old = urlsplit(host), urlsplit(url)
    return urlunsplit((new.scheme, new.netloc, old.path, "", ""))
