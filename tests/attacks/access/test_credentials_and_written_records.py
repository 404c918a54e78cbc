"""Whoever writes to the record, or hands over a backup, does not get a portal's credential sent to a host of his."""

from __future__ import annotations

import base64
import json

import pytest

from relay.store.portals.learned import Learned
from tests.delivering.contexts import make_portal, use_webhook
from tests.delivering.installed import SEALER, Pretended, open_page
from tests.delivering.wire import answering, respond
from workers.bitrix24 import oauth
from workers.portal.context import Context
from workers.portal.credentials import Address, OAuthApp

CLIENT_SECRET = "client-secret-of-the-test"


@pytest.fixture
def thief():
    """A server of somebody else on this machine."""
    with answering(respond({"error": "expired_token"}, 401)) as wire:
        yield wire


def use_app(url):
    first = oauth.Tokens("first-access", "first-refresh", f"{url}/rest/", url)
    return Address(make_portal(), f"{url}/rest/", OAuthApp("client-id", CLIENT_SECRET, first))


@pytest.mark.parametrize("form", ["{url}", "{url}/rest/", "https://portal.bitrix24.com@{host}", "//{host}", "{host}"])
def test_a_host_that_the_record_names_does_not_get_the_secret_of_a_webhook(open_context, sandbox, redis, thief, form):
    host = thief.url.removeprefix("http://")
    redis.hset("relay:pace:main", "host", form.format(url=thief.url, host=host))

    answer = open_context(use_webhook(sandbox.url)).client.call("scope", {})

    assert isinstance(answer.result, list)
    assert thief.connections == 0


def test_an_endpoint_that_the_record_names_does_not_get_the_token_of_an_application(
    open_context, sandbox, redis, thief
):
    redis.hset("relay:tokens:main", mapping={"access": "a", "refresh": "r", "endpoint": f"{thief.url}/rest/"})

    open_context(use_app(sandbox.url)).client.call("scope", {})

    assert thief.connections == 0


def test_a_server_that_the_record_names_does_not_get_the_secret_of_an_application(open_context, redis, thief):
    tokens = {"access": "a", "refresh": "r", "endpoint": f"{thief.url}/rest/", "server": thief.url}
    redis.hset("relay:tokens:main", mapping=tokens)
    with answering(respond({"error": "expired_token"}, 401)) as own:
        answer = open_context(use_app(own.url)).client.call("scope", {})

    asked = [request for request in own.requests if b"/oauth/token/" in request]
    assert answer.code == "expired_token"
    assert [CLIENT_SECRET.encode() in request for request in asked] == [True]
    assert thief.connections == 0


@pytest.fixture
def installed(open_context, sandbox):
    """A portal by application, which its administrator has opened."""
    app = Pretended.add(sandbox.url)
    context = open_context(app.address())
    open_page(context, app.frame())
    return context


def test_an_installation_that_is_rewritten_does_not_take_the_token_to_another_host(installed, redis, thief):
    host = thief.url.removeprefix("http://")
    redis.hset("relay:application:main", mapping={"endpoint": f"{thief.url}/rest/", "domain": host})
    redis.hset("relay:pace:main", "host", thief.url)

    anew = Context.open(installed.store, installed.address)

    assert isinstance(anew.client.call("scope", {}).result, list)
    assert thief.connections == 0


def test_a_pair_that_was_sealed_by_whoever_has_the_public_key_is_not_used(installed, redis, thief):
    pair = {"access": "a", "refresh": "r", "endpoint": f"{thief.url}/rest/"}
    forged = base64.b64encode(SEALER.seal(json.dumps(pair).encode()))
    redis.hset("relay:tokens-of:main", mapping={"1": forged, "2": forged, "3": b"", "4": b"\xff"})
    redis.hset("relay:administrators:main", "2", json.dumps({"name": "Mallory", "at": 2_000_000_000_000}))

    anew = Context.open(installed.store, installed.address)

    assert anew.client.call("scope", {}).code == "NOT_CONNECTED"
    assert thief.connections == 0


@pytest.mark.parametrize("kept", [{"access": "a"}, {"refresh": "r"}, {"endpoint": "x"}, {"more": "m"}])
def test_half_a_pair_in_the_record_is_none(open_context, sandbox, redis, kept):
    redis.hset("relay:tokens:main", mapping=kept)
    context = open_context(use_app(sandbox.url))

    assert context.client.call("scope", {}).code == "invalid_token"
    assert context.client._pair.access == "first-access"


@pytest.mark.parametrize(
    "text",
    ["javascript:alert(1)", "https://a\"onclick='x'", "data:text/html,x", "https://a/path", "//a", "", "https://"],
)
def test_what_the_record_says_is_no_link_unless_it_is_an_address(text):
    assert Learned(host=text, site="https://portal.example.com").address == "https://portal.example.com"
    assert Learned(host=text).address is None


def test_the_address_of_a_portal_is_a_link():
    assert (
        Learned(host="https://new.bitrix24.com", site="https://old.bitrix24.com").address == "https://new.bitrix24.com"
    )
    assert Learned(site="http://127.0.0.1:8090").address == "http://127.0.0.1:8090"
