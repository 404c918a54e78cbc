"""What is sent to the door, broken or whole, does not come out in the log, and is not sent back."""

from __future__ import annotations

import json
import socket
from urllib.parse import urlsplit

import pytest
import requests

from relay.operations import ingest
from tests.support.senders import SEED, dump, website
from tests.support.waiting import until

SECRET = "hidden-9c1f"
BROKEN = {
    "method": f"p{SECRET} /hooks/website HTTP/1.1\r\n\r\n",
    "line": f"POST /hooks/website?token={SECRET}\r\n\r\n",
    "target": f"POST /hooks/website?token={SECRET}\x01 HTTP/1.1\r\n\r\n",
    "version of none": f"POST /hooks/website?token={SECRET} HTTP/9.9\r\n\r\n",
    "version": f"POST /hooks/website HTTP/{SECRET}\r\n\r\n",
    "name": f"POST / HTTP/1.1\r\nHost: a\r\n{SECRET} : a\r\n\r\n",
    "value": f"POST / HTTP/1.1\r\nHost: a\r\nX-Relay-Token: {SECRET}\x01\r\n\r\n",
    "folded": f"POST / HTTP/1.1\r\nHost: a\r\nX-Relay-Token: a\r\n {SECRET}\r\n\r\n",
    "coding": f"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: {SECRET}\r\n\r\n",
    "expectation": f"POST / HTTP/1.1\r\nHost: a\r\nExpect: {SECRET}\r\n\r\n",
    "length": f"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {SECRET}\r\n\r\n",
    "long": f"POST /?token={SECRET}{'a' * 9000} HTTP/1.1\r\n\r\n",
    "large": f"POST / HTTP/1.1\r\nHost: a\r\nX-Relay-Token: {SECRET}{'a' * 20000}\r\n\r\n",
    "no HTTP": f"{SECRET}\r\n\r\n",
}


@pytest.mark.parametrize("sent", BROKEN.values(), ids=BROKEN)
def test_a_broken_request_is_neither_printed_nor_sent_back(served, sent):
    seen = len(served.lines("request.broken"))
    address = urlsplit(served.url)
    with socket.create_connection((address.hostname, address.port), timeout=5) as connection:
        connection.sendall(sent.encode("latin-1"))
        answer = b""
        while piece := connection.recv(65536):
            answer += piece

    assert answer.startswith((b"HTTP/1.1 4", b"HTTP/1.1 5"))
    assert SECRET not in answer.decode("latin-1")
    until(lambda: len(served.lines("request.broken")) > seen, "a line about it")
    assert SECRET not in served.log()


def test_a_body_whose_chunks_are_broken_is_neither_printed_nor_sent_back(served):
    address = urlsplit(served.url)
    head = "POST /hooks/website HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    with socket.create_connection((address.hostname, address.port), timeout=5) as connection:
        connection.sendall(f"{head}{SECRET}\r\n".encode())
        answer = connection.recv(65536)

    assert answer.startswith(b"HTTP/1.1 400 ")
    assert SECRET not in answer.decode("latin-1") + served.log()


@pytest.mark.parametrize(
    ("content_type", "logged"),
    [
        ("application/json; charset=utf-8", "application/json"),
        ("Application/JSON", "application/json"),
        ("application/vnd.sender+json", "application/json"),
        ("multipart/form-data; boundary=x", "multipart/form-data"),
        (SECRET, "other"),
        (f"text/{SECRET}", "other"),
        (f"application/{SECRET}+json", "application/json"),
        (f"application/json; token={SECRET}", "application/json"),
    ],
)
def test_of_a_content_type_only_a_known_name_is_printed(served, content_type, logged):
    seen = len(served.lines("event.received"))

    requests.post(f"{served.url}/hooks/website", data=dump(SEED), headers=website(content_type), timeout=5)

    until(lambda: len(served.lines("event.received")) > seen, "a line about it")
    assert served.lines("event.received")[-1]["content_type"] == logged
    assert SECRET not in served.log()
    assert json.dumps(served.lines("event.received")[-1])


def test_a_bug_of_ours_is_printed_by_its_places_and_not_with_what_was_sent(app, monkeypatch, capsys):
    def fail(*_):
        raise KeyError(SECRET)

    monkeypatch.setattr(ingest, "decide", fail)

    answer = app.test_client().post("/hooks/website", data=dump({"a": SECRET}), headers=website())

    printed = capsys.readouterr()
    assert (answer.status_code, answer.get_json()["detail"]) == (500, "an error of ours; it is in the log")
    assert "KeyError" in printed.out + printed.err
    assert "relay/operations/ingest.py:" in printed.out + printed.err
    assert SECRET not in answer.text + printed.out + printed.err
