"""A request that is plainly one, read in a single look: a POST to a source, in the simplest grammar of HTTP/1.1.

It may not guess, and not be more lenient than the server's own parser: what is valid here is valid there and means the
same. Whatever is rare, doubtful or too large is no business of this module, and is left to that parser byte for byte.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

METHOD = "POST"
"""The one that is read here."""
MOST_HEAD = 8_190
"""Bytes of a head that is read here."""
MOST_BODY = 16_384
_TOKEN = rb"[!#$%&'*+.^`|~0-9A-Za-z-]"
"""As RFC 9110 has it, without the underscore, which other servers take for a hyphen."""
_HEAD = re.compile(
    rb"POST (/hooks/([A-Za-z0-9._~-]++)(?:\?[!-\"$-~]*+)?) HTTP/1\.1\r\n"
    rb"((?:" + _TOKEN + rb"++:[\t -~\x80-\xff]*+\r\n)++)\r\n"
)
_LENGTH = re.compile(r"[0-9]{1,6}", re.ASCII)
_RARE = frozenset({"transfer-encoding", "expect", "upgrade", "http2-settings", "trailer"})
"""Headers that change how a body or what follows is read."""
_NEEDED = {"host", "content-length", "content-type"}
_CONNECTION = {"": False, "keep-alive": False, "close": True}


@dataclass(slots=True)
class PlainRequest:
    """A request whose head is here.

    target: as it was written. source: the last part of its path. query: what follows the `?`. headers: by name in lower
    case. is_last: its sender closes the connection after it. begin, end: where its body is in the bytes that were read.
    """

    target: str = field(repr=False)
    source: str
    query: str = field(repr=False)
    headers: dict[str, str] = field(repr=False)
    is_last: bool
    begin: int
    end: int


def read_plain(received: bytes, most_head: int = MOST_HEAD, most_fields: int = 100) -> PlainRequest | None:
    """The request that these bytes begin with; None where it is not plainly one, or its head has not all come.

    Its body may be longer than what has come. most_head: bytes of a head; most_fields: of its header fields.
    """
    match = _HEAD.match(received)
    if match is None or match.end() > most_head:
        return None
    lines = match[3].decode("latin-1").split("\r\n")
    headers = {}
    for line in lines[:-1]:
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip(" \t")
    is_last = _CONNECTION.get(headers.get("connection", "").lower())
    # A name that came twice is one less in the map than there are lines.
    if len(headers) != len(lines) - 1 or len(headers) > most_fields or is_last is None:
        return None
    if not _RARE.isdisjoint(headers) or not all(headers.get(name) for name in _NEEDED):
        return None
    length = int(headers["content-length"]) if _LENGTH.fullmatch(headers["content-length"]) else MOST_BODY + 1
    if length > MOST_BODY:
        return None
    target, source = match[1].decode("ascii"), match[2].decode("ascii")
    _, _, query = target.partition("?")
    return PlainRequest(target, source, query, headers, is_last, match.end(), match.end() + length)
