"""Bodies: what senders really send is read, and nothing that they can send does harm."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from relay.core.errors import UnreadableError, UnsupportedTypeError
from relay.sources import Source, Webhook, build_context, load_sources
from relay.sources.bodies import check_size, parse_body, read_json, read_query, read_urlencoded
from relay.sources.events import DedupKey

NOW = datetime(2026, 1, 31, 10, 0, tzinfo=UTC)
FORM = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data; boundary=xYz"
TYPES = (
    "application/json", "application/vnd.api+json; charset=utf-8", "text/plain", FORM, f"{FORM}; charset=windows-1251",
    MULTIPART, "application/json; charset=utf-16", "application/json; charset=rot13", "multipart/form-data",
    "text/xml", "",
)  # fmt: skip


def open_source(folder: Path, **entry: Any) -> Source:
    path = folder / "sources.yaml"
    path.write_text(yaml.safe_dump({"sources": {"open": {"verify": {"kind": "none"}, **entry}}}))
    return load_sources(path, {})["open"]


def parts(*sections: str) -> bytes:
    return "".join(f"--xYz\r\n{section}\r\n" for section in sections).encode() + b"--xYz--\r\n"


@pytest.mark.parametrize(
    ("content_type", "body", "expected"),
    [
        ("application/json", b'{"a": [1, 2.5, true, null, "x"]}', {"a": [1, 2.5, True, None, "x"]}),
        ("Application/JSON; charset=UTF-8", b'\xef\xbb\xbf{"a": 1}', {"a": 1}),
        ("application/json; charset='utf-8'", b'{"a": 1}', {"a": 1}),
        ("application/vnd.shop.v2+json", b"[1]", [1]),
        ("text/plain;charset=UTF-8", b'{"a": 1}', {"a": 1}),
        ("application/json; charset=windows-1251", '{"имя": "Анна"}'.encode("cp1251"), {"имя": "Анна"}),
        ("application/json", b'{"a": "\\ud83d\\ude00"}', {"a": "\U0001f600"}),
        ("application/json", b'{"a": "\\\\u0000"}', {"a": "\\u0000"}),
        (FORM, b"a=1&b=x+y&c=%D0%B0&d", {"a": "1", "b": "x y", "c": "\u0430", "d": ""}),
        (f"{FORM}; charset=windows-1251", b"a=%C0", {"a": "\u0410"}),
        (FORM, b"a=1&a=2&a=3", {"a": ["1", "2", "3"]}),
        (FORM, b"a[b]=1&a[c][d]=2", {"a": {"b": "1", "c": {"d": "2"}}}),
        (FORM, b"a%5Bb%5D%5B%5D=1&a%5Bb%5D%5B%5D=2", {"a": {"b": ["1", "2"]}}),
        (FORM, b"a[]=1", {"a": ["1"]}),
        (FORM, b"a[0]=x&a[1]=y", {"a": ["x", "y"]}),
        (FORM, b"a[1]=x&a[0]=y", {"a": {"1": "x", "0": "y"}}),
        (FORM, b"a[5]=x&a[]=y", {"a": {"5": "x", "6": "y"}}),
        (FORM, b"a[][id]=1&a[][id]=2", {"a": [{"id": "1"}, {"id": "2"}]}),
        (FORM, b"a[b]=1&a[b]=2", {"a": {"b": ["1", "2"]}}),
        (FORM, b"a=1&a[b]=2", {"a": {"b": "2"}}),
        (FORM, b"a[b]=2&a=1", {"a": "1"}),
        (FORM, b"a[b=1&[c]=2&d[e]f=3&g]=4", {"a[b": "1", "[c]": "2", "d[e]f": "3", "g]": "4"}),
        (FORM, b"First+Name=Anna&x.y=1", {"First Name": "Anna", "x.y": "1"}),
        (FORM, b"&&a=b=c&", {"a": "b=c"}),
        (
            FORM,
            b"event=ONCRMDEALADD&data[FIELDS][ID]=7&auth[domain]=x.bitrix24.com&ts=1",
            {"event": "ONCRMDEALADD", "data": {"FIELDS": {"ID": "7"}}, "auth": {"domain": "x.bitrix24.com"}, "ts": "1"},
        ),
        (
            MULTIPART,
            parts(
                'Content-Disposition: form-data; name="a[b]"\r\n\r\nline\r\nline',
                'content-disposition: form-data; name=c; filename="C:\\cv \\"1\\".pdf"\r\nX: y\r\n\r\n12345',
            ),
            {"a": {"b": "line\r\nline"}, "c": {"filename": 'C:\\cv "1".pdf', "size": 5}},
        ),
        (
            'multipart/form-data; boundary="xYz"',
            b"preamble\r\n" + parts("Content-Disposition: form-data; name*=utf-8''%D0%B0\r\n\r\n1") + b"epilogue",
            {"\u0430": "1"},
        ),
    ],
)
def test_what_senders_send_is_read(content_type: str, body: bytes, expected: object) -> None:
    assert parse_body(content_type, body) == expected


DEEP_FORM = b"a" + b"[b]" * 70 + b"=1"


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        *((kind, b"") for kind in ("application/json", FORM, MULTIPART, "text/plain")),
        *(
            ("application/json", body)
            for body in (
                b"{", b"[1e999]", b"[-1e999]", b"NaN", b"[Infinity]", b'"\xff"', b'"\\ud800"', b'{"\\udfff": 1}',
                b'"\\u0000"',
                b'{"\\u0000": 1}', b'"\x00"', b"[" * 65 + b"]" * 65, b"[" * 100_000, b'{"a":' * 100_000, b"9" * 5000,
                b"[" + b"1," * 10_000 + b"1]", b"{} {}", b"{'a': 1}", b'{"a": 1,}',
            )
        ),
        ("text/plain", b"hello"),
        ("application/json; charset=zip", b"{}"),
        ("application/json; charset=idna", b"{}"),
        (FORM, b"a=%ff"),
        (FORM, b"a=%00"),
        (FORM, b"a=1\x00b=2"),
        (FORM, b"%00=a"),
        (FORM, DEEP_FORM),
        (FORM, b"&".join([b"a"] * 10_001)),
        ("multipart/form-data", parts()),
        (MULTIPART, b"--xYz\r\nContent-Disposition: form-data; name=a\r\n\r\nunfinished"),
        (MULTIPART, parts("Content-Disposition: form-data\r\n\r\n1")),
        (MULTIPART, parts("no blank line")),
        (MULTIPART, parts(f"X: {'x' * 9000}\r\n\r\n1")),
        (MULTIPART, b"--xYz\r\nContent-Disposition: form-data; name=a\r\n\r\n\xff\r\n--xYz--"),
        (MULTIPART, b"--xYz\r\nContent-Disposition: form-data; name*=zip''a\r\n\r\n1\r\n--xYz--"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_refused_as_unreadable(content_type: str, body: bytes) -> None:
    with pytest.raises(UnreadableError):
        parse_body(content_type, body)


@pytest.mark.parametrize("content_type", ["text/xml", "image/png", "application/octet-stream", "json", "\xff"])
def test_other_content_types_are_unsupported(content_type: str) -> None:
    with pytest.raises(UnsupportedTypeError):
        parse_body(content_type, b"{}")


def test_the_deepest_and_largest_bodies_allowed_are_read() -> None:
    assert parse_body("application/json", b"[" * 64 + b"]" * 64)
    assert len(parse_body("application/json", b"[" + b"1," * 9_900 + b"1]")) == 9_901


SMALL_JSON = st.recursive(
    st.sampled_from(["", 1, None]),
    lambda inner: st.lists(inner) | st.dictionaries(st.text("ab", max_size=2), inner),
    max_leaves=40,
)


@given(content=SMALL_JSON, most=st.integers(1, 30))
def test_json_with_too_many_values_is_refused_however_short_it_is_written(content: object, most: int) -> None:
    text = json.dumps(content, separators=(",", ":"))
    try:
        check_size(content, most)
        is_taken = True
    except UnreadableError:
        is_taken = text.count(",") + text.count(":") < most

    try:
        assert read_json(text.encode(), most_values=most) == content
        assert is_taken
    except UnreadableError:
        assert not is_taken


@given(content_type=st.sampled_from(TYPES) | st.text(max_size=80), body=st.binary(max_size=300))
def test_any_bytes_of_any_type_are_read_or_refused(content_type: str, body: bytes) -> None:
    try:
        json.dumps(parse_body(content_type, body), ensure_ascii=False, allow_nan=False).encode("utf-8")
    except (UnreadableError, UnsupportedTypeError):
        return


@given(
    body=st.lists(st.sampled_from(["a", "b", "[", "]", "[]", "[0]", "[1]", "=", "&", "%5B", "%00", "+", "1"])).map(
        "".join
    )
)
def test_any_brackets_are_read_or_refused(body: str) -> None:
    try:
        json.dumps(read_urlencoded(body.encode(), "utf-8"))
    except UnreadableError:
        return


@given(
    sections=st.lists(
        st.sampled_from(
            ["--xYz", "--xYz--", "\r\n", "\r\n\r\n", "Content-Disposition: form-data", '; name="a"', "; filename=", "x"]
        ),
    ),
)
def test_any_parts_are_read_or_refused(sections: list[str]) -> None:
    try:
        json.dumps(parse_body(MULTIPART, "".join(sections).encode()))
    except UnreadableError:
        return


SIMPLE = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="[]\0"), min_size=1, max_size=8)


@given(form=st.dictionaries(SIMPLE, SIMPLE, min_size=1))
def test_a_form_comes_back_as_it_was_encoded(form: dict[str, str]) -> None:
    assert read_urlencoded(urlencode(form).encode(), "utf-8") == form


@given(form=st.dictionaries(SIMPLE, st.lists(SIMPLE, min_size=1), min_size=1))
def test_a_list_comes_back_from_its_brackets(form: dict[str, list[str]]) -> None:
    pairs = [(f"{name}[]", value) for name, values in form.items() for value in values]
    assert read_urlencoded(urlencode(pairs).encode(), "utf-8") == form


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | SIMPLE,
    lambda inner: st.lists(inner) | st.dictionaries(SIMPLE, inner),
    max_leaves=20,
)


@given(content=JSON, ascii_only=st.booleans())
def test_json_comes_back_as_it_was_written(content: object, ascii_only: bool) -> None:
    assert parse_body("application/json", json.dumps(content, ensure_ascii=ascii_only).encode()) == content


@given(query=st.text(max_size=60))
def test_any_query_is_read_or_refused(query: str) -> None:
    try:
        assert isinstance(read_query(query), dict)
    except UnreadableError:
        return


def test_the_context_has_what_rules_may_see_and_nothing_else(tmp_path: Path) -> None:
    source = open_source(tmp_path)
    webhook = Webhook(
        headers={"Content-Type": "application/json", "X-Event": "A", "Cookie": "c"},
        query_string="a[b]=1&token=t",
        body=b'{"x": 1}',
    )
    verified = source.verify(webhook, NOW)
    assert build_context("open", verified, source.parse(verified), NOW) == {
        "body": {"x": 1},
        "envelope": None,
        "headers": {"content-type": "application/json", "x-event": "A"},
        "query": {"a": {"b": "1"}},
        "tail": "",
        "source": "open",
        "received_at": "2026-01-31T10:00:00.000+00:00",
    }


def test_the_body_of_a_get_is_its_query(tmp_path: Path) -> None:
    source = open_source(tmp_path, methods=["GET"])
    assert source.parse(source.verify(Webhook("GET", query_string="lead[id]=5&token=x"), NOW)) == {"lead": {"id": "5"}}


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"payload": '{"a": 1}', "b": "2"}, {"a": 1, "b": "2"}),
        ({"b": "2"}, {"b": "2"}),
        ({"payload": "[1]"}, None),
        ({"payload": "{"}, None),
    ],
)
def test_a_json_field_gives_its_members_to_the_form(tmp_path: Path, body: dict[str, str], expected: object) -> None:
    source = open_source(tmp_path, json_field="payload")
    verified = source.verify(Webhook(headers={"Content-Type": FORM}, body=urlencode(body).encode()), NOW)
    if expected is None:
        with pytest.raises(UnreadableError):
            source.parse(verified)
    else:
        assert source.parse(verified) == expected


def key_of(source: Source, content_type: str, body: bytes, **headers: str) -> DedupKey | None:
    webhook = Webhook(headers={"Content-Type": content_type, **headers}, body=body)
    verified = source.verify(webhook, NOW)
    return source.dedup_key(build_context(source.name, verified, source.parse(verified), NOW), body)


def test_the_same_value_is_the_same_key_and_the_key_does_not_show_it(tmp_path: Path) -> None:
    source = open_source(tmp_path, dedup={"from": "body.email", "window": "2h"})
    key = key_of(source, "application/json", b'{"email": "a@example.com", "n": 1}')
    assert key == key_of(source, FORM, b"email=a%40example.com&n=2")
    assert key != key_of(source, FORM, b"email=b%40example.com&n=2")
    assert key is not None
    assert len(key.digest) == 64
    assert key.window_s == 7200


@pytest.mark.parametrize("body", [b"{}", b'{"id": null}', b'{"id": ""}', b"[]", b"5"])
def test_without_a_value_nothing_is_a_duplicate(tmp_path: Path, body: bytes) -> None:
    assert key_of(open_source(tmp_path, dedup={"from": "body.id"}), "application/json", body) is None


@pytest.mark.parametrize("expression", ["body.id.length(@)", "body.abs(@)", "body | sum(@)"])
def test_an_expression_that_does_not_apply_finds_no_duplicate(tmp_path: Path, expression: str) -> None:
    assert key_of(open_source(tmp_path, dedup={"from": expression}), "application/json", b'{"id": 5}') is None


def test_a_header_can_be_the_key(tmp_path: Path) -> None:
    source = open_source(tmp_path, dedup={"header": "X-GitHub-Delivery"})
    first = key_of(source, "application/json", b"{}", **{"x-github-delivery": "1"})
    assert first == key_of(source, "application/json", b"[]", **{"X-GITHUB-DELIVERY": "1"})
    assert first != key_of(source, "application/json", b"{}", **{"x-github-delivery": "2"})
    assert key_of(source, "application/json", b"{}") is None


def test_the_whole_body_can_be_the_key_whatever_its_boundary(tmp_path: Path) -> None:
    source = open_source(tmp_path, dedup={"body": True})
    body = parts("Content-Disposition: form-data; name=a\r\n\r\n1")
    assert key_of(source, MULTIPART, body) == key_of(
        source, MULTIPART.replace("xYz", "AbC"), body.replace(b"xYz", b"AbC")
    )
    assert key_of(source, "application/json", b"[1]") != key_of(source, "application/json", b"[2]")


def test_a_source_without_dedup_has_no_key(tmp_path: Path) -> None:
    source = open_source(tmp_path)
    assert key_of(source, "application/json", b"{}") is None
