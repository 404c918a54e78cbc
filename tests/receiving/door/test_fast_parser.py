"""A webhook that is plainly one is read and answered past gunicorn's parser and WSGI: nobody can tell by the answer."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import socket
from urllib.parse import urlsplit

import pytest
from werkzeug.test import Client

from relay.core.errors import LimitedError, RecordUnavailableError
from relay.operations.ingest import Ingest
from relay.runtime.web_worker import Conversation, Limits
from relay.web.doorkeeper import Connection, Doorkeeper
from relay.web.fast_path import FAST_PATH, FastPath, read_plain
from tests.support.folders import SECRETS
from tests.support.senders import JSON, SEED, dump, website
from tests.support.waiting import until

CHANGING = re.compile(rb"(evt|dlv)_\w+|(?<=\r\nDate: )[^\r]+")
WRONG = {"Content-Type": JSON, "X-Relay-Token": "wrong"}
SENT = {
    "an event": ("/hooks/website", dump(SEED), website()),
    "an event that no rule wants": ("/hooks/website?a=%2F", b'{"other": 1}', website()),
    "an event that cannot be filled": ("/hooks/website", b'{"lead": {"id": "x"}, "user": 1}', website()),
    "a wrong token": ("/hooks/website", dump(SEED), WRONG),
    "a broken body": ("/hooks/website", b"{", website()),
    "no body": ("/hooks/website", b"", website()),
    "an unknown type": ("/hooks/website", b"<a/>", website("application/xml")),
    "another status": ("/hooks/lenient", b'{"id": 1}', {"Content-Type": JSON}),
    "a token in the query": (f"/hooks/in-query?token={SECRETS['SOURCE_WEBSITE_TOKEN']}", b'{"id": 1}', WRONG),
    "a cookie": ("/hooks/website", dump(SEED), website() | {"Cookie": "relay_session=x", "Accept": "text/html"}),
}


def written(target, body, headers, *more):
    """A request to the letter. more: lines that stand at the end of its head."""
    fields = {"Host": "relay", **headers, "Content-Length": str(len(body))}
    lines = [f"POST {target} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items()), *more]
    return "".join(f"{line}\r\n" for line in lines).encode() + b"\r\n" + body


@pytest.fixture
def take(app):
    """Sends on the fast path, without a socket: status, headers and body."""
    way = app.extensions[FAST_PATH]

    def take(target, body, headers):
        request = read_plain(written(target, body, headers))
        answer = way.take(way.entrance_for(request), request, body, Connection(None, "127.0.0.1"))
        return int(answer.status.split()[0]), sorted(answer.headers), CHANGING.sub(b"?", answer.body)

    return take


@pytest.fixture
def through_wsgi(app):
    def send(target, body, headers):
        answer = app.test_client().post(target, data=body, headers={"Host": "relay", **headers})
        return answer.status_code, sorted(answer.headers), CHANGING.sub(b"?", answer.data)

    return send


@pytest.mark.parametrize("error", [RecordUnavailableError("away"), LimitedError(7), RuntimeError("a bug")])
def test_what_goes_wrong_is_answered_as_by_wsgi(take, through_wsgi, monkeypatch, error):
    def fail(*_):
        raise error

    monkeypatch.setattr(Ingest, "receive", fail)

    assert take(*SENT["an event"]) == through_wsgi(*SENT["an event"])


@pytest.mark.parametrize("networks", [(), ("127.0.0.1",), ("192.0.2.0/24",)])
@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"X-Forwarded-For": "198.51.100.7", "X-Forwarded-Proto": "https", "X-Forwarded-Host": "a.example:443"},
        {"X-Forwarded-For": "203.0.113.1, 198.51.100.7", "X-Forwarded-Proto": "http, https", "X-Forwarded-Host": ""},
        {"Host": "relay:80", "Cookie": "a=b", "Accept": "*/*"},
        {"Host": "not a host"},
    ],
)
def test_what_ingest_is_given_is_what_wsgi_gives_it(app, monkeypatch, networks, headers):
    given = []

    def keep(_ingest, _source, webhook, _now):
        given.append((webhook, list(webhook.headers.items()), webhook.query_string, webhook.body, webhook.public_url))
        raise LimitedError(1)

    monkeypatch.setattr(Ingest, "receive", keep)
    fields = website() | headers
    way = FastPath(app, app.extensions[FAST_PATH]._app, networks)
    request = read_plain(written("/hooks/website?a=%2F&b=1", b"{}", {"Host": "relay"} | fields))

    way.take(way.entrance_for(request), request, b"{}", Connection(None, "127.0.0.1"))
    Client(way.wsgi, use_cookies=False).post(
        "/hooks/website?a=%2F&b=1",
        data=b"{}",
        headers=fields,
        base_url="http://relay",
        environ_overrides={"REMOTE_ADDR": "127.0.0.1", "RAW_URI": "/hooks/website?a=%2F&b=1"},
    )

    plain, by_wsgi = given
    assert sorted(plain[1]) == sorted(by_wsgi[1])
    assert (plain[0].method, plain[0].remote_address) == (by_wsgi[0].method, by_wsgi[0].remote_address)
    assert plain[2:] == by_wsgi[2:]


def test_who_needs_a_page_or_has_sent_too_much_is_left_to_wsgi(app):
    way = app.extensions[FAST_PATH]

    for path, body in [("nobody", b"{}"), ("small", b"x" * 1_001), ("website", b"{}")]:
        request = read_plain(written(f"/hooks/{path}", body, website()))
        assert (way.entrance_for(request) is None) == (path != "website")


@contextlib.contextmanager
def connected(url):
    address = urlsplit(url)
    with socket.create_connection((address.hostname, address.port), timeout=10) as connection:
        yield connection


def answer_on(connection):
    """One answer, to its last byte; less where the connection has ended."""
    answer = b""
    while b"\r\n\r\n" not in answer and (piece := connection.recv(1)):
        answer += piece
    length = int(found[1]) if (found := re.search(rb"Content-Length: (\d+)", answer)) else 0
    while length and (piece := connection.recv(length)):
        answer, length = answer + piece, length - len(piece)
    return CHANGING.sub(b"?", answer)


class NoGunicorn:
    """A worker that serves two plain requests and cannot do anything else."""

    served = 0

    def begin_request(self, _connection):
        self.served += 1
        return self.served == 2


def test_a_plain_request_needs_nothing_of_gunicorn(app):
    ours, theirs = socket.socketpair()
    keeper = Doorkeeper(10)
    fast_path, limits = app.extensions[FAST_PATH], Limits(seconds=5, bytes=8_190, fields=100)
    connection = keeper.admit(ours, "127.0.0.1")
    with contextlib.closing(ours), contextlib.closing(theirs):
        theirs.sendall(written(*SENT["an event"]) * 2)
        Conversation(NoGunicorn(), connection, ("127.0.0.1", 1), limits=limits, fast_path=fast_path, keeper=keeper).run(
            None
        )
        answers = [answer_on(theirs) for _ in range(2)]

    assert [re.findall(rb"HTTP/1.1 (\d+)|Connection: (\S+)", answer) for answer in answers] == [
        [(b"200", b""), (b"", b"keep-alive")],
        [(b"200", b""), (b"", b"close")],
    ]
    assert connection.is_proven


TWICE = ("X-Twice: 1", "X-Twice: 2")
"""No plain request has a header twice."""


@pytest.mark.parametrize("sent", SENT.values(), ids=SENT)
def test_byte_by_byte_the_answer_is_gunicorns(served, valkey, sent):
    assert read_plain(written(*sent))
    assert read_plain(written(*sent, *TWICE)) is None
    with connected(served.url) as connection:
        connection.sendall(written(*sent))
        plain = answer_on(connection)
        valkey.make_fresh()
        connection.sendall(written(*sent, *TWICE))
        assert answer_on(connection) == plain
        connection.sendall(written(*sent, "Connection: close"))
        assert b"\r\nConnection: close\r\n" in answer_on(connection)
        assert connection.recv(1) == b""


def test_requests_that_are_sent_at_once_are_answered_in_turn_whoever_reads_them(served, valkey, record):
    one = written(*SENT["an event"])
    with connected(served.url) as connection:
        connection.sendall(b"".join([one, written(*SENT["an event"], *TWICE), one, one[:-5]]))
        answers = [answer_on(connection) for _ in range(3)]
        connection.sendall(one[-5:] + b"GET /healthz HTTP/1.1\r\nHost: relay\r\nConnection: close\r\n\r\n")
        answers.append(answer_on(connection))
        last = answer_on(connection)

    assert len(set(answers)) == 1
    assert answers[0].startswith(b"HTTP/1.1 200 ")
    assert last.endswith(b'{"status": "ok"}')
    assert record.counts().total_events == 4


@pytest.mark.parametrize("cuts", [(10,), (-25,), (-30, -20, -10), (-30, -29, -28)])
def test_however_its_bytes_come_it_is_one_event(served, valkey, record, cuts):
    sent = written(*SENT["an event"])
    with connected(served.url) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for begin, end in zip((0, *cuts), (*cuts, None), strict=True):
            connection.sendall(sent[begin or 0 : end])
        answer = answer_on(connection)

    assert json.loads(answer.partition(b"\r\n\r\n")[2])["state"] == "accepted"
    assert record.counts().total_events == 1


def test_half_a_body_is_no_event(served, valkey, record):
    sent = written("/hooks/website", dump(SEED), website())
    with connected(served.url) as connection:
        connection.sendall(sent[:-5])
        connection.shutdown(socket.SHUT_WR)
        answer = answer_on(connection)

    assert answer.startswith(b"HTTP/1.1 400 ")
    assert record.counts().total_events == 0


def test_a_process_that_ends_after_some_requests_counts_plain_ones(processes, valkey, config, tmp_path):
    copied = shutil.copytree(config, tmp_path / "few")
    with (copied / "gunicorn.conf.py").open("a") as file:
        file.write("workers = 1\nmax_requests = 3\n")
    running = processes.start("relay", "serve", REDIS_URL=valkey.url, RELAY_CONFIG=str(copied))
    until(lambda: "connected" in _words_of(running), "it to listen")

    with connected(running.url) as connection:
        for _ in range(3):
            connection.sendall(written(*SENT["an event"]))
        answers = [answer_on(connection) for _ in range(3)]
        end = connection.recv(1)

    words = [re.search(rb"Connection: (\S+)", answer)[1] for answer in answers]
    assert words == [b"keep-alive", b"keep-alive", b"close"]
    assert end == b""


def _words_of(running):
    with contextlib.suppress(OSError), connected(running.url):
        return "connected"
    return ""


def test_where_the_operator_wants_an_access_log_plain_requests_are_in_it(processes, valkey, config, tmp_path):
    copied = shutil.copytree(config, tmp_path / "logging")
    with (copied / "gunicorn.conf.py").open("a") as file:
        file.write(f"accesslog = {str(tmp_path / 'access.log')!r}\n")
    running = processes.start("relay", "serve", REDIS_URL=valkey.url, RELAY_CONFIG=str(copied))
    running.wait_for_url()

    with connected(running.url) as connection:
        connection.sendall(written(*SENT["an event"]))
        answer_on(connection)

    assert until(lambda: "POST /hooks/website" in (tmp_path / "access.log").read_text(), "a line of it")
