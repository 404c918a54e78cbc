"""Endless requests over a few connections, the next one always there already, do not shut the door to others."""

from __future__ import annotations

import contextlib
import socket
import threading
import types
from urllib.parse import urlsplit

import pytest
import requests

from relay.runtime import web_worker
from relay.web.doorkeeper import Connection, Doorkeeper
from tests.support.senders import JSON, SEED, dump, website

CONFIGURED = "workers = 1\nimport relay.runtime.web_worker\nrelay.runtime.web_worker.MOST_REQUESTS = 10**9\n"
HOST = b"Host: relay\r\n"
POSTED = HOST + f"Content-Type: {JSON}\r\nContent-Length: 2\r\n".encode()
KINDS = {
    "our own way": b"POST /hooks/website HTTP/1.1\r\n" + POSTED + b"\r\n{}",
    "gunicorn's way to a source": b"POST /hooks/website HTTP/1.1\r\nX:\r\n" + POSTED + b"\r\n{}",
    "another method": b"GET /hooks/website HTTP/1.1\r\n" + HOST + b"\r\n",
    "a page": b"GET /healthz HTTP/1.1\r\n" + HOST + b"\r\n",
    "no page": b"GET /nothing HTTP/1.1\r\n" + HOST + b"\r\n",
    "a file": b"GET /static/icon.svg HTTP/1.1\r\n" + HOST + b"\r\n",
    "a redirect": b"GET /events HTTP/1.1\r\n" + HOST + b"\r\n",
}


@pytest.fixture(scope="module")
def served(open_door):
    """A door with one process."""
    return open_door(CONFIGURED)


@contextlib.contextmanager
def endless(url, one):
    """Connections that send this again and again, each anew when it is closed, and read what comes."""
    address, stop = urlsplit(url), threading.Event()

    def send(connection):
        with contextlib.suppress(OSError):
            while not stop.is_set():
                connection.sendall(one * 200)

    def press():
        while not stop.is_set():
            with contextlib.suppress(OSError), socket.create_connection((address.hostname, address.port)) as connection:
                connection.settimeout(1)
                sending = threading.Thread(target=send, args=(connection,))
                sending.start()
                with contextlib.suppress(OSError):
                    while connection.recv(1 << 20) and not stop.is_set():
                        pass
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
                sending.join()

    pressing = [threading.Thread(target=press) for _ in range(2)]
    for each in pressing:
        each.start()
    try:
        yield
    finally:
        stop.set()
        for each in pressing:
            each.join()


@pytest.mark.parametrize("one", KINDS.values(), ids=KINDS)
def test_a_sender_beside_endless_requests_is_answered(served, one):
    with endless(served.url, one):
        answers = [requests.post(f"{served.url}/hooks/website", data=dump(SEED), headers=website(), timeout=8)]
        answers += [requests.post(f"{served.url}/hooks/website", data=dump(SEED), headers=website(), timeout=8)]

    assert [answer.status_code for answer in answers] == [200, 200]


@pytest.fixture
def worker():
    """A worker process as gunicorn makes it, without its sockets."""
    made = web_worker.WebWorker.__new__(web_worker.WebWorker)
    made.nr, made.max_requests, made.alive = 0, 10**9, True
    return made


def test_a_connection_ends_after_so_many_requests_that_we_read(worker):
    with socket.socket() as client:
        connection = Connection(client, "192.0.2.1")
        ends = [worker.begin_request(connection) for _ in range(web_worker.MOST_REQUESTS)]

    assert ends == [False] * (web_worker.MOST_REQUESTS - 1) + [True]


def test_a_connection_ends_after_so_many_requests_that_gunicorn_reads(worker, monkeypatch):
    monkeypatch.setattr(web_worker.GeventWorker, "handle_request", lambda *_: None)
    ended = []
    request = types.SimpleNamespace(force_close=lambda: ended.append(1), body=types.SimpleNamespace(reader=None))
    with socket.socket() as client:
        keeper = Doorkeeper(10)
        worker._keeper, worker._connections = keeper, {client: keeper.admit(client, "192.0.2.1")}
        for _ in range(web_worker.MOST_REQUESTS - 1):
            worker.handle_request("", request, client, ("192.0.2.1", 1))
        assert not ended
        worker.handle_request("", request, client, ("192.0.2.1", 1))

    assert ended
