"""Pages are not all UTF-8: a form is read in the charset that it names, else in the one that its source is known by."""

from __future__ import annotations

from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.core.errors import UnreadableError
from relay.sources import charsets
from relay.sources.bodies import FORM, MULTIPART, parse_body, read_query, read_urlencoded

NAME, ANNA = "имя", "Анна Ёлкина"
NAMED = ("windows-1251", "CP1251", "koi8-r", "KOI8-U", "ibm866", "iso-8859-5", "x-mac-cyrillic", "gbk", "utf-8")
CYRILLIC = st.text(st.characters(codec="cp1251", exclude_characters="\0[]&"), min_size=1, max_size=8)


def form(charset: str, **more: str) -> bytes:
    return urlencode({NAME: ANNA, **more}, encoding=charsets.codec_of(charset)).encode()


def parts(charset: str, *named: str, head: str = "") -> bytes:
    """A multipart form; a part with a head of its own says more of itself."""
    sections = [f'Content-Disposition: form-data; name="{NAME}"{head}\r\n\r\n{ANNA}', *named]
    return ("".join(f"--x\r\n{section}\r\n" for section in sections) + "--x--").encode(
        charsets.codec_of(charset) or charset
    )


def charset_part(charset: str) -> str:
    return f'Content-Disposition: form-data; name="_charset_"\r\n\r\n{charset}'


@pytest.mark.parametrize("charset", NAMED)
def test_a_form_is_read_in_the_charset_that_its_type_names(charset: str) -> None:
    assert parse_body(f"{FORM}; charset={charset}", form(charset)) == {NAME: ANNA}
    assert parse_body(f'{MULTIPART}; charset="{charset}"; boundary=x', parts(charset)) == {NAME: ANNA}


@pytest.mark.parametrize("charset", NAMED)
def test_a_form_is_read_in_the_charset_that_its_browser_names_in_a_field(charset: str) -> None:
    read = {NAME: ANNA, "_charset_": charset}
    assert parse_body(FORM, form(charset, _charset_=charset)) == read
    assert parse_body(FORM, b"_charset_=" + charset.encode() + b"&" + form(charset)) == read
    assert parse_body(f"{MULTIPART}; boundary=x", parts(charset, charset_part(charset))) == read


@pytest.mark.parametrize("named", ["", "zip", "x-user-defined", "../utf-8", "%FF", "windows-1251\u0430"])
def test_a_field_that_names_no_charset_is_a_field_like_others(named: str) -> None:
    assert parse_body(FORM, form("utf-8", _charset_=named)) == {NAME: ANNA, "_charset_": named}


def test_what_the_type_says_goes_before_what_a_field_says() -> None:
    # A script that copies the fields of a page sends UTF-8 and says so; the field is of the page.
    body = form("utf-8", _charset_="windows-1251")
    assert parse_body(f"{FORM};charset=UTF-8", body)[NAME] == ANNA


def test_a_part_may_have_a_charset_of_its_own() -> None:
    type_of_part = "\r\nContent-Type: text/plain; charset="
    body = parts("windows-1251", charset_part("windows-1251"), head=f"{type_of_part}windows-1251")
    assert parse_body(f"{MULTIPART}; boundary=x", body)[NAME] == ANNA
    ascii_head = f"--x\r\nContent-Disposition: form-data; name=a{type_of_part}koi8-r\r\n\r\n".encode()
    body = ascii_head + ANNA.encode("koi8-r") + b"\r\n--x--"
    assert parse_body(f"{MULTIPART}; boundary=x", body, "windows-1251") == {"a": ANNA}


@pytest.mark.parametrize("charset", ["windows-1251", "koi8-r"])
def test_a_form_that_names_no_charset_and_is_no_utf_8_is_of_the_fallback(charset: str) -> None:
    assert parse_body(FORM, form(charset), charset) == {NAME: ANNA}
    assert parse_body(f"{MULTIPART}; boundary=x", parts(charset), charset) == {NAME: ANNA}
    assert parse_body("", form(charset), charset) == {NAME: ANNA}
    assert read_query(form(charset).decode(), charset) == {NAME: ANNA}
    for content_type, body in ((FORM, form(charset)), (f"{MULTIPART}; boundary=x", parts(charset))):
        with pytest.raises(UnreadableError, match="not of their charset"):
            parse_body(content_type, body)


