"""Access to the API: a bearer token that reads, or one that also acts; /metrics has one of its own.

Tokens are compared in constant time. Wrong ones are counted (auth.py): after many, the answer is 429.
"""

from __future__ import annotations

import hmac

from flask import Response, g, request

from relay.store.operators.sessions import TooManyTriesError
from relay.web.problems import problem
from relay.web.services import services

READ_METHODS = {"GET", "HEAD", "OPTIONS"}
CHALLENGE = {"WWW-Authenticate": "Bearer"}
READER = "api (read)"


def need_token() -> Response | None:
    """Before each request of the API: None lets it pass."""
    settings = services().settings
    given = _given()
    if _equal(given, settings.api_token):
        g.who = "api"
        return None
    if not _equal(given, settings.api_read_token):
        return _refuse(given)
    if request.method not in READ_METHODS:
        return problem(403, "this token may only read")
    g.who = READER
    return None


def need_metrics_token() -> Response | None:
    """Before /metrics: None lets it pass."""
    given, settings = _given(), services().settings
    # The tokens of the API may see more than this.
    known = (settings.metrics_token, settings.api_read_token, settings.api_token)
    return None if any(_equal(given, token) for token in known) else _refuse(given)


def sees_persons() -> bool:
    """Whether this request's token may see bodies and persons' values: the one that acts. Another sees them masked."""
    return str(g.get("who")) != READER


def _given() -> str:
    kind, _, given = request.headers.get("Authorization", "").partition(" ")
    return given.strip() if kind.lower() == "bearer" else ""


def _refuse(given: str) -> Response:
    if not given:
        return problem(401, "send Authorization: Bearer and the token", CHALLENGE)
    guesses = services().guard.guesses
    try:
        guesses.count(guesses.of_strangers("api", request.remote_addr or ""))
    except TooManyTriesError as error:
        return problem(429, str(error), {"Retry-After": str(error.wait_s)})
    return problem(401, "the token is not known", CHALLENGE)


def _equal(given: str, token: str | None) -> bool:
    return token is not None and hmac.compare_digest(given.encode(), token.encode())
