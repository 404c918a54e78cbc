"""Sorted values, named secrets and raw fields: what is covered by the signature, and what is refused."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import pytest
import yaml
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA512
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from relay.configuration.expressions import Expression
from relay.core.errors import ConfigError, NotVerifiedError, UnreadableError
from relay.sources import Source, Webhook, load_sources
from relay.sources.bodies import FORM, JSON, BodyReader
from relay.sources.proof.signed import NOTHING, Signed
from relay.sources.proof.values import Values
from relay.sources.proof.verifier import NoVerifier

NOW = datetime(2026, 1, 31, 10, 0, tzinfo=UTC)
KEY = b"the-secret-of-the-test"
SALT = b"the-salt-of-the-test"
RSA = rsa.generate_private_key(65_537, 2_048)
PUBLIC = RSA.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
ENVIRON = {"SECRET": KEY.decode(), "SALT": SALT.decode(), "PUBLIC": PUBLIC.decode()}
SUM = {"kind": "hmac", "header": "X-Sign", "signed": "{values}"}

Load = Callable[..., Source]


@pytest.fixture(scope="module")
def load(tmp_path_factory: Any) -> Load:
    """Makes a source with these ways of proof and further keys."""
    path: Path = tmp_path_factory.mktemp("values") / "sources.yaml"

    def make(verify: Any, **more: Any) -> Source:
        entry = {"verify": verify, "secrets": ["SECRET"], "methods": ["GET", "POST"], **more}
        path.write_text(yaml.safe_dump({"sources": {"one": entry}}), "utf-8")
        return load_sources(path, ENVIRON)["one"]

    return make


def sent(body: bytes = b"", content_type: str = JSON, query: str = "", signed: bytes = b"") -> Webhook:
    """A request whose signature is right for this text."""
    headers = {"Content-Type": content_type, "X-Sign": hmac.digest(KEY, signed, "sha256").hex()}
    return Webhook("POST" if body else "GET", headers, query, body)


def reason(source: Source, webhook: Webhook) -> str:
    with pytest.raises(NotVerifiedError) as caught:
        source.verify(webhook, NOW)
    return caught.value.reason


BODY = b'{"b": 2, "a": "x", "\xd0\xb6": 1.50, "B": true, "list": [1], "map": {"c": 1}, "none": null, "empty": ""}'
WRITTEN = [
    ({"of": "body"}, "truex2" + "1.50"),
    ({"of": "body", "join": "|"}, "true|x|2||1.50"),
    ({"of": "body", "join": "|", "empty": False}, "true|x|2|1.50"),
    ({"of": "body", "as": "{name}={value}", "join": "&"}, "B=true&a=x&b=2&empty=&ж=1.50"),
    ({"of": "body", "as": "{name};{value};", "without": ["B", "empty", "ж"]}, "a;x;b;2;"),
    ({"of": "body", "as": "{{{value}}}", "without": ["B", "empty", "ж"]}, "{x}{2}"),
    ({"of": "body.map", "as": "{name}{value}"}, "c1"),
    ({"of": "query"}, "21"),
    ({"of": "query.p", "join": ","}, "4,3"),
    ({"of": "fields"}, None),
]


@pytest.mark.parametrize(("values", "text"), WRITTEN, ids=str)
def test_values_are_sorted_by_name_and_written_as_their_sender_wrote_them(
    load: Load, values: dict[str, Any], text: str | None
) -> None:
    is_of_query = values["of"].startswith("query")
    source = load({**SUM, "values": values})
    webhook = sent(b"" if is_of_query else BODY, query="b=1&p[y]=3&p[x]=4&a=2", signed=(text or "").encode())

    if text is None:
        assert reason(source, webhook) == "body_unreadable"
    else:
        assert source.verify(webhook, NOW)


@pytest.mark.parametrize(
    ("values", "body", "content_type"),
    [
        ({"of": "body"}, b'{"a": 1, "a": 1}', JSON),
        ({"of": "body"}, b'{"a": 1, "deep": [{"b": 1, "b": 2}]}', JSON),
        ({"of": "body"}, b"a=1&a=1", FORM),
        ({"of": "body"}, b"a=1&a%5Bb%5D=2", FORM),
        ({"of": "body"}, b"a%5Bb%5D=2&a=1", FORM),
        ({"of": "fields"}, b"a=1&a=1", FORM),
        ({"of": "fields"}, b"a%5B%5D=1&a%5B%5D=1", FORM),
        ({"of": "body", "secret": {"name": "Password"}}, b'{"a": 1, "Password": "guess"}', JSON),
        ({"of": "body"}, b"[1]", JSON),
        ({"of": "body"}, b"{", JSON),
        ({"of": "body"}, b"<a/>", "text/xml"),
        ({"of": "body.map"}, b'{"a": 1}', JSON),
        ({"of": "body.map"}, b'{"map": "1"}', JSON),
        ({"of": "query"}, b'{"a": 1}', JSON),
    ],
    ids=str,
)
def test_what_has_no_one_reading_is_refused_whatever_its_signature(
    load: Load, values: dict[str, Any], body: bytes, content_type: str
) -> None:
    source = load({**SUM, "values": values})

    assert reason(source, sent(body, content_type, "a=1", b"1")) == "body_unreadable"


def test_a_name_of_the_query_that_comes_twice_is_refused(load: Load) -> None:
    source = load({**SUM, "values": {"of": "query"}})

    assert source.verify(sent(query="a=1", signed=b"1"), NOW)
    assert reason(source, sent(query="a=1&a=1", signed=b"1")) == "body_unreadable"


def test_a_signature_over_the_query_alone_proves_no_body(load: Load) -> None:
    source = load({**SUM, "values": {"of": "query"}})
    whole = load({**SUM, "signed": "{values}{body}", "values": {"of": "query"}})

    assert reason(source, sent(b'{"id": 1}', query="a=1", signed=b"1")) == "body_unreadable"
    assert whole.verify(sent(b'{"id": 1}', query="a=1", signed=b'1{"id": 1}'), NOW)


def test_a_plain_digest_over_values_that_was_lengthened_is_refused(load: Load) -> None:
    values = {"of": "fields", "without": ["sign"]}
    source = load({"kind": "hash", "query": "sign", "signed": "{secret}{values}", "values": values})

    for value, is_believed in ((b"1", True), (b"1\0", False)):
        query = f"sign={hashlib.sha256(KEY + value).hexdigest()}"
        webhook = Webhook("POST", {"Content-Type": FORM}, query, b"a=" + quote(value).encode())
        if is_believed:
            assert source.verify(webhook, NOW)
        else:
            assert reason(source, webhook) == "body_unreadable"


def test_sorted_values_may_be_signed_by_the_senders_own_key(load: Load) -> None:
    values = {"of": "body", "as": "{name};{value};", "without": ["checksum"]}
    way = {"kind": "rsa", "algorithm": "sha512", "field": "checksum", "signed": "{values}", "values": values}
    source = load(way, secrets=["PUBLIC"])
    signature = RSA.sign(b"amount;100;status;1;", PKCS1v15(), SHA512()).hex().upper()

    assert source.verify(sent(query=f"status=1&amount=100&checksum={signature}"), NOW)
    assert reason(source, sent(query=f"status=1&amount=900&checksum={signature}")) == "signature_mismatch"


MISTAKES = [
    ({**SUM}, "expected {values} and values together, or neither"),
    ({**SUM, "signed": "{body}", "values": {"of": "body"}}, "expected {values} and values together"),
    ({**SUM, "values": {"of": "headers"}}, "values.of: 'headers' is not in an event"),
    ({**SUM, "values": {"of": 1}}, "values.of: found 1, expected fields, or a JMESPath expression"),
    ({**SUM, "values": {}}, "values.of: missing: expected fields, or"),
    ({**SUM, "values": {"of": "body", "as": "{name}"}}, "values.as: found '{name}', expected a text with {value}"),
    ({**SUM, "values": {"of": "body", "as": "{value}{other}"}}, "expected a text with {value}"),
    ({**SUM, "values": {"of": "body", "as": "{value}{"}}, "expected a text with {value}"),
    ({**SUM, "values": {"of": "body", "join": 1}}, "values.join: found 1, expected the text between the values"),
    ({**SUM, "values": {"of": "body", "without": "a"}}, "values.without: found 'a', expected a list of names"),
    ({**SUM, "values": {"of": "body", "secret": {}}}, "values.secret.name: missing: expected the name of the secret"),
    ({**SUM, "values": {"of": "body", "sort": 1}}, "values.sort: unknown key"),
    ({**SUM, "kind": "hash", "values": {"of": "body"}}, "expected {secret} in it, or secret in values"),
    ({**SUM, "kind": "ed25519", "signed": "{secret}{body}"}, "expected no {secret} in it"),
    ({**SUM, "kind": "rsa", "values": {"of": "body", "secret": {"name": "Password"}}}, "expected no {secret} in it"),
    ({**SUM, "signed": "{body}{secret:url}"}, "found {secret:url}, expected {secret} or the name of a secret"),
    ({**SUM, "signed": "{body}{secret:Salt}"}, "found {secret:Salt}, expected {secret} or the name of a secret"),
    ({**SUM, "signed": "{raw:a[}"}, "found {raw:a[}, expected the name of a form field"),
    ({**SUM, "signed": "{body}{secret:salt}"}, "named.salt: missing: expected an environment variable"),
    ({"kind": "ed25519", "header": "X", "encoding": "base64-hex"}, "encoding: found 'base64-hex'"),
]


@pytest.mark.parametrize(("verify", "words"), MISTAKES, ids=str)
def test_a_signed_text_that_cannot_be_right_is_a_mistake(load: Load, verify: Any, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(verify)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"named": {"salt": "SALT"}}, "named.salt: nothing needs it: expected a proof, a probe or an answer"),
        ({"named": {"url": "SALT"}}, "named: found a map, expected a map from a name"),
        ({"named": {"salt": "salt"}}, "expected a map from a name"),
        ({"named": {}}, "expected a map from a name"),
        ({"base64_json": ["data"], "verify": {"kind": "token", "field": "t"}}, "base64_json: expected a token in a"),
        ({"base64_json": "data"}, "expected a list of form fields that hold base64 of JSON"),
        ({"verify": {**SUM, "signed": "{body}{secret:salt}"}, "named": {"salt": "ABSENT"}}, "ABSENT is not set"),
    ],
    ids=str,
)
def test_a_mistake_around_named_secrets_and_base64_is_named(load: Load, more: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(more.pop("verify", {**SUM, "signed": "{body}"}), **more)
    assert words in str(caught.value)


# Raw fields.


@pytest.mark.parametrize(
    ("body", "is_believed"),
    [
        (b"data=eyJhIjoxfQ", True),
        (b"data=%65yJhIjoxfQ&more=1", True),
        (b"data=eyJhIjoxfQ&data=eyJhIjoxfQ", False),
        (b"data=eyJhIjoxfQ&data%5Ba%5D=2", False),
        (b"data%5Ba%5D=eyJhIjoxfQ", False),
        (b"more=1", False),
    ],
)
def test_the_raw_text_of_a_field_is_the_one_that_rules_see(load: Load, body: bytes, *, is_believed: bool) -> None:
    source = load({**SUM, "signed": "{raw:data}"}, base64_json=["data"])
    webhook = sent(body, FORM, signed=b"eyJhIjoxfQ")

    if is_believed:
        assert source.parse(source.verify(webhook, NOW))["data"] == {"a": 1}
    else:
        assert reason(source, webhook) in {"signature_mismatch", "body_unreadable"}


def test_the_raw_text_of_a_nested_field_and_of_a_part_is_signed_alike(load: Load) -> None:
    source = load({**SUM, "signed": "{raw:a[b]}"}, json_values=["a[b]"])
    part = b'--x\r\nContent-Disposition: form-data; name="a[b]"\r\n\r\n[1]\r\n--x--'

    for body, kind in ((b"a%5Bb%5D=%5B1%5D", FORM), (part, "multipart/form-data; boundary=x")):
        assert source.parse(source.verify(sent(body, kind, signed=b"[1]"), NOW)) == {"a": {"b": [1]}}


# Properties.

TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)
SCALARS = TEXTS | st.booleans() | st.integers(-(10**20), 10**20) | st.floats(allow_nan=False, allow_infinity=False)
LEFT_OUT = st.none() | st.lists(st.integers(), max_size=2) | st.dictionaries(TEXTS, st.integers(), max_size=2)


def as_json(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


@given(
    body=st.dictionaries(TEXTS, SCALARS, max_size=8),
    other=st.dictionaries(TEXTS, LEFT_OUT, max_size=3),
    ensure_ascii=st.booleans(),
    empty=st.booleans(),
)
def test_any_map_is_written_as_json_writes_its_scalars(
    load: Load, body: dict[str, Any], other: dict[str, Any], *, ensure_ascii: bool, empty: bool
) -> None:
    source = load({**SUM, "values": {"of": "body", "as": "{name}={value}", "join": "&", "empty": empty}})
    expected = sorted((name.encode(), as_json(value).encode()) for name, value in body.items())
    text = b"&".join(name + b"=" + value for name, value in expected if value or empty)
    whole = json.dumps({**other, **body}, ensure_ascii=ensure_ascii).encode()

    assert source.verify(sent(whole, signed=text), NOW)


@given(fields=st.dictionaries(TEXTS.filter(bool), TEXTS, max_size=8))
def test_any_form_is_written_as_it_was_sent(load: Load, fields: dict[str, str]) -> None:
    source = load({**SUM, "values": {"of": "fields", "as": "{name}={value}", "join": "&"}})
    expected = sorted((name.encode(), value.encode()) for name, value in fields.items())
    text = b"&".join(name + b"=" + value for name, value in expected)

    assert source.verify(sent(urlencode(fields).encode(), FORM, signed=text), NOW)


@given(text=TEXTS | st.binary(max_size=40).map(lambda raw: base64.b64encode(raw).decode()))
def test_any_text_in_a_field_of_base64_is_read_or_refused(text: str) -> None:
    reader = BodyReader(base64_json=("a",))
    body = f"a={quote(text, safe='')}".encode()
    assert reader.read_as_sent("POST", FORM, "", body) == {"a": text}
    with contextlib.suppress(UnreadableError):
        json.dumps(reader.read("POST", FORM, "", body), allow_nan=False)


# Nothing of a secret is left in what is claimed.


def test_the_coverage_of_a_signature_does_not_depend_on_a_secret(load: Load) -> None:
    verify = {**SUM, "signed": "{secret}{secret:salt}{values}", "values": {"of": "body", "secret": {"name": "p"}}}
    source = load(verify, named={"salt": "SALT"})
    webhook = sent(b'{"a": 1}', signed=KEY + SALT + b"1" + KEY)

    coverage = source.verify(webhook, NOW).coverage

    assert coverage
    assert coverage.digest == hashlib.sha256(b"1").hexdigest()
    assert all(one not in repr(source.verifier) for one in ENVIRON.values())


@pytest.mark.parametrize(
    ("values", "first", "again"),
    [
        ({"of": "body"}, sent(b'{"a": 1, "b": 2}', signed=b"12"), sent(b'{"b":2,"new":{"a":1},"a":1}', signed=b"12")),
        ({"of": "body"}, sent(b'{"a": 1}', signed=b"1"), sent(b"a=1", FORM, signed=b"1")),
        ({"of": "body"}, sent(b'{"a": 1}', signed=b"1"), sent(b'{"z": 1}', signed=b"1")),
        ({"of": "fields"}, sent(b"a=1&b=2", FORM, signed=b"12"), sent(b"b=%32&a=1", FORM, "x=1", signed=b"12")),
        ({"of": "query"}, sent(query="a=1", signed=b"1"), sent(query="%61=%31&b[]=2", signed=b"1")),
    ],
)
def test_a_captured_request_in_another_spelling_is_the_same_event(
    load: Load, values: dict[str, Any], first: Webhook, again: Webhook
) -> None:
    source = load({**SUM, "values": values}, dedup={"from": "body.a"})

    keys = [source.signature_keys(source.verify(one, NOW).coverage, {}, 0) for one in (first, again)]

    assert keys[0] == keys[1]
    assert keys[0]


@pytest.mark.parametrize("of", [None, Expression.parse("body", None)], ids=["fields", "body"])
def test_each_value_of_a_hundred_kilobytes_is_written_once_and_too_many_are_refused(
    monkeypatch: pytest.MonkeyPatch, of: Expression | None
) -> None:
    written: list[bytes] = []
    source, signed = Source("one", NoVerifier()), Signed.parse("{values}").with_values(Values(of))
    real = Values._written
    monkeypatch.setattr(Values, "_written", lambda self, name, value: written.append(name) or real(self, name, value))

    def write(count: int) -> int:
        body = urlencode({f"n{number}": "x" * 5 for number in range(count)}).encode()
        signed.write(source.read_lazily(Webhook(headers={"Content-Type": FORM}, body=body)), NOTHING)
        return len(body)

    assert (write(9_000) > 100_000, len(written)) == (True, 9_000)
    with pytest.raises(NotVerifiedError):
        write(10_002)
    assert len(written) == 9_000
