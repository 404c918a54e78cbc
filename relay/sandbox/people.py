"""The people of the portal. Users 1 and 2 hold webhooks; the others are there to be found by their e-mail."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class User:
    """Somebody with an account. is_integrator: a partner's, whom user.get does not show.

    Telephone numbers are found as they are written: nobody's spelling is changed.
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
"""Those who hold a webhook."""
