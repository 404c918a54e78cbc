"""Machines come to the door past Flask; whatever they send, they are answered as they would be through it."""

from __future__ import annotations

import re

import pytest

from relay.core.errors import LimitedError, RecordUnavailableError
from relay.operations.ingest import Ingest
from relay.web.fast_path import FastPath
from tests.support.folders import SECRETS
from tests.support.senders import JSON, SEED, dump, website

IDS = re.compile(rb"(evt|dlv)_\w+")
WRONG = {"Content-Type": JSON, "X-Relay-Token": "wrong"}
TOKEN = SECRETS["SOURCE_WEBSITE_TOKEN"]
SENT = {
    "an event": ("POST", "/hooks/website", dump(SEED), website()),
    "an event that no rule wants": ("POST", "/hooks/website", b'{"other": 1}', website()),
    "an event that cannot be filled": ("POST", "/hooks/website", b'{"lead": {"id": "x"}, "user": 1}', website()),
    "a wrong token": ("POST", "/hooks/website", dump(SEED), WRONG),
    "a broken body": ("POST", "/hooks/website", b"{", website()),
    "no body": ("POST", "/hooks/website", b"", website()),
    "an unknown type": ("POST", "/hooks/website", b"<a/>", website("application/xml")),
    "too much": ("POST", "/hooks/small", b"x" * 2_000, {}),
    "another status": ("POST", "/hooks/lenient", b'{"id": 1}', {"Content-Type": JSON}),
    "a query": ("GET", f"/hooks/in-query?token={TOKEN}&id=1", b"", {}),
    "a method that the source does not take": ("PUT", "/hooks/website", dump(SEED), website()),
    "a method that no source takes": ("TRACE", "/hooks/website", b"", website()),
    "an unknown source": ("POST", "/hooks/nobody", dump(SEED), website()),
    "a longer address": ("POST", "/hooks/website/more", dump(SEED), website()),
    "two slashes": ("POST", "/hooks//website", dump(SEED), website()),
    "an origin of a browser": ("POST", "/hooks/website", dump(SEED), website() | {"Origin": "https://a.example"}),
    "a preflight": ("OPTIONS", "/hooks/website", b"", {"Origin": "https://a.example"}),
}


@pytest.fixture
def both(app, valkey, monkeypatch):
    """Sends the same on the fast path and through Flask, each to an empty record: status, headers and body."""

    def send(method, path, body, headers):
        valkey.make_fresh()
        answer = app.test_client().open(path, method=method, data=body, headers=headers)
        return answer.status_code, sorted(answer.headers), IDS.sub(b"ID", answer.data)

    def send_both(*sent):
        short = send(*sent)
        with monkeypatch.context() as patch:
            patch.setattr(FastPath, "entrance_of", lambda _self, _name, _tail: None)
            return short, send(*sent)

    return send_both


@pytest.mark.parametrize("sent", SENT.values(), ids=SENT.keys())
def test_either_way_the_answer_is_the_same(both, sent):
    short, through_flask = both(*sent)

    assert short == through_flask


@pytest.mark.parametrize("error", [RecordUnavailableError("away"), LimitedError(7), RuntimeError("a bug")])
def test_what_goes_wrong_is_answered_alike(both, monkeypatch, error):
    def fail(*_):
        raise error

    monkeypatch.setattr(Ingest, "receive", fail)
    short, through_flask = both(*SENT["an event"])

    assert short == through_flask
    assert short[0] in {429, 500, 503}


def test_a_machine_does_not_go_through_flask(app, monkeypatch):
    def never(*_):
        raise AssertionError("Flask was asked")

    monkeypatch.setattr(type(app), "full_dispatch_request", never)

    assert app.test_client().post("/hooks/website", data=dump(SEED), headers=website()).status_code == 200
