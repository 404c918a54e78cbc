"""Turns the bytes of a body into plain values: unpacks it, reads it by its content type, and knows its sender's habits.

Names with PHP brackets become nested values: `a[b]=1` is {"a": {"b": "1"}}, `a[]=1&a[]=2` is {"a": ["1", "2"]}, and a
plain name that comes twice keeps all its values as a list.

The bytes are never trusted. The result is a value, UnreadableError or UnsupportedTypeError. A stranger's bytes come
here before anything is proven, so all work has a limit: unpacking stops at the size that the source accepts.
"""

from __future__ import annotations

import base64
import json
import math
import re
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NoReturn
from urllib.parse import unquote_to_bytes

from relay.core.errors import TooLargeError, UnreadableError, UnsupportedTypeError, WrongCharsetError
from relay.core.faults import Fault, fault
from relay.sources.charsets import UTF_8, by_charset, codec_of, decode, decode_form, read_text

MAX_VALUES = 10_000
"""Values of a body. In a form, each level of each name counts as one, because each costs work and may become a
value.
"""
MAX_DEPTH = 64
MAX_PART_HEAD = 8192

_BRACKETED = re.compile(r"([^\[\]]+)((?:\[[^\[\]]*\])+)")
_INDEX = re.compile(r"0|[1-9][0-9]{0,17}")
_CHARSET_PART = re.compile(rb';\s*name="?_charset_"?\s*(?:[;\r]|$)', re.IGNORECASE)
_PARAMETER = re.compile(r';\s*([A-Za-z*]+)\s*=\s*("(?:[^"\\]|\\.)*"|[^\s;"]*)', re.DOTALL)

Leaf = str | dict[str, Any]
"""A value of a form: text, or the name and size of a file."""


def read_query(query: str, fallback: str | None = None, *, as_sent: bool = False) -> dict[str, Any]:
    """Read a query as a map. fallback: see read_urlencoded; as_sent: see nest. Raises UnreadableError."""
    encoded = query.encode("utf-8", "surrogatepass")
    return read_urlencoded(encoded, fallback=fallback, as_sent=as_sent) if query else {}


def read_urlencoded(
    body: bytes, charset: str | None = None, fallback: str | None = None, *, as_sent: bool = False
) -> dict[str, Any]:
    """Read an `application/x-www-form-urlencoded` body (WHATWG URL, section 5) as a map. Raises UnreadableError.

    charset: the one that the content type names; without it, the form's field `_charset_` counts, which browsers fill
    in (WHATWG HTML, "constructing the entry list"). fallback: for a form that names none and is not UTF-8. as_sent: see
    nest.
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
    # Count brackets first: refusing a megabyte of levels then costs only the counting.
    if _brackets(body) > MAX_VALUES and sum(map(_brackets, pieces[::2])) > MAX_VALUES:
        raise _too_many()
    if charset is None and b"_charset_=" in body:
        charset = _charset_among(zip(pieces[::2], pieces[1::2], strict=True))
    # Decode all at once, joined by NUL, which none of them contains: one by one takes several times as long.
    plain = unquote_to_bytes(b"\0".join(pieces).replace(b"+", b" "))
    texts = by_charset(charset, fallback, lambda codec: decode_form(plain, codec)).split("\0")
    return nest(zip(texts[::2], texts[1::2], strict=False), as_sent=as_sent)


def _brackets(encoded: bytes) -> int:
    return encoded.count(b"[") + encoded.count(b"%5B") + encoded.count(b"%5b")


def _charset_among(fields: Iterable[tuple[bytes, bytes]]) -> str | None:
    """The charset in the field `_charset_`; None if the field is missing or names no known charset."""
    for name, value in fields:
        if name == b"_charset_" and codec_of(label := value.decode("ascii", "replace")):
            return label
    return None


def read_multipart(
    body: bytes, content_type: str, fallback: str | None = None, *, as_sent: bool = False
) -> dict[str, Any]:
    """Read a `multipart/form-data` body (RFC 7578) as a map. Raises UnreadableError.

    fallback: see read_urlencoded. as_sent: see nest.
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
    fields = by_charset(charset, fallback, lambda codec: [_field(head, content, codec) for head, content in parts])
    return nest(fields, as_sent=as_sent)


