"""Every error as an answer: problem+json (RFC 9457) for machines, a small page for people. It reveals no secret.

A bug is logged with the place it came from, and answered with a 500 that says nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from http import HTTPStatus
from typing import Any

from flask import Flask, Response, g, json, render_template, request
from werkzeug.exceptions import HTTPException

from relay.core.errors import (
    ChangedError,
    InvalidEventError,
    NoAddressError,
    NotFoundError,
    NotWritableError,
    RecordUnavailableError,
    RelayError,
    TooLargeError,
    UnreadableError,
    UnsupportedTypeError,
)
from relay.core.faults import code_of, codes_of
from relay.core.telemetry import get_logger, places_of
from relay.operations.operator_acts import RefusedError
from relay.operations.replay import NotReplayableError
from relay.web.auth import identify
from relay.web.language import N_, _, said
from relay.web.services import services

log = get_logger()
RETRY_AFTER_S = 5
STATUSES: dict[type[RelayError], int] = {
    NotFoundError: 404,
    ChangedError: 409,
    NotWritableError: 409,
    NotReplayableError: 409,
    NoAddressError: 409,
    RefusedError: 409,
    TooLargeError: 413,
    UnreadableError: 400,
    UnsupportedTypeError: 415,
}
TITLES = {
    400: N_("This cannot be asked so"),
    403: N_("This is not yours to do"),
    404: N_("There is nothing here"),
    405: N_("This cannot be asked so"),
    409: N_("Not as things are now"),
    500: N_("Something broke"),
    503: N_("Not at the moment"),
}
"""The title of an error page, by status."""
WORDS = {
    404: N_("No page has this address: it was mistyped, or what stood here is gone."),
    405: N_("A page at this address cannot be asked for so."),
}
"""The text of an error page if the error has none of its own."""


def problem(status: int, detail: str, headers: Mapping[str, str] | None = None, **extra: Any) -> Response:
    """An RFC 9457 answer. `extra`: members beside type, title, status and detail, such as `errors`."""
    body = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": detail}
    if code := code_of(detail):
        body["code"] = code
    body |= extra
    content = json.dumps(body, sort_keys=False)  # fields in the order of their form
    return Response(content, status, dict(headers or {}), content_type="application/problem+json")


class ProblemError(RelayError):
    """An answer that a view gives by raising it."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status


def record_unavailable() -> Response:
    """The record cannot be written or read now; the sender should come back."""
    return problem(503, "the record is not available, nothing was kept", {"Retry-After": str(RETRY_AFTER_S)})


def register(app: Flask) -> None:
    """Answer every exception that a handler lets through."""
    app.register_error_handler(HTTPException, _on_http)
    app.register_error_handler(RecordUnavailableError, _on_unavailable)
    app.register_error_handler(InvalidEventError, _on_invalid)
    app.register_error_handler(ProblemError, _on_problem)
    for kind, status in STATUSES.items():
        app.register_error_handler(kind, partial(_on_known, status))
    app.register_error_handler(Exception, _on_bug)


def _on_http(error: HTTPException) -> Response | tuple[str, int] | HTTPException:
    status = error.code or 500
    if status < 400:
        return error
    headers = {name: value for name, value in error.get_headers() if name in {"Allow", "Retry-After"}}
    messages = getattr(error, "data", {}).get("messages")  # of webargs, by place and field
    if messages and not _is_for_people():
        return problem(status, "not what was expected", headers, errors=messages)
    detail = error.description or HTTPStatus(status).phrase
    if _is_for_people() and detail == type(error).description:
        detail = _(WORDS.get(status, detail))
    return _answer(status, detail, headers)


def _on_unavailable(error: RecordUnavailableError) -> Response | tuple[str, int]:
    log.warning("record.unavailable", reason=str(error), route=_route())
    if _is_for_people():
        return _page(503, _("The record is not available at the moment."))
    return record_unavailable()


def _on_known(status: int, error: RelayError) -> Response | tuple[str, int]:
    return _answer(status, said(error) if _is_for_people() else error.message)


def _on_problem(error: ProblemError) -> Response | tuple[str, int]:
    return _answer(error.status, str(error))


def _on_invalid(error: InvalidEventError) -> Response | tuple[str, int]:
    if _is_for_people():
        return _answer(422, _("the rule cannot be filled: %(why)s", why=str(error)))
    return problem(422, "the rule cannot be filled", errors=error.errors, codes=codes_of(error.errors))


def _on_bug(error: Exception) -> Response | tuple[str, int]:
    kind, places = type(error).__name__, places_of(error)
    log.error("request.failed", route=_route(), method=request.method, kind=kind, places=places)
    detail = N_("an error of ours; it is in the log")
    return _answer(500, _(detail) if _is_for_people() else detail)


def _route() -> str | None:
    """The route's rule, not the path, which may hold anything, such as a token."""
    return request.url_rule.rule if request.url_rule else None


def _answer(status: int, detail: str, headers: Mapping[str, str] | None = None) -> Response | tuple[str, int]:
    if _is_for_people():
        _identify_visitor()
        return _page(status, detail)
    return problem(status, detail, headers)


def _identify_visitor() -> None:
    """Identify the visitor if no view did, as on a page that does not exist.

    A logged-in visitor keeps the header with its links; nobody else sees it.
    """
    if "role" in g:
        return
    with suppress(RecordUnavailableError):  # the error page matters more than its header
        if visitor := identify(services().guard):
            g.role, g.who = visitor.role, visitor.name


def _page(status: int, detail: str) -> tuple[str, int]:
    return render_template("error.html", status=status, title=TITLES.get(status, ""), detail=detail), status


def _is_for_people() -> bool:
    return not request.path.startswith(("/hooks/", "/done/", "/app/", "/api/")) and request.accept_mimetypes.accept_html
