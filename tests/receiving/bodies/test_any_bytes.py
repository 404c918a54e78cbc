"""Whatever bytes come, under whatever name: a value that can be kept and shown, or a refusal that says why."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from hypothesis import example, given, settings
from hypothesis import strategies as st

from relay.core.errors import UnreadableError, UnsupportedTypeError
from relay.sources import Source, Webhook
from relay.sources.bodies import FORM, JSON, MULTIPART, BodyReader, parameters
from relay.sources.charsets import guesses, read_text
from relay.sources.proof.verifier import NoVerifier

NOW = datetime(2026, 1, 31, 10, 0, tzinfo=UTC)
CHARSETS = st.sampled_from(
    ["", "utf-8", "windows-1251", "koi8-r", "utf-16", "shift_jis", "gb18030", "big5", "zip", "\xff", "é"]
)
KINDS = st.sampled_from(["", JSON, "text/plain", FORM, MULTIPART, f"{MULTIPART}; boundary=x", "text/xml", "\xff;"])
TYPES = st.builds(lambda kind, charset: f"{kind}; charset={charset}" if charset else kind, KINDS, CHARSETS)
ENCODINGS = st.sampled_from(["", "gzip", "deflate", "br", "identity", "utf-8", "gzip, gzip"])
READERS = st.builds(
    BodyReader,
    json_field=st.sampled_from([None, "a", "_charset_"]),
    json_values=st.sampled_from([(), ("a",), ("a[b]", "c"), ("a[]", "a[][b]"), ("[x", "a]")]),
    fallback_charset=st.sampled_from([None, "windows-1251", "koi8-r", "gb18030"]),
    base64_json=st.sampled_from([(), ("a",), ("b", "a[]")]),
)
PIECES = st.sampled_from(
    [
        b"a", b"b", b"[", b"]", b"=", b"&", b"%", b"%5B", b"%C0", b"%D0%90", b"%00", b"%ed%a0%80", b"+", b"0",
        b"9" * 19, b"_charset_", b"windows-1251", b"&#263;", b"&#55357;", b"{", b"}", b'"', b":", b",", b"\\ud800",
        b"\\u0000", b"1e999", b"--x", b"--", b"\r\n", b"\r\n\r\n", b"Content-Disposition: form-data; name=",
        b"; filename=", b"; name*=utf-8''%C0", b"Content-Type: a; charset=", b"\0", b"\xc0", b"\xff\xfe",
        b"\xef\xbb\xbf", b"\xed\xa0\x80", "ё".encode(), b" ",
    ]
)  # fmt: skip
BODIES = st.binary(max_size=200) | st.lists(PIECES, max_size=30).map(b"".join)
PACKING = st.sampled_from([lambda body: body, gzip.compress, zlib.compress, lambda body: gzip.compress(body)[:-3]])


def texts_in(value: Any) -> Iterator[str]:
    """Every text and key in it."""
    if isinstance(value, str):
        yield value
    for inner in [*value, *value.values()] if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from texts_in(inner)


@settings(max_examples=300, deadline=None)
@given(
    method=st.sampled_from(["POST", "GET"]), content_type=TYPES, encoding=ENCODINGS, query=st.text(max_size=20),
    body=BODIES, pack=PACKING, reader=READERS,
)  # fmt: skip
def test_any_webhook_becomes_what_can_be_kept_or_is_refused(  # noqa: PLR0917 - what a webhook is made of
    method: str, content_type: str, encoding: str, query: str, body: bytes, pack, reader: BodyReader
) -> None:
    source = Source("any", NoVerifier(), max_body=10_000, bodies=reader)
    headers = {"Content-Type": content_type, "Content-Encoding": encoding}
    verified = source.verify(Webhook(method, headers, query, pack(body)), NOW)
    try:
        context = source.context(verified, source.parse(verified), NOW)
    except (UnreadableError, UnsupportedTypeError):
        return
    json.dumps(context, allow_nan=False)
    assert all("\0" not in text.encode("utf-8").decode("utf-8") for text in texts_in(context))


@settings(deadline=None)
@given(content_type=TYPES, body=BODIES | st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
).map(lambda content: json.dumps(content).encode()))  # fmt: skip
def test_a_body_as_it_was_sent_is_the_one_that_is_read_with_its_numbers_as_texts(
    content_type: str, body: bytes
) -> None:
    try:
        as_sent = BodyReader().read_as_sent("POST", content_type, "", body)
    except (UnreadableError, UnsupportedTypeError):
        return
    try:
        content = BodyReader().read("POST", content_type, "", body)
    except UnreadableError:  # a number that is too large
        return
    assert with_numbers_as(float, as_sent) == with_numbers_as(float, content)


def with_numbers_as(kind: Any, value: Any) -> Any:
    """The value with each number, and each text that is one, as this kind."""
    if isinstance(value, dict):
        return {name: with_numbers_as(kind, inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [with_numbers_as(kind, inner) for inner in value]
    try:
        return value if value is None or isinstance(value, bool) else repr(kind(value))
    except (ValueError, OverflowError):
        return value


@given(form=st.dictionaries(st.text(max_size=9), st.text(max_size=9), max_size=4), reader=READERS)
def test_any_form_of_any_texts_becomes_what_can_be_kept_or_is_refused(form: dict[str, str], reader: BodyReader) -> None:
    body = urlencode(form, errors="replace").encode()
    try:
        json.dumps(reader.read("POST", FORM, "", body), ensure_ascii=False).encode()
    except UnreadableError:
        return


@given(
    header=st.text(max_size=60)
    | st.lists(st.sampled_from([";", "=", '"', "\\", "*", "a", "charset", "%", "'"])).map("".join)
)
@example(header="; filename*=utf-8''%D0%90; filename=b")
def test_the_parameters_of_any_header_are_read_or_refused(header: str) -> None:
    try:
        found = parameters(header)
    except UnreadableError:
        return
    assert all(isinstance(value, str) for value in found.values())


@given(encoded=st.binary(max_size=60), charset=CHARSETS)
def test_any_bytes_are_of_a_charset_or_not(encoded: bytes, charset: str) -> None:
    try:
        read_text(encoded, charset).encode("utf-8")
    except UnreadableError:
        return
    finally:
        for text in guesses(encoded):
            text.encode("utf-8")
