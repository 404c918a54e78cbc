"""The short way without WSGI, for a server that has read a request which is plainly one (relay/web/plain.py).

What it gives to hooks.py is what the other ways give: no header, address or byte differs.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from werkzeug.sansio.utils import get_host

from relay.sources import Headers, Webhook
from relay.web.auth.proxies import Origin, TrustedProxies
from relay.web.doorkeeper import Connection
from relay.web.plain import METHOD, PlainRequest
from relay.web.short_way import HOOKS, Entrance, ShortWay

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

PLAIN_WAY = "plain_way"
"""Under this name the application's extensions hold it."""
EMPTY = {204, 304}
"""Statuses of answers that have no body, whatever a source says."""


class Answer(NamedTuple):
    """What goes out: the status with its phrase, headers, body."""

    status: str
    headers: Sequence[tuple[str, str]]
    body: bytes


class PlainWay:
    """Takes plain requests to sources."""

    def __init__(self, short_way: ShortWay, proxies: TrustedProxies) -> None:
        self._short_way = short_way
        self._proxies = proxies

    def entrance_of(self, request: PlainRequest) -> Entrance | None:
        """The source that takes it; None where WSGI has to say what is wrong with it."""
        entrance = self._short_way.entrance_of(request.source)
        if entrance is None or METHOD not in entrance.source.methods:
            return None
        return None if request.end - request.begin > entrance.source.max_body else entrance

    def take(self, entrance: Entrance, request: PlainRequest, body: bytes, connection: Connection) -> Answer:
        """Record it, and say so. body: all of it."""
        origin = self._proxies.origin_of(connection.address, request.headers)
        base = self._short_way.public_url or f"{origin.scheme}://{get_host(origin.scheme, origin.host)}"
        webhook = Webhook(
            method=METHOD,
            headers=Headers((request.headers | {"host": origin.host}).items()),
            query_string=request.query,
            body=body,
            remote_address=origin.address,
            public_url=base + request.target,
        )
        answer = self._short_way.record(entrance, webhook, connection, lambda: _environ(request, origin))
        is_empty = answer.status_code in EMPTY
        return Answer(answer.status, answer.get_wsgi_headers({}).to_wsgi_list(), b"" if is_empty else answer.get_data())


def _environ(request: PlainRequest, origin: Origin) -> WSGIEnvironment:
    """What Flask's handlers of errors look at; the body is not among it."""
    return {
        "REQUEST_METHOD": METHOD,
        "SCRIPT_NAME": "",
        "PATH_INFO": HOOKS + request.source,
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
