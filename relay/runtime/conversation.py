"""One connection, from its first byte to its last: what is plainly a webhook is read and answered here, in one piece.

Everything else is gunicorn's, byte for byte: its parser says what a request is, and its deadlines end what does not
come. Nothing of what was sent is printed here. Imported after gevent has patched.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import gevent
from gunicorn import SERVER
from gunicorn.config import Config
from gunicorn.http import get_parser
from gunicorn.util import http_date

from relay.web.doorkeeper import Connection, Doorkeeper
from relay.web.plain import MOST_HEAD, PlainRequest, read_plain
from relay.web.plain_way import Answer, PlainWay
from relay.web.short_way import Entrance

AHEAD = 16_384
"""Bytes that are read in one go."""
PATIENCE_S = 0.2
"""So long the rest of a small body is waited for here: many clients send it right after the head."""
ANSWER_S = 30.0
"""So long an answer may stand still because nobody reads it."""


class Host(Protocol):
    """What a conversation needs of its worker."""

    cfg: Config

    def handle_request(self, listener_name: Any, req: Any, sock: socket.socket, addr: Any) -> bool:
        """Serve what gunicorn has read. Raises StopIteration where the connection ends."""

    def begin_request(self, connection: Connection) -> bool:
        """Count one that is served here; whether its connection ends with it."""


@dataclass(slots=True)
class Limits:
    """Of heads, as the server is configured: seconds until one has come, its bytes, its fields."""

    seconds: float
    bytes: int
    fields: int


def limits_of(cfg: Config) -> Limits | None:
    """None where the operator has given gunicorn work that is not done here: then all is gunicorn's."""
    settings = cfg.settings
    hooks = (settings[name] for name in ("pre_request", "post_request"))
    is_usual = (
        cfg.protocol == "http"
        and list(cfg.http_protocols) == ["h1"]
        and cfg.proxy_protocol == "off"
        and not (cfg.is_ssl or cfg.forwarded_allow_ips or "SCRIPT_NAME" in os.environ)
        and all(hook.get() is hook.default for hook in hooks)
    )
    if not is_usual:
        return None
    most = min(MOST_HEAD, cfg.limit_request_line or MOST_HEAD, cfg.limit_request_field_size or MOST_HEAD)
    return Limits(cfg.keepalive, most, cfg.limit_request_fields)


class Conversation:
    """Requests over one connection, one after the other."""

    def __init__(
        self, host: Host, connection: Connection, peer: Any, *, limits: Limits, plain_way: PlainWay, keeper: Doorkeeper
    ) -> None:
        self._host = host
        self._limits = limits
        self._plain_way = plain_way
        self._keeper = keeper
        self._connection = connection
        self._client = connection.socket
        self._peer = peer

    def run(self, listener: Any) -> None:
        """Until one of both ends it. Raises what gunicorn's parser and the socket raise."""
        received = b""
        while True:
            due = time.monotonic() + self._limits.seconds
            received = received or self._receive(AHEAD, self._limits.seconds)
            if not received:
                return
            request, entrance, received = self._read(received)
            if request and entrance:
                is_last = self._answer(request, entrance, received)
                received = received[request.end :]
                give_way()
            else:
                is_last, received = self._leave_to_gunicorn(listener, received, due)
            if is_last or self._connection.is_shed:
                return

    def _receive(self, size: int, seconds: float) -> bytes:
        """What comes next; nothing where the other side has ended it, or has not said anything in time."""
        self._client.settimeout(seconds)
        try:
            return self._client.recv(size)
        except TimeoutError:
            return b""

    def _read(self, received: bytes) -> tuple[PlainRequest | None, Entrance | None, bytes]:
        """The request and its source, if it is of the plain kind and its body comes at once; and all that has come."""
        request = read_plain(received, self._limits.bytes, self._limits.fields)
        entrance = self._plain_way.entrance_of(request) if request else None
        if request is None or entrance is None:
            return None, None, received
        due = time.monotonic() + PATIENCE_S if len(received) < request.end else 0.0
        while len(received) < request.end:
            piece = self._receive(request.end - len(received), max(due - time.monotonic(), 0.001))
            if not piece:
                return None, None, received
            received += piece
        return request, entrance, received

    def _answer(self, request: PlainRequest, entrance: Entrance, received: bytes) -> bool:
        """Serve it; whether the connection ends here."""
        is_last = self._host.begin_request(self._connection) or request.is_last
        self._keeper.serve(self._connection)
        try:
            answer = self._plain_way.take(entrance, request, received[request.begin : request.end], self._connection)
            return not self._send(as_bytes(answer, is_last=is_last)) or is_last
        finally:
            self._keeper.wait(self._connection)

    def _send(self, content: bytes) -> bool:
        """Whether somebody reads it."""
        self._client.settimeout(ANSWER_S)
        try:
            self._client.sendall(content)
        except TimeoutError:
            return False
        return True

    def _leave_to_gunicorn(self, listener: Any, received: bytes, due: float) -> tuple[bool, bytes]:
        """Serve the request that begins so; whether the connection ends here, and what has come after it."""
        parser = get_parser(self._host.cfg, self._client, self._peer)
        parser.unreader.unread(received)
        self._client.settimeout(ANSWER_S)
        request = None
        with gevent.Timeout(max(due - time.monotonic(), 0.001), False):  # noqa: FBT003 - gevent's way
            request = next(parser)
        if request is None:
            return True, b""
        request.proxy_protocol_info = {}
        self._host.handle_request(listener.getsockname(), request, self._client, self._peer)
        is_read = False
        with gevent.Timeout(self._limits.seconds, False):  # noqa: FBT003 - likewise
            is_read = parser.finish_body()
        return request.should_close() or not is_read, parser.unreader.take_buffered()


def give_way() -> None:
    """Let every other connection have its turn.

    A read or write that need not wait gives up no turn: a sender whose next request has always come already would have
    the process to itself.
    """
    gevent.sleep(0)


def as_bytes(answer: Answer, *, is_last: bool) -> bytes:
    """An answer as gunicorn would write it."""
    fields = "".join(f"{name}: {value}\r\n" for name, value in answer.headers)
    word = "close" if is_last else "keep-alive"
    head = f"HTTP/1.1 {answer.status}\r\nServer: {SERVER}\r\nDate: {_now()}\r\nConnection: {word}\r\n{fields}\r\n"
    return head.encode("latin-1") + answer.body


def _dates() -> Callable[[], str]:
    """The date of an answer, made once a second."""
    second, text = 0, ""

    def now() -> str:
        nonlocal second, text
        if (current := int(time.time())) != second:
            second, text = current, http_date(current)
        return text

    return now


_now = _dates()
