"""Who may use the API: a bearer token that reads, or one that also acts. Compared in constant time."""

from __future__ import annotations

import hmac

from flask import Response, g, request

from relay.web.house import house
from relay.web.problems import problem

READ_METHODS = {"GET", "HEAD", "OPTIONS"}
CHALLENGE = {"WWW-Authenticate": "Bearer"}


def need_token() -> Response | None:
    """Before each request of the API: None lets it pass."""
    settings = house().settings
    kind, _, given = request.headers.get("Authorization", "").partition(" ")
    if kind.lower() != "bearer" or not given:
        return problem(401, "send Authorization: Bearer and the token", CHALLENGE)
    if _equal(given, settings.api_token):
        g.who = "api"
        return None
    if not _equal(given, settings.api_read_token):
        return problem(401, "the token is not known", CHALLENGE)
    if request.method not in READ_METHODS:
        return problem(403, "this token may only read")
    g.who = "api (read)"
    return None


def _equal(given: str, token: str | None) -> bool:
    return token is not None and hmac.compare_digest(given.strip().encode(), token.encode())
