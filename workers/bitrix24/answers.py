"""What came back from a portal, before anybody judges it. Data only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any


class Fault(StrEnum):
    """Why there is no readable answer."""

    NOT_SENT = "not_sent"
    """No byte of the body left us: no name, no connection, no TLS."""
    TOO_LATE = "too_late"
    """No byte of the body left us: the time in which it might be sent was over."""
    TIMED_OUT = "timed_out"
    """The call was sent, and no answer came in time."""
    CUT = "cut"
    """The call was sent in part or whole, and the connection broke."""
    NOT_EXECUTED = "not_executed"
    """A batch ended before it came to this command."""
    UNREADABLE = "unreadable"
    """An answer came, and it is not JSON: a page of a web server, or half an answer."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer, to a single call or to one command of a batch.

    code, description: the portal's `error` and `error_description`; the code of an error may be an empty string.
    time: the portal's `time` block, with `operating` in seconds (docs: api-reference/data-types.md).
    location: where a redirect points; never followed by itself.
    """

    at: datetime
    duration_ms: int
    status: int | None = None
    result: Any = field(default=None, repr=False)
    code: str | None = None
    description: str | None = None
    time: Mapping[str, Any] = field(default_factory=dict)
    fault: Fault | None = None
    location: str | None = field(default=None, repr=False)
    payload: Mapping[str, Any] = field(default_factory=dict, repr=False)
