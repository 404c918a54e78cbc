"""The callers: the people of the portal, and one call as the portal understood it.

May not know HTTP: a call's parameters are already one PHP array.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from relay.sandbox.answers import RestError
from relay.sandbox.applications.registry import Application


@dataclass(frozen=True, slots=True)
class User:
    """A user with an account. is_integrator: a partner's account, which user.get does not show.

    is_admin: as the portal's settings say, see Portal.person. user.get finds a telephone number only as it is written
    here.
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
    User(1, "Ada", "Admin", "admin@example.com"),
    User(2, "Ben", "Baker", "ben@example.com", second_name="B.", position="Sales manager", departments=(1, 5)),
    *(User(number, name, "Example", f"{name.lower()}@example.com") for number, name in enumerate(_NAMES, start=3)),
    User(13, "Gus", "Gone", "gus@example.com", is_active=False),
    User(14, "Ida", "Integrator", "ida@example.com", is_integrator=True),
)

PEOPLE: Mapping[int, User] = {user.id: user for user in _EVERYBODY}
OWNERS = frozenset({1, 2})
"""Users with a webhook. Everybody can open an application."""


@dataclass(frozen=True, slots=True)
class Caller:
    """The caller of a method.

    credential: the operating limiter counts by it; never the secret itself.
    nested_credential: the same for the commands of a batch. For a webhook it lacks the webhook's id, an oddity of
        rest_provider.php, so that these commands fall into another bucket than direct calls.
    scope: what the credential may use.
    application: the one whose token it is; None for a webhook.
    """

    user: User
    credential: str
    nested_credential: str
    scope: tuple[str, ...]
    application: Application | None = None

    def require_admin(self) -> None:
        """Raises ACCESS_DENIED (403) for everyone who is no administrator."""
        if not self.user.is_admin:
            raise RestError("ACCESS_DENIED")

    def require_application(self) -> Application:
        """The application that calls. Raises WRONG_AUTH_TYPE (403) for a webhook."""
        if self.application is None:
            text = "Current authorization type is denied for this method Application context required"
            raise RestError("WRONG_AUTH_TYPE", text)
        return self.application


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
