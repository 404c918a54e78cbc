"""A network between processes on loopback that can be slow or cut for some of them: a proxy in a thread.

Who connects is known by the loopback address that it binds its end to, so a server can be out of the reach of its
replicas and sentinels while others still reach it.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import threading
import time
from collections import defaultdict
from typing import Self

from tests.support.waiting import until

CHUNK = 65_536
LOOK_S = 0.02
ROUNDS = 10


class Network:
    """Forwards ports of this machine; holds back what certain peers say and hear."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._cut: dict[int, set[str]] = defaultdict(set)
        self._delay_s: dict[int, dict[str, float]] = defaultdict(dict)
        self._tasks: dict[asyncio.Task[None], int] = {}
        self._tls: dict[int, tuple[ssl.SSLContext, str]] = {}
        self._doors: list[asyncio.Server] = []
        self._writers: list[asyncio.StreamWriter] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def forward(self, port: int, to: int) -> None:
        """Listen on a port, and pass on to another."""
        asyncio.run_coroutine_threadsafe(self._listen(port, to), self._loop).result(10)

    def speak_tls(self, port: int, tls: ssl.SSLContext, peer: str) -> None:
        """From now on this peer is spoken to in TLS on the port. What is behind it is plain."""
        self._tls[port] = (tls, peer)

    def cut(self, port: int, *peers: str) -> None:
        """Nothing passes between this port and these peers; they are told nothing of it."""
        self._cut[port] |= set(peers)

    def heal(self, port: int) -> None:
        """What was held back passes, and all that follows."""
        self._cut[port].clear()
        self._delay_s[port].clear()

    def delay(self, port: int, delay_s: float, *peers: str) -> None:
        """What comes out of this port reaches these peers so much later."""
        self._delay_s[port].update(dict.fromkeys(peers, delay_s))

    def drop(self, port: int) -> None:
        """Every connection to this port breaks, and what was on its way is gone, as where it stood in a buffer."""
        asyncio.run_coroutine_threadsafe(
            self._end([task for task, to in self._tasks.items() if to == port]), self._loop
        )

    async def _listen(self, port: int, to: int) -> None:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            self._tasks[task] = port
            self._writers.append(writer)
            task.add_done_callback(lambda ended: self._tasks.pop(ended, None))
            peer = writer.get_extra_info("peername")[0]
            try:
                with contextlib.suppress(OSError, asyncio.CancelledError):
                    tls, whose = self._tls.get(port, (None, ""))
                    if tls and peer == whose:
                        await writer.start_tls(tls)
                    await self._pass_through(reader, writer, port, to, peer)
            finally:
                writer.close()

        self._doors.append(await asyncio.start_server(serve, "127.0.0.1", port))

    async def _pass_through(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, port: int, to: int, peer: str
    ) -> None:
        await self._passable(port, peer)
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", to)
        self._writers.append(far_writer)
        ways = (
            asyncio.create_task(self._pump(reader, far_writer, port, peer, is_out=False)),
            asyncio.create_task(self._pump(far_reader, writer, port, peer, is_out=True)),
        )
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            await self._passable(port, peer)
        finally:
            for way in ways:
                way.cancel()
            far_writer.close()

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, port: int, peer: str, *, is_out: bool
    ) -> None:
        queue: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

        async def take_in() -> None:
            while chunk := await reader.read(CHUNK):
                queue.put_nowait((time.monotonic(), chunk))
            queue.put_nowait((time.monotonic(), b""))

        taking = asyncio.create_task(take_in())
        try:
            while True:
                came_at, chunk = await queue.get()
                if is_out:
                    await self._delayed(port, peer, came_at)
                await self._passable(port, peer)
                if not chunk:
                    return
                writer.write(chunk)
                await writer.drain()
        finally:
            taking.cancel()
            await asyncio.gather(taking, return_exceptions=True)

    async def _delayed(self, port: int, peer: str, came_at: float) -> None:
        while (late := came_at + self._delay_s[port].get(peer, 0.0) - time.monotonic()) > 0:  # noqa: ASYNC110 - the same
            await asyncio.sleep(min(late, LOOK_S))

    async def _passable(self, port: int, peer: str) -> None:
        while peer in self._cut[port]:  # noqa: ASYNC110 - set by another thread
            await asyncio.sleep(LOOK_S)

    async def _close(self) -> None:
        # Nobody is let in any more. Who was let in a moment ago has to be met by a door that is still open, or asyncio
        # (3.11, Server._attach) breaks off and never closes the connection. Ended while 450 connections begin, 120
        # networks left 1,340 of them open where doors were closed first, and none so.
        for door in self._doors:
            for listener in door.sockets:
                self._loop.remove_reader(listener.fileno())
        await _rounds()
        for door in self._doors:
            door.close()
        await self._end(list(self._tasks))
        for writer in self._writers:
            writer.transport.abort()
        await _rounds()  # the loop closes what was aborted in its next one

    async def _end(self, tasks: list[asyncio.Task[None]]) -> None:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _rounds() -> None:
    """Some turns of the loop, however long they take: a time would be over before them on a busy machine."""
    for _ in range(ROUNDS):
        await asyncio.sleep(0)


def is_listening(port: int) -> bool:
    """Whether somebody takes connections there."""
    import socket  # noqa: PLC0415

    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def wait_for_port(port: int) -> None:
    """Until somebody listens there."""
    until(lambda: is_listening(port), f"somebody to listen on port {port}")
