"""The OAuth pair in force of a portal: kept in Redis, refreshed by one worker at a time, saved before it is used.

The refresh token rotates, so two refreshes at once would leave one worker with a dead pair.
"""

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

LEASE = timedelta(seconds=40)
"""Longer than a refresh can take (workers/bitrix24/oauth.py), connect 5 s, read 20 s, and saving what came of it."""
PATIENCE_S = 45.0
SAVED_WITHIN_S = 10.0
POLL_S = 0.1

log = get_logger()


class TokenStore:
    """The tokens of one portal. Methods raise RecordUnavailableError."""

    def __init__(self, kept: PortalRecord, app: OAuthApp) -> None:
        self._kept = kept
        self._app = app

    def current(self) -> Tokens:
        """The pair in force: the newest that was saved, else the environment's.

        The OAuth server gets the application's secret: it is the environment's, whatever the record says.
        """
        kept, first = self._kept.tokens(), self._app.first
        if not kept.get("access") or not kept.get("refresh"):
            return first
        return replace(first, access=kept["access"], refresh=kept["refresh"], endpoint=kept.get("endpoint", ""))

    def renew(self, stale: Tokens) -> Refreshed:
        """A pair newer than `stale`: another worker's, or one that we fetch."""
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            current = self.current()
            if current.access != stale.access:
                return Refreshed(current)
            with self._kept.lease("refresh", secrets.token_hex(8), LEASE) as is_ours:
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
        """Save a pair, patiently: the server has ended the one before, and nobody else knows this one.

        Raises RecordUnavailableError where it is not known to be kept: it is not used then.
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
