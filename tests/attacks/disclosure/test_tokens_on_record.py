"""A token that stands in a body proves its sender and is not kept, however the sender spells it."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from relay.configuration.expressions import Expression
from relay.sources.bodies import BodyReader
from relay.sources.proof.verifier import Location, TokenVerifier
from relay.sources.source import Source, Verified
from relay.sources.webhook import Webhook

NOW = datetime(2026, 1, 1, tzinfo=UTC)
JSON, FORM = "application/json", "application/x-www-form-urlencoded"
SHORT = {'"': '\\"', "\\": "\\\\", "/": "\\/"}
NAMED = {"&": "amp", "<": "lt", ">": "gt", '"': "quot", "'": "apos"}
CHARACTERS = st.sampled_from("aZ19/+ ~!%&<=\\\"'*-._") | st.characters(min_codepoint=0x20, exclude_categories=["Cs"])


def verified_of(secret: str, content_type: str, body: bytes, query: str = "", method: str = "POST") -> Verified:
    webhook = Webhook(method=method, headers={"Content-Type": content_type}, body=body, query_string=query)
    return source_of(secret).verify(webhook, NOW)


def source_of(secret: str) -> Source:
    place = Location(field=Expression.parse("proof", None))
    return Source("one", TokenVerifier((secret.encode(),), place), bodies=BodyReader("payload", ("inner",)))


def kept_of(secret: str, content_type: str, body: bytes) -> object:
    """What is read again of what is kept."""
    return source_of(secret).parse(verified_of(secret, content_type, body))


@st.composite
def in_json(draw: st.DrawFn, text: str) -> str:
    """A text in JSON, each character in one of the spellings that JSON has for it."""

    def spelt(character: str) -> str:
        units = character.encode("utf-16-be").hex()
        escapes = "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4))
        ways = [escapes, "".join(f"\\u{units[at : at + 4].upper()}" for at in range(0, len(units), 4))]
        raw = [] if character in '"\\' else [character]
        return draw(st.sampled_from(raw + ways + ([SHORT[character]] if character in SHORT else [])))

    return '"' + "".join(map(spelt, text)) + '"'


@st.composite
def in_form(draw: st.DrawFn, text: str) -> str:
    """A text in a form, each byte in one of the spellings that a form has for it."""

    def spelt(byte: int) -> str:
        ways = [f"%{byte:02x}", f"%{byte:02X}"] + (["+"] if byte == 0x20 else [])
        return draw(st.sampled_from(ways + ([chr(byte)] if chr(byte) not in "%&+ " and 0x20 < byte < 0x7F else [])))

    return "".join(map(spelt, text.encode()))


@st.composite
def bodies(draw: st.DrawFn, secret: str) -> tuple[str, bytes]:
    inner = '{"proof": ' + draw(in_json(secret)) + ', "beside": "1"}'
    match draw(st.integers(0, 5)):
        case 0:
            return JSON, inner.encode()
        case 1:
            return JSON, inner.encode("utf-16")
        case 2:
            return JSON, f'{{"payload": {draw(in_json(inner))}}}'.encode()
        case 3:
            return FORM, f"payload={draw(in_form(inner))}".encode()
        case 4:
            part = '--B\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n'
            parts = part % ("proof", secret) + part % ("beside", 1)
            return "multipart/form-data; boundary=B", f"{parts}--B--".encode()
        case _:
            return FORM, f"proof={draw(in_form(secret))}&beside=1".encode()


@given(st.data(), st.text(CHARACTERS, min_size=6, max_size=9).filter(lambda text: "***" not in text))
def test_a_token_in_a_body_is_not_kept_however_it_is_spelt(data, secret):
    assume(not secret.isdigit())
    content_type, body = data.draw(bodies(secret))
    kept = verified_of(secret, content_type, body)
    assert source_of(secret).parse(kept) == {"proof": "***", "beside": "1"}
    assert secret.encode() not in kept.body


@st.composite
def in_xml(draw: st.DrawFn, text: str) -> str:
    """A text in XML, each character in one of the spellings that XML has for it."""

    def spelt(character: str) -> str:
        ways = [f"&#{ord(character)};", f"&#{'0' * 5_000}{ord(character)};", f"&#x{ord(character):X};"]
        ways += [f"&{NAMED[character]};"] if character in NAMED else []
        ways += [character] if character not in "<&" else []
        ways += [f"<![CDATA[{character}]]>"]
        return draw(st.sampled_from(ways))

    return "".join(map(spelt, text))


@given(st.data(), st.text(CHARACTERS, min_size=6, max_size=9), st.sampled_from(["utf-8", "utf-16"]))
def test_a_token_in_xml_is_not_kept_however_it_is_spelt(data, secret, charset):
    assume(
        "***" not in secret and not secret.isdigit() and not any(character in secret for character in "\ufffe\uffff")
    )
    body = f"<r><proof>{data.draw(in_xml(secret))}</proof><beside>1</beside></r>".encode(charset)
    place = Location(field=Expression.parse("r.proof", None))
    source = Source("one", TokenVerifier((secret.encode(),), place), bodies=BodyReader(xml=True))

    kept = source.verify(Webhook(headers={"Content-Type": "text/xml"}, body=body), NOW)

    assert source.parse(kept) == {"r": {"proof": "***", "beside": "1"}}


@pytest.mark.parametrize(
    ("secret", "content_type", "body"),
    [
        ("q7/Zk2+Vb9xY", JSON, rb'{"proof":"q7\/Zk2+Vb9xY"}'),
        ("q7/Zk2+Vb9xY", FORM, b"proof=q7%2fZk2%2bVb9xY"),
        ("q7/Zk2~Vb9xY", FORM, b"proof=q7%2FZk2%7EVb9xY"),
        ("q7&Zk2<Vb9xY", JSON, rb'{"proof":"q7\u0026Zk2\u003cVb9xY"}'),
        ("секрет☃☃", FORM + "; charset=windows-1251", b"proof=%F1%E5%EA%F0%E5%F2%26%239731%3B%26%239731%3B"),
        ("секрет", JSON + "; charset=windows-1251", '{"proof":"секрет"}'.encode("cp1251")),
    ],
    ids=["PHP", ".NET", "PHP's tilde", "Go", "what a charset lacks", "JSON in a named charset"],
)
def test_a_token_is_not_kept_as_other_languages_write_it(secret, content_type, body):
    assert kept_of(secret, content_type, body) == {"proof": "***"}


def test_a_token_that_is_a_number_is_masked_by_a_number_so_that_the_body_is_still_read():
    body = b'{"proof": 4815162342, "phone": 74815162342, "note": "4815162342"}'
    assert kept_of("4815162342", JSON, body) == {"proof": 0, "phone": 74815162342, "note": "0"}


def test_a_token_that_a_get_brings_in_its_query_is_not_kept():
    kept = verified_of("q7/Zk2+Vb9xY", "", b"", query="proof=q7%2fZk2%2bVb9xY&a=1", method="GET")
    assert kept.query == "proof=***&a=1"


def test_what_only_resembles_a_token_stays_as_it_came():
    body = rb'{"proof": "secret-one", "a": "secret\u002dtwo %73", "b": [1.50, "\/"]}'
    assert verified_of("secret-one", JSON, body).body == body.replace(b"secret-one", b"***")
