"""Decodes bytes by a charset that a sender named. Python's codecs that are not charsets (zip, idna) are excluded.

The names are those of the WHATWG Encoding Standard (https://encoding.spec.whatwg.org/#names-and-labels), because it is
browsers that send other charsets than UTF-8; each is read by the codec whose bytes include what browsers write.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable
from typing import TypeVar

from relay.core.errors import UnreadableError, WrongCharsetError
from relay.core.faults import fault

UTF_8 = "utf-8"
_LABELS = {
    UTF_8: "utf-8 utf8 us-ascii ascii",  # what is ASCII is UTF-8; where it says so and is not, it is mostly UTF-8
    "utf-16": "utf-16 ucs-2 unicode",
    "utf-16-le": "utf-16le",
    "utf-16-be": "utf-16be",
    "gb18030": "gb18030 gbk gb2312 x-gbk",
    "big5hkscs": "big5 big5-hkscs x-x-big5",
    "cp932": "shift_jis shift-jis sjis windows-31j",
    "euc_jp": "euc-jp x-euc-jp",
    "cp949": "euc-kr ks_c_5601-1987 windows-949",
    "cp866": "ibm866 cp866",
    "cp874": "windows-874 tis-620 iso-8859-11",
    "koi8-r": "koi8-r koi8",
    "koi8-u": "koi8-u koi8-ru",
    "mac-roman": "macintosh x-mac-roman",
    "mac-cyrillic": "x-mac-cyrillic x-mac-ukrainian",
    **{f"iso8859-{part}": f"iso-8859-{part}" for part in (2, 3, 4, 5, 6, 7, 8, 10, 13, 14, 15, 16)},
    **{f"cp125{page}": f"windows-125{page} cp125{page} x-cp125{page}" for page in range(9)},
}
# Senders that name Latin-1 send the Windows charset, with its dashes and quotes; the same holds for the Turkish one.
_LABELS["cp1252"] += " iso-8859-1 latin1 latin-1 l1"
_LABELS["cp1254"] += " iso-8859-9 latin5 latin-5 l5"
CODECS = {label: codec for codec, labels in _LABELS.items() for label in labels.split()}
_WHOLE_UNICODE = {UTF_8, "utf-16", "utf-16-le", "utf-16-be", "gb18030"}
_REFERENCE = re.compile(r"&#([1-9][0-9]{2,6});")

_WINDOWS = {"cp874", *(f"cp125{page}" for page in range(9))}

Read = TypeVar("Read")


def _control(error: UnicodeError) -> tuple[str, int]:
    """Decode as WHATWG's Windows charsets do where Python's have no character: as the control character of that
    number.
    """
    if isinstance(error, UnicodeDecodeError) and 0x80 <= (byte := error.object[error.start]) < 0xA0:
        return chr(byte), error.start + 1
    raise error


codecs.register_error("controls", _control)


def codec_of(label: str) -> str | None:
    """Python's name for a charset, found by a sender's name for it, in any case; None if it is unknown."""
    return CODECS.get(label.strip(" \t'\"").lower())


def read_text(encoded: bytes, charset: str = UTF_8) -> str:
    """Decode a text. Raises UnreadableError for an unknown charset and for NUL, WrongCharsetError for other bytes."""
    codec = codec_of(charset)
    if codec is None:
        raise UnreadableError(fault("charset_unknown"))
    text = decode(encoded, codec)
    if "\0" in text:
        raise UnreadableError(fault("nul_character"))
    return text


def decode(encoded: bytes, codec: str) -> str:
    """Decode a text with a codec of `codec_of`. Raises WrongCharsetError."""
    try:
        return encoded.decode(codec, "controls" if codec in _WINDOWS else "strict")
    except UnicodeDecodeError:
        raise WrongCharsetError(fault("charset_wrong")) from None


def decode_form(encoded: bytes, codec: str) -> str:
    """Decode the content of a form with a codec of `codec_of`. Raises WrongCharsetError.

    Where the charset of a page lacks a character, browsers send `&#N;` in its place (WHATWG URL, "percent-encode after
    encoding"; HTML, "multipart/form-data encoding algorithm"): it becomes that character again. Where a charset has all
    of Unicode, `&#N;` is what somebody has typed, and stays.
    """
    text = decode(encoded, codec)
    if codec in _WHOLE_UNICODE or "&#" not in text:
        return text
    return _REFERENCE.sub(_character, text)


def _character(reference: re.Match[str]) -> str:
    number = int(reference[1])
    # Every charset has ASCII, so a browser never writes it so; half a surrogate pair is no character.
    if number < 0x80 or 0xD800 <= number < 0xE000 or number > 0x10FFFF:
        return reference[0]
    return chr(number)


def guesses(encoded: bytes) -> list[str]:
    """Candidate decodings of bytes, for a search; empty for UTF-8."""
    try:
        encoded.decode(UTF_8)
    except UnicodeDecodeError:
        others = sorted(set(CODECS.values()) - _WHOLE_UNICODE)
        return [_REFERENCE.sub(_character, encoded.decode(codec, "replace")) for codec in others]
    return []


def by_charset(named: str | None, fallback: str | None, read: Callable[[str], Read]) -> Read:
    """Call `read` with the codec of the named charset; without one, with UTF-8, and if that fails with the fallback.

    named, fallback: names as senders and operators write them. Raises UnreadableError where `named` is unknown, and
    what `read` raises.
    """
    if named is not None:
        codec = codec_of(named)
        if codec is None:
            raise UnreadableError(fault("charset_unknown"))
        # No browser sends a form in UTF-16 (WHATWG Encoding, "get an output encoding").
        return read(UTF_8 if codec.startswith("utf-16") else codec)
    try:
        return read(UTF_8)
    except WrongCharsetError:
        spare = codec_of(fallback) if fallback else None
        if spare is None:
            raise
        return read(spare)
