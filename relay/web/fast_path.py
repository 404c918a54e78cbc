"""The fast path of webhooks: past Flask's routing, sessions and contexts, and for a plain request past WSGI too.

It decides nothing: hooks.py records each webhook and gives the same answers. Flask gets browsers and every error. A
plain request is a POST to a source in the simplest grammar of HTTP/1.1; any other is gunicorn's to read, byte for byte.
`read_plain` may not guess: what is valid here is valid there and means the same.

Why it reads requests itself: measured at 64 connections, a web process needs 1.2 times the CPU a post where gunicorn's
parser reads it and this path goes on from there; 1.1 times with its parser in C (gunicorn_h1c, of which there is no
wheel for Linux, so that installing it takes a compiler); and 1.6 times where WSGI leads here with the parser in C.
"""

from __future__ import annotations

import io
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from flask import Flask, Response
from werkzeug.sansio.utils import get_host

from relay.sources import Headers, Source, Webhook
from relay.web import hooks
from relay.web.answers import protect
from relay.web.doorkeeper import Connection
from relay.web.proxies import Origin, TrustedProxies
from relay.web.services import Services, services_of

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

FAST_PATH = "fast_path"
"""Its key in the application's extensions."""
HOOKS = "/hooks/"
METHOD = "POST"
"""The method of a plain request."""
MOST_HEAD, MOST_BODY = 8_190, 16_384
"""The longest head and body of a plain request, in bytes."""
EMPTY = {204, 304}
"""Statuses of answers without a body, whatever a source defines."""
_TOKEN = rb"[!#$%&'*+.^`|~0-9A-Za-z-]"
"""As in RFC 9110, without the underscore, which other servers read as a hyphen."""
_HEAD = re.compile(
    rb"POST (/hooks/([A-Za-z0-9._~-]++)(?:/([A-Za-z0-9._~/-]++))?(?:\?[!-\"$-~]*+)?) HTTP/1\.1\r\n"
    rb"((?:" + _TOKEN + rb"++:[\t -~\x80-\xff]*+\r\n)++)\r\n"
)
_LENGTH = re.compile(r"[0-9]{1,6}", re.ASCII)
_RARE = frozenset({"transfer-encoding", "expect", "upgrade", "http2-settings", "trailer"})
"""Headers that change how the body or the next request is read."""
_NEEDED = {"host", "content-length", "content-type"}
_CONNECTION = {"": False, "keep-alive": False, "close": True}


@dataclass(slots=True)
class PlainRequest:
    """A request whose head has come.

    target: as it was written. source: the second part of its path. tail: the rest of the path, or empty. query: what
    follows the `?`. headers: by name in lower case. is_last: its sender closes the connection after it. begin, end:
    where its body is in the bytes that were read.
    """

    target: str = field(repr=False)
    source: str
    tail: str
    query: str = field(repr=False)
    headers: dict[str, str] = field(repr=False)
    is_last: bool
    begin: int
    end: int


def read_plain(received: bytes, most_head: int = MOST_HEAD, most_fields: int = 100) -> PlainRequest | None:
    """The request that these bytes begin with; None if it is not a plain one, or its head is incomplete.

    Its body may be longer than what has come. most_head: bytes of a head; most_fields: of its header fields.
    """
    match = _HEAD.match(received)
    if match is None or match.end() > most_head:
        return None
    lines = match[4].decode("latin-1").split("\r\n")
    headers = {}
    for line in lines[:-1]:
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip(" \t")
    is_last = _CONNECTION.get(headers.get("connection", "").lower())
    # A name that came twice is one less in the map than there are lines.
    if len(headers) != len(lines) - 1 or len(headers) > most_fields or is_last is None:
        return None
    if not _RARE.isdisjoint(headers) or not all(headers.get(name) for name in _NEEDED):
        return None
    length = int(headers["content-length"]) if _LENGTH.fullmatch(headers["content-length"]) else MOST_BODY + 1
    if length > MOST_BODY:
        return None
    target, source, tail = (part.decode("ascii") for part in (match[1], match[2], match[3] or b""))
    _, _, query = target.partition("?")
    return PlainRequest(target, source, tail, query, headers, is_last, match.end(), match.end() + length)


