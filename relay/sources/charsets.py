"""Turns bytes into text by a charset a sender named. Python's codecs that are no charsets (zip, idna) stay shut."""

from __future__ import annotations

import re

from relay.core.errors import UnreadableError

_CHARSETS = re.compile(
    r"utf-?8|us-ascii|ascii|latin-?1|iso-8859-\d{1,2}|windows-125[0-8]|cp125[0-8]|koi8-[ru]"
    r"|utf-16(le|be)?|gb18030|gbk|gb2312|big5|shift_jis|euc-(jp|kr)",
    re.ASCII,
)


def read_text(encoded: bytes, charset: str) -> str:
    """The text. Raises UnreadableError for an unknown charset, for bytes that are none of it, and for NUL."""
    known = charset.strip().lower()
    if not _CHARSETS.fullmatch(known):
        raise UnreadableError("unknown charset")
    try:
        text = encoded.decode(known)
    except (UnicodeDecodeError, LookupError):
        raise UnreadableError("bytes that are not of their charset") from None
    if "\0" in text:
        raise UnreadableError("a NUL character")
    return text
