"""Connections that say nothing, half of it, or announce what never comes: the door stays open to everybody else."""

from __future__ import annotations

import contextlib
import http.client
import io
import json
import socket
import types
from urllib.parse import urlsplit

import gevent
import pytest
import requests

from relay.runtime import web_worker
from relay.web.doorkeeper import Connection, Doorkeeper
from tests.support.folders import SECRETS
from tests.support.senders import JSON, SEED, dump, website
from tests.support.waiting import until

ROOM = 40
FEW = (
    f"workers = 1\nworker_connections = {ROOM}\n"
    "import relay.runtime.web_worker\nrelay.runtime.web_worker.BODY_S = 1.0\n"
)
ANNOUNCED = (
    f"POST /hooks/website HTTP/1.1\r\nHost: relay\r\nContent-Type: {JSON}\r\nContent-Length: 1000\r\n\r\n".encode()
)
CHUNKED = ANNOUNCED.replace(b"Content-Length: 1000", b"Transfer-Encoding: chunked")
SILENCES = {
    "nothing": b"",
    "half a head": ANNOUNCED[:60],
    "no body": ANNOUNCED,
    "half a body": ANNOUNCED + b"{",
    "half a chunk": CHUNKED + b"5\r\n{",
}


@pytest.fixture(scope="module")
def served(open_door):
    """A door with room for few connections, and a second for a body."""
    return open_door(FEW)


@contextlib.contextmanager
def silent(url, count, sent):
    """So many connections that have sent this and say no more."""
    address = urlsplit(url)
    with contextlib.ExitStack() as stack:
        held = []
        for _ in range(count):
            one = stack.enter_context(socket.create_connection((address.hostname, address.port), timeout=10))
            with contextlib.suppress(OSError):
                one.sendall(sent)
            held.append(one)
        yield held


def post(url):
    return requests.post(f"{url}/hooks/website", data=dump(SEED), headers=website(), timeout=5).status_code


@pytest.mark.parametrize("sent", SILENCES.values(), ids=SILENCES)
def test_silent_connections_do_not_shut_the_door(served, sent):
    with silent(served.url, 3 * ROOM, sent):
        assert requests.get(f"{served.url}/healthz", timeout=5).status_code == 200
        assert post(served.url) == 200


def test_a_proven_sender_keeps_its_connection_while_strangers_lose_theirs(served):
    address = urlsplit(served.url)
    proven = http.client.HTTPConnection(address.hostname, address.port, timeout=5)
    proven.connect()
    proven.auto_open = 0  # what is closed stays closed
    with contextlib.closing(proven):
        for _ in range(2):
            proven.request("POST", "/hooks/website", dump(SEED), website())
            answer = proven.getresponse()
            assert (answer.status, bool(answer.read())) == (200, True)
            with silent(served.url, 2 * ROOM, ANNOUNCED):
                pass


def test_a_body_that_trickles_in_is_not_waited_for(served):
    with silent(served.url, 1, ANNOUNCED) as (trickling,):
        trickling.settimeout(0.05)
        answer = b""

        def answered():
            nonlocal answer
            with contextlib.suppress(TimeoutError):
                answer += trickling.recv(65536)
            if not answer:
                trickling.sendall(b" ")
            return answer

        until(answered, "an end of it")
        trickling.settimeout(10)
        answer += answer_on(trickling)

    assert answer.startswith(b"HTTP/1.1 408 ")
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["detail"] == "the body did not come in time"


def test_what_was_not_waited_for_is_no_event(served, record, valkey):
    with silent(served.url, 5, ANNOUNCED + dump(SEED)) as held:
        for one in held:
            assert one.recv(65536).startswith(b"HTTP/1.1 408 ")

    assert record.counts().total_events == 0


def answer_on(connection):
    """All that comes until it is closed."""
    answer = b""
    while piece := connection.recv(65536):
        answer += piece
    return answer