@pytest.mark.parametrize("charset", ["windows-1251", "koi8-r"])
def test_the_fallback_does_nothing_to_utf_8_or_to_a_form_that_names_its_charset(charset: str) -> None:
    assert parse_body(FORM, form("utf-8"), charset) == {NAME: ANNA}
    assert parse_body(f"{MULTIPART}; boundary=x", parts("utf-8"), charset) == {NAME: ANNA}
    with pytest.raises(UnreadableError):
        parse_body(f"{FORM}; charset=utf-8", form(charset), charset)


def test_json_sent_as_a_form_may_be_of_the_fallback_too_and_json_may_not() -> None:
    body = '{"имя": "Анна"}'.encode("cp1251")
    assert parse_body(FORM, body, "windows-1251") == {NAME: "Анна"}
    with pytest.raises(UnreadableError):
        parse_body("application/json", body, "windows-1251")


def test_a_file_name_is_read_in_the_charset_of_its_form() -> None:
    body = parts("cp1251", 'Content-Disposition: form-data; name="файл"; filename="счёт.pdf"\r\n\r\n12345')
    assert parse_body(f"{MULTIPART}; boundary=x", body, "windows-1251")["файл"] == {"filename": "счёт.pdf", "size": 5}


REFERENCES = "Ivo Andri&#263; &#128512; &#60;b&#62; &#55357; &#1114112; &#00263; &#263"
READ = "Ivo Andrić 😀 &#60;b&#62; &#55357; &#1114112; &#00263; &#263"


@pytest.mark.parametrize(
    ("charset", "expected"), [("windows-1251", READ), ("koi8-r", READ), ("utf-8", REFERENCES), ("gb18030", REFERENCES)]
)
def test_what_a_charset_lacks_is_read_as_browsers_write_it(charset: str, expected: str) -> None:
    body = urlencode({"a": REFERENCES, "&#263;": "1"}, encoding=charset).encode()
    read = parse_body(f"{FORM}; charset={charset}", body)
    assert read == {"a": expected, ("ć" if expected == READ else "&#263;"): "1"}
    part = f'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n{REFERENCES}\r\n--x--'.encode()
    assert parse_body(f"{MULTIPART}; boundary=x; charset={charset}", part) == {"a": expected}


@pytest.mark.parametrize(
    ("charset", "sent", "expected"),
    [
        ("iso-8859-1", b"5+%80+%93Ada%94", "5 € “Ada”"),
        ("latin1", b"%93caf%E9%94", "“café”"),
        ("iso-8859-9", b"%80+%93%F0%94", "€ “ğ”"),
        ("windows-1252", b"a%81b", "a\x81b"),
        ("windows-1251", b"%98%DF", "\x98Я"),
    ],
)
def test_a_charset_is_the_one_that_browsers_mean_by_its_name(charset: str, sent: bytes, expected: str) -> None:
    """Of WHATWG's labels, iso-8859-1 is windows-1252, and what that leaves open is the control character itself."""
    assert parse_body(f"{FORM}; charset={charset}", b"a=" + sent) == {"a": expected}
    assert parse_body(FORM, b"a=" + sent, charset) == {"a": expected}


def test_what_somebody_has_typed_into_a_page_in_utf_8_stays() -> None:
    assert parse_body(FORM, urlencode({"a": "&#263;"}).encode(), "windows-1251") == {"a": "&#263;"}


@given(fields=st.dictionaries(CYRILLIC, CYRILLIC, min_size=1))
def test_a_form_of_a_russian_page_comes_back_as_it_was_written(fields: dict[str, str]) -> None:
    body = urlencode(fields, encoding="cp1251").encode()
    assert parse_body(f"{FORM}; charset=windows-1251", body) == fields


@pytest.mark.parametrize("codec", sorted(set(charsets.CODECS.values()) - {"utf-16", "utf-16-le", "utf-16-be"}))
def test_no_charset_of_forms_swallows_the_nul_between_two_fields_or_makes_one(codec: str) -> None:
    for lead in range(1, 256):
        for text in (bytes([lead]), b"\x81" + bytes([lead]), b"\x8f\xa1" + bytes([lead])):
            try:
                decoded = (text + b"\0" + b"1").decode(codec)
            except UnicodeDecodeError:
                continue
            assert decoded.count("\0") == 1
            assert decoded.endswith("\x001")


@pytest.mark.parametrize("charset", ["utf-16", "utf-16le", "UTF-16BE"])
def test_no_form_is_in_utf_16_whatever_it_says(charset: str) -> None:
    assert read_urlencoded(form("utf-8"), charset) == {NAME: ANNA}


def test_every_name_of_a_charset_is_known_to_python() -> None:
    for label, codec in charsets.CODECS.items():
        assert "a".encode(codec).decode(codec) == "a", label
        assert charsets.codec_of(f" {label.upper()} ") == codec
