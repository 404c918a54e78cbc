"""A tap on all that one process does to the world: what it asks of Redis and of a portal, counted as steps of one row.

A step is one round trip: what arrives as one write, a pipeline or a single command, or one call of a portal. At a
chosen step the process is killed: before the step is executed, midway through its commands, or after it was executed
and before its answer. Or it is held before it; or it lives, and only its connection breaks there. Knows RESP and HTTP,
and nothing of what is kept under which key.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import socket
import struct
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Self

import hiredis

from tests.support.framing import exchange, read_commands, read_http

PATIENCE_S = 30.0
HANDSHAKE = {b"CLIENT", b"HELLO", b"SELECT", b"AUTH", b"PING", b"CONFIG"}
"""What a connection says of itself is no step of a journey."""
READS = frozenset(
    b"GET MGET EXISTS HGET HGETALL HMGET HEXISTS LLEN LRANGE SMEMBERS SCARD TTL PTTL XLEN XRANGE XREVRANGE "
    b"ZCARD ZCOUNT ZRANGE ZRANGEBYSCORE ZREVRANGE ZSCORE EVALSHA_RO FCALL_RO SCRIPT CONFIG INFO TIME MULTI EXEC".split()
)
"""Commands that change nothing by themselves. A script may change something, whether it does or not."""
PEER = struct.Struct("3i")


class Position(StrEnum):
    """Where in a step the process is stopped."""

    BEFORE = "before it"
    MIDWAY = "midway through it"
    AFTER = "after it, unanswered"


@dataclass(frozen=True, slots=True)
class Step:
    """One round trip. names: of its commands of Redis, or the method of a portal; then there are no commands."""

    names: tuple[str, ...]
    commands: tuple[tuple[bytes, ...], ...] = ()

    @property
    def name(self) -> str:
        """What is in it, and how often."""
        counted = Counter(self.names)
        return ", ".join(f"{name} x{count}" if count > 1 else name for name, count in counted.items())

    @property
    def writes(self) -> list[tuple[str, tuple[bytes, ...]]]:
        """Its commands that may change something, each with its name."""
        named = zip(self.names, self.commands, strict=False)
        return [(name, command) for name, command in named if command[0].upper() not in READS]

    @property
    def leaves_something(self) -> bool:
        """Whether the world may be another after it: it writes, or calls the portal."""
        return bool(self.writes) or not self.commands

    @property
    def positions(self) -> tuple[Position, ...]:
        """Where it can be stopped: a pipeline is no transaction, so some of its commands may have been executed."""
        is_split = len(self.commands) > 1 and self.commands[0][0].upper() != b"MULTI"
        return tuple(one for one in Position if is_split or one is not Position.MIDWAY)


@dataclass(slots=True)
class Stop:
    """Where a process is stopped, and what is done there. reach: called while it is held; whether it then goes on.

    breaks: it is not killed; only its connection breaks there, and it may send the same once more.
    """

    number: int
    position: Position
    reach: Callable[[], bool] = lambda: False
    breaks: bool = False


@dataclass(slots=True)
class _Line:
    """A connection of the process, and ours to the server behind it."""

    near: socket.socket
    far: socket.socket
    is_portal: bool
    pid: int = 0
    requests: hiredis.Reader = field(default_factory=hiredis.Reader)

    def close(self) -> None:
        self.near.close()
        self.far.close()


class Tap:
    """In front of a Redis and a portal, for one process at a time. Use as a context manager.

    names: what to call the script of each SHA. redis_url, portal_port: where the process under test connects to.
    unheard: the call over which the process was killed before the portal had heard of it.
    """

    def __init__(self, server: Path, portal: tuple[str, int], names: Mapping[bytes, str]) -> None:
        self._server, self._portal, self._names = server, portal, names
        self._folder = tempfile.TemporaryDirectory(prefix="relay-tap-")
        self._listeners = (socket.socket(socket.AF_UNIX), socket.socket(socket.AF_INET))
        self._listeners[0].bind(f"{self._folder.name}/t.sock")
        self._listeners[1].bind(("127.0.0.1", 0))
        for listener in self._listeners:
            listener.listen()
        self.redis_url = f"unix://{self._folder.name}/t.sock"
        self.portal_port: int = self._listeners[1].getsockname()[1]
        self._selector = selectors.DefaultSelector()
        self._thread = threading.Thread(target=self._run, name="tap", daemon=True)
        self._wake_near, self._wake_far = socket.socketpair()
        self.begin()

    def begin(self, stop: Stop | None = None) -> None:
        """Count anew, for the next process."""
        self.steps: list[Step] = []
        self.stop = stop
        self.failure: Exception | None = None
        self.unheard = b""
        self._pid = 0

    def __enter__(self) -> Self:
        for listener in self._listeners:
            self._selector.register(listener, selectors.EVENT_READ, None)
        self._selector.register(self._wake_near, selectors.EVENT_READ, None)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._wake_far.send(b".")
        self._thread.join()
        for key in list(self._selector.get_map().values()):
            (key.data or key.fileobj).close()  # type: ignore[union-attr]
        self._selector.close()
        self._wake_far.close()
        self._folder.cleanup()

    def _run(self) -> None:
        while True:
            for key, _ in self._selector.select():
                if key.fileobj is self._wake_near:
                    return
                if key.data is None:
                    self._accept(key.fileobj)  # type: ignore[arg-type]
                else:
                    self._serve(key.data)

    def _accept(self, listener: socket.socket) -> None:
        near, _ = listener.accept()
        is_portal = listener is self._listeners[1]
        try:
            far = socket.create_connection(self._portal) if is_portal else _connect(self._server)
        except OSError:
            near.close()
            return
        far.settimeout(PATIENCE_S)
        line = _Line(near, far, is_portal)
        if not is_portal:
            line.pid = PEER.unpack(near.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, PEER.size))[0]
        self._selector.register(near, selectors.EVENT_READ, line)

    def _serve(self, line: _Line) -> None:
        """One request of this connection; the process asks one thing at a time."""
        try:
            is_open = self._serve_portal(line) if line.is_portal else self._serve_redis(line)
        except OSError:
            is_open = False  # one side is gone: so is the other
        except Exception as error:  # noqa: BLE001 - whoever runs the process learns of it
            self.failure, is_open = error, False
        if not is_open:
            self._selector.unregister(line.near)
            line.close()

    def _serve_redis(self, line: _Line) -> bool:
        commands = read_commands(line.near, line.requests)
        if not commands:
            return False
        if commands[0][0].upper() in HANDSHAKE:
            line.near.sendall(exchange(line.far, commands))
            return True
        self._pid = line.pid
        step = Step(tuple(self._name_of(command) for command in commands), tuple(commands))

        def execute(count: int) -> bytes:
            return exchange(line.far, commands[:count])

        return self._take(step, line, execute, len(commands))

    def _serve_portal(self, line: _Line) -> bool:
        request, is_whole = read_http(line.near)
        if not is_whole:
            return False  # begun and not sent, as where it is too late: the portal hears nothing
        method = request.split(b" ", 2)[1].rsplit(b"/", 1)[-1].decode()

        def execute(_count: int) -> bytes:
            line.far.sendall(request)
            return read_http(line.far)[0]

        self._request = request
        return self._take(Step((method,)), line, execute, 1)

    def carry_out(self) -> None:
        """Have the portal execute the call that it had not heard of: it was on its way."""
        with socket.create_connection(self._portal) as far:
            far.settimeout(PATIENCE_S)
            far.sendall(self.unheard)
            with contextlib.suppress(OSError):  # a portal may break off by itself
                read_http(far)

    def _take(self, step: Step, line: _Line, execute: Callable[[int], bytes], count: int) -> bool:
        """Execute a step and hand its answer on, unless the process is to be stopped in it; whether it goes on."""
        self.steps.append(step)
        if self.stop and self.stop.number == len(self.steps):
            executed = {Position.BEFORE: 0, Position.MIDWAY: count // 2, Position.AFTER: count}[self.stop.position]
            with contextlib.suppress(OSError):  # a portal may break off by itself
                execute(executed) if executed else None
            if self.stop.breaks:
                return False
            if executed or not self.stop.reach():
                os.kill(self._pid, signal.SIGKILL)
                self.unheard = b"" if executed or step.commands else self._request
                return False
        answer = execute(count)
        if answer:
            line.near.sendall(answer)
        return bool(answer) and not _is_last(line, answer)

    def _name_of(self, command: tuple[bytes, ...]) -> str:
        word = command[0].upper().decode()
        if word == "EVALSHA":
            return self._names.get(command[1], "a script")
        if word == "SCRIPT" or len(command) == 1:
            return " ".join([word, *[part.decode() for part in command[1:2]]])
        room = command[1].decode("utf-8", "replace").split(":")
        return f"{word} {room[1] if len(room) > 1 else room[0]}"


def _connect(path: Path) -> socket.socket:
    far = socket.socket(socket.AF_UNIX)
    far.connect(str(path))
    return far


def _is_last(line: _Line, answer: bytes) -> bool:
    """Whether a portal's answer ends the connection, or was broken off."""
    if not line.is_portal:
        return False
    line.far.settimeout(0)
    try:
        return not line.far.recv(1, socket.MSG_PEEK)
    except BlockingIOError:
        return b"\r\nconnection: close" in answer.lower()
    finally:
        line.far.settimeout(PATIENCE_S)