def test_in_a_crowd_those_who_are_late_are_told_the_same(served):
    with silent(served.url, 1, ANNOUNCED) as (alone,):
        quiet = answer_on(alone)
    with silent(served.url, ROOM * 3 // 4, ANNOUNCED) as crowd:
        answers = {answer_on(one).partition(b"\r\n\r\n")[2] for one in crowd}

    assert [json.loads(answer) for answer in answers] == [json.loads(quiet.partition(b"\r\n\r\n")[2])]


def test_who_has_to_go_gets_no_answer_for_nobody_would_read_it(served):
    with silent(served.url, 1, ANNOUNCED) as (first,), silent(served.url, 2 * ROOM, ANNOUNCED):
        assert answer_on(first) == b""


BROKEN_CHUNK = (
    CHUNKED.replace(JSON.encode(), b"application/x-www-form-urlencoded") + b"15\r\nlead%5Bid%5D=1&user=1\r\nzz\r\n"
)


def test_in_a_crowd_too_half_a_body_is_no_event(served, record, valkey):
    proven = BROKEN_CHUNK.replace(b"\r\n", f"\r\nX-Relay-Token: {SECRETS['SOURCE_WEBSITE_TOKEN']}\r\n".encode(), 1)
    with silent(served.url, ROOM * 3 // 4, ANNOUNCED), silent(served.url, 1, proven) as (broken,):
        assert answer_on(broken).startswith(b"HTTP/1.1 400 ")

    assert record.counts().total_events == 0


class Slow(io.BytesIO):
    """A body that comes in pieces of 100 bytes, each after a while."""

    def read(self, size=-1):
        gevent.sleep(0.02)
        return super().read(min(size, 100))


def timed(inner, length):
    keeper = Doorkeeper(10)
    connection = keeper.admit(socket.socket(), "192.0.2.1")
    return web_worker.TimedBody(inner, length, connection, keeper), connection


def test_what_comes_slowly_but_surely_is_waited_for(monkeypatch):
    monkeypatch.setattr(web_worker, "BODY_S", 0.1)
    monkeypatch.setattr(web_worker, "BODY_BYTES_A_S", 1_000)
    body, connection = timed(Slow(b"x" * 2_000), 2_000)

    assert sum(len(piece) for piece in iter(lambda: body.read(100), b"")) == 2_000
    assert not connection.is_late
    connection.socket.close()


def test_what_comes_too_slowly_is_late(monkeypatch):
    monkeypatch.setattr(web_worker, "BODY_S", 0.1)
    body, connection = timed(Slow(b"x" * 2_000), 2_000)

    with pytest.raises(TimeoutError):
        body.read()
    assert connection.is_late
    connection.socket.close()


def admit(keeper, *addresses):
    """Connections from these addresses, with what tells that one was shed: the end of its other side."""
    made: list[tuple[Connection, socket.socket]] = []
    for address in addresses:
        ours, theirs = socket.socketpair()
        theirs.settimeout(0)
        made.append((keeper.admit(ours, address), theirs))
    return made


def shed(made):
    found = []
    for connection, theirs in made:
        with contextlib.suppress(BlockingIOError):
            theirs.recv(1)
            found.append(connection)
    return found


@pytest.fixture
def opened():
    made: list[tuple[Connection, socket.socket]] = []
    yield made
    for connection, theirs in made:
        connection.socket.close()
        theirs.close()


def test_who_waits_longest_from_the_busiest_address_goes_first(opened):
    keeper = Doorkeeper(3)
    opened += admit(keeper, "198.51.100.1", "192.0.2.1", "192.0.2.1")
    opened += admit(keeper, "192.0.2.1")

    assert shed(opened) == [opened[1][0]]


def test_who_is_proven_goes_last_and_who_waits_for_us_not_at_all(opened):
    keeper = Doorkeeper(3)
    opened += admit(keeper, "192.0.2.1", "192.0.2.1", "192.0.2.1")
    opened[0][0].prove()
    keeper.wait(opened[0][0])
    keeper.serve(opened[1][0])
    opened += admit(keeper, "192.0.2.1", "192.0.2.1")
    assert shed(opened) == [opened[2][0], opened[3][0]]

    keeper.serve(opened[4][0])
    opened += admit(keeper, "192.0.2.1")
    # The new one is the only one left that waits and is not proven.
    assert shed(opened)[2:] == [opened[5][0]]


def test_unfinished_bodies_have_a_bound_together(opened):
    keeper = Doorkeeper(10, most_bytes=100)
    opened += admit(keeper, "192.0.2.1", "192.0.2.1", "192.0.2.1", "192.0.2.1")
    for connection, _ in opened[1:]:
        keeper.read(connection, 40)
    assert shed(opened) == [opened[1][0]]

    keeper.serve(opened[2][0])
    keeper.read(opened[3][0], 50)
    keeper.wait(opened[1][0])  # it is gone, whatever its handler still does
    assert shed(opened) == [opened[1][0]]


def test_a_body_that_nobody_wants_is_not_read_to_its_end(served):
    announced = ANNOUNCED.replace(b"/hooks/website", b"/hooks/nobody").replace(b": 1000", b": 100000000000")
    with silent(served.url, 1, announced) as (sending,):
        answer = b""
        while piece := sending.recv(65536):
            answer += piece

    assert answer.startswith(b"HTTP/1.1 404 ")
    assert b"\r\nConnection: close\r\n" in answer


def test_a_connection_is_not_closed_because_of_a_body_that_was_read(served):
    with requests.Session() as session:
        answers = [session.post(f"{served.url}/hooks/website", data=dump(SEED), headers=website()) for _ in range(3)]

    assert [answer.headers["Connection"] for answer in answers] == ["keep-alive"] * 3


REQUEST = types.SimpleNamespace(force_close=bool, body=types.SimpleNamespace(reader=None))
"""As gunicorn's, without a body."""


def test_who_does_not_read_his_answer_is_not_waited_for(monkeypatch):
    worker = web_worker.WebWorker.__new__(web_worker.WebWorker)
    keeper, client = Doorkeeper(10), socket.socket()
    worker._keeper, worker._connections = keeper, {client: keeper.admit(client, "192.0.2.1")}

    def stand_still(*_):
        raise TimeoutError

    monkeypatch.setattr(web_worker.GeventWorker, "handle_request", stand_still)

    with contextlib.closing(client), pytest.raises(StopIteration):
        worker.handle_request("", REQUEST, client, ("192.0.2.1", 1))


def test_what_breaks_in_the_server_is_logged_by_its_place_only(capsys):
    worker = web_worker.WebWorker.__new__(web_worker.WebWorker)
    ours, theirs = socket.socketpair()

    with contextlib.closing(ours), contextlib.closing(theirs):
        worker.handle_error(None, ours, ("192.0.2.1", 1), ValueError("hidden-9c1f"))
        answer = theirs.recv(65536)

    printed = capsys.readouterr()
    assert answer.startswith(b"HTTP/1.1 500 ")
    assert "ValueError" in printed.out + printed.err
    assert "hidden-9c1f" not in answer.decode() + printed.out + printed.err


@pytest.mark.parametrize(("now", "most", "wanted"), [(1_024, 4_096, 4_096), (1_024, -1, 65_536), (4_096, 4_096, None)])
def test_a_web_process_may_open_as_many_files_as_it_has_connections(monkeypatch, now, most, wanted):
    told = []
    monkeypatch.setattr(web_worker.resource, "getrlimit", lambda _: (now, most))
    monkeypatch.setattr(web_worker.resource, "setrlimit", lambda _, limits: told.append(limits))

    web_worker.open_files()

    assert told == ([(wanted, most)] if wanted else [])
