"""No secret that comes in a header, a query or an address inside one is kept, whatever its name; the rest is."""

from __future__ import annotations

import time

import pytest

from relay.sources import Source, Webhook
from relay.sources.proof.verifier import Location, NoVerifier, TokenVerifier
from relay.sources.redaction import clean_address, is_secret_name, without_secrets
from relay.store.redis import keys
from relay.web.presenters.masking import Masking
from tests.support.folders import SECRETS
from tests.support.senders import SEED, dump, website

SECRET_NAMES = """
Authorization Proxy-Authorization X-Authorization authorisation Cookie Set-Cookie X-Signature X-Hub-Signature-256
Stripe-Signature signature2 token X-Relay-Token access_token refreshToken id_token csrf_token X-XSRF X-CSRF secret
client_secret X-Webhook-Secret hmac X-Shopify-Hmac-SHA256 Content-HMAC api_key apikey X-Api-Key api.key APIKEY
x-functions-key subscription-key Ocp-Apim-Subscription-Key access-key private_key app_key X-Auth-Key licensekey X-Key
key Key password passwd user_password passphrase pass db_pass pwd userPwd X-Pwd pw credential credentials X-Auth auth
hub.auth sig sig1 X-Sig hub_sig sign X-Sign jwt X-JWT otp bearer X-Authenticated-By PHPSESSID jsessionid session_id
sessionId sid connect.sid pin
"""
PLAIN_NAMES = """
Content-Type User-Agent Host Referer X-Original-URI X-GitHub-Event X-GitHub-Delivery Idempotency-Key X-Idempotency-Key
webhook-id webhook-timestamp author authority issue_key public_key sort_key keyword keys monkey design signup assign
passenger compass bypass state id lead email form_id utm_source campaign code pinned spin consider side x-request-id
X-Forwarded-For lesson session_title message accept date
"""


@pytest.mark.parametrize("name", SECRET_NAMES.split())
def test_what_has_the_name_of_a_secret_is_neither_kept_nor_shown(name):
    assert is_secret_name(name)
    webhook = Webhook(headers={name: "hidden"}, query_string=f"a=1&{name}=hidden&b=2")
    source = Source("one", NoVerifier())
    assert source.kept_headers(webhook) == {}
    assert source.kept_query(webhook) == "a=1&b=2"
    assert clean_address(f"https://site.example/?a=1&{name}=hidden") == f"https://site.example/?a=1&{name}=***"
    assert "hidden" not in str(Masking().value({"a": {name: "hidden"}, "b": [{name: ["hidden"]}]}))
    assert "hidden" not in str(Masking().pairs({name: "hidden"}))


@pytest.mark.parametrize("name", PLAIN_NAMES.split())
def test_any_other_name_is_kept_and_shown(name):
    assert not is_secret_name(name)
    webhook = Webhook(headers={name: "shown"}, query_string=f"{name}=shown")
    source = Source("one", NoVerifier())
    assert source.kept_headers(webhook) == {name.lower(): "shown"}
    assert source.kept_query(webhook) == f"{name}=shown"
    assert Masking().value({name: "shown"}) == {name: "shown"}


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("/hooks/website?token=hidden&a=1", "/hooks/website?token=***&a=1"),
        ("/hooks/website?a=1&key=hidden", "/hooks/website?a=1&key=***"),
        ("https://site.example/form?sig=hidden#top", "https://site.example/form?sig=***#top"),
        ("https://site.example/#access_token=hidden&a=1", "https://site.example/#access_token=***&a=1"),
        ("https://user:hidden@site.example/a", "https://***@site.example/a"),
        ("<https://site.example/?pwd=hidden>; rel=next", "<https://site.example/?pwd=***>; rel=next"),
        ("/login?next=%2Fa%3Ftoken%3Dhidden%26b%3Dc+d", "/login?next=%2Fa%3Ftoken%3D***%26b%3Dc%20d"),
        ("/a?n=%252Fa%253Ftoken%253Dhidden", "/a?n=%252Fa%253Ftoken%253D***"),
        ("/a?n=%25252525252Fa%2525252525253Ftoken%25252525253Dhidden", "/a?n=***"),
        ("/a?n=%2F%EA%3Ftoken%3Dhidden", "/a?n=***"),
        ("/a?%74oken=hidden", "/a?%74oken=***"),
        ("/a?x;auth=hidden", "/a?x;auth=***"),
        ("https://site.example/a?q=caf%C3%A9&b=%20", "https://site.example/a?q=caf%C3%A9&b=%20"),
        ("https://site.example/?a=1,b=2", "https://site.example/?a=1,b=2"),
        ("multipart/form-data; boundary=token", "multipart/form-data; boundary=token"),
        ("key=of-a-dedup", "key=of-a-dedup"),
        ("", ""),
    ],
)
def test_a_secret_in_an_address_is_not_kept_and_the_rest_is(given, kept):
    assert clean_address(given) == kept


def test_a_query_in_a_query_is_looked_into():
    assert without_secrets("a=1&u=https%3A%2F%2Fx%2F%3Fc%3D1%26token%3Dhidden&b=2") == (
        "a=1&u=https%3A%2F%2Fx%2F%3Fc%3D1%26token%3D***&b=2"
    )


def test_the_token_of_a_source_is_a_secret_by_any_name():
    source = Source("one", TokenVerifier((b"hidden",), Location(query="t")))
    webhook = Webhook(headers={"Referer": "https://x.example/?t=hidden&a=1"}, query_string="t=hidden&a=1")

    assert source.kept_query(webhook) == "a=1"
    assert source.kept_headers(webhook) == {"referer": "https://x.example/?t=***&a=1"}


@pytest.mark.parametrize(
    "name", ["Referer", "X-Original-URI", "X-Original-URL", "X-Forwarded-Uri", "X-Rewrite-URL", "Location", "X-Any"]
)
def test_the_record_holds_no_token_that_came_in_an_address(app, redis, record, name):
    token = SECRETS["SOURCE_WEBSITE_TOKEN"]
    address = f"https://relay.example/hooks/in-query?token={token}&id=1"
    client = app.test_client()

    client.post(f"/hooks/in-query?token={token}&id=1", data=dump(SEED), headers={**website(), name: address})
    client.post("/hooks/website", data=dump(SEED), headers={**website(), name: address})

    assert record.size(keys.EVENTS) == 2
    for key in redis.keys("relay:event:*"):
        kept = str(redis.hgetall(key))
        assert token not in kept
        assert "id=1" in kept


@pytest.mark.parametrize("piece", ["a", "=", "?", "%3D", "://", "a=b&", "%25", "token=", "@", "://a@", "?a%3D"])
def test_a_long_address_is_cleaned_in_no_time(piece):
    text = "?" + piece * (200_000 // len(piece))
    began = time.process_time()

    clean_address(text)
    without_secrets(text)

    assert time.process_time() - began < 2
