"""The client of one portal: a paced call with its credential. It refreshes a token and follows a renamed portal.

The credential of a portal by application is a pair of tokens of one of its administrators, and another one's if the
portal or the authorisation server does not take that. Before an administrator has opened the application, there is no
address to call: the answer is NOT_CONNECTED, which closes the gate, and the record is looked at again with each call.

Sends a call a second time only where the first was certainly not executed: an expired token, a redirect. The pace is
shared by every worker on every host through Redis: Bitrix24 counts requests per portal and source address, whatever
calls it (docs: limits.md), so each call draws on it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from relay.configuration.portals import Portal
from relay.core.errors import RecordUnavailableError
from relay.core.ids import utc_now
from relay.core.lifecycle import Verdict
from relay.core.telemetry import get_logger
from relay.store.portals.portal import PortalRecord
from relay.store.record.record import HARD_DEADLINE
from workers.bitrix24.client import CONNECT_TIMEOUT_S, READ_TIMEOUT_S, Answer, Client, Fault
from workers.bitrix24.oauth import RefreshFault, Tokens
from workers.bitrix24.verdicts import Concern, Remedy, judge
from workers.portal.credentials import Address, may_inherit
from workers.portal.installed import Installed, Pair
from workers.portal.pace import Pace
from workers.portal.tokens import TokenStore

SEND_WITHIN_S = HARD_DEADLINE.total_seconds() - CONNECT_TIMEOUT_S - READ_TIMEOUT_S
"""Longest time between claim and call, so that the call is over when the sweeper deals with its delivery."""

NOT_CONNECTED = "NOT_CONNECTED"
NO_ADMINISTRATOR = "NO_ADMINISTRATOR"
"""Codes of our own, for the table of verdicts (workers/bitrix24/verdicts.py)."""
NOTHING_TO_CALL = Answer(datetime.fromtimestamp(0, UTC), 0, code=NOT_CONNECTED)
"""The answer to every call of a portal by application before an administrator has opened it."""
OF_ONE_ADMINISTRATOR = frozenset({"authorization_error", "user_access_error", "invalid_grant", "no_administrator"})
"""Reasons that concern the tokens of one administrator: another one's may work."""
DENIED = "access_denied"

log = get_logger()


class PacedClient:
    """Calls methods of one portal. Methods raise RecordUnavailableError.

    installed: the tokens of its application, where they are the credential.
    """

    def __init__(
        self,
        kept: PortalRecord,
        address: Address,
        limiter: Limiter,
        pace: Pace,
        installed: Installed | None = None,
    ) -> None:
        self._address = address
        self._installed = installed
        self._limiter = limiter
        self._pace = pace
        self._tokens = TokenStore(kept, address.app) if address.app else None
        self._pair: Tokens | None = None
        self._user_id = ""
        self._was_in_trouble = False
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
        if self._installed:
            return self._call_installed(self._installed, method, parameters, not_after)
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

    @property
    def host(self) -> str:
        """The portal's host, which is no secret; empty before the portal is connected."""
        return urlsplit(self._base_url).netloc

    def close(self) -> None:
        """Close the pooled connections."""
        self._client.close()

    def _call_installed(
        self, installed: Installed, method: str, parameters: Mapping[str, Any], not_after: Callable[[], float] | None
    ) -> Answer:
        """Call with the tokens of one administrator after the other, until the portal takes the call.

        Where it does not take a pair, nothing was executed with it.
        """
        answer = replace(NOTHING_TO_CALL, at=utc_now())
        tried: set[str] = set()
        while self._take_up(installed, tried):
            assert self._pair is not None  # noqa: S101 - for the type checker
            if tried:
                self._limiter.wait()
            tried.add(self._pair.access)
            answer = self._answer_of_installed(installed, method, parameters, not_after)
            tried.add(self._in_use)  # it may have been refreshed
            judgement = judge(answer)
            if judgement.concern is not Concern.PORTAL and self._was_in_trouble:
                self._note(installed, "")
            elif judgement.reason in OF_ONE_ADMINISTRATOR:
                self._note(installed, judgement.reason)
                log.warning("tokens.refused", portal=self._address.portal.name, reason=judgement.reason)
            if judgement.verdict is not Verdict.HELD or judgement.concern is not Concern.PORTAL:
                return answer
        return answer

    @property
    def _in_use(self) -> str:
        return self._pair.access if self._pair is not None else ""

    def _take_up(self, installed: Installed, tried: set[str]) -> bool:
        """Take the next pair into use: the present one, then those on record. Returns False: there is no other."""
        if self._pair and self._pair.access not in tried:
            return True
        pair = installed.choose(tried)
        if pair is None:
            return False
        self._use(pair)
        return True

    def _note(self, installed: Installed, trouble: str) -> None:
        """Note why the pair in use does not work; empty: it works again."""
        self._was_in_trouble = bool(trouble)
        with suppress(RecordUnavailableError):  # the answer matters more
            installed.note(self._user_id, trouble)

    def _use(self, pair: Pair) -> None:
        self._user_id, self._pair, self._was_in_trouble = pair.user_id, pair.tokens, pair.was_in_trouble
        self._base_url = pair.tokens.endpoint
        known = self._pace.read().host
        if known and may_inherit(known, self._base_url):
            self._base_url = _with_host(self._base_url, known)
        self._open_client()

    def _answer_of_installed(
        self, installed: Installed, method: str, parameters: Mapping[str, Any], not_after: Callable[[], float] | None
    ) -> Answer:
        """The answer to a call with the pair in use, which is refreshed if it has expired."""
        assert self._pair is not None  # noqa: S101 - for the type checker: it was taken up
        answer = self._client.call(method, parameters, not_after)
        judgement = judge(answer)
        if judgement.remedy is Remedy.REFRESH:
            if installed.pair_of(self._user_id) is None:
                self._pair = None  # of an installation that is no longer the bound one
                return answer
            renewed = installed.store_of(Pair(self._user_id, self._pair)).renew(self._pair)
            if renewed.tokens is None:
                fault = None if renewed.fault is RefreshFault.OVER else Fault.NOT_SENT
                described = f"refresh refused: {renewed.word}"
                return replace(answer, result=None, code=renewed.word, description=described, fault=fault)
            self._use(Pair(self._user_id, renewed.tokens, was_in_trouble=self._was_in_trouble))
            self._limiter.wait()
            answer = self._client.call(method, parameters, not_after)
        elif judgement.remedy is Remedy.SLOW_DOWN:
            self._slow_down()
        elif judgement.remedy is Remedy.FOLLOW and self._move_to(answer.location):
            self._limiter.wait()
            answer = self._client.call(method, parameters, not_after)
        elif judgement.reason == DENIED and not self._is_administrator():
            answer = replace(answer, code=NO_ADMINISTRATOR)
        return answer

    def _is_administrator(self) -> bool:
        """Whether the pair in use is still of an administrator; True where the portal does not say."""
        self._limiter.wait()
        profile = self._client.call("profile", {}).result
        return not isinstance(profile, dict) or profile.get("ADMIN") is not False

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
        base_url = self._pair.endpoint if self._installed and self._pair else self._address.base_url
        if not location or not may_inherit(location, base_url):
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
