"""The token in a page: it stands for one opening, once.

A page in a frame of another site has no cookie of ours. So it carries a signed token in a hidden field of its form,
never in an address. Each use takes it up (`Applications.turn`), and the answer has the next one.
"""

from __future__ import annotations

from dataclasses import dataclass

from itsdangerous import BadData, URLSafeTimedSerializer

LASTS_S = 1_800
"""Seconds. An opening is forgotten before; this only ends tokens of records that were put back."""


@dataclass(frozen=True, slots=True)
class PageToken:
    """opening: its id. turn: which use of it this is. host: of the portal that framed the page, as the browser said."""

    opening: str
    turn: int
    host: str


class PageTokens:
    """Signs and reads them. key: RELAY_SECRET_KEY."""

    def __init__(self, key: str) -> None:
        self._signed = URLSafeTimedSerializer(key, salt="page-of-an-opening")

    def sign(self, token: PageToken) -> str:
        """The token as a page carries it."""
        return str(self._signed.dumps([token.opening, token.turn, token.host]))

    def read(self, text: str) -> PageToken | None:
        """The token that this text is; None if we have not signed it, or too long ago."""
        try:
            opening, turn, host = self._signed.loads(text, max_age=LASTS_S)
        except (BadData, ValueError, TypeError):
            return None
        return PageToken(str(opening), int(turn), str(host))
