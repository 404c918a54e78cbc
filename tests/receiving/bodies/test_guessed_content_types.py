"""A body is read by what it is, where its content type says something else or nothing; never by a guess."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.core.errors import UnreadableError, UnsupportedTypeError
from relay.sources.bodies import FORM, JSON, UNNAMED, kind_of, parse_body


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"a": 1}', {"a": 1}),
        (b' \r\n\t[{"a": "b=c&d=%20+"}]\n', [{"a": "b=c&d=%20+"}]),
        (b'\xef\xbb\xbf{"a": 1}', {"a": 1}),
        ('{"имя": "Анна"}'.encode(), {"имя": "Анна"}),
        (b"{}", {}),
        (b"[]", []),
        # Not as a whole, so it is what it says it is.
        (b'{"a": 1}=2', {'{"a": 1}': "2"}),
        (b'{"a": 1}&b=2', {'{"a": 1}': "", "b": "2"}),
        (b"{a}=1&b=2", {"{a}": "1", "b": "2"}),
        (b'{"a": 1', {'{"a": 1': ""}),
        (b"[a]=1", {"[a]": "1"}),
        (b'"a"', {'"a"': ""}),
        (b"5", {"5": ""}),
        (b"null", {"null": ""}),
        (b"%7B%22a%22%3A1%7D=", {'{"a":1}': ""}),
    ],
)
def test_json_sent_as_a_form_is_json_where_all_of_it_is_a_map_or_list(body: bytes, expected: object) -> None:
    assert parse_body(FORM, body) == expected


@pytest.mark.parametrize("body", [b"[" * 65 + b"]" * 65, b'{"a": NaN}', b'["\\u0000"]', b'["\\ud800"]', b"[1e999]"])
def test_json_sent_as_a_form_that_is_not_taken_as_json_is_refused(body: bytes) -> None:
    with pytest.raises(UnreadableError):
        parse_body(FORM, body)


@pytest.mark.parametrize("content_type", ["", "  ", ";", "; charset=utf-8"])
@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"a": 1}', {"a": 1}),
        (b'\xef\xbb\xbf [{"a": 1}]', [{"a": 1}]),
        (b"a=1&b[c]=x+y&d=%D0%B0", {"a": "1", "b": {"c": "x y"}, "d": "\u0430"}),
        ("имя=Анна".encode(), {"имя": "Анна"}),
        (b"[a]=1", {"[a]": "1"}),
        (b"https://x.example/?a=1", {"https://x.example/?a": "1"}),
    ],
)
def test_a_body_without_a_content_type_is_what_it_looks_like(content_type: str, body: bytes, expected: object) -> None:
    assert parse_body(content_type, body) == expected


@pytest.mark.parametrize(
    ("body", "error", "words"),
    [
        (b'{"a": ', UnreadableError, "line 1, column 7"),
        (b"[1, 2", UnreadableError, "line 1, column 6"),
        (b'{"a=b": ', UnreadableError, "not valid JSON"),
        (b"", UnreadableError, "no body"),
        (b"hello", UnsupportedTypeError, "no content type"),
        (b"dear all, 1 + 1 = 2", UnsupportedTypeError, "no content type"),
        (b'<a b="c">d</a>', UnsupportedTypeError, "no content type"),
        (b"<a>b=c</a>", UnsupportedTypeError, "no content type"),
        (b"\x89PNG\r\n=", UnsupportedTypeError, "no content type"),
        (b"a=1\r\nb=2", UnsupportedTypeError, "no content type"),
        (b"5", UnsupportedTypeError, "no content type"),
        (b'"a=b"', UnsupportedTypeError, "no content type"),
        (b"a=%ff", UnreadableError, "charset"),
    ],
)
def test_a_body_without_a_content_type_that_is_neither_is_refused(
    body: bytes, error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        parse_body("", body)


@pytest.mark.parametrize("mark", ["utf-16-le", "utf-16-be"])
def test_json_in_utf_16_is_known_by_its_mark(mark: str) -> None:
    assert parse_body(JSON, ("\ufeff" + '{"имя": "Анна"}').encode(mark)) == {"имя": "Анна"}


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'{"a": "x",\n "b": }', "^not valid JSON at line 2, column 7$"),
        (b'{"a": 1}\n{"a": 2}', "more comes after its end, at line 2, column 1; several values are sent as one list"),
        (b"secret", "^not valid JSON at line 1, column 1$"),
        (b"9" * 5000, "too many digits"),
    ],
)
@pytest.mark.parametrize("content_type", [JSON, "text/plain", "text/json", "application/vnd.shop+json"])
def test_broken_json_is_refused_with_its_place_and_none_of_its_words(
    content_type: str, body: bytes, words: str
) -> None:
    with pytest.raises(UnreadableError, match=words):
        parse_body(content_type, body)


@pytest.mark.parametrize(
    ("content_type", "words"),
    [
        ("text/xml; charset=utf-8", "xml: true"),
        ("application/xml", "xml: true"),
        ("application/atom+xml", "xml: true"),
        ("application/soap+xml", "xml: true"),
        ("text/html", "a page is not read"),
        ("application/x-ndjson", "one list"),
        ("application/json-seq", "one list"),
        ("application/x-protobuf", "set the sender to JSON"),
        ("application/grpc+proto", "set the sender to JSON"),
        ("image/png", "part of a form"),
        ("application/pdf", "part of a form"),
        ("multipart/mixed; boundary=x", "only forms"),
        ("text/csv", "multipart/form-data$"),
        ("<script>", "multipart/form-data$"),
    ],
)
def test_a_type_that_is_not_read_is_refused_with_advice(content_type: str, words: str) -> None:
    with pytest.raises(UnsupportedTypeError, match=words) as caught:
        parse_body(content_type, b"<a/>")
    assert str(caught.value).startswith("expected JSON, a urlencoded form or multipart/form-data")
    assert "script" not in str(caught.value)


def test_the_kind_of_a_body_is_named_for_the_log() -> None:
    assert [kind_of(name) for name in ("", FORM, "a/b+json", "text/xml")] == [UNNAMED, FORM, JSON, None]


NAMES = st.text(st.sampled_from('{}[]":,a1 \\=&%+'), max_size=20)


@given(body=NAMES)
def test_what_looks_like_json_and_is_none_is_read_as_the_form_that_it_is(body: str) -> None:
    try:
        whole = json.loads(body)
    except ValueError:
        whole = None
    try:
        read = parse_body(FORM, body.encode())
    except UnreadableError:
        return
    if isinstance(whole, dict | list):
        assert read == whole
    else:
        assert isinstance(read, dict)
