"""A captured request of any sender that signs starts nothing more, in whatever other spelling it is sent again."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qsl, urlencode

import pytest
import yaml

from relay.sources.bodies import FORM, kind_of
from relay.sources.loading import SHIPPED
from tests.support.golden import PUBLIC_URL, Golden, about, environ, golden, profiles, write_configuration

SIGNED = [profile for profile in profiles() if about(profile)["covers"] != "nothing"]
WITHOUT_KEY = {"dropbox"}
"""Senders whose equal requests are events of their own: nothing in them tells one from another."""


@pytest.fixture(scope="module")
def app(make_app, shared_valkey, tmp_path_factory):
    shared_valkey.make_fresh()
    folder = write_configuration(tmp_path_factory.mktemp("replays") / "config")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environ().items():
            patch.setenv(name, value)
        return make_app(shared_valkey, config=folder, public_url=PUBLIC_URL)


@pytest.mark.parametrize("profile", sorted({*SIGNED} - WITHOUT_KEY))
def test_a_captured_request_of_a_sender_starts_nothing_more_in_any_other_spelling(
    app, valkey, record, monkeypatch, profile
):
    request = next(one for name in about(profile)["requests"] if (one := golden(profile, name)).is_event)
    client, clock = app.test_client(), request.at
    monkeypatch.setattr("relay.web.hooks.utc_now", lambda: clock)
    for captured in [*request.before(), request]:
        captured.send(client)
    started = record.counts().total

    for what, again in spellings(request):
        again.send(client)
        assert record.counts().total == started > 0, what


def spellings(request: Golden) -> Iterator[tuple[str, Golden]]:
    """The request in other words: what is changed, and the changed request."""
    yield from _addresses(request)
    yield from _headers(request)
    is_form = kind_of(dict(request.headers).get("Content-Type", "")) == FORM
    for what, body in _forms(request.body) if is_form else _texts(request.body):
        yield what, request.with_body(body)
    if is_form:
        fields = dict(parse_qsl(request.body.decode("latin-1"), keep_blank_values=True, encoding="utf-8"))
        headers = tuple((dict(request.headers) | {"Content-Type": "application/json"}).items())
        yield "as JSON", replace(request, headers=headers, body=json.dumps(fields).encode())
        for first, second in _neighbours(request.profile):
            if fields.get(first) and second in fields:
                cut = {first: fields[first][:-1], second: fields[first][-1] + fields[second]}
                yield f"{first} and {second} cut otherwise", request.with_body(urlencode(fields | cut).encode())


def _neighbours(profile: str) -> list[tuple[str, str]]:
    """Fields that are signed with nothing between them."""
    ways = _written(profile)["verify"]
    texts = [way.get("signed", "") for way in (ways if isinstance(ways, list) else [ways])]
    return [pair for text in texts for pair in re.findall(r"\{field:(\w+)\}(?=\{field:(\w+)\})", text)]


def _written(profile: str) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((SHIPPED / f"{profile}.yaml").read_text("utf-8"))
    return content


def _addresses(request: Golden) -> Iterator[tuple[str, Golden]]:
    path, _, query = request.target.partition("?")
    pairs = query.split("&") if query else []
    written = _written(request.profile)
    yield "a parameter more", replace(request, target=f"{path}?{'&'.join([*pairs, 'replayed=1'])}")
    if pairs:
        yield "parameters in another order", replace(request, target=f"{path}?{'&'.join(pairs[::-1])}")
        yield "a parameter twice", replace(request, target=f"{path}?{'&'.join([*pairs, pairs[0]])}")
        yield "a parameter empty first", replace(request, target=f"{path}?{pairs[0].partition('=')[0]}=&{query}")
        escaped = f"%{ord(pairs[0][0]):02x}{pairs[0][1:]}"
        yield "a parameter escaped", replace(request, target=f"{path}?{'&'.join([escaped, *pairs[1:]])}")
    for tail in ["", *written.get("tails", [])]:
        target = f"/hooks/{request.profile}" + (f"/{tail}" if tail else "")
        yield f"the tail {tail!r}", replace(request, target=f"{target}?{query}" if query else target)
    for method in written.get("methods", []):
        yield f"the method {method}", replace(request, method=method)


def _headers(request: Golden) -> Iterator[tuple[str, Golden]]:
    headers = dict(request.headers)
    given = headers.get("Content-Type", "")

    def of_type(content_type: str) -> Golden:
        return replace(request, headers=tuple((headers | {"Content-Type": content_type}).items()))

    yield (
        "headers in another order and case",
        replace(request, headers=tuple((name.upper(), value) for name, value in request.headers[::-1])),
    )
    yield "a header more", replace(request, headers=(*request.headers, ("X-Replayed", "1")))
    yield "another agent", replace(request, headers=tuple((headers | {"User-Agent": "replay/1.0"}).items()))
    plain = given.partition(";")[0]
    if kind_of(given) == FORM:
        yield "another charset", of_type(f"{plain}; charset=windows-1251")
        yield "a charset", of_type(f"{plain}; charset=utf-8")
    elif "multipart" not in given:
        yield "a type in capitals", of_type(plain.upper() + "; CHARSET=UTF-8")
        yield "as a form", of_type(FORM)
        yield "as text", of_type("text/plain")
    yield "without a type", replace(request, headers=tuple(pair for pair in request.headers if pair[1] != given))


def _forms(body: bytes) -> Iterator[tuple[str, bytes]]:
    pairs = body.split(b"&") if body else []
    yield "a field more", body + b"&replayed=1"
    yield "fields in another order", b"&".join(pairs[::-1])
    yield "other escapes", body.replace(b"+", b"%20").replace(b"%5B", b"[").replace(b"%5D", b"]")
    yield "lower-case escapes", b"&".join(_lower(pair) for pair in pairs)
    yield "empty pairs", b"&&" + body + b"&"
    for pair in pairs[:6]:
        name = pair.partition(b"=")[0].decode("latin-1")
        yield f"{name} twice", body + b"&" + pair
        yield f"{name} once more and empty", body + b"&" + pair.partition(b"=")[0] + b"="


def _lower(pair: bytes) -> bytes:
    first, *others = pair.split(b"%")
    return b"%".join([first, *(one[:2].lower() + one[2:] for one in others)])


def _texts(body: bytes) -> Iterator[tuple[str, bytes]]:
    yield "a new line at the end", body + b"\n"
    yield "a blank at the beginning", b" " + body
    try:
        content: Any = json.loads(body)
    except ValueError:
        return
    yield "JSON with blanks", json.dumps(content, indent=1).encode()
    yield "JSON in another order", json.dumps(content, sort_keys=True, separators=(",", ":")).encode()
    if isinstance(content, dict):
        yield "a member more", json.dumps({"replayed": 1, **content}).encode()
        yield "a member twice", body.rstrip().rstrip(b"}") + b',"replayed":1,"replayed":2}'