def _split(section: bytes) -> tuple[bytes, bytes]:
    """The head and the content of a part."""
    head, blank, content = section.partition(b"\r\n\r\n")
    if not blank or len(head) > MAX_PART_HEAD:
        raise UnreadableError(fault("part_no_head"))
    return head, content


def _charset_of_parts(parts: Iterable[tuple[bytes, bytes]]) -> str | None:
    """The charset in the part `_charset_` (RFC 7578, section 4.6)."""
    return _charset_among((b"_charset_", content) for head, content in parts if _CHARSET_PART.search(head))


def _field(head: bytes, content: bytes, codec: str) -> tuple[str, Leaf]:
    """The name and the value of a part. codec: the form's, used if the part names none."""
    headers = dict(_header(line) for line in _text(head, codec).split("\r\n")[1:])
    disposition = parameters(headers.get("content-disposition", ""))
    if "name" not in disposition:
        raise UnreadableError(fault("part_no_name"))
    if "filename" in disposition:
        # The content is dropped: no rule can use it, and a portal takes no files on start.
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
    """A level made by brackets. A leaf that is itself a map is a plain dict."""

    next_index = 0

    def key(self, step: str) -> str:
        """The key for the text between two brackets; empty brackets mean the next free index."""
        step = step or str(self.next_index)
        if step[0].isdigit() and _INDEX.fullmatch(step):
            self.next_index = max(self.next_index, int(step) + 1)
        return step


class _Repeated(list[Any]):
    """The values of a name that came more than once."""


def nest(pairs: Iterable[tuple[str, Leaf]], *, as_sent: bool = False) -> dict[str, Any]:
    """Fields as nested values, as PHP's parse_str nests them. Raises UnreadableError: too deep, or too many values.

    as_sent: a name that comes twice is refused, because a signature covers one value of a name.
    """
    root, left = _Branch(), MAX_VALUES
    for name, leaf in pairs:
        match = _BRACKETED.fullmatch(name) if name.endswith("]") else None
        steps = [match[1], *match[2][1:-1].split("][")] if match else [name]
        if len(steps) > MAX_DEPTH:
            raise UnreadableError(fault("too_deep", max_depth=MAX_DEPTH))
        left -= len(steps)
        if left < 0:
            raise _too_many()
        _put(root, steps, leaf, as_sent=as_sent)
    return {name: _settled(value) for name, value in root.items()}


def _too_many() -> UnreadableError:
    return UnreadableError(fault("too_many_values", most_values=MAX_VALUES))


def _put(root: _Branch, steps: list[str], leaf: Leaf, *, as_sent: bool) -> None:
    level, key = root, steps[0]
    for step in steps[1:]:
        inner = level.get(key)
        if type(inner) is not _Branch:
            if as_sent and inner is not None:
                raise UnreadableError(fault("form_name_twice"))
            # As in PHP, a later field replaces an earlier one that has another shape.
            inner = level[key] = _Branch()
        level, key = inner, inner.key(step)
    earlier = level.get(key)
    if as_sent and earlier is not None:
        raise UnreadableError(fault("form_name_twice"))
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


