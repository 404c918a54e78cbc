"""The address that senders sign is the target of their request byte by byte, through gunicorn and behind a proxy."""

from __future__ import annotations

import base64
import hmac
import json
import socket
from urllib.parse import urlsplit

import pytest

from tests.support.configs import write_config

KEY = "the-secret-of-the-test"
SIGNED = {"kind": "hmac", "header": "X-Sign", "encoding": "base64", "signed": "{url}{body}", "secrets": ["SOURCE_KEY"]}
ASKED = {"when": "method == 'HEAD' || method == 'OPTIONS'", "open": True, "answer": {"headers": {"X-Seen": "{method}"}}}
SOURCES = {"one": {"verify": SIGNED}, "asked": {"verify": SIGNED, "methods": ["HEAD", "OPTIONS"], "probes": [ASKED]}}
TARGETS = {
    "plain": "/hooks/one?a=1",
    "percent signs": "/hooks/one?next=%2Fa%3Ab%2fc%7E%20d",
    "signs that others escape": "/hooks/one?a=~b+c&d=a:b@c!$'()*,;&e=[1]",
    "slashes": "/hooks/one?a=//b///c",
    "a letter that is escaped": "/hooks/%6Fne?x",
    "a question mark alone": "/hooks/one?",
    "the whole address": "http://else.example.com/hooks/one?a=%2F",
    "capitals of bytes": "/hooks/one?a=%d0%B6",
}


@pytest.fixture(scope="module", params=["public address", "trusted proxy"])
def served(request, start_web, tmp_path_factory):
    """A relay that knows its address from its settings, or from a proxy that it trusts."""
    config = write_config(tmp_path_factory.mktemp("addresses") / "config", SOURCES, [])
    said = {"RELAY_PUBLIC_URL": "https://relay.example.com"}
    if request.param == "trusted proxy":
        said = {"RELAY_TRUSTED_PROXIES": "127.0.0.1"}
    return start_web(config, SOURCE_KEY=KEY, **said)


def send(url, method, target, headers, body=b""):
    """Send a request to the letter: its status, and all that came back."""
    address = urlsplit(url)
    forwarded = {"Host": "inside", "X-Forwarded-Proto": "https", "X-Forwarded-Host": "relay.example.com"}
    sent = {**forwarded, "Connection": "close", "Content-Length": str(len(body)), **headers}
    lines = "".join(f"{name}: {value}\r\n" for name, value in sent.items())
    with socket.create_connection((address.hostname, address.port), timeout=10) as connection:
        connection.sendall(f"{method} {target} HTTP/1.1\r\n{lines}\r\n".encode("latin-1") + body)
        answer = b"".join(iter(lambda: connection.recv(65_536), b""))
    return int(answer.split(b" ", 2)[1]), answer


@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)
def test_what_is_signed_is_the_target_as_it_was_written(served, target):
    body = json.dumps({"a": target}).encode()
    written = target.removeprefix("http://else.example.com")
    signed = b"https://relay.example.com" + written.encode("latin-1") + body
    signature = base64.b64encode(hmac.digest(KEY.encode(), signed, "sha256")).decode()
    headers = {"Content-Type": "application/json", "X-Sign": signature}

    status, answer = send(served.url, "POST", target, headers, body)

    assert (status, b'"state"' in answer) == (200, True), answer
    other = target.replace("?", "?b&", 1)
    assert send(served.url, "POST", other, headers, body)[0] == 401


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS"])
def test_head_and_options_come_through_to_a_source_that_names_them(served, method):
    status, answer = send(served.url, method, "/hooks/asked", {})

    assert status == 200
    assert f"x-seen: {method}".encode() in answer.replace(b"X-Seen", b"x-seen")
    assert answer.endswith(b"\r\n\r\n")
    assert send(served.url, method, "/hooks/one", {})[0] == 405
