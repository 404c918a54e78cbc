"""One HTTP call: nothing sent or perhaps executed is told apart, nothing is followed, and the secret stays here."""

from __future__ import annotations

import json
import logging
import ssl
from functools import partial

import pytest
import requests
import trustme

from relay.core.errors import ConfigError
from tests.delivering.contexts import make_portal
from tests.delivering.wire import Wire, answering, respond
from tests.support.processes import refusing_address
from workers.bitrix24 import client as client_module
from workers.bitrix24.client import Client, Fault
from workers.portal.credentials import load_addresses

SECRET = "kept-to-itself-9f3a"
PATH = f"/rest/1/{SECRET}/"
METHOD = "bizproc.workflow.start"
LARGE = {"text": "x" * 20_000_000}
ID = "66e81a641752f8.56521481"


@pytest.fixture
def open_client():
    """Makes clients of a server, and closes them."""
    opened = []

    def make(url, **options):
        opened.append(Client(url + PATH, **options))
        return opened[-1]

    yield make
    for client in opened:
        client.close()


def test_a_call_is_one_post_of_json_to_the_method(open_client):
    with answering(respond({"result": ID, "time": {"operating": 1.5}})) as wire:
        answer = open_client(wire.url, token="t").call(METHOD, {"A": "ä", "B": [1]})

    (request,) = wire.requests
    head, _, body = request.partition(b"\r\n\r\n")
    assert head.startswith(f"POST {PATH}{METHOD} HTTP/1.1".encode())
    assert b"Authorization: Bearer t" in head
    assert b"Content-Type: application/json" in head
    assert json.loads(body) == {"A": "ä", "B": [1]}
    assert (answer.status, answer.result, answer.time, answer.fault) == (200, ID, {"operating": 1.5}, None)


def test_a_refused_connection_sent_nothing(open_client):
    with refusing_address() as address:
        assert open_client(f"http://{address}").call(METHOD, {}).fault is Fault.NOT_SENT


def test_a_host_without_address_was_sent_nothing(open_client):
    assert open_client("http://name.invalid").call(METHOD, {}).fault is Fault.NOT_SENT


def test_a_server_that_does_not_speak_tls_was_sent_nothing(open_client):
    with Wire(lambda connection: connection.send(b"plain\r\n")) as wire:
        assert open_client(wire.url.replace("http", "https")).call(METHOD, {}).fault is Fault.NOT_SENT


def test_a_server_whose_certificate_nobody_trusts_was_sent_nothing(open_client):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    received = []
    with Wire(lambda connection: received.append(connection.read_request()), context) as wire:
        assert open_client(wire.url).call(METHOD, {}).fault is Fault.NOT_SENT

    assert received == []


def test_a_handshake_that_takes_too_long_was_sent_nothing(open_client, monkeypatch):
    monkeypatch.setattr(client_module, "CONNECT_TIMEOUT_S", 0.05)
    with Wire(lambda connection: connection.sock.recv(1000) and connection.sock.recv(1000)) as wire:
        assert open_client(wire.url.replace("http", "https")).call(METHOD, {}).fault is Fault.NOT_SENT


def break_off(connection, when):
    connection.read_headers()
    if when == "in_the_body":
        connection.sock.recv(1000)
    if when not in {"in_the_headers", "in_the_body"}:
        length = len(json.dumps({})) if when != "large" else 0
        connection.sock.recv(length)
    if when == "in_the_status":
        connection.send(b"HTTP/1.1 2")
    if when == "in_the_answer_headers":
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Le")
    if when == "in_the_answer":
        connection.send(respond({"result": ID})[:-3])
    if when == "quietly":
        return
    connection.reset()


BREAKS = ["in_the_headers", "in_the_body", "after_all", "in_the_status", "in_the_answer_headers", "in_the_answer"]


@pytest.mark.parametrize("when", [*BREAKS, "quietly"])
def test_a_connection_that_breaks_after_the_first_byte_of_the_body_is_cut(open_client, when):
    with Wire(partial(break_off, when=when)) as wire:
        answer = open_client(wire.url).call(METHOD, LARGE if when == "in_the_body" else {})

    assert (answer.fault, answer.status) == (Fault.CUT, None)


