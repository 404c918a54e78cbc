"""The socket: gevent's WSGI server in a thread of its own, and connections that break on purpose.

Patches nothing: the thread has its own hub, so any unpatched process may hold a server, or several. In a process
whose threads are patched into greenlets there is no second hub, and the server refuses to start.
"""

from __future__ import annotations

import contextlib
import signal
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Self

import gevent
import gevent.socket
from flask import Flask
from gevent import monkey
from gevent.event import Event
from gevent.pool import Pool
from gevent.pywsgi import WSGIHandler, WSGIServer

from relay.sandbox.answers import CONNECTION
from relay.sandbox.app import create_app
from relay.sandbox.portal import Portal

GRACE_S = 0.05
"""Requests still running when the server stops get this long; idle connections are closed after it."""
START_WAIT_S = 10.0
BACKLOG = 256
_CLOSE_WITH_RESET = struct.pack("ii", 1, 0)  # SO_LINGER on, zero seconds: close() sends RST


class _BreakingHandler(WSGIHandler):  # type: ignore[misc] # gevent publishes no types
    """Answers, unless the application has asked to break the connection."""

    def handle(self) -> None:
        """Serve a connection. Head and body are two writes, so Nagle's algorithm would delay each answer by 40 ms."""
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        super().handle()

    def process_result(self) -> None:
        """Write the answer; or half of it and close; or nothing and reset."""
        connection = self.environ.get(CONNECTION, "keep")
        if connection == "keep":
            super().process_result()
            return
        self.close_connection = True
        if connection == "truncate":
            body = b"".join(self.result)
            self.write(body[: len(body) // 2])
            return
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _CLOSE_WITH_RESET)

    def handle_error(self, kind: Any, error: Any, trace: Any) -> None:
        """A request that ends because the server stops gets no answer, rather than a 500 that would mean something."""
        if issubclass(kind, gevent.GreenletExit):
            self.close_connection = True
            return
        super().handle_error(kind, error, trace)


class _Server(WSGIServer):  # type: ignore[misc] # gevent publishes no types
    """Says nothing on stderr when a client does not trust the certificate: that is the client's to report."""

    def wrap_socket_and_handle(self, client_socket: Any, address: Any) -> None:
        """Serve a connection over TLS."""
        with contextlib.suppress(ssl.SSLError):
            super().wrap_socket_and_handle(client_socket, address)


class SandboxServer:
    """A portal at http://host:port, from start() to stop(); also a context manager.

    host, port: where to listen; port 0 takes a free one. profile: "a" or "b", the generation of the server code.
    ssl_context: a gevent.ssl.SSLContext for https, None for http.
    settings: see relay.sandbox.settings.Settings; UsageError for an unusable one.
    portal: a portal made elsewhere, with its own clock; then profile and settings are its own business.
    Attributes: `portal`; `url`, without a slash at the end, valid once started.
    """

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = 0,
        profile: str = "a",
        ssl_context: Any = None,
        settings: Mapping[str, object] | None = None,
        *,
        portal: Portal | None = None,
    ) -> None:
        self.portal = portal or Portal({"profile": profile, **(settings or {})})
        self.url = ""
        self._address = (host, port)
        self._ssl_context = ssl_context
        self._thread: threading.Thread | None = None
        self._listening = threading.Event()
        self._failures: list[BaseException] = []
        self._ask_to_stop: Callable[[], None] = lambda: None

    def start(self) -> Self:
        """Listen. Returns itself once requests are accepted; OSError where the address is taken."""
        if monkey.is_module_patched("threading"):
            raise RuntimeError("the sandbox needs a thread of its own; run it in a process that gevent has not patched")
        self._listening.clear()
        self._thread = threading.Thread(target=self._run, name="sandbox-portal", daemon=True)
        self._thread.start()
        if not self._listening.wait(START_WAIT_S):
            raise RuntimeError(f"the sandbox did not listen within {START_WAIT_S:.0f} seconds")
        if self._failures:
            self._thread.join()
            raise self._failures.pop()
        return self

    def stop(self) -> None:
        """Close every connection and end the thread. Harmless where it does not run."""
        if self._thread is None or not self._thread.is_alive():
            return
        self._ask_to_stop()
        self._thread.join()
        self._thread = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _run(self) -> None:
        """The thread: serve until asked to stop, then leave nothing behind."""
        hub = gevent.get_hub()
        stopping = Event()
        waker = hub.loop.async_()  # the one thing of a loop that another thread may touch
        waker.start(stopping.set)
        try:
            self._serve_until(stopping, waker.send)
        except BaseException as failure:  # noqa: BLE001 - start() raises it in the caller's thread
            self._failures.append(failure)
            self._listening.set()
        finally:
            waker.stop()
            waker.close()
            hub.destroy(destroy_loop=True)

    def _serve_until(self, stopping: Event, wake: Callable[[], None]) -> None:
        server = _make_server(self._address, create_app(self.portal), self._ssl_context)
        server.start()
        self.url = _url(self._address[0], server.server_port, is_secure=self._ssl_context is not None)
        self.portal.listens_at = self.url
        self._ask_to_stop = wake
        self._listening.set()
        stopping.wait()
        server.stop(timeout=GRACE_S)


def serve(host: str, port: int, profile: str, announce: Callable[[str], None]) -> None:
    """Serve in this thread, which must be the main one, until SIGTERM or SIGINT; then close and return.

    announce(url): called once, when requests are accepted. OSError where the address is taken.
    """
    stopping = Event()
    watchers = [gevent.signal_handler(number, stopping.set) for number in (signal.SIGTERM, signal.SIGINT)]
    portal = Portal({"profile": profile})
    server = _make_server((host, port), create_app(portal), None)
    try:
        server.start()
        portal.listens_at = _url(host, server.server_port, is_secure=False)
        announce(portal.listens_at)
        stopping.wait()
    finally:
        server.stop(timeout=GRACE_S)
        for watcher in watchers:
            watcher.cancel()


def _make_server(address: tuple[str, int], app: Flask, ssl_context: Any) -> WSGIServer:
    listener = _listen(address)
    secure = {} if ssl_context is None else {"ssl_context": ssl_context}
    return _Server(listener, app, spawn=Pool(), handler_class=_BreakingHandler, log=None, error_log=None, **secure)


def _listen(address: tuple[str, int]) -> gevent.socket.socket:
    """A listening socket; closed again where the address is taken, which gevent's own does not do."""
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    listener = gevent.socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener


def _url(host: str, port: int, *, is_secure: bool) -> str:
    shown = f"[{host}]" if ":" in host else host
    return f"{'https' if is_secure else 'http'}://{shown}:{port}"
