"""An application's tokens: refreshed only when they have expired, once for all workers, and saved before use."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from relay.core.lifecycle import State
from relay.sandbox.applications.tokens import FIRST_ACCESS_TOKEN, FIRST_REFRESH_TOKEN
from relay.sandbox.portal import Portal as Pretended
from relay.sandbox.server import SandboxServer
from relay.store.portals.gate import GateState
from tests.delivering.contexts import add, methods, send, use_app, use_webhook, work_off
from tests.delivering.wire import Wire, answering, respond
from tests.support.processes import refusing_address
from workers.bitrix24 import oauth
from workers.http.exchange import Bounds
from workers.portal import client as client_module
from workers.portal.credentials import may_inherit

KEPT = "relay:tokens:main"
EXPIRED = {"kind": "expired_token"}


@pytest.fixture
def app(sandbox, open_context):
    """A context with an application's tokens."""
    return open_context(address=use_app(sandbox.url))


@pytest.fixture
def refreshes(portal):
    """The forms of every refresh that the token server has seen."""
    seen, real = [], portal.tokens.refresh

    def refresh(form, settings):
        seen.append(dict(form))
        return real(form, settings)

    portal.tokens.refresh = refresh
    return seen


def expire(portal):
    """The time of every access token that was given out is over."""
    for token in portal.tokens._access:
        portal.tokens._access[token] = 0.0


def kept(redis, name):
    return redis.hget(KEPT, name).decode()


def test_a_token_that_is_good_is_used_and_not_refreshed(app, record, portal, refreshes):
    assert send(app, add(record)).state is State.STARTED
    assert refreshes == []
    assert not record.redis.exists(KEPT)


def test_a_token_that_has_expired_is_refreshed_and_the_call_made_once_more(app, record, portal, refreshes):
    expire(portal)

    delivery = send(app, add(record))

    assert (delivery.state, len(delivery.attempts)) == (State.STARTED, 1)
    assert len(portal.started()) == 1
    assert [form["refresh_token"] for form in refreshes] == [FIRST_REFRESH_TOKEN]
    assert kept(record.redis, "refresh") != FIRST_REFRESH_TOKEN


def test_the_next_refresh_uses_the_refresh_token_that_the_last_one_gave(app, record, portal, refreshes):
    for number in range(1, 4):
        expire(portal)
        given = kept(record.redis, "refresh") if record.redis.exists(KEPT) else FIRST_REFRESH_TOKEN
        assert send(app, add(record, lead=number)).state is State.STARTED
        assert refreshes[-1]["refresh_token"] == given

    assert len(refreshes) == 3


@pytest.mark.parametrize("code", ["invalid_token", "NO_AUTH_FOUND"])
def test_a_token_that_is_unknown_is_refreshed_once_and_then_holds_the_portal(app, record, portal, refreshes, code):
    portal.add_faults({"kind": "error", "code": code, "times": 2})

    delivery = send(app, add(record))

    assert (delivery.state, len(refreshes)) == (State.PENDING, 1)
    assert app.gate.look().state is GateState.HELD


@pytest.mark.parametrize(
    "code", ["INVALID_CREDENTIALS", "insufficient_scope", "PAYMENT_REQUIRED", "authorization_error", "CONNECTION_ERROR"]
)
def test_nothing_else_is_a_reason_to_refresh(app, record, portal, refreshes, code):
    portal.add_faults({"kind": "error", "code": code})

    send(app, add(record))

    assert refreshes == []


