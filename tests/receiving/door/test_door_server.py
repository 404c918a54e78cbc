"""The door as it is served: gunicorn, real sockets, real streams, and the log that it writes."""

from __future__ import annotations

import json
import threading

import pytest
import requests

from tests.support.folders import SECRETS, WEB_SECRETS
from tests.support.senders import JSON, SEED, dump, website
from tests.support.sockets import exchange
from tests.support.waiting import until


@pytest.fixture
def serve(served, valkey):
    return served


def head(path="/hooks/website", **more):
    fields = {"Host": "relay", **website(), **{name.replace("_", "-"): value for name, value in more.items()}}
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"POST {path} HTTP/1.1\r\n{lines}\r\n".encode()


def chunk(content):
    return f"{len(content):x}\r\n".encode() + content + b"\r\n"


def test_a_chunked_body_is_read(serve):
    status, _, body = exchange(
        serve.url, head(Transfer_Encoding="chunked"), chunk(dump(SEED)[:5]), chunk(dump(SEED)[5:]), b"0\r\n\r\n"
    )

    assert (status, json.loads(body)["state"]) == (200, "accepted")


def test_a_chunked_body_over_the_cap_is_refused_while_it_streams_in(serve):
    pieces = [chunk(b"x" * 100_000)] * 30  # it never ends: nothing says how long it is

    status, headers, body = exchange(serve.url, head(Transfer_Encoding="chunked"), *pieces)

    assert status == 413
    assert headers["content-type"] == "application/problem+json"
    assert json.loads(body)["detail"] == "at most 1000000 bytes"


def test_a_body_that_is_announced_too_large_is_refused_before_it_is_sent(serve):
    status, _, body = exchange(serve.url, head(Content_Length="2000000"))

    assert (status, json.loads(body)["detail"]) == (413, "at most 1000000 bytes")


@pytest.mark.parametrize("length", ["1001", "1000000000000000000000"])
def test_each_source_has_its_own_cap(serve, length):
    status, _, body = exchange(serve.url, head("/hooks/small", Content_Length=length))

    assert (status, json.loads(body)["detail"]) == (413, "at most 1000 bytes")


@pytest.mark.parametrize("size", [1_000_000, 1_000_001])
def test_the_cap_of_a_chunked_body_is_exact(serve, size):
    body = dump(SEED) + b" " * (size - len(dump(SEED)))

    status, _, _ = exchange(serve.url, head(Transfer_Encoding="chunked"), chunk(body), b"0\r\n\r\n")

    assert status == (200 if size == 1_000_000 else 413)


FORM = b"lead%5Bid%5D=123&user=1&note="  # without its end it is a good form still


@pytest.mark.parametrize(
    ("more", "parts"),
    [
        ({"Content_Length": "100"}, [FORM]),
        ({"Content_Length": "100"}, []),
        ({"Transfer_Encoding": "chunked"}, [chunk(FORM)]),
        ({"Transfer_Encoding": "chunked"}, [chunk(FORM)[:-8]]),
        ({"Transfer_Encoding": "chunked"}, [b"zz\r\n", FORM]),
        ({"Transfer_Encoding": "chunked"}, [chunk(FORM), b"-1\r\n"]),
        ({"Transfer_Encoding": "chunked"}, [chunk(FORM)[:-2], b"no end"]),
    ],
)
def test_a_body_that_ends_early_or_is_garbled_on_its_way_is_no_event(serve, record, more, parts):
    form = {"Content-Type": "application/x-www-form-urlencoded"}

    status, headers, _ = exchange(serve.url, head(**form, **more), *parts, close=True)

    assert (status, headers["content-type"]) == (400, "application/problem+json")
    assert record.counts().total_events == 0


def test_a_post_without_length_and_body_is_refused(serve):
    status, _, body = exchange(serve.url, head())

    assert (status, json.loads(body)["detail"]) == (400, "no body")


@pytest.mark.parametrize("length", ["-1", "abc", "1, 2"])
def test_a_length_that_is_none_is_a_400(serve, length):
    status, _, _ = exchange(serve.url, head(Content_Length=length))

    assert status == 400


