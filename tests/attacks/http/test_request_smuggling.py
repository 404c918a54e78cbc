"""Two parsers that disagree are how requests are smuggled: what the door reads itself, gunicorn would read the same."""

from __future__ import annotations

import re
from typing import Any

import pytest
from gunicorn.config import Config
from gunicorn.http.message import Request
from gunicorn.http.unreader import IterUnreader
from hypothesis import event, example, given, settings
from hypothesis import strategies as st

from relay.runtime.web_worker import limits_of
from relay.web.fast_path import MOST_BODY, MOST_HEAD, read_plain

BODY = b'{"a": 1}'
LINE = b"POST /hooks/website HTTP/1.1\r\n"
FIRST_LINES = [
    LINE, b"POST /hooks/a.b_c~d-e HTTP/1.1\r\n", b"POST /hooks/website?a=%2F HTTP/1.1\r\n",
    b"POST /hooks/website? HTTP/1.1\r\n", b"POST /hooks/website?a=?//[:]@ HTTP/1.1\r\n", b"POST /hooks/.. HTTP/1.1\r\n",
]  # fmt: skip
ODD_FIRST_LINES = [
    LINE.replace(old, new)
    for old, new in [
        (b"POST", b"post"), (b"POST", b"PUT"), (b"POST ", b"POST\t"), (b"POST", b"\r\nPOST"), (b"1.1", b"1.0"),
        (b"1.1", b"1.2"), (b"HTTP", b"http"), (b"1.1", b"1.1 "), (b"\r\n", b"\n"), (b"/hooks", b"//hooks"),
        (b"/hooks", b"http://a/hooks"), (b"website", b"website#f"), (b"website", b"website?a#f"), (b"website", b""),
        (b"website", b"%77ebsite"), (b"website", b"website?a b"), (b"website", b"website?\xff"),
        (b"/hooks/website", b"*"),
    ]
]  # fmt: skip
NAMES = [
    b"X-A", b"x-b", b"Cookie", b"X-Forwarded-Proto", b"Accept", b"TE", b"!#$%&'*+.^`|~", b"Connection", b"X-C", b"HOST",
    b"Content-Length", b"Transfer-Encoding", b"Expect", b"Upgrade", b"X_A", b"X-A ", b" X-A", b"", b"X\xc4",
    b"SCRIPT_NAME", b"Content_Length", b"Trailer", b"HTTP2-Settings", b"X\tA", b"\x00",
]  # fmt: skip
VALUES = [
    b"a", b"", b" ", b"a\xe9", b"\ta\t", b"a: b", b"8", b"close", b"keep-alive", b"Keep-Alive", b"CLOSE\t", b"https",
    b"keep-alive, x", b"chunked", b"identity", b"100-continue", b"h2c", b"a\x00b", b"a\rb", b"a\nb", b"a\r\n b",
    b"a\x7f", b"a\r\nX-B: c",
]  # fmt: skip
LENGTHS = [b"8"] * 12 + [b"008", b"8 ", b"\t8", b"+8", b"-8", b"8, 8", b"\xb2", b"8\x0b", b"0x8", b"99999", b"", b"8_0"]
LINES = st.lists(
    st.tuples(st.sampled_from(NAMES[:9] * 6 + NAMES), st.sampled_from(VALUES[:12] * 3 + VALUES)), max_size=2
)
HEADS = st.builds(
    lambda first, length, lines: (
        first + b"Host: relay\r\nContent-Type: application/json\r\nContent-Length: " + length + b"\r\n"
        + b"".join(name + b": " + value + b"\r\n" for name, value in lines) + b"\r\n"
    ),
    st.sampled_from(FIRST_LINES * 6 + ODD_FIRST_LINES), st.sampled_from(LENGTHS), LINES,
)  # fmt: skip
BYTES = st.sampled_from([b"\r", b"\n", b"\0", b":", b" ", b"\r\n", b"\x80"])
CUTS = st.none() | st.none() | st.none() | st.tuples(st.integers(0, 140), BYTES)
"""Where another byte stands in between, and which."""


def config(**given: Any) -> Config:
    cfg = Config()
    for name, value in {"forwarded_allow_ips": "", **given}.items():
        cfg.set(name, value)
    return cfg


def by_gunicorn(received: bytes, cfg: Config) -> tuple[Request, bytes]:
    """Raises what gunicorn's parser raises."""
    request = Request(cfg, IterUnreader([received]), ("192.0.2.1", 1))
    return request, request.body.read()


def plain_headers(request: Request) -> dict[str, str]:
    return {name.lower(): value for name, value in request.headers}


