"""The client of one portal: a paced call with its credential. It refreshes a token and follows a renamed portal.

Sends a call a second time only where the first was certainly not executed: an expired token, a redirect. The pace is
shared by every worker on every host through Redis: Bitrix24 counts requests per portal and source address, whatever
calls it (docs: limits.md), so each call draws on it.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from relay.configuration.portals import Portal
from relay.core.errors import RecordUnavailableError
from relay.core.telemetry import get_logger
from relay.store.portals.portal import PortalRecord
from relay.store.record.record import HARD_DEADLINE
from workers.bitrix24.client import CONNECT_TIMEOUT_S, READ_TIMEOUT_S, Answer, Client, Fault
from workers.bitrix24.oauth import Refreshed, RefreshFault, Tokens, refresh
from workers.bitrix24.verdicts import Remedy, judge
from workers.portal.credentials import Address, OAuthApp, may_inherit
from workers.portal.pace import Pace

SEND_WITHIN_S = HARD_DEADLINE.total_seconds() - CONNECT_TIMEOUT_S - READ_TIMEOUT_S
"""Longest time between claim and call, so that the call is over when the sweeper deals with its delivery."""

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
        """Wait for a slot of the portal's pace. Returns how many more could go at once."""
        return self._limiter.wait()

    def call(self, method: str, parameters: Mapping[str, Any], not_after: Callable[[], float] | None = None) -> Answer:
        """Call a method, in a slot that the caller has waited for.

        not_after: deadline for sending, by the monotonic clock, in seconds, however long everything else takes.
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
            return  # the answer matters more
        log.warning("portal.slowed", portal=self._address.portal.name, pace=pace)

    def _connect(self) -> None:
        """Read the host that the portal has moved to, and the tokens in force."""
        self._is_fresh = True
        if self._tokens:
            self._pair = self._tokens.current()
        # An intruder in the record must not choose the host that gets the credential.
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
        """Repeat the call with a new token; nothing was executed with the old one."""
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
        """Follow a renamed portal, if the new host may have its credential and answers like a portal."""
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


SLOT_PATIENCE_MS = 30_000
"""The longest wait worth reserving. Where a slot is further away, a worker asks again."""
WITHOUT_LIMIT = 9
"""Calls that go one by one at a portal without limits; where more wait, they go in batches."""


class Limiter:
    """The leaky bucket of one portal. Methods raise RecordUnavailableError."""

    def __init__(self, kept: PortalRecord, portal: Portal, sleep: Callable[[float], None] = time.sleep) -> None:
        self._kept = kept
        self._portal = portal
        self._sleep = sleep

    def wait(self) -> int:
        """Wait until a request may go. Returns how many more could go at once.

        The slot is reserved before the wait, so that workers queue up instead of racing. An unused slot, after the
        death of its worker, costs half a second of pace.
        """
        if self._portal.rate_per_s is None:
            return WITHOUT_LIMIT
        while True:
            reserved, wait_ms, free = self._kept.take_slot(
                self._portal.rate_per_s, self._portal.burst, SLOT_PATIENCE_MS
            )
            if wait_ms:
                self._sleep(wait_ms / 1000)
            if reserved:
                return free

    def slow_down(self) -> float:
        """Go slower, after the portal refused a request as one too many. Returns the pace now, from 0 to 1."""
        if self._portal.rate_per_s is None:
            return 1.0
        return self._kept.slow_down(self._portal.rate_per_s, self._portal.burst)


REFRESH_LEASE = timedelta(seconds=40)
"""Longer than a refresh (workers/bitrix24/oauth.py: connect 5 s, read 20 s) and saving its result can take."""
REFRESH_WITHIN_S = 45.0
SAVED_WITHIN_S = 10.0
POLL_S = 0.1


class TokenStore:
    """The tokens of one portal. Methods raise RecordUnavailableError."""

    def __init__(self, kept: PortalRecord, app: OAuthApp) -> None:
        self._kept = kept
        self._app = app

    def current(self) -> Tokens:
        """The pair in force: the newest that was saved, else the environment's.

        The OAuth server gets the application's secret, so its address comes from the environment only.
        """
        kept, first = self._kept.tokens(), self._app.first
        if not kept.get("access") or not kept.get("refresh"):
            return first
        return replace(first, access=kept["access"], refresh=kept["refresh"], endpoint=kept.get("endpoint", ""))

    def renew(self, stale: Tokens) -> Refreshed:
        """A pair newer than `stale`: from another worker, or fetched now."""
        deadline = time.monotonic() + REFRESH_WITHIN_S
        while time.monotonic() < deadline:
            current = self.current()
            if current.access != stale.access:
                return Refreshed(current)
            with self._kept.lease("refresh", secrets.token_hex(8), REFRESH_LEASE) as is_ours:
                if is_ours:
                    return self._fetch(stale)
            time.sleep(POLL_S)
        return Refreshed(fault=RefreshFault.LATER, word="lease_taken")

    def _fetch(self, stale: Tokens) -> Refreshed:
        current = self.current()
        if current.access != stale.access:  # saved between our look and our lease
            return Refreshed(current)
        answer = refresh(current, self._app.client_id, self._app.client_secret)
        if answer.tokens:
            self._save(answer.tokens)
        log.info("tokens.refreshed", portal=self._kept.name, fault=answer.fault, word=answer.word)
        return answer

    def _save(self, tokens: Tokens) -> None:
        """Save a pair, patiently: the server has ended the old one, and only this process knows the new one.

        Raises RecordUnavailableError where it may not be saved: then it is not used.
        """
        deadline = time.monotonic() + SAVED_WITHIN_S
        pair = {"access": tokens.access, "refresh": tokens.refresh, "endpoint": tokens.endpoint}
        while True:
            try:
                return self._kept.keep_tokens(pair)
            except RecordUnavailableError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(POLL_S)