def test_ten_workers_at_once_refresh_once(open_context, record, sandbox, portal, refreshes):
    expire(portal)
    contexts = [open_context(address=use_app(sandbox.url), own=True) for _ in range(10)]
    deliveries = [add(record, lead=n) for n in range(1, 11)]
    barrier = threading.Barrier(10)

    def work(context, delivery):
        barrier.wait()
        send(context, delivery)

    threads = [threading.Thread(target=work, args=pair) for pair in zip(contexts, deliveries, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(refreshes) == 1
    assert {one.state for one in record.deliveries(one.id for one in deliveries)} == {State.STARTED}
    assert len(portal.started()) == 10


def test_a_worker_that_starts_later_takes_up_the_pair_that_is_in_force(app, open_context, record, sandbox, refreshes):
    expire(sandbox.portal)
    send(app, add(record))

    later = open_context(address=use_app(sandbox.url), own=True)

    assert send(later, add(record, lead=2)).state is State.STARTED
    assert len(refreshes) == 1


def test_a_new_pair_is_on_record_before_it_is_used(app, record, portal, valkey):
    expire(portal)
    used, real = [], portal.tokens.is_fresh

    def is_fresh(token):
        on_record = valkey.redis.hget(KEPT, "access")
        used.append((token == FIRST_ACCESS_TOKEN, on_record == token.encode()))
        return real(token)

    portal.tokens.is_fresh = is_fresh
    send(app, add(record))

    assert (True, False) in used
    assert {on_record for is_first, on_record in used if not is_first} == {True}


def test_the_lease_ends_with_the_refresh(app, record, portal):
    expire(portal)
    send(app, add(record))

    assert record.redis.keys("relay:lease:refresh*") == []


@pytest.mark.parametrize("status", ["wrong_client_at_200", "invalid_client", "invalid_grant"])
def test_a_refresh_that_is_refused_holds_the_portal(open_context, record, sandbox, refreshes, status):
    options = {
        "wrong_client_at_200": {"client": "local.other"},
        "invalid_client": {"secret": "wrong-secret"},
        "invalid_grant": {"refresh": "used-before"},
    }[status]
    context = open_context(address=use_app(sandbox.url, **options))
    expire(sandbox.portal)

    delivery = send(context, add(record))

    assert (delivery.state, delivery.attempts, len(refreshes)) == (State.PENDING, (), 1)
    assert context.gate.look().state is GateState.HELD
    assert not record.redis.exists(KEPT)


def wait(connection):
    connection.read_request()
    connection.sock.recv(1)


@pytest.fixture
def broken_server(request, monkeypatch) -> Iterator[str]:
    """An OAuth server that gives no tokens."""
    monkeypatch.setattr(oauth, "BOUNDS", Bounds(connect_s=1.0, read_s=0.1, whole_s=1.0, most=1_000))
    answers = {
        "a_page_502": respond(b"<html>", 502),
        "an_error_500": respond({"error": "internal"}, 500),
        "a_page_200": respond(b"<html>"),
        "a_list": respond([]),
        "nothing": respond(b""),
    }
    if request.param == "refused":
        with refusing_address() as address:
            yield f"http://{address}"
    elif request.param == "late":
        with Wire(wait) as wire:
            yield wire.url
    else:
        with answering(answers[request.param]) as wire:
            yield wire.url


@pytest.mark.parametrize(
    "broken_server",
    ["a_page_502", "an_error_500", "a_page_200", "a_list", "nothing", "refused", "late"],
    indirect=True,
)
def test_while_the_token_server_is_away_it_is_tried_again_later_with_the_old_token(
    open_context, record, sandbox, refreshes, broken_server
):
    expire(sandbox.portal)
    context = open_context(address=use_app(sandbox.url, server=broken_server))
    delivery = send(context, add(record))

    assert (delivery.state, len(delivery.attempts)) == (State.RETRYING, 1)
    assert context.gate.look().state is GateState.PAUSED
    assert not record.redis.exists(KEPT)

    context.clock.now = max(delivery.next_attempt_at, context.gate.look().until)
    again = open_context(address=use_app(sandbox.url))
    work_off(again)
    assert record.delivery(delivery.id).state is State.STARTED
    assert [form["refresh_token"] for form in refreshes] == [FIRST_REFRESH_TOKEN]


def test_a_refresh_is_a_form_and_keeps_secrets_out_of_addresses_proxies_and_passwords(monkeypatch, tmp_path):
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password something\n")
    monkeypatch.setenv("NETRC", str(netrc))
    pair = {"access_token": "a2", "refresh_token": "r2", "client_endpoint": "https://new.invalid/rest/"}
    with refusing_address() as nowhere, answering(respond(pair)) as wire:
        monkeypatch.setenv("HTTP_PROXY", f"http://{nowhere}")
        monkeypatch.setenv("http_proxy", f"http://{nowhere}")
        refreshed = oauth.refresh(oauth.Tokens("a1", "r1", "https://old.invalid/rest/", wire.url), "id", "secret")

    head, _, body = wire.requests[0].partition(b"\r\n\r\n")
    assert head.startswith(b"POST /oauth/token/ HTTP/1.1")
    assert b"Authorization" not in head
    assert body == b"grant_type=refresh_token&client_id=id&client_secret=secret&refresh_token=r1"
    assert refreshed.tokens == oauth.Tokens("a2", "r2", "https://new.invalid/rest/", wire.url)
    assert "r2" not in repr(refreshed)
    assert "a2" not in repr(refreshed)


def test_a_refresh_that_is_redirected_goes_nowhere():
    with (
        answering(respond({"access_token": "a", "refresh_token": "r"})) as other,
        answering(respond(b"<html>", 302, f"Location: {other.url}/oauth/token/")) as wire,
    ):
        refreshed = oauth.refresh(oauth.Tokens("a1", "r1", "", wire.url), "id", "secret")

    assert refreshed.tokens is None
    assert other.connections == 0


# A portal that has moved.


@pytest.fixture
def in_one_cloud(monkeypatch):
    """Every address is of one domain of the cloud: which ones are, a table below says."""
    monkeypatch.setattr(client_module, "may_inherit", lambda *_: True)


@pytest.fixture
def elsewhere(portal_time):
    """The portal under its new name."""
    with SandboxServer(portal=Pretended({"rate": None}, clock=portal_time)) as server:
        yield server


def moved_to(url):
    return {"kind": "redirect", "location": url, "method": "bizproc.workflow.start"}


def all_moved_to(url):
    """The whole portal, and not one call by the whim of a firewall."""
    return {"kind": "redirect", "location": url, "times": 100}


@pytest.mark.usefixtures("in_one_cloud")
def test_a_renamed_portal_is_verified_remembered_and_sent_the_call_as_a_post(
    context, open_context, record, portal, elsewhere
):
    portal.add_faults(moved_to(f"{elsewhere.url}/rest/1/sandbox/bizproc.workflow.start"))

    delivery = send(context, add(record, parameters={"Note": "whole"}))

    assert (delivery.state, len(delivery.attempts)) == (State.STARTED, 1)
    assert [each["parameters"]["Note"] for each in elsewhere.portal.started()] == ["whole"]
    assert methods(elsewhere.portal) == {"scope": 1, "bizproc.workflow.start": 1}
    assert context.pace.read().host == elsewhere.url
    assert send(context, add(record, lead=2)).state is State.STARTED
    assert send(open_context(), add(record, lead=3)).state is State.STARTED
    assert methods(portal) == {"bizproc.workflow.start": 1}
    assert len(elsewhere.portal.started()) == 3


@pytest.mark.usefixtures("in_one_cloud")
def test_an_application_follows_with_its_token(app, record, portal, elsewhere):
    portal.add_faults(moved_to(f"{elsewhere.url}/rest/bizproc.workflow.start"))

    assert send(app, add(record)).state is State.STARTED
    assert len(elsewhere.portal.started()) == 1


@pytest.mark.usefixtures("in_one_cloud")
def test_a_place_that_does_not_answer_as_a_portal_is_not_followed(context, record, portal):
    with answering(respond(b"<html>")) as wire:
        portal.add_faults(all_moved_to(f"{wire.url}/rest/1/sandbox/bizproc.workflow.start"))
        delivery = send(context, add(record))

    assert delivery.state is State.PENDING
    assert context.gate.look().state is GateState.HELD
    assert context.pace.read().host is None


@pytest.mark.usefixtures("in_one_cloud")
def test_a_place_that_refuses_the_credential_is_not_followed(open_context, record, sandbox, portal):
    with SandboxServer(settings={"rate": None}) as other:
        portal.add_faults(all_moved_to(f"{other.url}/rest/1/other/bizproc.workflow.start"))
        context = open_context(address=use_webhook(sandbox.url))
        other.portal.add_faults({"kind": "error", "code": "INVALID_CREDENTIALS", "times": 100})

        assert send(context, add(record)).state is State.PENDING
        assert other.portal.started() == []


@pytest.mark.parametrize(
    "location", ["", "http://renamed.invalid/rest/", "https://elsewhere.example/rest/", "ftp://127.0.0.1/", "/rest/"]
)
def test_a_redirect_to_another_domain_is_not_followed_with_the_credential(context, record, portal, location):
    portal.add_faults(all_moved_to(location))

    delivery = send(context, add(record))

    assert (delivery.state, delivery.attempts) == (State.PENDING, ())
    assert context.gate.look().state is GateState.HELD
    assert context.gate.look().reason == "http_302"


def test_a_host_that_may_not_inherit_the_credential_is_not_even_asked(context, record, portal, elsewhere):
    portal.add_faults(all_moved_to(f"{elsewhere.url}/rest/1/sandbox/bizproc.workflow.start"))

    assert send(context, add(record)).state is State.PENDING
    assert methods(elsewhere.portal) == {}


@pytest.mark.parametrize(
    ("new", "old", "may"),
    [
        ("https://new.bitrix24.com", "https://old.bitrix24.com", True),
        ("https://new.bitrix24.com:443/rest/", "https://old.bitrix24.com", True),
        ("https://NEW.bitrix24.com/rest/1/x/", "https://old.bitrix24.com", True),
        ("https://old.bitrix24.com", "https://old.bitrix24.com", True),
        ("https://new.bitrix24.com.br", "https://old.bitrix24.com.br", True),
        ("https://crm.example.com/rest/", "https://crm.example.com/", True),
        ("https://crm.example.com:8443", "https://crm.example.com:8443", True),
        ("http://127.0.0.1:8090", "http://127.0.0.1:8090", True),
        ("https://new.bitrix24.ru", "https://old.bitrix24.com", False),
        ("http://new.bitrix24.com", "https://old.bitrix24.com", False),
        ("http://old.bitrix24.com", "https://old.bitrix24.com", False),
        ("https://new.bitrix24.com:8443", "https://old.bitrix24.com", False),
        ("https://old.bitrix24.com:8443", "https://old.bitrix24.com", False),
        ("https://a.b.bitrix24.com", "https://old.bitrix24.com", False),
        ("https://evil.com.br", "https://old.bitrix24.com.br", False),
        ("https://bitrix24.com.evil.example", "https://old.bitrix24.com", False),
        ("https://evilbitrix24.com", "https://old.bitrix24.com", False),
        ("https://evil.com/.bitrix24.com", "https://old.bitrix24.com", False),
        ("https://old.bitrix24.com@evil.com", "https://old.bitrix24.com", False),
        ("https://evil@old.bitrix24.com", "https://old.bitrix24.com", False),
        ("https://evil.co.uk", "https://portal.co.uk", False),
        ("https://b24.example.com", "https://crm.example.com", False),
        ("https://11.0.0.5", "https://10.0.0.5", False),
        ("http://localhost", "https://old.bitrix24.com", False),
        ("http://127.0.0.1:9", "http://127.0.0.1:8090", False),
        ("http://localhost:8090", "http://127.0.0.1:8090", False),
        ("https://old.bitrix24.com", "http://localhost", False),
        ("http://[::1", "https://old.bitrix24.com", False),
        ("https://old.bitrix24.com:99999999", "https://old.bitrix24.com", False),
        ("", "https://old.bitrix24.com", False),
        ("/rest/", "https://old.bitrix24.com", False),
        ("javascript:alert(1)", "https://old.bitrix24.com", False),
    ],
)
def test_a_credential_stays_with_its_host_or_within_its_domain_of_the_cloud(new, old, may):
    assert may_inherit(new, old) is may


def test_no_token_is_shown(app, record, portal, capfd, caplog):
    expire(portal)
    send(app, add(record))
    pair = [kept(record.redis, name) for name in ("access", "refresh")]

    shown = f"{app!r}{app.address!r}{caplog.text}{''.join(capfd.readouterr())}"
    assert urlsplit(app.address.base_url).path == "/rest/"
    assert not [secret for secret in (*pair, FIRST_ACCESS_TOKEN, FIRST_REFRESH_TOKEN) if secret in shown]
