"""Where a message ends on the wire: commands and answers of Redis (RESP), requests and answers of a portal (HTTP)."""

from __future__ import annotations

import re
import socket

import hiredis

SPLIT = 4_000
"""redis-py writes what is longer than 6,000 bytes in pieces: after so many, another piece may be on its way."""
PIECE_WAIT_S = 0.01


def read_commands(near: socket.socket, requests: hiredis.Reader) -> list[tuple[bytes, ...]]:
    """What arrives as one write; nothing where the connection has ended."""
    commands: list[tuple[bytes, ...]] = []
    received, is_whole = 0, False
    while not is_whole:
        piece = near.recv(1 << 16)
        if not piece:
            return []
        received += len(piece)
        requests.feed(piece)
        while command := requests.gets():
            commands.append(tuple(command))
        is_whole = not requests.has_data() and not (received > SPLIT and _has_more(near))
    return commands


def _has_more(near: socket.socket) -> bool:
    near.settimeout(PIECE_WAIT_S)
    try:
        return bool(near.recv(1, socket.MSG_PEEK))
    except TimeoutError:
        return False
    finally:
        near.settimeout(None)


def pack(command: tuple[bytes, ...]) -> bytes:
    """A command as it goes over the wire."""
    return b"*%d\r\n" % len(command) + b"".join(b"$%d\r\n%b\r\n" % (len(part), part) for part in command)


def exchange(far: socket.socket, commands: list[tuple[bytes, ...]]) -> bytes:
    """Have the server execute these; all of its answers, as they came."""
    far.sendall(b"".join(pack(command) for command in commands))
    replies, raw, missing = hiredis.Reader(notEnoughData=...), b"", len(commands)
    while missing:
        piece = far.recv(1 << 16)
        if not piece:
            return b""
        raw += piece
        replies.feed(piece)
        while missing and replies.gets() is not ...:
            missing -= 1
    return raw


def read_http(near: socket.socket) -> tuple[bytes, bool]:
    """One message with its body, and whether it is whole: the other side may have broken off."""
    raw = b""
    while b"\r\n\r\n" not in raw:
        piece = near.recv(1 << 16)
        if not piece:
            return raw, False
        raw += piece
    head, _, body = raw.partition(b"\r\n\r\n")
    found = re.search(rb"(?im)^content-length:\s*(\d+)", head)
    missing = int(found[1]) - len(body) if found else 0
    while missing > 0 and (piece := near.recv(1 << 16)):
        raw, missing = raw + piece, missing - len(piece)
    return raw, missing <= 0
