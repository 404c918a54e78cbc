"""The authorisation server: codes, pairs of tokens, and the answer to the question whose a token is.

Facts: settings/oauth/auto-renewal.md and settings/oauth/error-codes.md; statuses and members of the answers are those
that the vendor's Python SDK expects (b24pysdk/errors/oauth.py, api/responses/bitrix_app_info_response.py). Tokens mean
nothing by themselves; each is of one user and one application. May not know HTTP.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from relay.sandbox.applications.registry import Application, Applications
from relay.sandbox.settings import Settings
from relay.sandbox.workflows import iso_time

FIRST_ACCESS_TOKEN = "sandbox-access-token"  # noqa: S105 - the first pair is public
FIRST_REFRESH_TOKEN = "sandbox-refresh-token"  # noqa: S105 - likewise
CODE_LIFETIME_S = 30.0
REFRESH_LIFETIME_S = 180 * 24 * 3600.0
_LIKE_A_TOKEN = re.compile(r"[0-9a-f]{32,}")


class TokenError(Exception):
    """The authorisation server refuses.

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


@dataclass(frozen=True, slots=True)
class Grant:
    """The application and the user that a token or a code stands for."""

    application: Application
    user_id: int


@dataclass(frozen=True, slots=True)
class Pair:
    """A new pair of tokens. expires: seconds since 1970, of the access token; expires_in: seconds."""

    access: str
    refresh: str
    expires: int
    expires_in: int


class TokenServer:
    """Issues tokens. The first pair is known, that of user 1 and the first application: FIRST_ACCESS_TOKEN."""

    def __init__(self, clock: Callable[[], float], applications: Applications, lifetime_s: float) -> None:
        self._clock = clock
        self._applications = applications
        first = Grant(applications.first, 1)
        self._access = {FIRST_ACCESS_TOKEN: clock() + lifetime_s}
        self._refresh = {FIRST_REFRESH_TOKEN: clock() + REFRESH_LIFETIME_S}
        self._codes: dict[str, float] = {}
        self._grants = {FIRST_ACCESS_TOKEN: first, FIRST_REFRESH_TOKEN: first}

    def grant_of(self, access_token: str) -> Grant | None:
        """The grant of an access token that was ever issued."""
        return self._grants[access_token] if access_token in self._access else None

    def is_fresh(self, access_token: str) -> bool:
        """Whether this access token is still good."""
        return self._access.get(access_token, 0.0) > self._clock()

    def issue(self, grant: Grant, lifetime_s: float) -> Pair:
        """A new pair. lifetime_s: of the access token."""
        access, refresh = secrets.token_hex(35), secrets.token_hex(35)
        until = self._clock() + lifetime_s
        self._access[access] = until
        self._refresh[refresh] = self._clock() + REFRESH_LIFETIME_S
        self._grants |= {access: grant, refresh: grant}
        return Pair(access, refresh, int(until), int(lifetime_s))

    def issue_code(self, grant: Grant) -> str:
        """A code, good once and for thirty seconds."""
        code = secrets.token_hex(35)
        self._codes[code] = self._clock() + CODE_LIFETIME_S
        self._grants[code] = grant
        return code

    def expire(self, application: Application, user_id: int | None) -> int:
        """End the time of its access tokens, of one user or of all. Returns how many were still good."""
        old = [
            token
            for token in self._access
            if self._grants[token].application is application
            and user_id in (None, self._grants[token].user_id)
            and self.is_fresh(token)
        ]
        self._access |= dict.fromkeys(old, 0.0)
        return len(old)

    def refresh(self, form: Mapping[str, str], settings: Settings) -> dict[str, object]:
        """A new pair for `grant_type=refresh_token`; TokenError otherwise."""
        application = self._client(form, "refresh_token", settings)
        try:
            grant = self._redeemed(form["refresh_token"], self._refresh, application)
        except TokenError:
            application.counts["refused_refreshes"] += 1
            raise
        application.counts["refreshes"] += 1
        if settings.rotate_refresh_tokens:
            until = self._refresh[form["refresh_token"]]
            self._refresh[form["refresh_token"]] = min(until, self._clock() + settings.refresh_grace_s)
        return self._answer(grant, settings)

    def exchange(self, form: Mapping[str, str], settings: Settings) -> dict[str, object]:
        """A first pair for `grant_type=authorization_code`; TokenError otherwise."""
        grant = self._redeemed(form.get("code", ""), self._codes, self._client(form, "code", settings))
        del self._codes[form["code"]]
        return self._answer(grant, settings)

    def _client(self, form: Mapping[str, str], needed: str, settings: Settings) -> Application:
        """The application that asks. Raises what is wrong with it, or with the form."""
        if form.get("grant_type") not in ("refresh_token", "authorization_code"):
            raise TokenError(400, "invalid_request", "grant_type refresh_token or authorization_code is required")
        if not form.get(needed):
            raise TokenError(400, "invalid_request", f'No "{needed}" parameter found')
        application = self._applications.find(form.get("client_id", ""))
        if application is None:
            raise TokenError(200, "wrong_client")
        if not secrets.compare_digest(form.get("client_secret", "").encode(), application.client_secret.encode()):
            raise TokenError(400, "invalid_client", "Client authentication failed")
        if not application.is_installed:
            raise TokenError(401, "NOT_INSTALLED", "Application not installed")
        if not settings.rest_available:
            raise TokenError(401, "PAYMENT_REQUIRED", "Subscription has been ended")
        return application

    def _redeemed(self, secret: str, good_until: Mapping[str, float], application: Application) -> Grant:
        if good_until.get(secret, 0.0) <= self._clock() or self._grants[secret].application is not application:
            raise TokenError(400, "invalid_grant", "The token or code is invalid or has been used")
        return self._grants[secret]

    def _answer(self, grant: Grant, settings: Settings) -> dict[str, object]:
        pair = self.issue(grant, settings.token_lifetime_s)
        return {
            "access_token": pair.access,
            "refresh_token": pair.refresh,
            "expires": pair.expires,
            "expires_in": pair.expires_in,
            "member_id": settings.member_id,
            "scope": ",".join(grant.application.scope(settings)),
            "status": "L",
            "user_id": grant.user_id,
        }

    def describe(self, access_token: str, settings: Settings, domain: str, url: str) -> dict[str, object]:
        """The result of `app.info` of the authorisation server, the only one that can be believed. url: of the portal.

        Raises TokenError. The code for an expired token is a guess.
        """
        grant = self.grant_of(access_token)
        if grant is None and _LIKE_A_TOKEN.fullmatch(access_token):
            raise TokenError(400, "invalid_client", "Invalid token")
        if grant is None:
            raise TokenError(401, "NO_AUTH_FOUND", "Wrong authorization data")
        if not grant.application.is_installed:
            raise TokenError(401, "NOT_INSTALLED", "Application not installed")
        if not self.is_fresh(access_token):
            raise TokenError(401, "expired_token", "The access token provided has expired.")
        scope = ",".join(grant.application.scope(settings))
        return {
            "client_id": grant.application.client_id,
            "scope": scope,
            "expires": iso_time(self._access[access_token]),
            "user_id": grant.user_id,
            "install": {
                "installed": True,
                "version": 1,
                "status": "L",
                "scope": scope,
                "domain": domain,
                "uri": url,
                "client_endpoint": f"{url}/rest/",
                "member_id": settings.member_id,
                "member_type": "bitrix24",
            },
        }
