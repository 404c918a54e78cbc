"""How the end of a workflow becomes known: its start carries a one-time address, which its template calls at its end.

Only one start carries an address, so a call of it proves two things: that this start has happened, and that its
workflow has come to its end. Standard library only.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

PATH = "/done/"
TOKEN = re.compile(r"[A-Za-z0-9_-]{32}")
TOKEN_BYTES = 24
"""192 bits by chance: nobody guesses one."""


@dataclass(frozen=True, slots=True)
class Watch:
    """What a rule says of it: the parameter of the template that takes the address.

    within_s: after so many seconds without a call, the end is overdue.
    """

    parameter: str
    within_s: int


class WatchState(StrEnum):
    """How far it is."""

    WAITING = "waiting"
    """The end was not heard of yet."""
    FINISHED = "finished"
    """The address was called."""
    OVERDUE = "overdue"
    """The end was not heard of in time. It may still be."""
    LEFT = "left"
    """The same, and a person has said that it needs nobody, or has replayed the delivery."""


@dataclass(frozen=True, slots=True)
class Watched:
    """What is known of the end of one delivery's workflow.

    until: when it is overdue, once the workflow has started. query: what came with the call, as it was encoded.
    document_id: the document on which the template ran, as it says itself; empty: it did not say.
    """

    address: str = field(repr=False)
    state: WatchState = WatchState.WAITING
    until: datetime | None = None
    finished_at: datetime | None = None
    query: str = field(default="", repr=False)
    document_id: tuple[str, ...] = ()

    @property
    def digest(self) -> str:
        """Under which the record finds the delivery."""
        return digest_of(self.address.rpartition("/")[2])


def watched_under(base: str) -> Watched:
    """A new one-time address. base: the relay's own, as others call it, without a slash at its end."""
    return Watched(f"{base}{PATH}{secrets.token_urlsafe(TOKEN_BYTES)}")


def digest_of(token: str) -> str:
    """What the record keeps of a token to find it by."""
    return hashlib.sha256(token.encode()).hexdigest()[:32]
