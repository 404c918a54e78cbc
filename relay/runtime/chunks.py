"""A chunked body as gunicorn reads it, with a bound on how finely it may be cut.

A chunk costs some microseconds, whatever is in it, and while the bytes are there nobody else gets a turn: 900 KB in
chunks of one byte keep a process busy for seconds, before anything is proven. Nothing of the body is printed here.
"""

from __future__ import annotations

from typing import Any

import gevent
from gunicorn.http.body import Body, ChunkedReader
from gunicorn.http.errors import ParseException

FREE_CHUNKS, SMALLEST = 1_000, 64
"""After so many chunks they must hold so many bytes on average. Senders that stream cut by the kilobyte."""
TURN = 200
"""After so many chunks others get a turn."""


class TooFineError(ParseException):  # type: ignore[misc] # gunicorn has no types
    """The body comes in crumbs."""


class BoundedChunks(ChunkedReader):  # type: ignore[misc] # gunicorn has no types
    """gunicorn's reader of chunks, which refuses crumbs."""

    def __init__(self, req: Any, unreader: Any) -> None:
        super().__init__(req, unreader)
        self._chunks = self._bytes = 0

    def parse_chunk_size(self, unreader: Any, data: bytes | None = None) -> tuple[int, bytes | None]:
        """The size of the next chunk, and what has come of it. Raises TooFineError, and what gunicorn's raises."""
        size, rest = super().parse_chunk_size(unreader, data)
        self._chunks += 1
        self._bytes += size
        if size and self._chunks > FREE_CHUNKS and self._bytes < self._chunks * SMALLEST:
            raise TooFineError
        if self._chunks % TURN == 0:
            gevent.sleep(0)
        return size, rest


def bound_chunks(req: Any) -> None:
    """Read the body of this request of gunicorn so, if it comes in chunks. Nothing of it may have been read."""
    if isinstance(req.body.reader, ChunkedReader):
        req.body = Body(BoundedChunks(req, req.unreader))
