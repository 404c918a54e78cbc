"""Forms that people fill in: the pages that may send them, and the signs that a machine sent one. Pure.

Reasons of a refusal are `origin` and those in SPAM. Their faults go on record and never quote the request.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from relay.core.faults import Fault, fault

STARTED, SENT = "_started", "_sent"
"""Fields of a form, in milliseconds since 1970: when it was shown, and when it was sent, by the visitor's clock."""
LATEST_MS = 2**53
"""The largest whole number of JavaScript."""


@dataclass(frozen=True, slots=True)
class Form:
    """A form's defence against machines. honeypot: a field that no person sees. min_fill_s: seconds a person needs."""

    honeypot: str | None = None
    min_fill_s: float = 0.0

    def find_spam(self, body: Any, now: datetime) -> str | None:
        """The reason why a machine must have filled in the form; None if a person may have."""
        if not isinstance(body, dict):
            return None
        if self.honeypot and _is_filled(body.get(self.honeypot)):
            return "honeypot"
        age_s = _age_s(body, now)
        # A clock that is ahead of ours proves nothing and must not cost a person's message.
        if age_s is not None and 0 <= age_s < self.min_fill_s:
            return "too_fast"
        return None

    def near_miss(self, reason: str) -> Fault:
        """The fault of a reason in SPAM."""
        if reason == "honeypot":
            return fault("honeypot_filled", name=self.honeypot)
        return fault("form_too_fast", seconds=f"{self.min_fill_s:g}")


def _is_filled(value: Any) -> bool:
    if isinstance(value, list):
        return any(_is_filled(one) for one in value)
    return value is not None and bool(str(value).strip())


def _age_s(body: dict[str, Any], now: datetime) -> float | None:
    started, sent = _milliseconds(body.get(STARTED)), _milliseconds(body.get(SENT))
    if started is None:
        return None
    return (now.timestamp() * 1000 if sent is None else sent) / 1000 - started / 1000


def _milliseconds(value: Any) -> float | None:
    try:
        moment = float(value) if isinstance(value, str | int | float) and len(str(value)) <= 20 else None
    except ValueError:
        return None
    return moment if moment is not None and 0 < moment < LATEST_MS else None


def is_foreign(origin: str | None, origins: Sequence[str]) -> bool:
    """Whether the browser names a page that may not send. origin: the header (Fetch standard, section 3.2)."""
    return bool(origins) and origin is not None and origin not in origins


def origin_near_miss(origin: str, origins: Sequence[str]) -> Fault:
    """The difference between an origin and those that may send."""
    if origin == "null":
        return fault("origin_hidden")
    given = _parts(origin)
    for allowed in origins:
        wanted = _parts(allowed)
        if given and wanted and _bare(given[1]) == _bare(wanted[1]):
            return fault("origin_nearly", but=_differences(given, wanted))
    return fault("origin_other_site")


Parts = tuple[str, str, int | None]
"""Scheme, host and port."""


def _parts(origin: str) -> Parts | None:
    try:
        parts = urlsplit(origin)
        port = parts.port
    except ValueError:
        return None
    return parts.scheme, parts.hostname or "", port


def _bare(host: str) -> str:
    return host.removeprefix("www.")


def _differences(given: Parts, wanted: Parts) -> list[Fault]:
    found = []
    if given[0] != wanted[0]:
        found.append(fault("other_scheme", scheme=wanted[0]))
    if given[1] != wanted[1]:
        found.append(fault("with_www") if given[1].startswith("www.") else fault("without_www"))
    if given[2] != wanted[2]:
        found.append(fault("on_other_port"))
    return found
