"""Reads a body by its content type. Whatever the bytes are: a value, UnreadableError or UnsupportedTypeError.

A body of ordinary size is read once, by the C parser; counting its punctuation tells whether a closer look is needed.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any, NoReturn

from relay.core.errors import UnreadableError, UnsupportedTypeError, WrongCharsetError
from relay.core.faults import Fault, fault
from relay.sources.charsets import UTF_8, by_charset, decode, read_text
from relay.sources.forms import MAX_DEPTH, MAX_VALUES, parameters, read_multipart, read_urlencoded

JSON = "application/json"
FORM = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data"
UNNAMED = "unnamed"
"""The kind of a body that has no content type."""
_ADVICE = tuple(
    (re.compile(pattern), advice)
    for pattern, advice in (
        (r".*\bsoap\b.*", fault("advice_soap")),
        (r".*[/+]xml", fault("advice_xml")),
        (r"text/html", fault("advice_html")),
        (r".*(ndjson|jsonl|jsonlines|json-lines|json-seq)", fault("advice_rows")),
        (r".*(protobuf|grpc|msgpack|messagepack|cbor|avro).*", fault("advice_binary")),
        (r"(image|audio|video|font)/.*|application/(pdf|zip|octet-stream)", fault("advice_file")),
        (r"multipart/.*", fault("advice_multipart")),
    )
)
_MARK_UTF_8, _MARKS_UTF_16 = b"\xef\xbb\xbf", (b"\xff\xfe", b"\xfe\xff")
_CONTAINERS = (dict, list)
_FORM_SHAPED = re.compile(rb"[^\x00-\x20\x7f\"<>\\^`{|}]*")
"""Names and values as clients write them into a form: blanks, quotes and other languages' brackets are encoded."""


def parse_body(
    content_type: str, body: bytes, fallback_charset: str | None = None, most_values: int = MAX_VALUES
) -> Any:
    """The body as plain values: maps, lists, text, numbers, true, false and null.

    JSON is read from `application/json`, `text/json`, anything `+json`, and `text/plain` (some form plugins send their
    JSON so). A urlencoded form that is, as a whole, a JSON map or list is JSON: curl -d, Google Apps Script and
    PowerShell send it so. Without a content type a body is what it looks like.
    fallback_charset: of a form that names none and is no UTF-8. most_values: of JSON.
    Raises UnreadableError (broken, empty, too deep, too many values, NaN, NUL, half a surrogate pair, wrong charset)
    and UnsupportedTypeError.
    """
    kind = kind_of(content_type)
    if kind is None:
        raise UnsupportedTypeError(_refusal(content_type))
    if not body:
        raise UnreadableError(fault("no_body"))
    if kind == MULTIPART:
        return read_multipart(body, content_type, fallback_charset)
    charset = parameters(content_type).get("charset") or None
    if kind == JSON:
        return read_json(body, charset or _charset_by_mark(body), most_values)
    content = _json_instead(body, charset, fallback_charset, most_values)
    if content is not None:
        return content
    if kind == UNNAMED and not (b"=" in body and _FORM_SHAPED.fullmatch(body)):
        return _refuse_unnamed(body)
    return read_urlencoded(body, charset, fallback_charset)


def kind_of(content_type: str) -> str | None:
    """Which of the kinds that are read a Content-Type names: JSON, FORM, MULTIPART or UNNAMED; None: none of them."""
    if content_type == JSON:
        return JSON
    name = _name_of(content_type)
    if name in {JSON, "text/json", "text/plain"} or name.endswith("+json"):
        return JSON
    if not name:
        return UNNAMED
    return name if name in {FORM, MULTIPART} else None


