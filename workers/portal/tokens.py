"""The OAuth pair in force of a portal: kept in Redis, refreshed by one worker at a time, saved before it is used.

The refresh token rotates, so two refreshes at once would leave one worker with a dead pair.
"""

from __future__ import annotations

import secrets
import time
from datetime import timedelta
from typing import Any

from redis import Redis

from relay.core.telemetry import get_logger
from relay.store.redis import keys
from relay.store.redis.guard import guarded
from relay.store.redis.lease import lease
from workers.bitrix24.oauth import Refreshed, RefreshFault, Tokens, refresh
from workers.portal.credentials import OAuthApp

LEASE = timedelta(seconds=40)
"""Longer than a refresh can take (workers/bitrix24/oauth.py): connect 5 s, read 20 s."""
PATIENCE_S = 45.0
POLL_S = 0.1

log = get_logger()


class TokenStore:
    """The tokens of one portal. Methods raise RecordUnavailableError."""

    def __init__(self, redis: Redis, portal: str, app: OAuthApp) -> None:
        self._redis = redis
        self._portal = portal
        self._app = app
        self._key = keys.TOKENS + portal

    @guarded
    def current(self) -> Tokens:
        """The pair in force: the newest that was saved, else the environment's."""
        kept: Any = self._redis.hgetall(self._key)
        if not kept:
            return self._app.first
        return Tokens(**{name.decode(): value.decode() for name, value in kept.items()})

    def renew(self, stale: Tokens) -> Refreshed:
        """A pair newer than `stale`: another worker's, or one that we fetch."""
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            current = self.current()
            if current.access != stale.access:
                return Refreshed(current)
            with lease(self._redis, f"refresh:{self._portal}", secrets.token_hex(8), LEASE) as is_ours:
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
        log.info("tokens.refreshed", portal=self._portal, fault=answer.fault, word=answer.word)
        return answer

    @guarded
    def _save(self, tokens: Tokens) -> None:
        fields = {name: getattr(tokens, name) for name in ("access", "refresh", "endpoint", "server")}
        self._redis.hset(self._key, mapping=fields)  # type: ignore[arg-type] # invariant in redis-py
