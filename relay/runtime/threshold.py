"""Between gunicorn and the application: an end to everything that a stranger can make a worker wait for.

Nothing of what was sent is printed here, or sent back: a broken request may hold a token. Imported after gevent has
patched. Which connection goes where there are too many is relay/web/doorkeeper.py's to say.
"""

from __future__ import annotations

import contextlib
import errno
import gc
import io
import random
import resource
import socket
import time
from collections.abc import Iterable, Mapping
from typing import IO, TYPE_CHECKING, Any

import gevent
from gunicorn.http import errors as broken
from gunicorn.util import close, write_error
from gunicorn.workers.base_async import AsyncWorker
from gunicorn.workers.ggevent import GeventWorker

from relay.core.telemetry import get_logger, places_of
from relay.runtime.chunks import bound_chunks
from relay.runtime.conversation import ANSWER_S, Conversation, Limits, give_way, limits_of
from relay.web.doorkeeper import CONNECTION, Connection, Doorkeeper
from relay.web.plain_way import PLAIN_WAY, PlainWay

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

BODY_S, BODY_BYTES_A_S = 10.0, 20_000
"""A body must be whole after ten seconds and up to half as many, and a second more for each 20 KB that have come."""
AHEAD = 65_536
"""Bytes of a body that are read in one go."""
HANG_UP_S = 2.0
GONE = {errno.EPIPE, errno.ECONNRESET, errno.ENOTCONN}
"""What a socket says whose other side has left."""
MOST_REQUESTS = 1_000
"""Of one connection; then it is closed, and its sender opens another."""
FILES_BESIDE = 64
"""Open files of a process that are not connections of senders."""
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


class DoorWorker(GeventWorker):  # type: ignore[misc] # gunicorn has no types
    """gunicorn's gevent worker, with an end to everything that a stranger can make it wait for.

    Heads have gunicorn's own `keepalive` as their deadline.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        # Some room is left for those that are on their way out.
        self._keeper = Doorkeeper(
            min(self.worker_connections, files - FILES_BESIDE if files > 0 else ENOUGH_FILES) * 9 // 10
        )
        self._connections: dict[socket.socket, Connection] = {}

    def load_wsgi(self) -> None:
        """The application, behind the threshold."""
        super().load_wsgi()
        app: Any = self.wsgi
        self._plain_way: PlainWay = app.extensions[PLAIN_WAY]
        self._limits = limits_of(self.cfg) if not self.log.access_log_enabled else None
        self.wsgi: WSGIApplication = Threshold(self.wsgi, self._keeper, self._connections)
        # What is there now stays: a collection that looks at all of it each time stops everybody meanwhile.
        gc.collect()
        gc.freeze()

    def handle(self, listener: Any, client: socket.socket, addr: Any) -> None:
        """One connection, from its first byte to its last."""
        connection = self._connections[client] = self._keeper.admit(client, addr[0] if addr else "")
        client.settimeout(ANSWER_S)
        try:
            if self._limits and isinstance(addr, tuple):
                self._converse(listener, connection, addr, self._limits)
            else:
                # Past gevent's own, which would let the socket wait for ever again.
                AsyncWorker.handle(self, listener, client, addr)
        finally:
            del self._connections[client]
            self._keeper.forget(connection)

    def begin_request(self, connection: Connection) -> bool:
        """Count a request that gunicorn does not see; whether its connection ends with it."""
        self.nr += 1
        if self.nr >= self.max_requests:
            self.alive = False
        return self._is_last_of(connection) or not self.alive

    @staticmethod
    def _is_last_of(connection: Connection) -> bool:
        connection.requests += 1
        return connection.requests >= MOST_REQUESTS

    def _converse(self, listener: Any, connection: Connection, addr: Any, limits: Limits) -> None:
        """As gunicorn's handle: its errors mean the same."""
        try:
            Conversation(self, connection, addr, limits=limits, plain_way=self._plain_way, keeper=self._keeper).run(
                listener
            )
        except (broken.NoMoreData, StopIteration, gevent.GreenletExit):
            return
        except OSError as error:
            if error.errno not in GONE:
                log.warning("connection.failed", kind=type(error).__name__, errno=error.errno)
        except BaseException as error:  # noqa: BLE001 - an end of the process too is told to who waits
            self.handle_error(None, connection.socket, addr, error)
        finally:
            close(connection.socket)

    def handle_request(self, listener_name: Any, req: Any, sock: socket.socket, addr: Any) -> bool:
        """One request of a connection."""
        connection = self._connections[sock]
        connection.say_last = req.force_close
        if self._is_last_of(connection):
            req.force_close()
        bound_chunks(req)
        try:
            super().handle_request(listener_name, req, sock, addr)
        except TimeoutError:
            # Nobody reads the answer. This is how a handler of gunicorn closes the connection.
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
        """Answer what is no request. gunicorn's own would print it, and send it back."""
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


class Threshold:
    """WSGI middleware: tells the doorkeeper what a request still waits for, and ends bodies that do not come."""

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
        stream = environ["wsgi.input"] = io.BufferedReader(body, min(int(length) or AHEAD, AHEAD))
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
        """Wait for the body where it costs least, for most of those who wait in a crowd are never served.

        What goes wrong is told again to whoever reads; only that nothing came in time is answered here.
        """
        with contextlib.suppress(Exception):
            stream.peek(1)
        if not connection.is_late:
            return None
        start_response("408 Request Timeout", [("Content-Type", PROBLEM), ("Content-Length", str(len(LATE)))])
        return [LATE]


class TimedBody(io.RawIOBase):
    """A request's body that is whole in time, or raises TimeoutError. length: bytes that were announced, or 0."""

    def __init__(self, inner: IO[bytes], length: int, connection: Connection, keeper: Doorkeeper) -> None:
        self._inner = inner
        self._left = length or None
        self._connection = connection
        self._keeper = keeper
        # Who came together does not go together: everybody else would wait until a crowd of the late has been told.
        self._due = time.monotonic() + BODY_S * random.uniform(1.0, 1.5)  # noqa: S311 - no secret
        self._error: Exception | None = None

    @property
    def is_whole(self) -> bool:
        """Whether all of it was read."""
        return self._left == 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        """As much as there is room for, or the rest. What has broken once stays broken."""
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
            # Nobody is there any more whom an answer would reach.
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


def _hang_up(client: socket.socket) -> None:
    """End a connection on which more of a body may come: it is thrown away for a moment, so that the answer is read.

    gunicorn would read it to its end, at a price that grows with the square of its size.
    """
    with contextlib.suppress(OSError), gevent.Timeout(HANG_UP_S, False):  # noqa: FBT003 - gevent's way
        client.shutdown(socket.SHUT_WR)
        while client.recv(65_536):
            gevent.sleep(0)  # what is there already would be read without a turn for others, nor an end


def open_files() -> None:
    """Enough for every connection: many shells allow 1,024 only."""
    now, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = ENOUGH_FILES if most == resource.RLIM_INFINITY else min(most, ENOUGH_FILES)
    if now != resource.RLIM_INFINITY and now < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))
