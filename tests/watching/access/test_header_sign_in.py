"""Whom a trusted proxy has signed in: believed from that proxy only, an operator only by name, by name in the log."""

from __future__ import annotations

import pytest

from relay.store.operators.audit_log import read_acts
from tests.support.folders import WEB_SECRETS
from tests.watching.conftest import enter

SAME = {"Origin": "http://localhost", "Accept": "text/html"}
SETTINGS = {"trusted_proxies": ("127.0.0.0/8",), "sign_in_header": "X-Forwarded-User", "operators": ("ann", "Zoë")}


@pytest.fixture
def app(make_app, valkey):
    return make_app(valkey, **SETTINGS)


@pytest.fixture
def client(app):
    return app.test_client()


def as_user(name):
    return {**SAME, "X-Forwarded-User": name}


def test_a_named_operator_acts_and_the_log_has_the_name(client, redis):
    assert client.post("/portals/main/pause", headers=as_user("ann")).status_code == 303

    (act,) = read_acts(redis)
    assert (act.who, act.what, act.subject) == ("ann", "pause", "main")
    text = client.get("/log", headers=as_user("ann")).text
    assert '<span translate="no">ann</span> · operator' in text


def test_everybody_else_only_looks(client, redis):
    assert client.get("/", headers=as_user("ben")).status_code == 200
    assert '<span translate="no">ben</span> · viewer' in client.get("/portals", headers=as_user("ben")).text

    assert client.post("/portals/main/pause", headers=as_user("ben")).status_code == 403
    assert read_acts(redis) == []


def test_without_names_nobody_is_an_operator(make_app, valkey):
    client = make_app(valkey, **SETTINGS | {"operators": ()}).test_client()

    assert client.get("/", headers=as_user("ann")).status_code == 200
    assert client.post("/portals/main/pause", headers=as_user("ann")).status_code == 403


@pytest.mark.parametrize("peer", ["203.0.113.9", "::1", "", "not an address"])
@pytest.mark.parametrize("forwarded", [{}, {"X-Forwarded-For": "127.0.0.1"}])
def test_the_header_of_anybody_else_is_ignored(client, peer, forwarded):
    answer = client.get("/", headers={**as_user("ann"), **forwarded}, environ_overrides={"REMOTE_ADDR": peer})

    assert answer.status_code == 303
    assert answer.headers["Location"].startswith("/login")


def test_the_address_that_a_trusted_proxy_forwards_is_the_senders_not_the_peers(client):
    headers = {**as_user("ann"), "X-Forwarded-For": "203.0.113.9"}

    assert client.get("/", headers=headers).status_code == 200


@pytest.mark.parametrize("name", ["", " ", "ben, ann", "ann,ann", "ann\x01", "a" * 101])
def test_what_is_no_single_name_is_nobody(client, name):
    assert client.get("/", headers=as_user(name)).status_code == 303


def test_a_name_may_have_any_letters(client):
    headers = as_user("Zoë".encode().decode("latin-1"))

    assert '<span translate="no">Zoë</span> · operator' in client.get("/portals", headers=headers).text


def test_without_the_setting_no_header_counts(make_app, valkey):
    client = make_app(valkey, trusted_proxies=("127.0.0.0/8",)).test_client()

    assert client.get("/", headers=as_user("ann")).status_code == 303


def test_another_site_gains_nothing(client):
    assert (
        client.post("/portals/main/pause", headers={**as_user("ann"), "Origin": "https://evil.test"}).status_code == 403
    )


def test_a_sign_in_by_header_opens_the_dashboard_and_not_the_api(client):
    assert client.get("/api/v1/events", headers=as_user("ann")).status_code == 401


def test_a_viewer_may_still_become_an_operator_by_the_password_and_keeps_the_name(app, redis):
    client = enter(app, WEB_SECRETS["RELAY_DASHBOARD_PASSWORD"])

    assert client.post("/portals/main/pause", headers=as_user("ben")).status_code == 303
    assert read_acts(redis)[0].who == "ben"
    assert client.get("/login", headers=as_user("ben")).status_code == 303
    assert app.test_client().get("/login", headers=as_user("ben")).status_code == 200
