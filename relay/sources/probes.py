"""What senders ask to see whether somebody is there: answered, counted, and never an event."""

from __future__ import annotations

import hmac
from dataclasses import dataclass

from relay.configuration.expressions import Expression
from relay.core.errors import NotVerifiedError
from relay.sources.reading import Reading, text_of
from relay.sources.templater import Answer, Secrets

SHORTEST_KEPT, LONGEST_KEPT = 16, 300
"""Characters of a secret that a sender gives at run time: Asana's has 32, Notion's about 50."""


@dataclass(frozen=True, slots=True)
class Probe:
    """when: which requests it is for. is_open: it is answered before any proof.

    secret, given: it counts only where what is found there equals this secret of the source. keeps: where the sender
    gives a secret that is to be kept.
    """

    when: Expression
    answer: Answer
    is_open: bool = False
    secret: str | None = None
    given: Expression | None = None
    keeps: Expression | None = None

    @property
    def reads_body(self) -> bool:
        """Whether the body has to be read to know whether it is one."""
        return self.when.looks_at("body")

    def check(self, reading: Reading, secrets: Secrets) -> None:
        """Whether the request knows the secret, if it has to. Raises NotVerifiedError."""
        if self.secret is None or self.given is None:
            return
        given = text_of(reading.find(self.given))
        if not given:
            raise NotVerifiedError("token_missing")
        expected = secrets.get(self.secret, b"")
        if not expected or not hmac.compare_digest(given.encode("utf-8", "surrogatepass"), expected):
            raise NotVerifiedError("token_mismatch")

    def secret_given(self, reading: Reading) -> str | None:
        """The secret that the sender gives; None where this is no such probe. Raises NotVerifiedError."""
        if self.keeps is None:
            return None
        given = text_of(reading.find(self.keeps)) or ""
        if not SHORTEST_KEPT <= len(given) <= LONGEST_KEPT or not given.isascii() or not given.isprintable():
            raise NotVerifiedError("secret_unusable")
        return given
