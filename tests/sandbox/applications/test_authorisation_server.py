"""The authorisation server: rotation, codes, whose a token is, and how it fails."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import pytest

from workers.bitrix24.oauth import Tokens, describe, refresh


@pytest.fixture
def pair(app):
    return app.frame()["fields"]


def test_a_refresh_gives_a_pair_of_the_same_user_and_application(app):
    fields = app.frame(user=5)["fields"]

    pair = app.ask_for_tokens(refresh_token=fields["REFRESH_ID"]).json()
    shown = app.info(pair["access_token"]).json()["result"]

    assert pair["user_id"] == shown["user_id"] == 5
    assert shown["client_id"] == app.keys["client_id"]
    assert pair["scope"] == "bizproc,crm,im,placement,user"


@pytest.mark.parametrize(
    ("changes", "after_s", "status"),
    [
        ({}, 0, 400),
        ({"refresh_grace_s": 20}, 19, 200),
        ({"refresh_grace_s": 20}, 20, 400),
        ({"rotate_refresh_tokens": False}, 10_000, 200),
    ],
)
def test_how_long_a_used_refresh_token_is_still_good_is_a_setting(app, clock, changes, after_s, status):
    client, pair = app.client, app.frame()["fields"]
    client.order("settings", changes)
    app.ask_for_tokens(refresh_token=pair["REFRESH_ID"])
    clock.advance(after_s)

    assert app.ask_for_tokens(refresh_token=pair["REFRESH_ID"]).status_code == status


@pytest.mark.parametrize(
    ("changes", "status", "code"),
    [
        ({"grant_type": "password"}, 400, "invalid_request"),
        ({"refresh_token": ""}, 400, "invalid_request"),
        ({"client_id": "local.1.2"}, 200, "wrong_client"),
        ({"client_secret": "wrong"}, 400, "invalid_client"),
        ({"refresh_token": "wrong"}, 400, "invalid_grant"),
    ],
)
def test_a_refresh_is_refused_with_the_code_that_the_vendors_client_expects(app, pair, changes, status, code):
    response = app.ask_for_tokens(**{"refresh_token": pair["REFRESH_ID"]} | changes)

    assert (response.status_code, response.json()["error"]) == (status, code)


def test_a_refresh_token_of_another_application_is_an_invalid_grant(app, client, pair):
    other = client.order("application", {"handler": "http://127.0.0.1:9/other"}).json()
    keys = {name: other[name] for name in ("client_id", "client_secret")}

    response = app.ask_for_tokens(refresh_token=pair["REFRESH_ID"], **keys)

    assert (response.status_code, response.json()["error"]) == (400, "invalid_grant")


def test_a_plan_that_ended_asks_for_payment(app, client, pair):
    client.order("settings", {"rest_available": False})

    assert app.ask_for_tokens(refresh_token=pair["REFRESH_ID"]).json()["error"] == "PAYMENT_REQUIRED"


def test_a_token_lives_as_long_as_the_settings_say(app, client, clock):
    client.order("settings", {"token_lifetime_s": 20})
    assert app.frame()["fields"]["AUTH_EXPIRES"] == "20"
    assert app.result("profile")["ID"] == "1"

    clock.advance(20)

    assert app.error("profile") == ("expired_token", 401)


def test_a_token_can_be_expired_from_the_beginning(app, client):
    client.order("settings", {"token_lifetime_s": 0})

    assert app.error("profile") == ("expired_token", 401)


def test_app_info_says_whose_a_token_is(app, client, pair):
    shown = app.info(pair["AUTH_ID"]).json()

    scope = "bizproc,crm,im,placement,user"
    assert shown["result"] == {
        "client_id": app.keys["client_id"], "scope": scope, "expires": "2027-01-15T09:00:00+00:00", "user_id": 1,
        "install": {
            "installed": True, "version": 1, "status": "L", "scope": scope,
            "domain": client.url.removeprefix("http://"), "uri": client.url,
            "client_endpoint": f"{client.url}/rest/", "member_id": app.keys["member_id"], "member_type": "bitrix24",
        },
    }  # fmt: skip
    assert "time" in shown


@pytest.mark.parametrize(
    ("token", "status", "code"),
    [("", 401, "NO_AUTH_FOUND"), ("nonsense", 401, "NO_AUTH_FOUND"), ("0123456789abcdef" * 3, 400, "invalid_client")],
)
def test_app_info_refuses_what_is_no_token(app, token, status, code):
    response = app.info(token)

    assert (response.status_code, response.json()["error"]) == (status, code)


def test_app_info_refuses_a_token_whose_time_is_over(app, clock, pair):
    clock.advance(3600)

    assert app.info(pair["AUTH_ID"]).json()["error"] == "expired_token"


def test_the_whole_server_is_below_one_address_as_the_real_one_is(app, client, pair):
    form = {"grant_type": "refresh_token", "client_id": app.keys["client_id"],
            "client_secret": app.keys["client_secret"], "refresh_token": pair["REFRESH_ID"]}  # fmt: skip

    tokens = client.session.get(f"{client.url}/oauth/oauth/token/", params=form, timeout=5).json()

    assert tokens["server_endpoint"] == f"{client.url}/oauth/rest/"
    shown = client.session.get(
        f"{tokens['server_endpoint']}app.info", params={"auth": tokens["access_token"]}, timeout=5
    )
    assert shown.status_code == 200


def authorize(client, **query):
    return client.session.get(f"{client.url}/oauth/authorize/", params=query, timeout=5, allow_redirects=False)


def test_a_code_from_the_portals_own_page_gives_a_pair_once(app, client):
    moved = authorize(client, client_id=app.keys["client_id"], state="s-1", user=5)
    address = urlsplit(moved.headers["Location"])
    given = {name: values[0] for name, values in parse_qs(address.query).items()}

    first = app.ask_for_tokens(grant_type="authorization_code", code=given["code"])
    second = app.ask_for_tokens(grant_type="authorization_code", code=given["code"])

    assert (moved.status_code, address.path) == (302, "/app/main")
    assert (given["state"], given["member_id"]) == ("s-1", app.keys["member_id"])
    assert first.json()["user_id"] == 5
    assert (second.status_code, second.json()["error"]) == (400, "invalid_grant")


def test_a_code_dies_after_thirty_seconds(app, client, clock):
    moved = authorize(client, client_id=app.keys["client_id"])
    (code,) = parse_qs(urlsplit(moved.headers["Location"]).query)["code"]
    clock.advance(30)

    assert app.ask_for_tokens(grant_type="authorization_code", code=code).json()["error"] == "invalid_grant"


@pytest.mark.parametrize("client_id", ["local.1.2", "local.sandbox"])
def test_nobody_is_sent_anywhere_for_an_application_that_is_not_there(client, client_id):
    response = authorize(client, client_id=client_id)

    assert response.status_code == 400
    assert "Location" not in response.headers


def test_a_server_that_is_away_answers_with_a_page(app, client, pair):
    client.order("settings", {"oauth_available": False})

    assert app.ask_for_tokens(refresh_token=pair["REFRESH_ID"]).status_code == 502
    assert app.info(pair["AUTH_ID"]).status_code == 502


def test_an_answer_of_the_server_can_be_lost_after_the_tokens_have_rotated(app, client, pair):
    client.order("faults", {"kind": "drop_after_start", "method": "oauth.token"})

    with pytest.raises(OSError, match="reset"):
        app.ask_for_tokens(refresh_token=pair["REFRESH_ID"])

    assert app.ask_for_tokens(refresh_token=pair["REFRESH_ID"]).json()["error"] == "invalid_grant"


def test_a_fault_that_names_no_method_leaves_the_server_alone(app, client, pair):
    client.order("faults", {"kind": "html_502"})

    assert app.ask_for_tokens(refresh_token=pair["REFRESH_ID"]).status_code == 200
    assert app.call("profile").status_code == 502


def test_the_portals_own_address_does_as_the_address_of_the_authorisation_server(app, client, pair):
    """People give the sandbox's address, as it is, for PORTAL_<NAME>_OAUTH_SERVER."""
    tokens = refresh(
        Tokens(pair["AUTH_ID"], pair["REFRESH_ID"], server=client.url), app.keys["client_id"], app.keys["client_secret"]
    ).tokens

    grant = describe(client.url, tokens.access)

    assert (grant.client_id, grant.member_id) == (app.keys["client_id"], app.keys["member_id"])
    assert grant.endpoint == f"{client.url}/rest/"
