"""One exchange with another server: one request over a pooled connection, with a deadline and a size limit.

No second try, no redirect, no cookie, nothing of the environment. No exception of requests or urllib3 leaves this
module: their texts quote the address, in which a credential may stand.

A socket's timeout covers the time between two bytes, so a server that answers a byte at a time is never late. One
thread of this process watches all exchanges and closes those that last too long.
"""

from __future__ import annotations

import http.client
import logging
import socket
import threading
import time
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import requests
import urllib3
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection

from relay.core.threads import keep_running

LOOK_S = 0.5
"""The longest delay of a deadline."""


class Deadline:
    """The end of one exchange. due: by the monotonic clock, in seconds."""

    def __init__(self, due: float) -> None:
        self.due = due
        self.is_over = False
        self._guard = threading.Lock()
        self._watched: socket.socket | None = None

    def watch(self, connection: socket.socket) -> None:
        """From now on watch this connection; it may be another handle of it (`socket.dup`)."""
        with self._guard:
            self._watched = connection
            if self.is_over:
                self._shut()

    def end(self) -> None:
        """Close the connection for every reader and writer. is_over says that we did it."""
        with self._guard:
            self.is_over = True
            self._shut()

    def _shut(self) -> None:
        if self._watched:
            with suppress(OSError):
                self._watched.shutdown(socket.SHUT_RDWR)


class Deadlines:
    """All exchanges of this process. The thread starts with the first one."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._begun: set[Deadline] = set()
        self._thread: threading.Thread | None = None

    @contextmanager
    def within(self, seconds: float) -> Iterator[Deadline]:
        """An exchange that may last this long."""
        deadline = Deadline(time.monotonic() + seconds)
        with self._guard:
            self._begun.add(deadline)
            if self._thread is None:
                self._thread = keep_running("deadlines", self._run, threading.Event())
        try:
            yield deadline
        finally:
            with self._guard:
                self._begun.discard(deadline)

    def _run(self, stop: threading.Event) -> None:
        while not stop.wait(LOOK_S):
            now = time.monotonic()
            with self._guard:
                over = [one for one in self._begun if one.due < now and not one.is_over]
            for one in over:
                one.end()


DEADLINES = Deadlines()


PIECE = 65_536
ANY_ZLIB = 32 + zlib.MAX_WBITS
"""gzip or zlib, as its head says (docs.python.org/3/library/zlib.html)."""
PACKED = {"gzip", "x-gzip", "deflate"}

# urllib3 logs whole addresses: every call at DEBUG, and an answer with a broken header as a warning.
logging.getLogger("urllib3").setLevel(logging.CRITICAL)


class ExchangeError(Exception):
    """The answer is missing or incomplete. The text names no address."""


class LateError(ExchangeError):
    """The answer did not come in time."""


class CutError(ExchangeError):
    """The connection failed or broke."""


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer. location: target of a redirect. content: unpacked; None where it is larger than allowed."""

    status: int
    location: str | None = field(repr=False)
    content: bytes | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class Bounds:
    """Limits of one exchange, in seconds: connect_s; read_s, between two bytes; whole_s, in all.

    most: bytes of the answer, packed and unpacked.
    """

    connect_s: float
    read_s: float
    whole_s: float
    most: int


class Connection:
    """Sends requests to one host, one after the other, over one connection."""

    def __init__(self) -> None:
        self._adapter = _Adapter(pool_connections=1, pool_maxsize=1, max_retries=0)
        self._twin: socket.socket | None = None

    def post(self, url: str, body: Any, headers: Mapping[str, str], bounds: Bounds) -> Reply:
        """Post once. body: bytes, or an iterable of bytes with a length. Raises LateError and CutError."""
        return self._exchange(requests.Request("POST", url, headers=dict(headers), data=body), bounds)

    def get(self, url: str, headers: Mapping[str, str], bounds: Bounds) -> Reply:
        """Get once. Raises LateError and CutError."""
        return self._exchange(requests.Request("GET", url, headers=dict(headers)), bounds)

    def _exchange(self, request: requests.Request, bounds: Bounds) -> Reply:
        with DEADLINES.within(bounds.whole_s) as deadline:
            if self._twin:
                deadline.watch(self._twin)
            _here.connection, _here.deadline = self, deadline
            try:
                reply = self._send(request, bounds)
            except (requests.Timeout, urllib3.exceptions.TimeoutError, TimeoutError):
                self.close()
                raise LateError from None
            except (requests.RequestException, urllib3.exceptions.HTTPError, http.client.HTTPException, OSError):
                self.close()
                raise (LateError if deadline.is_over else CutError) from None
            finally:
                _here.connection = _here.deadline = None
            if deadline.is_over:
                # Our shutdown can look like the end of the headers, or of a body without a length.
                self.close()
                raise LateError
            return reply

    def close(self) -> None:
        """Close the connection; the next request opens another."""
        self._adapter.close()
        self._twin = None

    def take(self, twin: socket.socket, deadline: Deadline) -> None:
        """Watch a new connection, through another handle of it."""
        self._twin = twin
        deadline.watch(twin)

    def _send(self, request: requests.Request, bounds: Bounds) -> Reply:
        timeout = (bounds.connect_s, bounds.read_s)
        answer = self._adapter.send(request.prepare(), stream=True, timeout=timeout, verify=True, proxies={})
        content = _read(answer.raw, bounds.most)
        if content is None:
            self.close()  # the rest is still on its way
        else:
            content = _unpacked(content, answer.headers.get("Content-Encoding", ""), bounds.most)
        return Reply(answer.status_code, answer.headers.get("Location") if answer.is_redirect else None, content)


def _read(raw: urllib3.BaseHTTPResponse, most: int) -> bytes | None:
    """The body as it was sent; None where it is larger."""
    found = bytearray()
    for piece in raw.stream(PIECE, decode_content=False):
        found += piece
        if len(found) > most:
            return None
    return bytes(found)


def _unpacked(content: bytes, encoding: str, most: int) -> bytes | None:
    """The body, decoded; unchanged where its Content-Encoding is unknown or wrong."""
    if encoding.strip().lower() not in PACKED:
        return content
    stream = zlib.decompressobj(ANY_ZLIB)
    try:
        found = stream.decompress(content, most + 1)
    except zlib.error:
        return content
    return None if len(found) > most else found


_here = threading.local()
"""The exchange of this thread, for urllib3 makes its connections deep inside."""


class _Watched:
    """A mixin for a connection of urllib3 that can be closed from outside from its first byte on."""

    _twin: socket.socket | None = None

    def _new_conn(self) -> socket.socket:
        connected: socket.socket = super()._new_conn()  # type: ignore[misc] # urllib3's
        self._twin = connected.dup()  # TLS takes the first handle
        _here.connection.take(self._twin, _here.deadline)
        return connected

    def close(self) -> None:
        super().close()  # type: ignore[misc] # urllib3's
        if self._twin:
            self._twin.close()


class _HTTPConnection(_Watched, HTTPConnection):
    pass


class _HTTPSConnection(_Watched, HTTPSConnection):
    pass


class _HTTPPool(urllib3.HTTPConnectionPool):
    ConnectionCls = _HTTPConnection


class _HTTPSPool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _HTTPSConnection


class _Adapter(HTTPAdapter):
    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
        super().init_poolmanager(*arguments, **options)
        self.poolmanager.pool_classes_by_scheme = {"http": _HTTPPool, "https": _HTTPSPool}