def _name_of(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()


def _refusal(content_type: str) -> Fault:
    """What is read, and where it is known what a sender of this type can do, that."""
    name = _name_of(content_type)
    advice = next((advice for pattern, advice in _ADVICE if pattern.fullmatch(name)), None)
    return fault("expected_content_type_advice", advice=advice) if advice else fault("expected_content_type")


def _charset_by_mark(body: bytes) -> str:
    """JSON is UTF-8 (RFC 8259, section 8.1); where Windows programs write UTF-16, they put a mark before it."""
    return "utf-16" if body.startswith(_MARKS_UTF_16) else UTF_8


def _begins_as_json(body: bytes) -> bool:
    return body.removeprefix(_MARK_UTF_8).lstrip(b" \t\r\n").startswith((b"{", b"["))


def _json_instead(body: bytes, charset: str | None, fallback: str | None, most_values: int) -> Any | None:
    """The JSON map or list that the body is as a whole, to its last byte; None where it is none."""
    if not _begins_as_json(body):
        return None
    try:
        return by_charset(charset, fallback, lambda codec: _loaded(decode(body, codec), most_values))
    except (ValueError, WrongCharsetError):
        return None


def _refuse_unnamed(body: bytes) -> NoReturn:
    if _begins_as_json(body):
        read_json(body)
    raise UnsupportedTypeError(fault("content_type_missing", expected=fault("expected_content_type")))


def read_json(body: bytes, charset: str = UTF_8, most_values: int = MAX_VALUES) -> Any:
    """A JSON text (RFC 8259), also with a byte order mark. Raises UnreadableError."""
    try:
        return _loaded(read_text(body, charset), most_values)
    except ValueError as error:
        raise UnreadableError(_fault(error)) from None


def _loaded(text: str, most_values: int) -> Any:
    """Raises ValueError where it is no JSON, UnreadableError where it is JSON that is not taken."""
    text = text.removeprefix("\ufeff")
    try:
        content = _DECODER.decode(text)
    except RecursionError:
        raise UnreadableError(fault("too_deep", max_depth=MAX_DEPTH)) from None
    # The punctuation tells whether there is room for too much, and the escapes whether there are such characters.
    if text.count("[") + text.count("{") > MAX_DEPTH or _may_hold(text, most_values):
        check_size(content, most_values)
    if "\\" in text and ("\\u0000" in text or "\\ud" in text or "\\uD" in text):
        _check_texts(content)
    return content


def _may_hold(text: str, most_values: int) -> bool:
    """Whether a JSON text can have more values. Each takes two characters: its own, and a comma or a bracket."""
    return len(text) > 2 * most_values and text.count(",") + text.count(":") >= most_values


def _fault(error: ValueError) -> Fault:
    """Where it breaks, without a word of what stands there."""
    if not isinstance(error, json.JSONDecodeError):
        return fault("json_long_number")
    if error.msg == "Extra data":  # the parser of the standard library has no other sign
        return fault("json_goes_on", line=error.lineno, column=error.colno)
    return fault("json_invalid", line=error.lineno, column=error.colno)


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise UnreadableError(fault("number_too_large"))
    return number


def _refuse(_name: str) -> NoReturn:
    raise UnreadableError(fault("number_not_finite"))


_DECODER = json.JSONDecoder(parse_float=_finite, parse_constant=_refuse)


def check_size(content: Any, most_values: int) -> None:
    """Raises UnreadableError where a body is too deep, or has too many values."""
    waiting, values = [(content, 1)] if isinstance(content, _CONTAINERS) else [], 1
    while waiting:
        value, depth = waiting.pop()
        values += len(value)
        if depth > MAX_DEPTH or values > most_values:
            raise UnreadableError(fault("too_deep_or_many", max_depth=MAX_DEPTH, most_values=most_values))
        members = value.values() if isinstance(value, dict) else value
        waiting += [(inner, depth + 1) for inner in members if isinstance(inner, _CONTAINERS)]


def _check_texts(content: Any) -> None:
    waiting = [content]
    while waiting:
        value = waiting.pop()
        if isinstance(value, str):
            _check_text(value)
        elif isinstance(value, dict):
            _check_text("".join(value))
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value


def _check_text(text: str) -> None:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise UnreadableError(fault("half_surrogate")) from None
    if "\0" in text:
        raise UnreadableError(fault("nul_character"))
