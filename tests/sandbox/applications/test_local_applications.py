"""Local applications: how one is added, changed and deleted, and whose rights its calls have."""

from __future__ import annotations

import re

import pytest

LEAD = ["crm", "CCrmDocumentLead", "LEAD_7"]
START = {"TEMPLATE_ID": 1, "DOCUMENT_ID": LEAD}
HANDLER = "http://127.0.0.1:9/app/main"


def test_an_application_gets_keys_of_its_own(app, client):
    other = client.order("application", {"handler": HANDLER}).json()

    assert re.fullmatch(r"local\.[0-9a-f]+\.[0-9]+", app.keys["client_id"])
    assert re.fullmatch(r"[0-9a-f]{32}", app.keys["application_token"])
    assert all(app.keys[name] != other[name] for name in ("client_id", "client_secret", "application_token"))
    assert app.keys["member_id"] == other["member_id"] == "5a1b5c0d1e0f00000000000000000001"


def test_saving_again_changes_scopes_at_once_and_no_key(app):
    assert app.result("crm.settings.mode.get") == 1

    assert app.save(scopes=["bizproc"]).json() == app.keys

    response = app.call("crm.settings.mode.get")
    text = "The request requires higher privileges than provided by the access token"
    assert response.json() == {"error": "insufficient_scope", "error_description": text}
    assert app.result("scope") == ["bizproc"]
    assert app.frame()["fields"]["APPLICATION_SCOPE"] == "bizproc"


def test_an_application_may_be_added_with_keys_that_a_test_knows(client):
    order = {"handler": HANDLER, "client_id": "local.12ab.345", "client_secret": "known"}

    assert client.order("application", order).json() | {"application_token": ""} == {
        "client_id": "local.12ab.345", "client_secret": "known", "application_token": "",
        "member_id": "5a1b5c0d1e0f00000000000000000001",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("order", "complaint"),
    [
        ([], "an application is an object with handler"),
        ({"scopes": []}, "an application is an object with handler"),
        ({"handler": HANDLER, "nonsense": 1}, "an application is an object with handler"),
        ({"handler": "ftp://127.0.0.1/"}, '"handler" must be an address'),
        ({"handler": "/app/main"}, '"handler" must be an address'),
        ({"handler": HANDLER, "scopes": "crm"}, '"scopes" must be a list'),
        ({"handler": HANDLER, "client_id": "mine"}, '"client_id" must be like local.'),
        ({"handler": HANDLER, "client_secret": ""}, '"client_secret" must be a text'),
    ],
)
def test_an_application_that_cannot_be_used_is_answered_with_400(client, order, complaint):
    response = client.order("application", order)

    assert response.status_code == 400
    assert response.json()["error"].startswith(complaint)


def test_the_list_of_applications_counts_and_holds_no_secret(app, client):
    app.frame()
    app.ask_for_tokens(refresh_token=app.frame()["fields"]["REFRESH_ID"])
    app.ask_for_tokens(refresh_token="wrong")

    answer = client.session.get(f"{client.url}/sandbox/application", timeout=5)

    shown = answer.json()[-1]
    assert (shown["openings"], shown["refreshes"], shown["refused_refreshes"]) == (2, 1, 1)
    assert app.keys["client_secret"] not in answer.text
    assert app.keys["application_token"] not in answer.text


def test_a_deleted_application_is_answered_as_one_that_was_removed(app):
    pair = app.frame()["fields"]
    app.token()
    app.delete()

    refused = app.ask_for_tokens(refresh_token=pair["REFRESH_ID"])
    described = app.info(pair["AUTH_ID"])

    assert app.error("profile") == ("APPLICATION_NOT_FOUND", 401)
    assert (refused.json()["error"], refused.status_code) == ("NOT_INSTALLED", 401)
    assert (described.json()["error"], described.status_code) == ("NOT_INSTALLED", 401)


def test_a_deleted_application_that_is_added_again_has_other_keys_and_dead_tokens(app):
    app.token()
    app.delete()

    again = app.save().json()

    assert again["client_id"] == app.keys["client_id"]
    assert again["application_token"] != app.keys["application_token"]
    assert app.error("profile") == ("APPLICATION_NOT_FOUND", 401)


