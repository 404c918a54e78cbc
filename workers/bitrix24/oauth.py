"""OAuth 2.0 of Bitrix24: one refresh, one answer. Keeps nothing; the caller sees to it that one at a time refreshes.

Sources: docs settings/oauth/auto-renewal.md, settings/oauth/error-codes.md. Sent as a form, which keeps the secret out
of addresses; the documentation shows GET, the vendor's JavaScript SDK posts (packages/jssdk/src/oauth/auth.ts).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import requests

TOKEN_PATH = "/oauth/token/"  # noqa: S105 - a path
TIMEOUT_S = (5.0, 20.0)
DEFAULT_SERVER = "https://oauth.bitrix.info"


class RefreshFault(StrEnum):
    """Why there is no new token."""

    LATER = "oauth_unreachable"
    """The OAuth server is away or broken: the same again later, with the old token first."""
    OVER = "oauth_refused"
    """The application has to be installed again, or paid for."""


@dataclass(frozen=True, slots=True)
class Tokens:
    """A pair in force. endpoint: where methods are (`client_endpoint`). server: the OAuth server of the region."""

    access: str = field(repr=False)
    refresh: str = field(repr=False)
    endpoint: str = ""
    server: str = DEFAULT_SERVER


@dataclass(frozen=True, slots=True)
class Refreshed:
    """The new pair, or why there is none. word: the server's error, for a person."""

    tokens: Tokens | None = None
    fault: RefreshFault | None = None
    word: str = ""


def refresh(tokens: Tokens, client_id: str, client_secret: str) -> Refreshed:
    """Ask for a new pair. The old refresh token may be dead afterwards: save what comes before using it."""
    form = {
        "grant_type": "refresh_token",
        "client_id": client_id,
        "client_secret": client_secret,
        "refresh_token": tokens.refresh,
    }
    try:
        with requests.Session() as session:
            session.trust_env = False  # a .netrc or a proxy variable must not redirect a credential
            response = session.post(tokens.server + TOKEN_PATH, data=form, timeout=TIMEOUT_S, allow_redirects=False)
            answer = response.json()
    except (requests.RequestException, ValueError):
        return Refreshed(fault=RefreshFault.LATER, word="no_answer")
    if response.status_code >= 500 or not isinstance(answer, dict):
        return Refreshed(fault=RefreshFault.LATER, word=f"http_{response.status_code}")
    # `wrong_client` comes with 200, so the status is not asked.
    if "error" in answer or not answer.get("access_token") or not answer.get("refresh_token"):
        return Refreshed(fault=RefreshFault.OVER, word=str(answer.get("error") or "no_token")[:80])
    return Refreshed(_tokens(answer, tokens))


def _tokens(answer: dict[str, Any], old: Tokens) -> Tokens:
    return Tokens(
        access=str(answer["access_token"]),
        refresh=str(answer["refresh_token"]),
        endpoint=str(answer.get("client_endpoint") or old.endpoint),
        server=old.server,
    )
