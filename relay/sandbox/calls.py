"""One method call as the portal understood it: which method, by whom, with which parameters.

May not know HTTP; the parameters are already one PHP array.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from relay.sandbox.answers import RestError
from relay.sandbox.people import User


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls.

    credential: what the operating limiter counts by; never the secret itself.
    nested_credential: the same for the commands of a batch. For a webhook it lacks the webhook's id, an oddity of
        rest_provider.php, so that these commands fall into another bucket than direct calls.
    """

    user: User
    credential: str
    nested_credential: str

    def require_admin(self) -> None:
        """Raises ACCESS_DENIED (403) for everybody else."""
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
