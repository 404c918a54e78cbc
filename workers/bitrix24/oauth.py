"""The authorisation server of Bitrix24: one refresh, or whose a token is. Keeps nothing.

The caller lets one process refresh at a time. The server's address comes from the configuration, never from a request.

Sources: docs settings/oauth/auto-renewal.md, settings/oauth/error-codes.md. A refresh is sent as a form, which keeps
the secret out of addresses; the documentation shows GET, the vendor's JavaScript SDK posts
(packages/jssdk/src/oauth/auth.ts). `app.info` is the only word about a token that can be believed (docs:
settings/oauth/simple-way.md); its answer is that of the vendor's Python SDK (b24pysdk
api/responses/bitrix_app_info_response.py), which asks by GET.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, TypeGuard
from urllib.parse import urlencode, urlsplit

from workers.http.exchange import Bounds, Connection, ExchangeError

TOKEN_PATH = "/oauth/token/"  # noqa: S105 - a path
HEADERS = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}
BOUNDS = Bounds(connect_s=5.0, read_s=20.0, whole_s=25.0, most=100_000)
APP_INFO_PATH = "/rest/app.info"
APP_INFO_BOUNDS = Bounds(connect_s=5.0, read_s=5.0, whole_s=5.0, most=100_000)
"""Strangers can make us ask, so the answer has to come soon."""
LONGEST = 4_096
DEFAULT_SERVER = "https://oauth.bitrix.info"


class RefreshFault(StrEnum):
    """The reason why there is no new token."""

    LATER = "oauth_unreachable"
    """The OAuth server is away or broken: the same again later, with the old token first."""
    OVER = "oauth_refused"
    """The application must be installed again, or paid for."""


@dataclass(frozen=True, slots=True)
class Tokens:
    """A pair in force. endpoint: where methods are (`client_endpoint`). server: the OAuth server of the region."""

    access: str = field(repr=False)
    refresh: str = field(repr=False)
    endpoint: str = ""
    server: str = DEFAULT_SERVER


@dataclass(frozen=True, slots=True)
class Refreshed:
    """The new pair, or the reason why there is none. word: the server's error, for a person."""

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
    connection = Connection()
    try:
        reply = connection.post(tokens.server + TOKEN_PATH, urlencode(form).encode(), HEADERS, BOUNDS)
        answer = json.loads(reply.content or b"")
    except (ExchangeError, ValueError, RecursionError):
        return Refreshed(fault=RefreshFault.LATER, word="no_answer")
    finally:
        connection.close()
    if reply.status >= 500 or not isinstance(answer, dict):
        return Refreshed(fault=RefreshFault.LATER, word=f"http_{reply.status}")
    # `wrong_client` comes with 200, so the status does not count.
    pair = answer.get("access_token"), answer.get("refresh_token")
    if "error" in answer or not all(map(_is_word, pair)):
        word = answer.get("error")
        return Refreshed(fault=RefreshFault.OVER, word=word[:80] if _is_word(word) else "no_token")
    return Refreshed(_tokens(answer, tokens))


def _tokens(answer: dict[str, Any], old: Tokens) -> Tokens:
    endpoint = answer.get("client_endpoint")
    return Tokens(
        access=str(answer["access_token"]),
        refresh=str(answer["refresh_token"]),
        endpoint=endpoint if _is_word(endpoint) else old.endpoint,
        server=old.server,
    )


def _is_word(text: Any) -> TypeGuard[str]:
    """Whether it can be a token, a code or an address: short printable ASCII, fit for a header and a log."""
    return isinstance(text, str) and 0 < len(text) <= LONGEST and text.isascii() and text.isprintable()


@dataclass(frozen=True, slots=True)
class Grant:
    """The authorisation server's word about an access token.

    domain: the portal's host, with its port if it is unusual. endpoint: the address of REST. user_id: whose it is.
    """

    client_id: str
    member_id: str
    domain: str
    endpoint: str
    user_id: str
    scopes: tuple[str, ...]


class DescribeFault(StrEnum):
    """The reason why the server says nothing of a token."""

    AWAY = "server_away"
    REFUSED = "token_refused"
    """The token is none, has expired, or its application was removed."""


def describe(server: str, access: str) -> Grant | DescribeFault:
    """Ask the authorisation server whose an access token is."""
    if not _is_word(access):
        return DescribeFault.REFUSED
    connection = Connection()
    try:
        url = f"{server}{APP_INFO_PATH}?{urlencode({'auth': access})}"
        reply = connection.get(url, {"Accept": "application/json"}, APP_INFO_BOUNDS)
        answer = json.loads(reply.content or b"")
    except (ExchangeError, ValueError, RecursionError):
        return DescribeFault.AWAY
    finally:
        connection.close()
    if not isinstance(answer, dict):
        return DescribeFault.AWAY
    if "error" in answer:
        return DescribeFault.AWAY if reply.status >= 500 or reply.status == 429 else DescribeFault.REFUSED
    result = answer.get("result")
    return (_grant_in(result) if isinstance(result, dict) else None) or DescribeFault.AWAY


def _grant_in(result: dict[str, Any]) -> Grant | None:
    """The grant in an answer; None where a part is missing, or the application is not installed."""
    install = result.get("install")
    if not isinstance(install, dict) or install.get("installed") is False:
        return None
    endpoint = install.get("client_endpoint")
    scope = result.get("scope") or install.get("scope") or ""
    found = [result.get("client_id"), install.get("member_id"), endpoint, install.get("domain") or _host_of(endpoint)]
    if not all(map(_is_word, found)) or not isinstance(scope, str):
        return None
    client_id, member_id, endpoint, domain = map(str, found)
    scopes = tuple(scope.replace(",", " ").split())
    return Grant(client_id, member_id, domain.casefold(), endpoint, str(result.get("user_id") or ""), scopes)


def _host_of(endpoint: Any) -> str:
    try:
        return urlsplit(endpoint).netloc if isinstance(endpoint, str) else ""
    except ValueError:
        return ""
