"""The token server: access tokens that expire, refresh tokens that rotate.

Facts: settings/oauth/auto-renewal.md and settings/oauth/error-codes.md; the statuses are those that the vendor's
Python SDK expects (b24pysdk/errors/oauth.py). Knows one application and one portal.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping

CLIENT_ID = "local.sandbox"
CLIENT_SECRET = "sandbox"  # noqa: S105 - the pretend application's secret is public
FIRST_ACCESS_TOKEN = "sandbox-access-token"  # noqa: S105 - likewise
FIRST_REFRESH_TOKEN = "sandbox-refresh-token"  # noqa: S105 - likewise
REFRESH_LIFETIME_S = 180 * 24 * 3600.0


class TokenError(Exception):
    """The token server refuses.

    description None: the answer has no such member. `wrong_client` is the odd one: HTTP 200, no description.
    """

    def __init__(self, status: int, code: str, description: str | None = None) -> None:
        super().__init__(code)
        self.status = status
        self.code = code
        self.description = description

    def body(self) -> dict[str, str]:
        """The members of the answer."""
        body = {"error": self.code}
        return body if self.description is None else {**body, "error_description": self.description}


class TokenServer:
    """Issues tokens for user 1; the first pair is known (FIRST_ACCESS_TOKEN, FIRST_REFRESH_TOKEN)."""

    def __init__(self, clock: Callable[[], float], lifetime_s: float) -> None:
        self._clock = clock
        self._access = {FIRST_ACCESS_TOKEN: clock() + lifetime_s}
        self._refresh = {FIRST_REFRESH_TOKEN: clock() + REFRESH_LIFETIME_S}

    def is_known(self, access_token: str) -> bool:
        """Whether this token was ever issued."""
        return access_token in self._access

    def is_fresh(self, access_token: str) -> bool:
        """Whether this token is still good."""
        return self._access.get(access_token, 0.0) > self._clock()

    def refresh(self, form: Mapping[str, str], lifetime_s: float, rotate: bool) -> dict[str, object]:
        """A new pair for `grant_type=refresh_token`; TokenError otherwise. lifetime_s: of the new access token."""
        if form.get("grant_type") != "refresh_token" or "refresh_token" not in form:
            raise TokenError(400, "invalid_request", "grant_type refresh_token and a refresh_token are required")
        if form.get("client_id") != CLIENT_ID:
            raise TokenError(200, "wrong_client")
        if form.get("client_secret") != CLIENT_SECRET:
            raise TokenError(400, "invalid_client", "Client authentication failed")
        if self._refresh.get(form["refresh_token"], 0.0) <= self._clock():
            raise TokenError(400, "invalid_grant", "The refresh token is invalid or has been used")
        if rotate:
            del self._refresh[form["refresh_token"]]
        return self._issue(lifetime_s)

    def _issue(self, lifetime_s: float) -> dict[str, object]:
        access, refresh = secrets.token_hex(35), secrets.token_hex(35)
        self._access[access] = self._clock() + lifetime_s
        self._refresh[refresh] = self._clock() + REFRESH_LIFETIME_S
        return {
            "access_token": access,
            "refresh_token": refresh,
            "expires": int(self._access[access]),
            "expires_in": int(lifetime_s),
            "member_id": "5a1b5c0d1e0f00000000000000000001",
            "status": "L",
            "user_id": 1,
        }
