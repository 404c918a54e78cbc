"""HTTP by hand: what no client library would send."""

from __future__ import annotations

import contextlib
import socket
from urllib.parse import urlsplit


def exchange(url: str, *parts: bytes, close: bool = False) -> tuple[int, dict[str, str], bytes]:
    """Send these bytes and read the answer: status, headers in lower case, body."""
    address = urlsplit(url)
    is_head = parts[0].startswith(b"HEAD ")
    with socket.create_connection((address.hostname or "", address.port or 80), timeout=10) as connection:
        with contextlib.suppress(OSError):  # the server may have had enough, as it should
            connection.sendall(b"".join(parts))
            if close:
                connection.shutdown(socket.SHUT_WR)
        answer = b""
        while b"\r\n\r\n" not in answer and (piece := connection.recv(65536)):
            answer += piece
        head, _, body = answer.partition(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in lines[1:] if ": " in line)
        length = 0 if is_head else int(headers.get("content-length", 0))
        while len(body) < length and (piece := connection.recv(65536)):
            body += piece
    return int(lines[0].split()[1]), headers, body
