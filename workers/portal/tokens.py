"""The tokens of a portal's credential: refreshed by one worker at a time, and kept before they are used."""

from __future__ import annotations

import secrets
import time
from dataclasses import replace
from datetime import timedelta

from relay.core.errors import RecordUnavailableError
from relay.core.telemetry import get_logger
from relay.store.portals.portal import PortalRecord
from workers.bitrix24.oauth import Refreshed, RefreshFault, Tokens, refresh
from workers.portal.credentials import OAuthApp

log = get_logger()

REFRESH_LEASE = timedelta(seconds=40)
"""Longer than a refresh (workers/bitrix24/oauth.py: connect 5 s, read 20 s) and saving its result can take."""
REFRESH_WITHIN_S = 45.0
SAVED_WITHIN_S = 10.0
POLL_S = 0.1


class TokenStore:
    """The tokens of one credential. Methods raise RecordUnavailableError."""

    def __init__(self, kept: PortalRecord, app: OAuthApp) -> None:
        self._kept = kept
        self._app = app

    @property
    def task(self) -> str:
        """The name of the lease under which it refreshes."""
        return "refresh"

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
            with self._kept.lease(self.task, secrets.token_hex(8), REFRESH_LEASE) as is_ours:
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
        elif (newer := self.current()).access != stale.access:
            return Refreshed(newer)  # somebody has opened the application meanwhile
        log.info("tokens.refreshed", portal=self._kept.name, fault=answer.fault, word=answer.word)
        return answer

    def _save(self, tokens: Tokens) -> None:
        """Save a pair, patiently: the server has ended the old one, and only this process knows the new one.

        Raises RecordUnavailableError where it may not be saved: then it is not used.
        """
        deadline = time.monotonic() + SAVED_WITHIN_S
        while True:
            try:
                return self._put(tokens)
            except RecordUnavailableError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(POLL_S)

    def _put(self, tokens: Tokens) -> None:
        self._kept.keep_tokens({"access": tokens.access, "refresh": tokens.refresh, "endpoint": tokens.endpoint})
