"""gunicorn's gevent worker, with a deadline for everything that a stranger can make it wait for.

A plain webhook is read and answered here, on the fast path (relay/web/fast_path.py). All other requests are read by
gunicorn's parser. Slow heads and bodies, bodies in tiny chunks, and answers that nobody reads are cut off here. If
there are too many connections, relay/web/doorkeeper.py chooses the one to close. Nothing of a request is printed or
sent back, because a broken one may contain a token. Import it after gevent has patched.
"""

from __future__ import annotations

import contextlib
import errno
import gc
import io
import os
import random
import resource
import socket
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any, NamedTuple

import gevent
from gunicorn import SERVER
from gunicorn.config import Config
from gunicorn.http import errors as broken
from gunicorn.http import get_parser
from gunicorn.http.body import Body, ChunkedReader
from gunicorn.util import close, http_date, write_error
from gunicorn.workers.base_async import AsyncWorker
from gunicorn.workers.ggevent import GeventWorker

from relay.core import otel
from relay.core.telemetry import get_logger, places_of
from relay.web.doorkeeper import CONNECTION, Connection, Doorkeeper
from relay.web.fast_path import FAST_PATH, MOST_HEAD, Answer, Entrance, FastPath, PlainRequest, read_plain

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

AHEAD = 16_384
"""Bytes of a request that are read at once."""
PATIENCE_S = 0.2
"""Seconds to wait for the rest of a small body, which many clients send right after the head."""
ANSWER_S = 30.0
"""Seconds without progress after which an answer that nobody reads is given up."""
BODY_S, BODY_BYTES_A_S = 10.0, 20_000
"""A body must be complete after 10 to 15 seconds, plus a second for each 20 KB received."""
BODY_AHEAD = 65_536
"""Bytes of a body that gunicorn reads at once."""
FREE_CHUNKS, SMALLEST_CHUNK = 1_000, 64
"""After this many chunks of a body, they must have this many bytes on average. Streaming senders use kilobytes."""
TURN = 200
"""Chunks after which other requests get a turn."""
HANG_UP_S = 2.0
GONE = {errno.EPIPE, errno.ECONNRESET, errno.ENOTCONN}
"""Errors of a socket whose other side has left."""
MOST_REQUESTS = 1_000
"""Requests on one connection; then it is closed, and its sender opens another."""
FILES_BESIDE = 64
"""Open files of a process beside the connections of senders."""
ENOUGH_FILES = 65_536
PROBLEM = "application/problem+json"
LATE = b'{"type": "about:blank", "title": "Request Timeout", "status": 408, "detail": "the body did not come in time"}'
STATUSES: dict[type[Exception], tuple[int, str]] = {
    broken.LimitRequestLine: (414, "URI Too Long"),
    broken.LimitRequestHeaders: (431, "Request Header Fields Too Large"),
    broken.ExpectationFailed: (417, "Expectation Failed"),
    broken.UnsupportedTransferCoding: (501, "Not Implemented"),
}

log = get_logger()


class Listener(NamedTuple):
    """The part of a listening socket that a request needs: its name."""

    name: Any

    def getsockname(self) -> Any:
        """As for a socket."""
        return self.name