def test_a_connection_that_is_reset_at_once_is_never_taken_for_an_answer(open_client):
    # Whether the system took the headers before it learned of the reset is a matter of microseconds. Both are true.
    with Wire(lambda connection: connection.reset()) as wire:
        assert open_client(wire.url).call(METHOD, {}).fault in {Fault.NOT_SENT, Fault.CUT}


@pytest.mark.parametrize("sent", [b"", b"HTTP/1.1 200 OK\r\n"])
def test_an_answer_that_is_late_is_timed_out_or_cut_and_never_not_sent(open_client, sent):
    def wait(connection):
        connection.read_request()
        connection.send(sent)
        connection.sock.recv(1)

    with Wire(wait) as wire:
        answer = open_client(wire.url, read_timeout_s=0.05).call(METHOD, {})

    assert answer.fault is Fault.TIMED_OUT


def test_one_call_is_one_request_whatever_comes(open_client):
    for response in (respond(b"<html>", 503), respond(b"<html>", 502), respond({"error": "x"}, 429)):
        with answering(response) as wire:
            open_client(wire.url).call(METHOD, {})
        assert len(wire.requests) == 1


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_reported_and_never_followed(open_client, status):
    with answering(respond({"result": ID})) as other:
        location = f"{other.url}/rest/1/x/{METHOD}"
        with answering(respond(b"<html>", status, f"Location: {location}")) as wire:
            answer = open_client(wire.url).call(METHOD, {})

    assert (answer.status, answer.location) == (status, location)
    assert (len(wire.requests), other.connections) == (1, 0)


NASTY = {
    "answer": respond({"result": ID}),
    "html": respond(b"<html>", 502),
    "headers_that_are_none": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nno colon here\r\nX: y\r\n\r\n{}",
    "no_http": b"hello\r\n\r\n",
    "a_length_that_is_none": b"HTTP/1.1 200 OK\r\nContent-Length: much\r\n\r\n{}",
    "two_lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
    "a_coding_that_is_none": respond(b"{}", 200, "Content-Encoding: gzip"),
    "redirect": respond(b"", 302, f"Location: http://127.0.0.1:1{PATH}x"),
}


@pytest.mark.parametrize("name", [*NASTY, "refused", "no_tls", "no_host"])
def test_the_secret_in_the_address_is_never_shown(open_client, caplog, capfd, monkeypatch, name):
    caplog.set_level(logging.DEBUG)
    monkeypatch.setattr(client_module, "CONNECT_TIMEOUT_S", 0.3)
    with answering(NASTY.get(name, NASTY["answer"])) as wire, refusing_address() as refusing:
        others = {"refused": f"http://{refusing}", "no_tls": wire.url.replace("http", "https")}
        client = open_client({**others, "no_host": "http://name.invalid"}.get(name, wire.url), read_timeout_s=0.3)
        answer = client.call(METHOD, {})

    shown = f"{client!r}{answer!r}{caplog.text}{''.join(capfd.readouterr())}"
    assert SECRET not in shown


def test_the_secret_is_not_in_what_an_address_shows(open_context):
    context = open_context(f"http://127.0.0.1:1/rest/1/{SECRET}")

    assert SECRET not in f"{context!r}{context.address!r}{context.client!r}"


def test_the_secret_is_not_in_what_is_said_of_a_bad_address():
    with pytest.raises(ConfigError) as raised:
        load_addresses({"main": make_portal()}, {"PORTAL_MAIN_WEBHOOK_URL": f"http://portal.invalid{PATH}"})

    assert SECRET not in f"{raised.value!r}{raised.value}"


def test_what_the_environment_says_of_proxies_and_passwords_is_ignored(open_client, monkeypatch, tmp_path):
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password something\n")
    monkeypatch.setenv("NETRC", str(netrc))
    with refusing_address() as nowhere, answering(respond({"result": ID})) as wire:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, f"http://{nowhere}")
        with pytest.raises(requests.exceptions.ProxyError):
            requests.get(wire.url, timeout=5)
        assert open_client(wire.url).call(METHOD, {}).result == ID

    assert b"Authorization" not in wire.requests[0]


def test_calls_share_a_connection_until_it_has_been_idle(open_client, monkeypatch):
    with answering(respond({"result": ID})) as wire:
        client = open_client(wire.url)
        client.call(METHOD, {})
        client.call(METHOD, {})
        assert wire.connections == 1

        monkeypatch.setattr(client_module, "IDLE_S", 0.0)
        client.call(METHOD, {})

    assert wire.connections == 2