@settings(max_examples=250, deadline=None)
@given(head=HEADS, cut=CUTS, rest=st.sampled_from([b"", b"POST /hooks/website HTTP/1.1\r\n", b"\r\n"]))
@example(
    head=b"POST /hooks/website HTTP/1.1\r\nHost: a\r\nContent-Type: b\r\nContent-Length: 8\r\n\r\n", cut=None, rest=b""
)
def test_what_is_read_as_plain_gunicorn_reads_the_same(head, cut, rest):
    if cut:
        head = head[: cut[0]] + cut[1] + head[cut[0] :]
    found = read_plain(head + BODY + rest)
    event("plain" if found else "left to gunicorn")
    if found is None:
        return

    request, body = by_gunicorn(head + BODY + rest, config())

    assert (request.method, request.version, request.scheme) == ("POST", (1, 1), "http")
    assert (request.uri, request.path, request.query) == (found.target, f"/hooks/{found.source}", found.query)
    assert (plain_headers(request), len(request.headers)) == (found.headers, len(found.headers))
    assert list(plain_headers(request)) == list(found.headers)
    assert body == (head + BODY + rest)[found.begin : found.end]
    assert request.should_close() == found.is_last
    assert not request._expected_100_continue


def written(*lines: bytes, body: bytes = BODY, target: bytes = b"/hooks/website") -> bytes:
    needed = (b"Host: a", b"Content-Type: b", b"Content-Length: %d" % len(body), *lines)
    return b"POST " + target + b" HTTP/1.1\r\n" + b"".join(line + b"\r\n" for line in needed) + b"\r\n" + body


@pytest.mark.parametrize(
    "received",
    [
        written(b"Transfer-Encoding: chunked"),
        written(b"Content-Length: 8"),
        written(b"content-length: 9"),
        written(b"Host: b"),
        written(b"X-A: 1", b"x-a: 2"),
        written(b"X_A: 1"),
        written(b"X-A : 1"),
        written(b"X-A: 1", b" 2"),
        written(b"X-A: 1\n2"),
        written(b"X-A: 1\x002"),
        written(b"Expect: 100-continue"),
        written(b"Upgrade: h2c"),
        written(b"Connection: upgrade"),
        written(b"Connection: keep-alive, X-Relay-Token"),
        written(body=b"x" * (MOST_BODY + 1)),
        written(b"X-A: " + b"x" * MOST_HEAD),
        written(target=b"/hooks/website?" + b"x" * MOST_HEAD),
        written(*(b"X-%d: 1" % number for number in range(100))),
        written(target=b"/hooks/website?a b"),
        written(target=b"/hooks/website?\xff"),
        written(target=b"http://a/hooks/website"),
        written().replace(b"POST", b"PUT"),
        written().replace(b"1.1", b"1.0"),
        written().replace(b"Content-Length: 8", b"Content-Length: +8"),
        written().replace(b"Content-Length: 8", b"Content-Length: \xb2"),
        written().replace(b"\r\nContent-Length: 8", b""),
        written().replace(b"\r\n", b"\n"),
        written().partition(b"\r\n\r\n")[0],
        b"\r\n" + written(),
        b"",
    ],
)
def test_what_is_rare_or_doubtful_is_left_to_gunicorn(received):
    assert read_plain(received) is None


def test_a_head_of_hostile_make_is_read_in_a_time_that_grows_with_its_length():
    for hostile in (b"a:" * MOST_HEAD, b"a: \t" * MOST_HEAD, b"a:\r\n" * MOST_HEAD, b"\xff" * MOST_HEAD):
        assert read_plain(written(b"X-A: 1").partition(b"\r\n\r\n")[0] + b"\r\n" + hostile) is None


@pytest.mark.parametrize(
    "given",
    [
        {"limit_request_line": 100},
        {"limit_request_field_size": 100},
        {"limit_request_fields": 4},
    ],
)
def test_limits_of_the_operator_hold_for_plain_requests_too(given):
    limits = limits_of(config(**given))
    assert limits is not None
    beyond = written(
        *(b"X-%d: 1" % number for number in range(2)), b"X-A: " + b"x" * 100, target=b"/hooks/" + b"x" * 100
    )

    assert read_plain(beyond, limits.bytes, limits.fields) is None
    assert read_plain(b"POST /hooks/a HTTP/1.1\r\nHost: a\r\nContent-Type: b\r\nContent-Length: 0\r\n\r\n", 100, 4)


@pytest.mark.parametrize(
    "given",
    [
        {"forwarded_allow_ips": "127.0.0.1"},
        {"forwarded_allow_ips": "*"},
        {"proxy_protocol": True},
        {"certfile": "a.pem", "keyfile": "a.key"},
        {"pre_request": lambda _worker, _request: None},
        {"post_request": lambda _worker, _request, _environ, _response: None},
        {"protocol": "uwsgi"},
    ],
)
def test_where_gunicorn_has_other_work_to_do_all_is_left_to_it(given):
    assert limits_of(config())
    assert limits_of(config(**given)) is None


def test_a_path_that_is_taken_off_is_gunicorns(monkeypatch):
    monkeypatch.setenv("SCRIPT_NAME", "/relay")

    assert limits_of(config()) is None


def test_a_plain_request_prints_nothing_of_what_was_sent():
    found = read_plain(written(b"X-Relay-Token: hidden", target=b"/hooks/website?token=hidden"))

    assert found is not None
    assert re.search("hidden", repr(found)) is None