class WebWorker(GeventWorker):  # type: ignore[misc] # gunicorn has no types
    """gunicorn's gevent worker, with a deadline for everything that a stranger can make it wait for.

    Heads have gunicorn's own `keepalive` as their deadline.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        # Leave some room for connections that are being closed.
        self._keeper = Doorkeeper(
            min(self.worker_connections, files - FILES_BESIDE if files > 0 else ENOUGH_FILES) * 9 // 10
        )
        self._connections: dict[socket.socket, Connection] = {}

    def load_wsgi(self) -> None:
        """Load the application, and wrap it so that bodies have a deadline."""
        super().load_wsgi()
        app: Any = self.wsgi
        self._fast_path: FastPath = app.extensions[FAST_PATH]
        self._limits = limits_of(self.cfg) if not self.log.access_log_enabled else None
        self.wsgi: WSGIApplication = TimedBodies(self.wsgi, self._keeper, self._connections)
        # Existing objects stay; a collection that goes through all of them would stop every request meanwhile.
        gc.collect()
        gc.freeze()

    def run(self) -> None:
        """Accept connections until told to stop."""
        # Read the names now: a request may come just before its listener is closed, and be served afterwards.
        self._listeners = {listener: Listener(listener.getsockname()) for listener in self.sockets}
        super().run()
        otel.stop()

    def handle(self, listener: Any, client: socket.socket, addr: Any) -> None:
        """Serve one connection from its first byte to its last."""
        listener = self._listeners[listener]
        connection = self._connections[client] = self._keeper.admit(client, addr[0] if addr else "")
        client.settimeout(ANSWER_S)
        try:
            if self._limits and isinstance(addr, tuple):
                self._converse(listener, connection, addr, self._limits)
            else:
                # Bypass gevent's handler, which would remove the socket's timeout.
                AsyncWorker.handle(self, listener, client, addr)
        finally:
            del self._connections[client]
            self._keeper.forget(connection)

    def begin_request(self, connection: Connection) -> bool:
        """Count a request that gunicorn does not see. Returns whether its connection ends with it."""
        self.nr += 1
        if self.nr >= self.max_requests:
            self.alive = False
        return self._is_last_of(connection) or not self.alive

    @staticmethod
    def _is_last_of(connection: Connection) -> bool:
        connection.requests += 1
        return connection.requests >= MOST_REQUESTS

    def _converse(self, listener: Any, connection: Connection, addr: Any, limits: Limits) -> None:
        """As gunicorn's `handle`, with the same handling of errors."""
        try:
            Conversation(self, connection, addr, limits=limits, fast_path=self._fast_path, keeper=self._keeper).run(
                listener
            )
        except (broken.NoMoreData, StopIteration, gevent.GreenletExit):
            return
        except OSError as error:
            if error.errno not in GONE:
                log.warning("connection.failed", kind=type(error).__name__, errno=error.errno)
        except BaseException as error:  # noqa: BLE001 - the waiting sender also learns of the end of the process
            self.handle_error(None, connection.socket, addr, error)
        finally:
            close(connection.socket)

    def handle_request(self, listener_name: Any, req: Any, sock: socket.socket, addr: Any) -> bool:
        """Handle one request of a connection."""
        connection = self._connections[sock]
        connection.say_last = req.force_close
        if self._is_last_of(connection):
            req.force_close()
        bound_chunks(req)
        try:
            super().handle_request(listener_name, req, sock, addr)
        except TimeoutError:
            # Nobody reads the answer. StopIteration is how a handler of gunicorn closes the connection.
            raise StopIteration from None
        finally:
            self._keeper.wait(connection)
            if connection.has_more:
                _hang_up(sock)
        if connection.is_shed:
            raise StopIteration
        give_way()
        return True

    def handle_error(self, req: Any, client: socket.socket, addr: Any, exc: BaseException) -> None:  # noqa: ARG002
        """Answer an invalid request. gunicorn's own method would print it and send it back."""
        if isinstance(exc, broken.ParseException):
            status, reason = STATUSES.get(type(exc), (400, "Bad Request"))
            log.warning("request.broken", kind=type(exc).__name__)
        else:
            status, reason = 500, "Internal Server Error"
            log.error("request.failed", kind=type(exc).__name__, places=places_of(exc))
        try:
            write_error(client, status, reason, "")
        except OSError:
            return


@dataclass(slots=True)
class Limits:
    """Configured limits of heads: seconds until a head is complete, its bytes, its fields."""

    seconds: float
    bytes: int
    fields: int