def test_length_and_chunks_together_are_refused(serve):
    status, _, _ = exchange(
        serve.url, head(Content_Length="5", Transfer_Encoding="chunked"), chunk(dump(SEED)), b"0\r\n\r\n"
    )

    assert status == 400


def test_one_connection_carries_many_webhooks(serve):
    with requests.Session() as session:
        states = [
            session.post(f"{serve.url}/hooks/website", data=dump(SEED), headers=website(), timeout=5).json()["state"]
            for _ in range(5)
        ]

    assert states == ["accepted"] * 5


def test_of_equal_posts_at_the_same_instant_one_is_an_event(serve, record):
    barrier = threading.Barrier(12)
    answers = []

    def send():
        body = dump({**SEED, "submission_id": "s"})
        barrier.wait()
        answers.append(requests.post(f"{serve.url}/hooks/website", data=body, headers=website(), timeout=10))

    threads = [threading.Thread(target=send) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert [answer.status_code for answer in answers] == [200] * 12
    assert sum(not answer.json()["duplicate"] for answer in answers) == 1
    assert record.counts().total == 1


def test_while_nothing_can_be_written_everybody_is_told_to_come_back(serve, valkey, record):
    valkey.make_read_only()
    answers = [
        requests.post(f"{serve.url}/hooks/website", data=dump(SEED), headers=website(), timeout=5) for _ in range(3)
    ]
    valkey.make_fresh()

    assert [answer.status_code for answer in answers] == [503] * 3
    assert {answer.headers["Content-Type"] for answer in answers} == {"application/problem+json"}
    assert all(int(answer.headers["Retry-After"]) > 0 for answer in answers)
    assert record.counts().total_events == 0


def test_no_answer_tells_what_serves_it_or_any_secret(serve):
    answers = [
        requests.get(f"{serve.url}/healthz", timeout=5),
        requests.post(f"{serve.url}/hooks/website", data=b"{", headers=website(), timeout=5),
        requests.post(f"{serve.url}/hooks/github", data=b"{", headers={"Content-Type": JSON}, timeout=5),
    ]

    for answer in answers:
        told = answer.text + str(answer.headers)
        assert not [secret for secret in {**SECRETS, **WEB_SECRETS}.values() if secret in told]
        assert "python" not in told.lower()


def test_each_event_is_one_line_in_the_log_without_body_or_secret(serve):
    seen = len(serve.lines("event.received"))
    body = dump({**SEED, "note": "the-private-note", "email": "anna@example.com"})
    url = f"{serve.url}/hooks/website?token=the-query-token&id=the-query-id"

    receipt = requests.post(url, data=body, headers={**website(), "X-Extra": "the-extra-header"}, timeout=5).json()
    requests.post(url, data=body, headers={**website(), "X-Relay-Token": "the-wrong-token"}, timeout=5)
    requests.post(f"{serve.url}/hooks/website", data=b'{"the-broken', headers=website(), timeout=5)

    lines = until(lambda: serve.lines("event.received")[seen + 2 :], "three lines") and serve.lines("event.received")
    accepted, refused, rejected = lines[seen:]
    assert accepted["event_id"] == receipt["event_id"]
    assert (accepted["source"], accepted["state"], accepted["rules"]) == ("website", "accepted", ["seed-example"])
    assert (accepted["size"], accepted["deliveries"]) == (len(body), receipt["deliveries"])
    assert (refused["state"], refused["reason"]) == ("refused", "token_mismatch")
    assert rejected["state"] == "rejected"
    private = [
        "private-note",
        "anna@",
        "query-token",
        "query-id",
        "extra-header",
        "wrong-token",
        "the-broken",
        "user_1",
    ]
    assert not [word for word in private + list(SECRETS.values()) if word in serve.log()]


def test_the_server_stops_when_told_and_ends_with_0(processes, valkey):
    running = processes.start("relay", "serve", REDIS_URL=valkey.url)
    running.wait_for_url()

    assert running.stop() == 0
    running.wait_until_gone()
