"""What a portal or a receiver of alerts answers without end costs a bounded time and room, and others nothing."""

from __future__ import annotations

import contextlib
import gzip
import json
import threading
import time
import tracemalloc
import zlib
from dataclasses import replace
from datetime import timedelta

import pytest

from relay.configuration.alerts import Alerting, Hook, Mail
from relay.configuration.settings import Settings
from relay.core.ids import utc_now
from relay.core.lifecycle import State
from relay.core.plan import Requirement
from relay.store import Store
from relay.store.portals.questions import PublishedRules
from tests.delivering.contexts import add, make_portal, send, use_webhook
from tests.delivering.wire import Wire, answering, respond
from tests.support.waiting import until
from workers.__main__ import Found, _alerters
from workers.alerts import messengers
from workers.alerts.messengers import Message, News, UnsentError, post, write
from workers.bitrix24 import client as client_module
from workers.bitrix24.client import Client, Fault
from workers.checks import drift
from workers.http import exchange
from workers.http.exchange import Bounds
from workers.portal.credentials import Address

METHOD = "bizproc.workflow.start"
ID = "66e81a641752f8.56521481"
SHORT = Bounds(connect_s=5, read_s=5, whole_s=0.3, most=10_000)
HOUR = timedelta(hours=1)
MESSAGE = Message("msg_1", utc_now(), News({"dead:": "1 delivery is dead"}, {}, {}, {}))


@pytest.fixture(autouse=True)
def _watched_closely(monkeypatch):
    monkeypatch.setattr(exchange, "LOOK_S", 0.05)
    monkeypatch.setattr(exchange, "DEADLINES", exchange.Deadlines())
    monkeypatch.setattr("workers.alerts.messengers.DEADLINES", exchange.DEADLINES)


@pytest.fixture
def open_client():
    opened = []

    def make(url, bounds=SHORT):
        opened.append(Client(f"{url}/rest/1/secret/"))
        opened[-1]._bounds = bounds
        return opened[-1]

    yield make
    for client in opened:
        client.close()


def dripping(begin=b"", piece=b" "):
    """A server that takes a request, and then sends a little again and again."""

    def drip(connection):
        connection.read_request()
        with contextlib.suppress(OSError):
            connection.send(begin)
            while True:
                connection.send(piece)
                time.sleep(0.02)

    return Wire(drip)


