"""The callers: the people of the portal, its access tokens, and one call as the portal understood it.

Facts: settings/oauth/auto-renewal.md and settings/oauth/error-codes.md; the token server's statuses are those that the
vendor's Python SDK expects (b24pysdk/errors/oauth.py). There is one application. May not know HTTP: a call's parameters
are already one PHP array.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from relay.sandbox.answers import RestError


@dataclass(frozen=True, slots=True)
class User:
    """A user with an account. is_integrator: a partner's account, which user.get does not show.

    user.get finds a telephone number only as it is written here.
    """

    id: int
    name: str
    last_name: str
    email: str
    is_admin: bool = False
    is_active: bool = True
    is_integrator: bool = False
    second_name: str = ""
    position: str = ""
    departments: tuple[int, ...] = (1,)

    @property
    def mobile(self) -> str:
        return f"+7900000{self.id:04}"

    @property
    def home_phone(self) -> str:
        return f"+7901000{self.id:04}"

    @property
    def work_phone(self) -> str:
        return f"+7495000{self.id:04}"

    @property
    def extension(self) -> str:
        return str(100 + self.id)


_NAMES = ("Cleo", "Dan", "Eva", "Finn", "Gina", "Hugo", "Ines", "Jan", "Kira", "Liam")
_EVERYBODY = (
    User(1, "Ada", "Admin", "admin@example.com", is_admin=True),
    User(2, "Ben", "Baker", "ben@example.com", second_name="B.", position="Sales manager", departments=(1, 5)),
    *(User(number, name, "Example", f"{name.lower()}@example.com") for number, name in enumerate(_NAMES, start=3)),
    User(13, "Gus", "Gone", "gus@example.com", is_active=False),
    User(14, "Ida", "Integrator", "ida@example.com", is_integrator=True),
)

PEOPLE: Mapping[int, User] = {user.id: user for user in _EVERYBODY}
OWNERS: Mapping[int, User] = {number: PEOPLE[number] for number in (1, 2)}
"""Users with a webhook. The others are there to be found by their e-mail."""


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


@dataclass(frozen=True, slots=True)
class Caller:
    """The caller of a method.

    credential: the operating limiter counts by it; never the secret itself.
    nested_credential: the same for the commands of a batch. For a webhook it lacks the webhook's id, an oddity of
        rest_provider.php, so that these commands fall into another bucket than direct calls.
    """

    user: User
    credential: str
    nested_credential: str

    def require_admin(self) -> None:
        """Raises ACCESS_DENIED (403) for everyone who is no administrator."""
        if not self.user.is_admin:
            raise RestError("ACCESS_DENIED")


@dataclass(frozen=True, slots=True)
class RestCall:
    """A call of one method.

    method: lower case. parameters: the top level by upper-case name (names are case-insensitive there).
    nested: whether it is a command of a batch.
    """

    method: str
    parameters: Mapping[str, object]
    caller: Caller
    nested: bool = False

    def get(self, name: str) -> object:
        """The parameter of this upper-case name; None if it was not sent."""
        return self.parameters.get(name)

    @property
    def meter(self) -> tuple[str, str]:
        """The key of the operating limiter."""
        return (self.caller.nested_credential if self.nested else self.caller.credential, self.method)


def upper_names(parameters: Mapping[str, object]) -> dict[str, object]:
    """Top-level names in upper case; of two that become equal the later wins (array_change_key_case)."""
    return {name.upper(): value for name, value in parameters.items()}
