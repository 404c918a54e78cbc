"""`/hooks/<source>`, also with a tail that its source takes: the door for senders. HTTP in, HTTP out.

relay/operations/ingest.py does what is between.

A 2xx answer means that the event is on disk. A sender learns nothing about secrets or about other sources. A script in
a browser may send and read answers if its page has an origin that the source names: as the Fetch standard says (section
3.2), one origin is named back, never all, and no cookies go along.
"""

from __future__ import annotations

import re

from flask import Blueprint, Request, Response, abort, request
from werkzeug.exceptions import ClientDisconnected, HTTPException, RequestEntityTooLarge

from relay.core.errors import LimitedError, NotVerifiedError, TooLargeError, UnreadableError, UnsupportedTypeError
from relay.core.faults import fault
from relay.core.ids import utc_now
from relay.core.otel import Reception
from relay.operations.ingest import Ingested
from relay.sources import Headers, Source, Webhook
from relay.web.answers import answer_to, dress, refusal_of
from relay.web.doorkeeper import CONNECTION, Connection
from relay.web.problems import problem
from relay.web.services import Services, services

blueprint = Blueprint("hooks", __name__)
METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
RAW_TARGET = "RAW_URI"
"""The key of gunicorn's environment for the request target as it was written, percent signs and all."""
_AUTHORITY = re.compile(r"\Ahttps?://[^/?#]*", re.IGNORECASE)
MAX_AGE_S = 600
"""How long a browser may cache the answer to a preflight, in seconds."""


@blueprint.route("/hooks/<source>", methods=METHODS, provide_automatic_options=False)
@blueprint.route("/hooks/<source>/<path:tail>", methods=METHODS, provide_automatic_options=False)
def receive(source: str, tail: str = "") -> Response:
    """Record one webhook and answer it. tail: what some senders append to the address, such as the kind of event."""
    found = find(services(), source, tail)
    if found is None:
        abort(404, "not found")
    return take(services(), found, request, tail)


def find(parts: Services, name: str, tail: str) -> Source | None:
    """The source of this name; None if there is none, or if it does not take this tail."""
    source = parts.sources.get(name)
    return source if source and source.takes(tail) else None


def take(parts: Services, source: Source, request: Request, tail: str = "") -> Response:
    """Record what was sent to a source, and answer. Needs no context of Flask unless the answer is a page."""
    if answer := _answer_to_head(parts, source, request, tail):
        return answer
    try:
        webhook = _webhook(parts, request, _read(source, request), tail)
    except RequestEntityTooLarge:
        return problem(413, fault("body_too_large", most=source.max_body))
    return record(parts, source, webhook, _connection(request))


def record(parts: Services, source: Source, webhook: Webhook, connection: Connection | None) -> Response:
    """Record a webhook that was read, and answer. connection: its connection, if gunicorn serves it."""
    with Reception() as reception:
        answer = _record(parts, source, webhook, connection, reception)
        reception.answer(answer.status_code)
    return answer


def _record(
    parts: Services, source: Source, webhook: Webhook, connection: Connection | None, reception: Reception
) -> Response:
    try:
        outcome = parts.ingest.receive(source, webhook, utc_now(), reception)
    except NotVerifiedError:
        return refusal_of(source)
    except LimitedError as error:
        return problem(429, "over the source's limit, nothing was kept", {"Retry-After": str(error.retry_after_s)})
    except TooLargeError as error:
        return problem(413, error.message)
    except UnreadableError as error:
        return problem(400, error.message)
    except UnsupportedTypeError as error:
        return problem(415, error.message)
    if connection and not source.is_open and isinstance(outcome, Ingested):
        connection.prove()
    return answer_to(source, outcome)


@blueprint.after_request
def for_browsers(answer: Response) -> Response:
    """Prepare every answer of a source, errors too, for browsers."""
    named = request.view_args or {}
    source = find(services(), named.get("source", ""), named.get("tail", ""))
    return answer if source is None else _allow(source, request, dress(source, answer))


def _answer_to_head(parts: Services, source: Source, request: Request, tail: str) -> Response | None:
    """The answer that needs no body, or None if the body must be read."""
    if source.form and source.is_foreign(request.headers.get("Origin")):
        reading = source.read_lazily(_webhook(parts, request, b"", tail))
        parts.ingest.refuse(source, reading, "origin", utc_now())
        return problem(403, "not from this page")
    if _is_preflight(source, request):
        return _preflight(source)
    if request.method not in source.methods:
        return problem(405, f"send with {' or '.join(source.methods)}", {"Allow": ", ".join(source.methods)})
    return None


def _read(source: Source, request: Request) -> bytes:
    """The body as it came. Its limit is enforced while it streams in, whatever length was announced."""
    announced = request.content_length or 0
    if announced > source.max_body:
        raise RequestEntityTooLarge
    # One byte more than allowed: werkzeug silently ends a body without a length at its limit.
    request.max_content_length = source.max_body + 1
    try:
        body = request.get_data(cache=False)
    except ClientDisconnected:
        if (connection := _connection(request)) and connection.is_late:
            abort(408, "the body did not come in time")
        abort(400, "the body ended early")
    except HTTPException:
        raise
    except Exception:  # noqa: BLE001 - the server's own, such as for a chunk without a size
        abort(400, "the body cannot be read")
    if len(body) > source.max_body:
        raise RequestEntityTooLarge
    if len(body) < announced:
        # gunicorn gives what there was. Half a form can look like a whole one.
        abort(400, "the body ended early")
    return body


def _webhook(parts: Services, request: Request, body: bytes, tail: str) -> Webhook:
    return Webhook(
        method=request.method,
        headers=Headers(request.headers.items()),
        query_string=request.query_string.decode("ascii", "replace"),
        body=body,
        remote_address=request.remote_addr or "",
        public_url=_public_url(parts, request),
        tail=tail,
    )


def _public_url(parts: Services, request: Request) -> str:
    """The address as the sender wrote it, byte by byte, because senders sign it.

    An address that was parsed and rebuilt has other percent signs, and one slash where there were two.
    """
    base = parts.settings.public_url or f"{request.scheme}://{request.host}"
    target = request.environ.get(RAW_TARGET) or (request.full_path if request.query_string else request.path)
    return base + _AUTHORITY.sub("", target, count=1)


def _connection(request: Request) -> Connection | None:
    """The connection of this request; None if gunicorn does not serve it."""
    found: Connection | None = request.environ.get(CONNECTION)
    return found


def _is_preflight(source: Source, request: Request) -> bool:
    """Whether this is a preflight request from a page that the source names."""
    return (
        request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers and _is_ours(source, request)
    )


def _preflight(source: Source) -> Response:
    """Allow it, with the methods and headers of the source."""
    answer = Response(status=204)
    answer.headers["Access-Control-Allow-Methods"] = ", ".join(source.methods)
    answer.headers["Access-Control-Allow-Headers"] = ", ".join(("content-type", *source.sent_headers))
    answer.headers["Access-Control-Max-Age"] = str(MAX_AGE_S)
    return answer


def _allow(source: Source, request: Request, answer: Response) -> Response:
    """Let a script on one of the source's pages read the answer, errors too."""
    if not source.origins:
        return answer
    answer.vary.add("Origin")
    if _is_ours(source, request):
        answer.headers["Access-Control-Allow-Origin"] = request.headers["Origin"]
        answer.headers["Access-Control-Expose-Headers"] = "Retry-After"
    return answer


def _is_ours(source: Source, request: Request) -> bool:
    return request.headers.get("Origin") in source.origins