DRIPS = {
    "the status": (b"", b"H"),
    "the headers": (b"HTTP/1.1 200 OK\r\nX: ", b"x"),
    "one header after the other": (b"HTTP/1.1 200 OK\r\n", b"X: y\r\n"),
    "the body": (b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n", b" "),
    "chunks": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
}


@pytest.mark.parametrize(("begin", "piece"), DRIPS.values(), ids=DRIPS)
def test_an_answer_that_comes_byte_by_byte_ends_the_call_in_time(open_client, begin, piece):
    with dripping(begin, piece) as wire:
        began = time.monotonic()
        answer = open_client(wire.url).call(METHOD, {})

    # A status line of nothing but H, and a hundred headers, break off by themselves sooner.
    assert answer.fault in {Fault.TIMED_OUT, Fault.CUT}
    assert time.monotonic() - began < 3


def test_a_handshake_that_comes_byte_by_byte_sent_nothing(open_client):
    def drip(connection):
        connection.sock.recv(10_000)
        with contextlib.suppress(OSError):
            connection.send(b"\x16\x03\x03\x40\x00")  # a record of TLS that is long in coming
            while True:
                connection.send(b"\x02")
                time.sleep(0.02)

    with Wire(drip) as wire:
        assert open_client(wire.url.replace("http", "https")).call(METHOD, {}).fault is Fault.NOT_SENT


def test_a_request_that_nobody_reads_ends_in_time(open_client):
    with Wire(lambda _: time.sleep(1)) as wire:
        answer = open_client(wire.url).call(METHOD, {"text": "x" * 20_000_000})

    assert answer.fault is Fault.TIMED_OUT


def test_after_a_call_that_was_ended_the_next_one_has_a_connection_of_its_own(open_client):
    answers = [b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n", respond({"result": ID})]
    with answering(*answers) as wire:
        client = open_client(wire.url)
        assert client.call(METHOD, {}).fault is Fault.TIMED_OUT
        assert client.call(METHOD, {}).result == ID
        assert client.call(METHOD, {}).result == ID

    assert wire.connections == 2


def packed(content, kind):
    return gzip.compress(content) if kind == "gzip" else zlib.compress(content)


@pytest.mark.parametrize("kind", ["gzip", "deflate", "x-gzip"])
def test_a_small_packed_answer_does_not_become_a_large_one(open_client, kind):
    bomb = packed(b'{"result": "' + b" " * 60_000_000 + b'"}', kind.removeprefix("x-"))
    with answering(respond(bomb, 200, f"Content-Encoding: {kind}")) as wire:
        client = open_client(wire.url, replace(SHORT, whole_s=20, most=1_000_000))
        tracemalloc.start()
        try:
            answer = client.call(METHOD, {})
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()

    assert len(bomb) < 1_000_000
    assert (answer.fault, answer.status) == (Fault.UNREADABLE, 200)
    assert peak < 20_000_000


def test_an_answer_that_is_packed_is_read(open_client):
    for kind in ("gzip", "deflate"):
        body = packed(json.dumps({"result": ID}).encode(), kind)
        with answering(respond(body, 200, f"Content-Encoding: {kind}")) as wire:
            assert open_client(wire.url).call(METHOD, {}).result == ID


@pytest.mark.parametrize("head", ["Content-Length: 1000000000", "Transfer-Encoding: chunked", "X: until it ends"])
def test_an_answer_without_end_is_not_read_to_its_end(open_client, head):
    def send_on(connection):
        connection.read_request()
        with contextlib.suppress(OSError):
            connection.send(f"HTTP/1.1 200 OK\r\n{head}\r\n\r\n".encode())
            while True:
                connection.send(b"1000\r\n" + b"x" * 4096 + b"\r\n")

    with Wire(send_on) as wire:
        assert open_client(wire.url, replace(SHORT, whole_s=20)).call(METHOD, {}).fault is Fault.UNREADABLE


def start_answer(result=ID, **time_):
    return json.dumps({"result": result, "time": time_}).encode()


ODD = {
    "deep": (b'{"result":' + b"[" * 100_000 + b"]" * 100_000 + b"}", State.UNCERTAIN),
    "a deep error": (b'{"error":' + b"[" * 900 + b"]" * 900 + b"}", State.UNCERTAIN),
    "half a character": (b'{"result":"\\ud800abc"}', State.UNCERTAIN),
    "half a character in a list": (b'{"result":["\\udfff"]}', State.UNCERTAIN),
    "half a character in a name": (b'{"result":"w","\\uDC00":1}', State.UNCERTAIN),
    "a whole character": (b'{"result":"w.1","time":{"x":"\\ud83d\\ude00"}}', State.STARTED),
    "no UTF-8": (b'{"result":"\xff"}', State.UNCERTAIN),
    "a long id": (start_answer("w" * 3_000_000), State.UNCERTAIN),
    "no time": (b'{"result":"w.1","time":{"operating":NaN,"operating_reset_at":NaN}}', State.STARTED),
    "endless time": (b'{"result":"w.1","time":{"operating":1e999,"operating_reset_at":1e999}}', State.STARTED),
    "time before all": (b'{"result":"w.1","time":{"operating":-1e300,"operating_reset_at":-1e17}}', State.STARTED),
    "time after all": (b'{"result":"w.1","time":{"operating":1,"operating_reset_at":1e300}}', State.STARTED),
    "time of many digits": (
        b'{"result":"w.1","time":{"operating":' + b"9" * 4_000 + b',"duration":1e400}}',
        State.STARTED,
    ),
    "true time": (b'{"result":"w.1","time":{"operating":true,"operating_reset_at":[1]}}', State.STARTED),
    "a number of too many digits": (b'{"result":' + b"9" * 10_000 + b"}", State.UNCERTAIN),
}


@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize(("body", "state"), ODD.values(), ids=ODD)
def test_an_odd_answer_ends_no_shift(open_context, record, body, state, batch):
    commands = b",".join(b'"d%d":%b' % (number, body) for number in range(batch))
    if batch > 1:
        # The same as the answer to each command of a batch, where its words stand in other places.
        content = json.dumps({"result": {"result": {}, "result_error": {}}}).encode()
        body = content.replace(b'"result_error": {}', b'"result_error": {' + commands + b"}")
        state = None
    with answering(respond(body, 200)) as wire:
        deliveries = [add(record, lead=number + 1) for number in range(batch)]
        context = open_context(use_webhook(wire.url, rate_per_s=1000.0 if batch > 1 else None, burst=1))
        found = send(context, deliveries[0])

    assert found.attempts
    assert state is None or found.state is state


@pytest.mark.parametrize(
    "location", ["http://[::1", "https://127.0.0.1:99999999/x", "https://user:pw@[::1]:x/", "//", "\\"]
)
def test_an_odd_redirect_ends_no_shift(open_context, record, location):
    with answering(respond(b"", 302, f"Location: {location}")) as wire:
        delivery = send(open_context(use_webhook(wire.url)), add(record))

    assert delivery.state is State.PENDING


def test_a_long_code_is_kept_in_part(open_client):
    with answering(respond({"error": "E" * 3_000_000, "error_description": "d" * 3_000_000}, 400)) as wire:
        answer = open_client(wire.url, replace(SHORT, whole_s=20, most=10_000_000)).call(METHOD, {})

    assert (len(answer.code), len(answer.description)) == (client_module.CODE_KEPT, client_module.DESCRIPTION_KEPT)


# Alerts.


def test_a_receiver_that_answers_byte_by_byte_has_not_taken_a_message(monkeypatch):
    monkeypatch.setattr(messengers, "BOUNDS", SHORT)
    with dripping(*DRIPS["the body"]) as wire, pytest.raises(UnsentError, match="LateError"):
        post(Hook("slow", wire.url, "secret"), MESSAGE)


def test_a_receiver_gets_no_password_of_this_machine_and_no_proxy_gets_the_message(monkeypatch, tmp_path):
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password something\n")
    for name, value in (
        ("NETRC", str(netrc)),
        ("HTTP_PROXY", "http://127.0.0.1:9"),
        ("http_proxy", "http://127.0.0.1:9"),
    ):
        monkeypatch.setenv(name, value)
    with answering(respond(b"", 204)) as wire:
        post(Hook("one", wire.url, "secret"), MESSAGE)

    assert b"authorization" not in wire.requests[0].lower()


@pytest.mark.parametrize("security", ["none", "tls", "starttls"])
def test_a_mail_server_that_answers_byte_by_byte_is_not_waited_for(monkeypatch, security):
    def drip(connection):
        with contextlib.suppress(OSError):
            while True:
                connection.send(b"2")
                time.sleep(0.02)

    monkeypatch.setattr(messengers, "TIMEOUT_S", 0.3)
    with Wire(drip) as wire:
        mail = Mail("one", "127.0.0.1", int(wire.url.rpartition(":")[2]), security, "a@example.com", ("b@example.com",))
        began = time.monotonic()
        with pytest.raises(UnsentError):
            write(mail, MESSAGE)

    assert time.monotonic() - began < 5


def test_a_receiver_that_hangs_silences_no_other(record, config, redis):
    with (
        Wire(lambda connection: connection.sock.recv(1_000_000) and time.sleep(1)) as slow,
        answering(respond()) as good,
    ):
        hooks = (Hook("a-slow", slow.url, "secret"), Hook("good", good.url, "secret"))
        alerting = Alerting(HOUR, HOUR, HOUR, {}, hooks, ())
        settings = Settings(redis_url="unix:///unused", config=config)
        alerters = _alerters(Store(record.redis), Found(settings, {}, alerting))
        assert sorted(one.lease for one in alerters) == ["alerts:a-slow", "alerts:good"]
        redis.set("relay:channel-test:a-slow", "1")
        stop = threading.Event()
        threads = [threading.Thread(target=one.run, args=(stop,)) for one in alerters]
        for thread in threads:
            thread.start()
        until(lambda: slow.connections, "the slow one to be told")
        redis.set("relay:channel-test:good", "1")
        until(lambda: good.requests, "the other to be told", 10)
        stop.set()
        for thread in threads:
            thread.join()


def test_a_portal_that_answers_slowly_does_not_hold_the_watch_over_the_rules_of_others(
    open_context, record, sandbox, monkeypatch
):
    monkeypatch.setattr(drift, "LOOK_S", 0.05)
    needs = [
        Requirement(f"of-{portal}", portal, 1, ("crm", "CCrmDocumentLead", "LEAD_"), ("No such",))
        for portal in ("slow", "main")
    ]
    PublishedRules(record.redis).publish("digest", needs, utc_now())
    stop = threading.Event()
    with Wire(lambda connection: connection.read_request() and stop.wait(10)) as wire:
        slow = Address(replace(make_portal(), name="slow"), f"{wire.url}/rest/1/secret/")
        contexts = [open_context(slow), open_context(use_webhook(sandbox.url))]
        watch = threading.Thread(target=drift.run_watch, args=(contexts, stop))
        watch.start()
        until(lambda: wire.connections, "the slow one to be asked")
        until(lambda: Store(record.redis).portal("main").drift(), "the other to be compared", 10)
        stop.set()
        watch.join()
