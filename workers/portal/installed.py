"""The tokens of an installed application: a pair of each administrator who has opened it. Kept on record as boxes.

A local application loses its token with its administrator: when they are dismissed or demoted, or when the answer to a
refresh is lost and the old refresh token is dead. So the pairs of several are kept, and another one's is tried then.

A box is bound to its portal, application and administrator, and only a worker can make one: its key is derived from the
workers' key. So whoever can write to the record can neither read a token nor send one to a host of their choice.
"""

from __future__ import annotations

import base64
import binascii
import json
import secrets
from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from relay.core.ids import from_ms, to_ms, utc_now
from relay.store.portals.applications import Administrator, Applications
from relay.store.portals.portal import PortalRecord
from workers.bitrix24.oauth import Tokens
from workers.portal.credentials import LocalApp, OAuthApp
from workers.portal.tokens import TokenStore

MOST_ADMINISTRATORS = 10
"""Pairs that are kept; the one that opened the application longest ago goes."""
REFRESHED_AFTER = timedelta(days=60)
"""A refresh token dies after 180 days without use (docs: settings/oauth/auto-renewal.md), and so would the pairs that
only stand in for another. A schedule of days would be an abuse there."""
NONCE_BYTES = 12


@dataclass(frozen=True, slots=True)
class Pair:
    """The tokens of one administrator. was_in_trouble: they did not work when they were used last.

    kept_at: when they were refreshed last, or came with an opening.
    """

    user_id: str
    tokens: Tokens
    was_in_trouble: bool = False
    kept_at: datetime | None = None


class Installed:
    """The pairs of one portal's application. Methods raise RecordUnavailableError."""

    def __init__(self, kept: PortalRecord, applications: Applications, local: LocalApp) -> None:
        self._kept = kept
        self._applications = applications
        self._local = local
        key = base64.b64decode(local.seal_key)
        self._cipher = ChaCha20Poly1305(HKDF(SHA256(), 32, None, b"relay:kept-pairs:1").derive(key))

    @property
    def app(self) -> LocalApp:
        """The application."""
        return self._local

    def pairs(self) -> list[Pair]:
        """The pairs in the order in which they are tried: the newest first, and last those that did not work."""
        boxes = self._applications.pairs(self._kept.name)
        known = {one.user_id: one for one in self._applications.administrators(self._kept.name)}
        in_order = sorted(known, key=lambda user_id: bool(known[user_id].trouble))  # a stable sort
        read = [(known[user_id], self._read(user_id, boxes[user_id])) for user_id in in_order if user_id in boxes]
        return [replace(pair, was_in_trouble=bool(one.trouble)) for one, pair in read if pair]

    def choose(self, tried: Collection[str]) -> Pair | None:
        """The first pair whose access token was not tried; None: there is no other."""
        return next((pair for pair in self.pairs() if pair.tokens.access not in tried), None)

    def pair_of(self, user_id: str) -> Tokens | None:
        """The tokens of this administrator in force."""
        box = self._applications.pairs(self._kept.name).get(user_id)
        pair = self._read(user_id, box) if box else None
        return pair.tokens if pair else None

    def keep(self, pair: Pair) -> None:
        """Keep a pair, on as many replicas as are waited for, before it is used."""
        self._applications.keep_pair(self._kept.name, pair.user_id, self._box(pair))

    def keep_administrator(self, name: str, pair: Pair, now: datetime) -> None:
        """Keep the pair of an administrator who has opened the application, in place of an earlier one."""
        self.keep(pair)
        self._applications.keep_administrator(self._kept.name, Administrator(pair.user_id, name, now))
        for old in self._applications.administrators(self._kept.name)[MOST_ADMINISTRATORS:]:
            self._applications.drop_administrator(self._kept.name, old.user_id)

    def keep_alive(self, now: datetime) -> None:
        """Refresh the pairs that nobody has used for long."""
        for pair in self.pairs():
            if pair.kept_at and now - pair.kept_at > REFRESHED_AFTER:
                self.store_of(pair).renew(pair.tokens)

    def note(self, user_id: str, trouble: str) -> None:
        """Note why a pair does not work, or with an empty text that it works."""
        self._applications.note_trouble(self._kept.name, user_id, trouble)

    def store_of(self, pair: Pair) -> TokenStore:
        """The store that refreshes this pair, one worker at a time."""
        return _AdministratorTokens(self._kept, self, pair)

    def _box(self, pair: Pair) -> str:
        tokens = pair.tokens
        kept = {"access": tokens.access, "refresh": tokens.refresh, "endpoint": tokens.endpoint}
        text = json.dumps(kept | {"at": to_ms(utc_now())})
        nonce = secrets.token_bytes(NONCE_BYTES)
        return base64.b64encode(nonce + self._cipher.encrypt(nonce, text.encode(), self._bound(pair.user_id))).decode()

    def _read(self, user_id: str, box: bytes) -> Pair | None:
        """The pair in a box; None where it was made under another key, or by nobody who has one."""
        try:
            raw = base64.b64decode(box, validate=True)
            text = self._cipher.decrypt(raw[:NONCE_BYTES], raw[NONCE_BYTES:], self._bound(user_id))
            kept = json.loads(text)
        except (binascii.Error, InvalidTag, ValueError):
            return None
        tokens = Tokens(kept["access"], kept["refresh"], kept["endpoint"], self._local.server)
        return Pair(user_id, tokens, kept_at=from_ms(kept["at"]))

    def _bound(self, user_id: str) -> bytes:
        """The place that a box belongs to: it opens nowhere else."""
        return json.dumps([self._kept.name, self._local.client_id, user_id]).encode()


class _AdministratorTokens(TokenStore):
    """The tokens of one administrator."""

    def __init__(self, kept: PortalRecord, installed: Installed, pair: Pair) -> None:
        local = installed.app
        super().__init__(kept, OAuthApp(local.client_id, local.client_secret, pair.tokens))
        self._installed = installed
        self._user_id = pair.user_id

    @property
    def task(self) -> str:
        return f"refresh:{self._user_id}"

    def current(self) -> Tokens:
        return self._installed.pair_of(self._user_id) or self._app.first

    def _put(self, tokens: Tokens) -> None:
        self._installed.keep(Pair(self._user_id, tokens))
