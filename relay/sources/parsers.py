"""Reads a body by its content type. Whatever the bytes are: a value, UnreadableError or UnsupportedTypeError.

A body of ordinary size is read once, by the C parser; counting its punctuation tells whether a closer look is needed.
"""

from __future__ import annotations

import json
import math
from typing import Any, NoReturn

from relay.core.errors import UnreadableError, UnsupportedTypeError
from relay.sources.charsets import read_text
from relay.sources.forms import MAX_DEPTH, MAX_VALUES, parameters, read_multipart, read_urlencoded

JSON = "application/json"
FORM = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data"


def parse_body(content_type: str, body: bytes) -> Any:
    """The body as plain values: maps, lists, text, numbers, true, false and null.

    JSON is read from `application/json`, `text/json`, anything `+json`, and `text/plain` (some form plugins send
    their JSON so). Raises UnreadableError (broken, empty, too deep, too many values, NaN, NUL, half a surrogate
    pair, wrong charset) and UnsupportedTypeError.
    """
    kind = kind_of(content_type)
    if kind is None:
        raise UnsupportedTypeError("expected JSON, a urlencoded form or multipart/form-data")
    if not body:
        raise UnreadableError("no body")
    if kind == MULTIPART:
        return read_multipart(body, content_type)
    charset = parameters(content_type).get("charset", "utf-8")
    return read_json(body, charset) if kind == JSON else read_urlencoded(body, charset)


def kind_of(content_type: str) -> str | None:
    """Which of the three kinds that are read a Content-Type names: JSON, FORM or MULTIPART; None: none of them."""
    name = content_type.partition(";")[0].strip().lower()
    if name in {JSON, "text/json", "text/plain"} or name.endswith("+json"):
        return JSON
    return name if name in {FORM, MULTIPART} else None


def read_json(body: bytes, charset: str = "utf-8") -> Any:
    """A JSON text (RFC 8259), also with a byte order mark. Raises UnreadableError."""
    text = read_text(body, charset).removeprefix("\ufeff")
    try:
        content = json.loads(text, parse_float=_finite, parse_constant=_refuse)
    except RecursionError:
        raise UnreadableError(f"deeper than {MAX_DEPTH} levels") from None
    except ValueError:
        # Also an integer of more digits than Python reads.
        raise UnreadableError("not valid JSON") from None
    if _is_suspect(text):
        _inspect(content)
    return content


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise UnreadableError("a number that is too large")
    return number


def _refuse(_name: str) -> NoReturn:
    raise UnreadableError("NaN and Infinity are not JSON")


def _is_suspect(text: str) -> bool:
    """Whether the punctuation leaves room for too much depth, too many values, an escaped NUL or a lone surrogate."""
    return (
        text.count("[") + text.count("{") > MAX_DEPTH
        or text.count(",") + text.count(":") >= MAX_VALUES
        or "\\u0000" in text
        or "\\ud" in text
        or "\\uD" in text
    )


def _inspect(content: Any) -> None:
    waiting, values = [(content, 1)], 0
    while waiting:
        value, depth = waiting.pop()
        values += 1
        if isinstance(value, str):
            _inspect_text(value)
        if not isinstance(value, dict | list):
            continue
        if depth > MAX_DEPTH or values + len(value) > MAX_VALUES:
            raise UnreadableError(f"deeper than {MAX_DEPTH} levels or more than {MAX_VALUES} values")
        if isinstance(value, dict):
            _inspect_text("".join(value))
        waiting.extend((inner, depth + 1) for inner in (value.values() if isinstance(value, dict) else value))


def _inspect_text(text: str) -> None:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise UnreadableError("half a surrogate pair") from None
    if "\0" in text:
        raise UnreadableError("a NUL character")
