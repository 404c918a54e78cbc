"""Unpacks a body by its Content-Encoding (RFC 9110, section 8.4): gzip and deflate, one layer, up to a size.

A stranger's bytes come here before anything is proven, so the work ends where the size does: a bomb of a megabyte costs
what a body of the size that the source takes costs.
"""

from __future__ import annotations

import zlib

from relay.core.errors import TooLargeError, UnreadableError, UnsupportedTypeError
from relay.core.faults import fault
from relay.sources.charsets import codec_of

_GZIP, _ZLIB, _RAW = 16 + zlib.MAX_WBITS, zlib.MAX_WBITS, -zlib.MAX_WBITS
"""How zlib.decompressobj is told what stands around the deflated data (docs.python.org/3/library/zlib.html)."""
_GZIP_HEAD = b"\x1f\x8b"
_AROUND = {"gzip": _GZIP, "x-gzip": _GZIP, "deflate": _ZLIB}
FREE, TIMES = 1_000_000, 30
"""Before the proof, so many bytes are unpacked at most, or so many times what was sent."""
MOST_MEMBERS = 20
"""A gzip stream may hold several members, one after the other; each costs as much to begin as a kilobyte to unpack."""


def is_packed(encoding: str) -> bool:
    """Whether a Content-Encoding says that something was done to the body.

    Some clients name the charset there (`Content-Encoding: utf-8`), which does nothing to it.
    """
    name = encoding.strip().lower() if encoding else ""
    return name not in {"", "identity"} and codec_of(name) is None


def most_before_proof(sent: int, most: int) -> int:
    """To how many bytes a body is unpacked whose sender is not proven yet. sent: its bytes; most: of the source.

    A stranger's kilobyte must not make the work of a body that takes a minute to send.
    """
    return min(most, max(FREE, TIMES * sent))


def unpack(encoding: str, body: bytes, most: int) -> bytes:
    """The body without its Content-Encoding. most: bytes that it may have then.

    Raises UnsupportedTypeError for another encoding, UnreadableError for a broken stream, TooLargeError.
    """
    if not body or not is_packed(encoding):
        return body
    around = _AROUND.get(encoding.strip().lower())
    if around is None:
        raise UnsupportedTypeError(fault("encoding_unknown"))
    if around == _GZIP and not body.startswith(_GZIP_HEAD):
        # Something on the way has unpacked it, and left the header; no text begins so.
        return body
    if around == _ZLIB and not _has_zlib_head(body):
        # The standard says zlib's format, but some clients send the bare data (RFC 9110, section 8.4.1.2).
        around = _RAW
    try:
        return _unpacked(body, around, most)
    except zlib.error:
        raise UnreadableError(fault("packed_broken")) from None


def _has_zlib_head(body: bytes) -> bool:
    """Two bytes of RFC 1950: the method, and a check. Bare data cannot begin so: it would be padded with a one."""
    return len(body) > 1 and body[0] & 0x0F == zlib.DEFLATED and int.from_bytes(body[:2], "big") % 31 == 0


def _unpacked(body: bytes, around: int, most: int) -> bytes:
    found, rest = b"", body
    for _ in range(MOST_MEMBERS if around == _GZIP else 1):
        stream = zlib.decompressobj(around)
        found += stream.decompress(rest, most + 1 - len(found))
        if len(found) > most:
            raise TooLargeError(fault("body_too_large_unpacked", most=most))
        if not stream.eof:
            raise UnreadableError(fault("packed_cut"))
        rest = stream.unused_data
        if not rest:
            return found
    raise UnreadableError(fault("packed_goes_on"))