JSON = "application/json"
FORM = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data"
UNNAMED = "unnamed"
"""The kind of a body that has no content type."""
_ADVICE = tuple(
    (re.compile(pattern), advice)
    for pattern, advice in (
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
    content_type: str,
    body: bytes,
    fallback_charset: str | None = None,
    most_values: int = MAX_VALUES,
    *,
    as_sent: bool = False,
) -> Any:
    """The body as plain values: maps, lists, text, numbers, true, false and null.

    JSON is read from `application/json`, `text/json`, anything `+json`, and `text/plain` (some form plugins send their
    JSON so). A urlencoded form that is, as a whole, a JSON map or list is JSON: curl -d, Google Apps Script and
    PowerShell send it so. Without a content type a body is what it looks like.
    fallback_charset: of a form that names none and is no UTF-8. most_values: of JSON. as_sent: the numbers of JSON are
    texts, as their sender wrote them, and a name that comes twice is refused.
    Raises UnreadableError (broken, empty, too deep, too many values, NaN, NUL, half a surrogate pair, wrong charset)
    and UnsupportedTypeError.
    """
    kind = kind_of(content_type)
    if kind is None:
        raise UnsupportedTypeError(_refusal(content_type))
    if not body:
        raise UnreadableError(fault("no_body"))
    if kind == MULTIPART:
        return read_multipart(body, content_type, fallback_charset, as_sent=as_sent)
    charset = parameters(content_type).get("charset") or None
    if kind == JSON:
        return read_json(body, charset or _charset_by_mark(body), most_values, as_sent=as_sent)
    content = _json_instead(body, charset, fallback_charset, most_values, as_sent=as_sent)
    if content is not None:
        return content
    if kind == UNNAMED and not (b"=" in body and _FORM_SHAPED.fullmatch(body)):
        return _refuse_unnamed(body)
    return read_urlencoded(body, charset, fallback_charset, as_sent=as_sent)


def kind_of(content_type: str) -> str | None:
    """The kind of body that a Content-Type names: JSON, FORM, MULTIPART or UNNAMED; None if it cannot be read."""
    if content_type == JSON:
        return JSON
    name = _name_of(content_type)
    if name in {JSON, "text/json", "text/plain"} or name.endswith("+json"):
        return JSON
    if not name:
        return UNNAMED
    return name if name in {FORM, MULTIPART} else None


def is_xml(content_type: str) -> bool:
    """Whether a Content-Type names XML (RFC 7303). Only sources that ask for it read it."""
    name = _name_of(content_type)
    return name in {"application/xml", "text/xml"} or name.endswith("+xml")


def _name_of(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()


def _refusal(content_type: str) -> Fault:
    """The fault of a content type that cannot be read, with advice for the sender if there is any."""
    name = _name_of(content_type)
    advice = next((advice for pattern, advice in _ADVICE if pattern.fullmatch(name)), None)
    return fault("expected_content_type_advice", advice=advice) if advice else fault("expected_content_type")


def _charset_by_mark(body: bytes) -> str:
    """JSON is UTF-8 (RFC 8259, section 8.1); where Windows programs write UTF-16, they put a mark before it."""
    return "utf-16" if body.startswith(_MARKS_UTF_16) else UTF_8


def _begins_as_json(body: bytes) -> bool:
    return body.removeprefix(_MARK_UTF_8).lstrip(b" \t\r\n").startswith((b"{", b"["))


def _json_instead(
    body: bytes, charset: str | None, fallback: str | None, most_values: int, *, as_sent: bool
) -> Any | None:
    """The JSON map or list that the whole body is, to its last byte; None if it is not one."""
    if not _begins_as_json(body):
        return None
    try:
        return by_charset(charset, fallback, lambda codec: _loaded(decode(body, codec), most_values, as_sent=as_sent))
    except (ValueError, WrongCharsetError):
        return None


def _refuse_unnamed(body: bytes) -> NoReturn:
    if _begins_as_json(body):
        read_json(body)
    raise UnsupportedTypeError(fault("content_type_missing", expected=fault("expected_content_type")))


def read_json(body: bytes, charset: str = UTF_8, most_values: int = MAX_VALUES, *, as_sent: bool = False) -> Any:
    """A JSON text (RFC 8259), also with a byte order mark. as_sent: see parse_body. Raises UnreadableError."""
    try:
        return _loaded(read_text(body, charset), most_values, as_sent=as_sent)
    except ValueError as error:
        raise UnreadableError(_fault(error)) from None


def _loaded(text: str, most_values: int, *, as_sent: bool) -> Any:
    """Read JSON. Raises ValueError if it is not JSON, UnreadableError if it is JSON that the relay refuses."""
    text = text.removeprefix("\ufeff")
    try:
        content = (_DECODER_AS_SENT if as_sent else _DECODER).decode(text)
    except RecursionError:
        raise UnreadableError(fault("too_deep", max_depth=MAX_DEPTH)) from None
    # Counting punctuation and looking for escapes tells whether the slower checks are needed.
    if text.count("[") + text.count("{") > MAX_DEPTH or _may_hold(text, most_values):
        check_size(content, most_values)
    if "\\" in text and ("\\u0000" in text or "\\ud" in text or "\\uD" in text):
        _check_texts(content)
    return content


def _may_hold(text: str, most_values: int) -> bool:
    """Whether a JSON text can hold more values than allowed. Each takes two characters: its own and a comma or
    bracket.
    """
    return len(text) > 2 * most_values and text.count(",") + text.count(":") >= most_values


def _fault(error: ValueError) -> Fault:
    """The place where it breaks, without quoting the text."""
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


def _each_once(members: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(members)
    if len(found) < len(members):
        raise UnreadableError(fault("form_name_twice"))
    return found


_DECODER = json.JSONDecoder(parse_float=_finite, parse_constant=_refuse)
_DECODER_AS_SENT = json.JSONDecoder(
    parse_float=str, parse_int=str, parse_constant=_refuse, object_pairs_hook=_each_once
)


def check_size(content: Any, most_values: int) -> None:
    """Raise UnreadableError if a body is too deep or has too many values."""
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


_GZIP, _ZLIB, _RAW = 16 + zlib.MAX_WBITS, zlib.MAX_WBITS, -zlib.MAX_WBITS
"""The window bits that tell zlib.decompressobj which wrapper the data has (docs.python.org/3/library/zlib.html)."""
_GZIP_HEAD = b"\x1f\x8b"
_AROUND = {"gzip": _GZIP, "x-gzip": _GZIP, "deflate": _ZLIB}
FREE, TIMES = 1_000_000, 30
"""Limits of unpacking before the proof: this many bytes, or this many times the bytes sent."""
MOST_MEMBERS = 20
"""A gzip stream may hold several members, one after the other; each costs as much to begin as a kilobyte to unpack."""


def is_packed(encoding: str) -> bool:
    """Whether a Content-Encoding says that the body is compressed.

    Some clients put the charset there (`Content-Encoding: utf-8`), which changes nothing.
    """
    name = encoding.strip().lower() if encoding else ""
    return name not in {"", "identity"} and codec_of(name) is None


def most_before_proof(sent: int, most: int) -> int:
    """The size limit for unpacking a body of an unproven sender. sent: bytes as sent; most: the source's limit.

    A stranger's kilobyte must not cost as much work as a body that takes a minute to send.
    """
    return min(most, max(FREE, TIMES * sent))


def unpack(encoding: str, body: bytes, most: int) -> bytes:
    """Undo the Content-Encoding of a body. most: bytes that the result may have.

    Raises UnsupportedTypeError for another encoding, UnreadableError for a broken stream, TooLargeError.
    """
    if not body or not is_packed(encoding):
        return body
    around = _AROUND.get(encoding.strip().lower())
    if around is None:
        raise UnsupportedTypeError(fault("encoding_unknown"))
    if around == _GZIP and not body.startswith(_GZIP_HEAD):
        # A proxy has unpacked it and left the header: no plain text begins with these bytes.
        return body
    if around == _ZLIB and not _has_zlib_head(body):
        # The standard requires zlib's format, but some clients send raw deflate data (RFC 9110, section 8.4.1.2).
        around = _RAW
    try:
        return _unpacked(body, around, most)
    except zlib.error:
        raise UnreadableError(fault("packed_broken")) from None


def _has_zlib_head(body: bytes) -> bool:
    """Whether it begins with the two bytes of RFC 1950, method and check. Raw deflate data cannot begin like that."""
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


NO_BODY = frozenset({"GET", "HEAD", "OPTIONS", "DELETE"})
"""Methods whose requests carry their values in the query if they have no body."""
MOST_OF_BATCH = 100_000
"""Values of a JSON body with many events from a proven sender."""
FIELD_NAME = r"[^\[\]]{1,200}(\[[^\[\]]{0,200}\]){0,10}"
"""A form field as it is sent: `events`, `data[fields]`; `rows[]` and `rows[][fields]` mean every row."""
_STEP = re.compile(r"[^\[\]]+|(?<=\[)(?=\])")


@dataclass(frozen=True, slots=True)
class BodyReader:
    """How to read the bodies of a source, in addition to their content type.

    json_field: a field with a JSON map whose members join the form. json_values: fields with JSON, each replaced by its
    content. fallback_charset: for a form that names no charset and is not UTF-8. most_values: limit of a JSON or XML
    body. base64_json: fields with base64 of JSON, each replaced by its content. xml: XML is read, too.
    """

    json_field: str | None = None
    json_values: tuple[str, ...] = ()
    fallback_charset: str | None = None
    most_values: int = MAX_VALUES
    base64_json: tuple[str, ...] = ()
    xml: bool = False

    def read(self, method: str, content_type: str, query: str, body: bytes) -> Any:
        """The body as plain values; for a GET, HEAD, OPTIONS or DELETE without a body, the query.

        Raises UnreadableError and UnsupportedTypeError.
        """
        content = self._content(method, content_type, query, body, as_sent=False)
        if not isinstance(content, dict):
            return content
        if self.json_values or self.base64_json:
            self._read_in_place(content)
        return self._joined(content) if self.json_field else content

    def read_as_sent(self, method: str, content_type: str, query: str, body: bytes) -> Any:
        """The same before any field of it is replaced, with the numbers of JSON as texts, as a signature covers them.

        Raises UnreadableError, also if a name comes twice, and UnsupportedTypeError.
        """
        return self._content(method, content_type, query, body, as_sent=True)

    def _content(self, method: str, content_type: str, query: str, body: bytes, *, as_sent: bool) -> Any:
        if method in NO_BODY and not body:
            return read_query(query, self.fallback_charset, as_sent=as_sent)
        if self.xml and is_xml(content_type):
            return self._read_xml(content_type, body)
        return parse_body(content_type, body, self.fallback_charset, self.most_values, as_sent=as_sent)

    def _read_xml(self, content_type: str, body: bytes) -> Any:
        # Imported only if needed: few senders send XML.
        from relay.sources.xml_bodies import read_xml  # noqa: PLC0415

        if not body:
            raise UnreadableError(fault("no_body"))
        return read_xml(body, parameters(content_type).get("charset"), self.most_values, MAX_DEPTH)

    def _read_in_place(self, form: dict[str, Any]) -> None:
        """Replace the JSON text of these fields by its content. A field that is blank or missing stays as it is."""
        count = 0
        for name in (*self.json_values, *self.base64_json):
            for holder, key in _places(form, steps_of_field(name)):
                text = holder[key]
                if isinstance(text, str) and text.strip():
                    encoded = _from_base64(name, text) if name in self.base64_json else text.encode("utf-8")
                    holder[key] = self._read_field(name, encoded)
                    count += 1
        if count > 1:
            # Each field is within the limit; all together must be, too.
            check_size(form, self.most_values)

    def _read_field(self, name: str, encoded: bytes) -> Any:
        try:
            return read_json(encoded, most_values=self.most_values)
        except UnreadableError as error:
            raise UnreadableError(fault("form_field_unreadable", name=name, why=error.message)) from None

    def _joined(self, form: dict[str, Any]) -> dict[str, Any]:
        """Merge the members of the form's JSON field into the form (GitHub's `payload`, Jotform's `rawRequest`)."""
        name = self.json_field or ""
        wrapped = form.get(name)
        if not isinstance(wrapped, str) or not wrapped.strip():
            return form
        inner = self._read_field(name, wrapped.encode("utf-8"))
        if not isinstance(inner, dict):
            raise UnreadableError(fault("form_field_no_map", name=name))
        return {other: value for other, value in form.items() if other != name} | inner


PLAIN_BODIES = BodyReader()
"""For a source whose content types are enough."""


def _from_base64(name: str, text: str) -> bytes:
    """The bytes of base64 in either alphabet, with or without padding."""
    plain = text.strip().replace("-", "+").replace("_", "/").rstrip("=")
    try:
        return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    except ValueError:
        raise UnreadableError(fault("form_field_no_base64", name=name)) from None


def steps_of_field(name: str) -> list[str]:
    """The keys on the way to a field: `data[client]` is at data, client."""
    return _STEP.findall(name)


def _places(holder: Any, steps: list[str]) -> Iterator[tuple[Any, Any]]:
    """The map or list that holds a value of the field, and the key in it. Empty brackets mean every key."""
    for key in _keys(holder, steps[0]):
        value = holder[key]
        if len(steps) > 1:
            yield from _places(value, steps[1:])
        elif isinstance(value, list):
            # The field was sent several times.
            yield from ((value, index) for index in range(len(value)))
        else:
            yield holder, key


def _keys(holder: Any, step: str) -> list[Any]:
    if isinstance(holder, dict):
        return [key for key in holder if key == step or not step]
    if isinstance(holder, list):
        return [index for index in range(len(holder)) if str(index) == step or not step]
    return []
