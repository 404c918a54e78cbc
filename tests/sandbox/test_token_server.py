"""The token server: one refresh, one new pair."""

from __future__ import annotations

import pytest

from relay.sandbox.applications.registry import CLIENT_ID, CLIENT_SECRET
from relay.sandbox.applications.tokens import FIRST_ACCESS_TOKEN, FIRST_REFRESH_TOKEN

FORM = {
    "grant_type": "refresh_token", "client_id": CLIENT_ID, "client_secret": CLIENT_SECRET,
    "refresh_token": FIRST_REFRESH_TOKEN,
}  # fmt: skip


def refresh(client, **changes):
    return client.session.post(f"{client.url}/oauth/token/", data=FORM | changes, timeout=5)


def calls_with(client, token):
    return client.session.post(f"{client.url}/rest/profile", json={"auth": token}, timeout=5)


def test_a_refresh_gives_a_new_pair_that_works(client, clock):
    clock.advance(3600)
    pair = refresh(client).json()

    assert calls_with(client, FIRST_ACCESS_TOKEN).json()["error"] == "expired_token"
    assert calls_with(client, pair["access_token"]).status_code == 200
    assert refresh(client, refresh_token=pair["refresh_token"]).status_code == 200


def test_the_answer_has_the_documented_members(client):
    pair = refresh(client).json()

    assert set(pair) == {
        "access_token", "refresh_token", "expires", "expires_in", "client_endpoint", "server_endpoint", "domain",
        "member_id", "scope", "status", "user_id",
    }  # fmt: skip
    assert (pair["expires_in"], pair["expires"]) == (3600, 1_800_003_600)
    assert pair["client_endpoint"] == f"{client.url}/rest/"


def test_get_works_as_documented(client):
    assert client.session.get(f"{client.url}/oauth/token/", params=FORM, timeout=5).status_code == 200


def test_a_used_refresh_token_is_no_good(client):
    refresh(client)

    again = refresh(client)

    assert (again.status_code, again.json()["error"]) == (400, "invalid_grant")


def test_a_refresh_token_stays_good_where_the_portal_is_told_not_to_rotate(client):
    client.order("settings", {"rotate_refresh_tokens": False})

    assert refresh(client).status_code == refresh(client).status_code == 200


def test_a_refresh_token_dies_after_180_days(client, clock):
    clock.advance(180 * 24 * 3600)

    assert refresh(client).json()["error"] == "invalid_grant"


@pytest.mark.parametrize(
    ("changes", "status", "code"),
    [
        ({"grant_type": "password"}, 400, "invalid_request"),
        ({"client_secret": "wrong"}, 400, "invalid_client"),
        ({"refresh_token": "wrong"}, 400, "invalid_grant"),
    ],
)
def test_a_refresh_is_refused(client, changes, status, code):
    response = refresh(client, **changes)

    assert (response.status_code, response.json()["error"]) == (status, code)
    assert response.json()["error_description"]


def test_a_wrong_client_is_refused_with_200_and_no_description(client):
    response = refresh(client, client_id="wrong")

    assert response.status_code == 200
    assert response.json() == {"error": "wrong_client"}


def test_the_lifetime_of_a_token_is_a_setting(client, clock):
    client.order("settings", {"token_lifetime_s": 10})
    token = refresh(client).json()["access_token"]

    assert calls_with(client, token).status_code == 200
    clock.advance(10)
    assert calls_with(client, token).json()["error"] == "expired_token"