def limits_of(cfg: Config) -> Limits | None:
    """The limits for the fast path; None if the operator's gunicorn settings need gunicorn for every request."""
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
        self,
        host: WebWorker,
        connection: Connection,
        peer: Any,
        *,
        limits: Limits,
        fast_path: FastPath,
        keeper: Doorkeeper,
    ) -> None:
        self._host = host
        self._limits = limits
        self._fast_path = fast_path
        self._keeper = keeper
        self._connection = connection
        self._client = connection.socket
        self._peer = peer

    def run(self, listener: Any) -> None:
        """Serve requests until one side ends the connection. Raises the errors of gunicorn's parser and of the
        socket.
        """
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
        """The next bytes; empty if the other side closed the connection or was silent for too long."""
        self._client.settimeout(seconds)
        try:
            return self._client.recv(size)
        except TimeoutError:
            return b""

    def _read(self, received: bytes) -> tuple[PlainRequest | None, Entrance | None, bytes]:
        """The request and its source, if it is plain and its body comes at once; and all received bytes."""
        request = read_plain(received, self._limits.bytes, self._limits.fields)
        entrance = self._fast_path.entrance_for(request) if request else None
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
        """Serve a plain request. Returns whether the connection ends."""
        is_last = self._host.begin_request(self._connection) or request.is_last
        self._keeper.serve(self._connection)
        try:
            answer = self._fast_path.take(entrance, request, received[request.begin : request.end], self._connection)
            return not self._send(as_bytes(answer, is_last=is_last)) or is_last
        finally:
            self._keeper.wait(self._connection)

    def _send(self, content: bytes) -> bool:
        """Send an answer. Returns whether somebody reads it."""
        self._client.settimeout(ANSWER_S)
        try:
            self._client.sendall(content)
        except TimeoutError:
            return False
        return True

    def _leave_to_gunicorn(self, listener: Any, received: bytes, due: float) -> tuple[bool, bytes]:
        """Serve a request with gunicorn's parser. Returns whether the connection ends, and the bytes after the
        request.
        """
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


def as_bytes(answer: Answer, *, is_last: bool) -> bytes:
    """An answer as gunicorn would write it."""
    fields = "".join(f"{name}: {value}\r\n" for name, value in answer.headers)
    word = "close" if is_last else "keep-alive"
    head = f"HTTP/1.1 {answer.status}\r\nServer: {SERVER}\r\nDate: {_now()}\r\nConnection: {word}\r\n{fields}\r\n"
    return head.encode("latin-1") + answer.body


def _dates() -> Callable[[], str]:
    """Make a function for the date of answers, which is formatted once a second."""
    second, text = 0, ""

    def now() -> str:
        nonlocal second, text
        if (current := int(time.time())) != second:
            second, text = current, http_date(current)
        return text

    return now


_now = _dates()


class TimedBodies:
    """WSGI middleware: tells the doorkeeper what requests wait for, and cuts off slow bodies."""

    def __init__(
        self, app: WSGIApplication, keeper: Doorkeeper, connections: Mapping[socket.socket, Connection]
    ) -> None:
        self._app = app
        self._keeper = keeper
        self._connections = connections

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        connection = environ[CONNECTION] = self._connections[environ["gunicorn.socket"]]
        length = environ.get("CONTENT_LENGTH") or "0"
        if length == "0" and "HTTP_TRANSFER_ENCODING" not in environ:
            self._keeper.serve(connection)
            return self._app(environ, start_response)
        body = TimedBody(environ["wsgi.input"], int(length), connection, self._keeper)
        stream = environ["wsgi.input"] = io.BufferedReader(body, min(int(length) or BODY_AHEAD, BODY_AHEAD))
        answer = self._answer_to_late(stream, connection, start_response) if self._keeper.is_crowded else None
        answer = answer or self._app(environ, start_response)
        if not body.is_whole:
            connection.has_more = True
            connection.say_last()
        return answer

    @staticmethod
    def _answer_to_late(
        stream: io.BufferedReader, connection: Connection, start_response: StartResponse
    ) -> Iterable[bytes] | None:
        """Wait for the body before anything else, because in a crowd most waiting requests are never served.

        Errors are raised again to the reader of the body; only a timeout is answered here.
        """
        with contextlib.suppress(Exception):
            stream.peek(1)
        if not connection.is_late:
            return None
        start_response("408 Request Timeout", [("Content-Type", PROBLEM), ("Content-Length", str(len(LATE)))])
        return [LATE]


