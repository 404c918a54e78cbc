"""A body in very many very small chunks: it is refused after a few, and others get their turn meanwhile."""

from __future__ import annotations

import contextlib
import json
import socket
import types
from urllib.parse import urlsplit

import pytest
import requests

from relay.runtime.web_worker import FREE_CHUNKS, SMALLEST_CHUNK, TURN, BoundedChunks, TooFineError, bound_chunks
from tests.support.folders import SECRETS
from tests.support.senders import JSON, SEED, dump, website


class Unreader:
    """What gunicorn reads from: everything is there at once, in pieces as a socket gives them."""

    def __init__(self, content):
        self._content = content

    def read(self, size=None, read_ahead=None):
        size = size or max(8192, read_ahead or 0)
        found, self._content = self._content[:size], self._content[size:]
        return found

    def unread(self, content):
        self._content = content + self._content


def chunked(*sizes):
    return b"".join(f"{size:x}\r\n".encode() + b"x" * size + b"\r\n" for size in (*sizes, 0))


def read(content):
    request = types.SimpleNamespace(
        body=types.SimpleNamespace(reader=BoundedChunks(None, None)), unreader=Unreader(content)
    )
    bound_chunks(request)
    return request.body.read()


@pytest.mark.parametrize(
    "sizes",
    [
        [1] * FREE_CHUNKS,
        [100] * 10_000,
        [100] * 10_000 + [1],
        [SMALLEST_CHUNK] * 5_000,
        [1] * FREE_CHUNKS + [200_000] + [1] * 1_000,
        [500_000, 500_000],
        [],
    ],
    ids=["few", "of 100 bytes", "and a rest", "smallest", "crumbs and a loaf", "large", "nothing"],
)
def test_a_body_in_chunks_of_a_sensible_size_is_read(sizes):
    assert len(read(chunked(*sizes))) == sum(sizes)


@pytest.mark.parametrize("size", [1, 2, SMALLEST_CHUNK - 1])
def test_crumbs_are_refused_after_the_first_few(size):
    unreader = Unreader(chunked(*[size] * 100_000))
    reader = BoundedChunks(types.SimpleNamespace(), unreader)

    with pytest.raises(TooFineError):
        reader.read(10_000_000)
    assert reader._chunks == FREE_CHUNKS + 1


def test_while_small_chunks_are_read_others_get_their_turn(monkeypatch):
    turns = []
    monkeypatch.setattr("relay.runtime.web_worker.gevent.sleep", turns.append)

    read(chunked(*[SMALLEST_CHUNK] * 10 * TURN))

    assert turns == [0] * 10


@pytest.mark.parametrize("token", ["wrong", SECRETS["SOURCE_WEBSITE_TOKEN"]])
def test_crumbs_are_answered_at_once_and_are_no_event(served, record, token):
    address = urlsplit(served.url)
    head = f"POST /hooks/website HTTP/1.1\r\nHost: a\r\nContent-Type: {JSON}\r\nX-Relay-Token: {token}\r\n"
    with socket.create_connection((address.hostname, address.port), timeout=60) as connection:
        with contextlib.suppress(OSError):
            connection.sendall(f"{head}Transfer-Encoding: chunked\r\n\r\n".encode() + chunked(*[1] * 100_000))
        answer = b""
        with contextlib.suppress(OSError):
            while piece := connection.recv(65536):
                answer += piece

    assert answer.startswith(b"HTTP/1.1 400 ")
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["detail"] == "the body cannot be read"
    assert record.counts().total_events == 0
    assert "x" * 10 not in served.log()


def test_a_sender_that_streams_its_json_is_read(served, valkey):
    body = dump({**SEED, "note": "x" * 50_000})
    pieces = (body[at : at + 100] for at in range(0, len(body), 100))

    answer = requests.post(f"{served.url}/hooks/website", data=pieces, headers=website(), timeout=10)

    assert (answer.status_code, answer.json()["state"]) == (200, "accepted")