def test_calls_run_with_the_rights_of_the_user_whose_token_it_is(app):
    assert app.result("profile", user=3) == {
        "ID": "3", "ADMIN": False, "NAME": "Cleo", "LAST_NAME": "Example", "PERSONAL_GENDER": "", "TIME_ZONE": "",
    }  # fmt: skip
    assert app.result("user.current", user=3)["ID"] == "3"
    assert [app.result("user.admin", user=user) for user in (1, 3, 5)] == [True, False, True]
    assert app.error("bizproc.workflow.start", user=3, **START) == ("ACCESS_DENIED", 403)
    assert app.call("bizproc.workflow.start", user=5, **START).status_code == 200


def test_an_employee_reads_only_the_items_that_are_his(app, client):
    client.order("documents", [
        {"entityTypeId": 2, "id": 12, "fields": {"assignedById": 1}},
        {"entityTypeId": 2, "id": 13, "fields": {"assignedById": 3}},
    ])  # fmt: skip

    assert app.error("crm.item.get", user=3, entityTypeId=2, id=12) == ("ACCESS_DENIED", 400)
    assert app.result("crm.item.get", user=3, entityTypeId=2, id=13)["item"]["id"] == 13
    assert app.result("crm.item.get", user=5, entityTypeId=2, id=12)["item"]["id"] == 12


@pytest.mark.parametrize(
    ("changes", "user", "error"),
    [
        ({}, 4, ("user_access_error", 401)),
        ({"administrators": [4]}, 4, None),
        ({"dismissed": [1]}, 1, ("authorization_error", 401)),
        ({"dismissed": [1]}, 5, None),
        ({"rest_available": False}, 1, ("ACCESS_DENIED", 403)),
        ({"oauth_available": False}, 1, ("CONNECTION_ERROR", 401)),
    ],
)
def test_a_call_with_a_good_token_is_refused_for_the_user_the_plan_or_the_server(app, client, changes, user, error):
    app.token(user)
    client.order("settings", changes)

    if error is None:
        assert app.result("profile", user)["ID"] == str(user)
    else:
        assert app.error("profile", user) == error


def test_an_administrator_can_be_demoted(app, client):
    client.order("settings", {"administrators": [5]})

    assert app.result("profile")["ADMIN"] is False
    assert app.error("placement.get") == ("ACCESS_DENIED", 403)


def test_access_tokens_that_are_out_can_be_made_old_at_once(app, client):
    app.token(1), app.token(5)

    gone = client.order("application/expire", {"client_id": app.keys["client_id"], "user": 1}).json()

    assert gone == {"expired": 1}
    assert app.error("profile", 1) == ("expired_token", 401)
    assert app.result("profile", 5)["ID"] == "5"


def test_the_portal_names_the_application_that_asks(app):
    shown = app.result("app.info")

    assert (shown["CODE"], shown["STATUS"], shown["INSTALLED"]) == (app.keys["client_id"], "L", True)


def test_a_feature_of_the_plan_is_a_setting(app, client):
    client.order("settings", {"features": ["rest_offline_extended"]})

    assert app.result("feature.get", CODE="rest_offline_extended") == {"value": "Y"}
    assert app.result("feature.get", CODE="rest_auth_connector") == {"value": "N"}


def test_a_renamed_portal_keeps_its_member_id_and_redirects_from_its_old_host(app, client):
    app.token()
    renamed = client.url.removeprefix("http://").replace("127.0.0.1", "localhost")
    client.order("settings", {"domain": renamed})

    moved = app.call("profile")
    frame = app.frame()

    assert (moved.status_code, moved.headers["Location"]) == (302, f"http://{renamed}/rest/profile")
    assert (frame["query"]["DOMAIN"], frame["fields"]["member_id"]) == (renamed, app.keys["member_id"])
    assert app.info(frame["fields"]["AUTH_ID"]).json()["result"]["install"]["domain"] == renamed