class TimedBody(io.RawIOBase):
    """A request's body with a deadline: reading raises TimeoutError. length: announced bytes, or 0."""

    def __init__(self, inner: IO[bytes], length: int, connection: Connection, keeper: Doorkeeper) -> None:
        self._inner = inner
        self._left = length or None
        self._connection = connection
        self._keeper = keeper
        # Random, so that a crowd of late requests does not end at the same moment and hold up all others.
        self._due = time.monotonic() + BODY_S * random.uniform(1.0, 1.5)  # noqa: S311 - no secret
        self._error: Exception | None = None

    @property
    def is_whole(self) -> bool:
        """Whether all of it was read."""
        return self._left == 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        """Read as much as fits, or the rest. After an error, the same error is raised again."""
        if self._error:
            raise self._error
        if self.is_whole:
            return 0
        room = memoryview(buffer)
        try:
            found = self._timed(len(room))
        except Exception as error:
            self._error = error
            raise
        if self._connection.is_shed:
            # No answer would reach anybody.
            raise gevent.GreenletExit
        self._count(len(found))
        room[: len(found)] = found
        return len(found)

    def _timed(self, size: int) -> bytes:
        remaining = self._due - time.monotonic()
        try:
            with gevent.Timeout(max(remaining, 0.001), TimeoutError):
                return self._inner.read(size)
        except TimeoutError:
            self._connection.is_late = True
            raise

    def _count(self, size: int) -> None:
        self._due += size / BODY_BYTES_A_S
        if self._left is not None:
            self._left -= size
        elif not size:
            self._left = 0
        if self.is_whole:
            self._keeper.serve(self._connection)
        else:
            self._keeper.read(self._connection, size)


class TooFineError(broken.ParseException):  # type: ignore[misc] # gunicorn has no types
    """The chunks of the body are too small."""


class BoundedChunks(ChunkedReader):  # type: ignore[misc] # gunicorn has no types
    """gunicorn's reader of chunks, which refuses tiny ones."""

    def __init__(self, req: Any, unreader: Any) -> None:
        super().__init__(req, unreader)
        self._chunks = self._bytes = 0

    def parse_chunk_size(self, unreader: Any, data: bytes | None = None) -> tuple[int, bytes | None]:
        """The size of the next chunk, and its received part. Raises TooFineError, and gunicorn's errors."""
        size, rest = super().parse_chunk_size(unreader, data)
        self._chunks += 1
        self._bytes += size
        if size and self._chunks > FREE_CHUNKS and self._bytes < self._chunks * SMALLEST_CHUNK:
            raise TooFineError
        if self._chunks % TURN == 0:
            gevent.sleep(0)
        return size, rest


def bound_chunks(req: Any) -> None:
    """Bound the chunks of this gunicorn request, if it has any. No part of its body may have been read."""
    if isinstance(req.body.reader, ChunkedReader):
        req.body = Body(BoundedChunks(req, req.unreader))


def give_way() -> None:
    """Let every other connection run.

    A read or write that need not wait does not yield, so a sender whose next request is always there would occupy the
    process.
    """
    gevent.sleep(0)


def _hang_up(client: socket.socket) -> None:
    """Close a connection on which more of a body may come. For a moment, the rest is discarded, so that the answer
    arrives.

    gunicorn would read all of it, at a cost that grows with the square of its size.
    """
    with contextlib.suppress(OSError), gevent.Timeout(HANG_UP_S, False):  # noqa: FBT003 - gevent's way
        client.shutdown(socket.SHUT_WR)
        while client.recv(65_536):
            gevent.sleep(0)  # without it, received bytes would be read without a pause or a deadline


def open_files() -> None:
    """Raise the limit of open files: many shells allow only 1,024."""
    now, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = ENOUGH_FILES if most == resource.RLIM_INFINITY else min(most, ENOUGH_FILES)
    if now != resource.RLIM_INFINITY and now < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))