class Entrance(NamedTuple):
    """A source and the services it belongs to, with which the request that found it ends."""

    parts: Services
    source: Source


class Answer(NamedTuple):
    """An answer to send: the status with its phrase, headers, body."""

    status: str
    headers: Sequence[tuple[str, str]]
    body: bytes


class FastPath:
    """Takes webhooks from programs.

    app: Flask's own WSGI application, which takes all else. networks, sign_in_header: see TrustedProxies. `wsgi` is the
    application with this path before it.
    """

    def __init__(
        self, flask: Flask, app: WSGIApplication, networks: Sequence[str], sign_in_header: str | None = None
    ) -> None:
        self._flask = flask
        self._app = app
        self._public_url = services_of(flask).settings.public_url
        self.wsgi = TrustedProxies(self._through_wsgi, networks, sign_in_header)

    def entrance_for(self, request: PlainRequest) -> Entrance | None:
        """The source that takes a plain request; None if WSGI must say what is wrong with it."""
        entrance = self.entrance_of(request.source, request.tail)
        if entrance is None or METHOD not in entrance.source.methods:
            return None
        return None if request.end - request.begin > entrance.source.max_body else entrance

    def take(self, entrance: Entrance, request: PlainRequest, body: bytes, connection: Connection) -> Answer:
        """Record a plain request, and answer. body: all of it. hooks.py gets what WSGI would give it, byte for byte."""
        origin = self.wsgi.origin_of(connection.address, request.headers)
        base = self._public_url or f"{origin.scheme}://{get_host(origin.scheme, origin.host)}"
        webhook = Webhook(
            method=METHOD,
            headers=Headers((request.headers | {"host": origin.host}).items()),
            query_string=request.query,
            body=body,
            remote_address=origin.address,
            public_url=base + request.target,
            tail=request.tail,
        )
        answer = self._answer(lambda: hooks.record(*entrance, webhook, connection), lambda: _environ(request, origin))
        is_empty = answer.status_code in EMPTY
        return Answer(answer.status, answer.get_wsgi_headers({}).to_wsgi_list(), b"" if is_empty else answer.get_data())

    def entrance_of(self, name: str, tail: str) -> Entrance | None:
        """The source of this name that takes this tail, unless browsers need its pages or its headers for scripts."""
        parts = services_of(self._flask)
        source = hooks.find(parts, name, tail)
        return None if source is None or source.form or source.origins else Entrance(parts, source)

    def _through_wsgi(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        name, slash, tail = path.removeprefix(HOOKS).partition("/")
        is_ours = path.startswith(HOOKS) and bool(slash) == bool(tail)
        entrance = self.entrance_of(name, tail) if is_ours else None
        if entrance is None or environ["REQUEST_METHOD"] not in entrance.source.methods:
            return self._app(environ, start_response)
        answer = self._answer(lambda: hooks.take(*entrance, self._flask.request_class(environ), tail), lambda: environ)
        return answer(environ, start_response)

    def _answer(self, taken: Callable[[], Response], environ: Callable[[], WSGIEnvironment]) -> Response:
        """The answer of `taken`; for an error, that of Flask's handlers, which need an environment."""
        try:
            return protect(taken())
        except Exception as error:  # noqa: BLE001 - answered by the handlers of problems.py, which tell errors from bugs
            with self._flask.request_context(environ()):
                return self._flask.finalize_request(self._flask.handle_user_exception(error))


def _environ(request: PlainRequest, origin: Origin) -> WSGIEnvironment:
    """The environment that Flask's error handlers read; it has no body."""
    return {
        "REQUEST_METHOD": METHOD,
        "SCRIPT_NAME": "",
        "PATH_INFO": request.target.partition("?")[0],
        "QUERY_STRING": request.query,
        "SERVER_NAME": "",
        "SERVER_PORT": "",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "HTTP_HOST": origin.host,
        "REMOTE_ADDR": origin.address,
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": origin.scheme,
        "wsgi.input": io.BytesIO(),
        "wsgi.errors": sys.stderr,
    }
