"""A server that answers with bytes, or does to a connection what no well-behaved server does."""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from typing import Any, Self

HEADERS_END = b"\r\n\r\n"
_CLOSE_WITH_RESET = struct.pack("ii", 1, 0)

Handler = Callable[["Connection"], None]


class Connection:
    """One accepted connection."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock

    def read_headers(self) -> bytes:
        """Up to the end of the headers; the body stays unread, as far as it is not in the same packet."""
        read = b""
        while HEADERS_END not in read and (chunk := self.sock.recv(1)):
            read += chunk
        return read

    def read_request(self) -> bytes:
        """The whole request; empty where there is none."""
        head = self.read_headers()
        length = next(
            (int(line.split(b":")[1]) for line in head.splitlines() if line.lower().startswith(b"content-length")), 0
        )
        body = b""
        while len(body) < length and (chunk := self.sock.recv(65_536)):
            body += chunk
        return head + body

    def send(self, content: bytes) -> None:
        self.sock.sendall(content)

    def reset(self) -> None:
        """Close it with an error for the other side."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _CLOSE_WITH_RESET)
        self.sock.close()


class Wire:
    """Hands each connection to a function, in a thread of its own. requests: what was read, see `answering`."""

    def __init__(self, handle: Handler, context: ssl.SSLContext | None = None) -> None:
        self.connections = 0
        self.requests: list[bytes] = []
        self._handle = handle
        self._context = context
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept)]
        self.url = f"http{'s' if context else ''}://127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for sock in self._open:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(5)

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._open.append(sock)
            self._threads.append(threading.Thread(target=self._serve, args=(sock,)))
            self._threads[-1].start()

    def _serve(self, sock: socket.socket) -> None:
        with contextlib.suppress(OSError), sock:
            if self._context is None:
                self._handle(Connection(sock))
                return
            with self._context.wrap_socket(sock, server_side=True) as secure:
                self._handle(Connection(secure))


def respond(body: Any = b"", status: int = 200, *lines: str) -> bytes:
    """A response; what is not bytes becomes JSON."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    head = [f"HTTP/1.1 {status} X", f"Content-Length: {len(content)}", *lines]
    return "\r\n".join([*head, "", ""]).encode() + content


@contextlib.contextmanager
def answering(*responses: bytes) -> Iterator[Wire]:
    """A server that gives these responses in turn, and the last of them from then on."""
    left = list(responses)

    def handle(connection: Connection) -> None:
        while request := connection.read_request():
            wire.requests.append(request)
            connection.send(left.pop(0) if len(left) > 1 else left[0])

    wire = Wire(handle)
    with wire:
        yield wire
