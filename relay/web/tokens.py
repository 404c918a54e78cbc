"""Access to the API: a bearer token that reads, or one that also acts; /metrics has one of its own.

Tokens are compared in constant time. Wrong ones are counted (auth.py): after many, the answer is 429.

A program that asks for a language model names itself in the header X-Relay-Agent. The header only takes away: whatever
the token may see, an agent sees persons' values masked, and each of its requests is in the audit log.
"""

from __future__ import annotations

import hmac
import re

from flask import Response, g, request

from relay.core.ids import utc_now
from relay.store.operators.audit_log import ASKED, Act
from relay.store.operators.sessions import TooManyTriesError
from relay.web.problems import problem
from relay.web.services import services

READ_METHODS = {"GET", "HEAD", "OPTIONS"}
KNOWN_PARAMETERS = {
    "q", "state", "source", "rule", "portal", "code", "template_id", "document_id", "watch", "fault", "bulk", "needs",
    "since", "until", "cursor", "limit", "body",
}  # fmt: skip
"""Names of query parameters that an entry of the audit log repeats."""
ID = re.compile(r"[a-z]{3}_[0-9a-z]{1,40}")
"""An id of ours: other text in a path may be a person's, and is not logged."""
CHALLENGE = {"WWW-Authenticate": "Bearer"}
READER = "api (read)"
AGENT = "X-Relay-Agent"
"""The header in which an agent names itself."""
AGENT_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9 ._-]{0,38}[A-Za-z0-9])?")


def need_token() -> Response | None:
    """Before each request of the API: None lets it pass."""
    settings = services().settings
    given = _given()
    g.may_act = _equal(given, settings.api_token)
    if not g.may_act and not _equal(given, settings.api_read_token):
        return _refuse(given)
    g.sees_persons, g.is_agent, g.who = g.may_act, False, "api" if g.may_act else READER
    if refused := _note_agent():
        return refused
    return None if g.may_act or request.method in READ_METHODS else problem(403, "this token may only read")


def _note_agent() -> Response | None:
    """If an agent asks: mask what it sees, and log the request by its route, the ids in it and the parameters' names.

    Values of parameters may be a person's, so they are not logged. Raises RecordUnavailableError: what cannot be logged
    is not answered.
    """
    name = request.headers.get(AGENT)
    if name is None:
        return None
    if not AGENT_NAME.fullmatch(name):
        return problem(400, f"{AGENT}: expected 1 to 40 letters, digits, blanks, dots, hyphens and underscores")
    g.sees_persons, g.is_agent, g.who = False, True, f"agent ({name})"
    given = ", ".join(sorted(set(request.args) & KNOWN_PARAMETERS))
    note = f"{request.method} {request.url_rule}" + (f" ({given})" if given else "")
    subject = ", ".join(one for one in (request.view_args or {}).values() if ID.fullmatch(one))
    services().store.operators.log(Act(utc_now(), g.who, ASKED, subject, note))
    return None


def need_metrics_token() -> Response | None:
    """Before /metrics: None lets it pass."""
    given, settings = _given(), services().settings
    # The tokens of the API may see more than this.
    known = (settings.metrics_token, settings.api_read_token, settings.api_token)
    return None if any(_equal(given, token) for token in known) else _refuse(given)


def sees_persons() -> bool:
    """Whether this request may see persons' values unmasked: with the token that acts, unless it is an agent's."""
    return bool(g.sees_persons)


def is_agent() -> bool:
    """Whether this request is an agent's."""
    return bool(g.is_agent)


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
