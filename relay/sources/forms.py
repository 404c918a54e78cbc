"""Reads forms: urlencoded and multipart bodies, and queries. Names with PHP brackets become nested values.

`a[b]=1` is {"a": {"b": "1"}}, `a[]=1&a[]=2` is {"a": ["1", "2"]}, and a plain name that comes twice keeps all its
values as a list. The bytes are never trusted: whatever is wrong with them is an UnreadableError.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any
from urllib.parse import unquote_to_bytes

from relay.core.errors import UnreadableError
from relay.core.faults import fault
from relay.sources.charsets import by_charset, codec_of, decode_form, read_text

MAX_VALUES = 10_000
"""Values of a body; of a form, each level of each name counts like one, for each is work and each may become one."""
MAX_DEPTH = 64
MAX_PART_HEAD = 8192

_BRACKETED = re.compile(r"([^\[\]]+)((?:\[[^\[\]]*\])+)")
_INDEX = re.compile(r"0|[1-9][0-9]{0,17}")
_CHARSET_PART = re.compile(rb';\s*name="?_charset_"?\s*(?:[;\r]|$)', re.IGNORECASE)
_PARAMETER = re.compile(r';\s*([A-Za-z*]+)\s*=\s*("(?:[^"\\]|\\.)*"|[^\s;"]*)', re.DOTALL)

Leaf = str | dict[str, Any]
"""A value of a form: text, or what is kept of a file."""


def read_query(query: str, fallback: str | None = None) -> dict[str, Any]:
    """A query as a map. fallback: as of read_urlencoded. Raises UnreadableError."""
    return read_urlencoded(query.encode("utf-8", "surrogatepass"), fallback=fallback) if query else {}


def read_urlencoded(body: bytes, charset: str | None = None, fallback: str | None = None) -> dict[str, Any]:
    """An `application/x-www-form-urlencoded` body (WHATWG URL, section 5) as a map. Raises UnreadableError.

    charset: what the content type names; else the form's field `_charset_` may, which browsers fill in (WHATWG HTML,
    "constructing the entry list"). fallback: of a form that names none and is no UTF-8.
    """
    if body.count(b"&") > MAX_VALUES:
        raise _too_many()
    if b"\0" in body or b"%00" in body:
        raise UnreadableError(fault("nul_character"))
    pieces: list[bytes] = []
    for field in body.split(b"&"):
        if field:
            name, _, value = field.partition(b"=")
            pieces += name, value
    # Before anything is made of them: a megabyte of levels is refused for the price of counting its brackets.
    if _brackets(body) > MAX_VALUES and sum(map(_brackets, pieces[::2])) > MAX_VALUES:
        raise _too_many()
    if charset is None and b"_charset_=" in body:
        charset = _charset_among(zip(pieces[::2], pieces[1::2], strict=True))
    # All of them at once, with NUL between, which none of them holds: one by one takes several times as long.
    plain = unquote_to_bytes(b"\0".join(pieces).replace(b"+", b" "))
    texts = by_charset(charset, fallback, lambda codec: decode_form(plain, codec)).split("\0")
    return nest(zip(texts[::2], texts[1::2], strict=False))


def _brackets(encoded: bytes) -> int:
    return encoded.count(b"[") + encoded.count(b"%5B") + encoded.count(b"%5b")


def _charset_among(fields: Iterable[tuple[bytes, bytes]]) -> str | None:
    """What the field `_charset_` names; None where there is no such field, or it names nothing that is known."""
    for name, value in fields:
        if name == b"_charset_" and codec_of(label := value.decode("ascii", "replace")):
            return label
    return None


def read_multipart(body: bytes, content_type: str, fallback: str | None = None) -> dict[str, Any]:
    """A `multipart/form-data` body (RFC 7578) as a map. fallback: as of read_urlencoded. Raises UnreadableError.

    Of a file only its name and size are kept: {"filename": "cv.pdf", "size": 1234}.
    """
    given = parameters(content_type)
    boundary = given.get("boundary", "")
    if not boundary or len(boundary) > 200 or not boundary.isascii():
        raise UnreadableError(fault("multipart_no_boundary"))
    body, divider = b"\r\n" + body, b"\r\n--" + boundary.encode("ascii")
    if body.count(divider) > MAX_VALUES:
        raise _too_many()
    sections = body.split(divider)
    if len(sections) < 2 or not sections[-1].startswith(b"--"):
        raise UnreadableError(fault("multipart_no_end"))
    parts = [_split(section) for section in sections[1:-1]]
    charset = given.get("charset") or _charset_of_parts(parts)
    return nest(by_charset(charset, fallback, lambda codec: [_field(head, content, codec) for head, content in parts]))


def _split(section: bytes) -> tuple[bytes, bytes]:
    """The head of a part, and what it holds."""
    head, blank, content = section.partition(b"\r\n\r\n")
    if not blank or len(head) > MAX_PART_HEAD:
        raise UnreadableError(fault("part_no_head"))
    return head, content


def _charset_of_parts(parts: Iterable[tuple[bytes, bytes]]) -> str | None:
    """What the part `_charset_` names (RFC 7578, section 4.6)."""
    return _charset_among((b"_charset_", content) for head, content in parts if _CHARSET_PART.search(head))


def _field(head: bytes, content: bytes, codec: str) -> tuple[str, Leaf]:
    """The name of a part and its value. codec: of the form, where the part does not name its own."""
    headers = dict(_header(line) for line in _text(head, codec).split("\r\n")[1:])
    disposition = parameters(headers.get("content-disposition", ""))
    if "name" not in disposition:
        raise UnreadableError(fault("part_no_name"))
    if "filename" in disposition:
        # Never the content: a rule cannot use it, and the portal takes no files on start.
        return disposition["name"], {"filename": disposition["filename"], "size": len(content)}
    own = parameters(headers.get("content-type", "")).get("charset")
    return disposition["name"], read_text(content, own) if own else _text(content, codec)


def _text(encoded: bytes, codec: str) -> str:
    text = decode_form(encoded, codec)
    if "\0" in text:
        raise UnreadableError(fault("nul_character"))
    return text


def _header(line: str) -> tuple[str, str]:
    name, _, value = line.partition(":")
    return name.strip().lower(), value.strip()


def parameters(header: str) -> dict[str, str]:
    """The `name=value` parameters of a header such as Content-Type, names in lower case."""
    if ";" not in header:
        return {}
    found = {name.lower(): _unquoted(value) for name, value in _PARAMETER.findall(header)}
    for name in [name for name in found if name.endswith("*")]:
        # RFC 8187's form, which Python's requests uses for names that are not ASCII: charset'language'percent-encoded.
        charset, _, value = found.pop(name).partition("'")
        found[name.rstrip("*")] = read_text(unquote_to_bytes(value.partition("'")[2]), charset)
    return found


def _unquoted(value: str) -> str:
    # Only \" is an escape here: browsers send C:\names as they are (RFC 7578, section 4.2 and WHATWG's form encoding).
    return value[1:-1].replace('\\"', '"') if value.startswith('"') else value


class _Branch(dict[str, Any]):
    """A level that brackets made, as opposed to a leaf that is itself a map."""

    next_index = 0

    def key(self, step: str) -> str:
        """The key for what stands between two brackets: nothing stands for the next free index."""
        step = step or str(self.next_index)
        if step[0].isdigit() and _INDEX.fullmatch(step):
            self.next_index = max(self.next_index, int(step) + 1)
        return step


class _Repeated(list[Any]):
    """The values of a name that came more than once."""


def nest(pairs: Iterable[tuple[str, Leaf]]) -> dict[str, Any]:
    """Fields as nested values, as PHP's parse_str nests them. Raises UnreadableError: too deep, or too many values."""
    root, left = _Branch(), MAX_VALUES
    for name, leaf in pairs:
        match = _BRACKETED.fullmatch(name) if name.endswith("]") else None
        steps = [match[1], *match[2][1:-1].split("][")] if match else [name]
        if len(steps) > MAX_DEPTH:
            raise UnreadableError(fault("too_deep", max_depth=MAX_DEPTH))
        left -= len(steps)
        if left < 0:
            raise _too_many()
        _put(root, steps, leaf)
    return {name: _settled(value) for name, value in root.items()}


def _too_many() -> UnreadableError:
    return UnreadableError(fault("too_many_values", most_values=MAX_VALUES))


def _put(root: _Branch, steps: list[str], leaf: Leaf) -> None:
    level, key = root, steps[0]
    for step in steps[1:]:
        inner = level.get(key)
        if type(inner) is not _Branch:
            # As in PHP, a later field replaces an earlier one that has another shape.
            inner = level[key] = _Branch()
        level, key = inner, inner.key(step)
    earlier = level.get(key)
    kind = type(earlier)
    if earlier is None or kind is _Branch:
        level[key] = leaf
    elif kind is _Repeated:
        earlier.append(leaf)
    else:
        level[key] = _Repeated((earlier, leaf))


def _settled(value: Any) -> Any:
    kind = type(value)
    if kind is _Repeated:
        return list(value)
    if kind is not _Branch:
        return value
    if "0" in value and list(value) == [str(index) for index in range(len(value))]:
        return [_settled(item) for item in value.values()]
    return {key: _settled(item) for key, item in value.items()}
