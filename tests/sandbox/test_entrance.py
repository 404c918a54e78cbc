"""Who is let in, and how the portal refuses: the system errors with their codes, texts and statuses."""

from __future__ import annotations

import pytest

from relay.sandbox.answers import KNOWN_ERRORS
from relay.sandbox.app import create_app
from relay.sandbox.applications.tokens import FIRST_ACCESS_TOKEN
from relay.sandbox.portal import Portal


def code_and_status(response):
    return response.json().get("error"), response.status_code


def test_an_unknown_method_is_404_before_anybody_asks_who_calls(client):
    assert code_and_status(client.call("no.such.method", secret="wrong")) == ("ERROR_METHOD_NOT_FOUND", 404)


def test_without_business_processes_in_the_plan_their_methods_are_unknown(client):
    client.order("settings", {"bizproc_available": False})

    assert code_and_status(client.start()) == ("ERROR_METHOD_NOT_FOUND", 404)
    assert client.call("profile").status_code == 200


@pytest.mark.parametrize(("user", "secret"), [(1, "wrong"), (3, "sandbox"), (0, "sandbox"), ("٣", "sandbox")])
def test_a_wrong_secret_or_user_is_invalid_credentials(client, user, secret):
    response = client.call("profile", user=user, secret=secret)

    assert response.status_code == 401
    assert response.json() == {"error": "INVALID_CREDENTIALS", "error_description": "Invalid request credentials"}


def test_no_credential_at_all_is_no_auth_found(client):
    response = client.session.post(client.url + "/rest/profile", timeout=5)

    assert response.status_code == 401
    assert response.json() == {"error": "NO_AUTH_FOUND", "error_description": "Wrong authorization data"}


@pytest.mark.parametrize(
    "sent",
    [
        {"headers": {"Authorization": f"Bearer {FIRST_ACCESS_TOKEN}"}},
        {"json": {"auth": FIRST_ACCESS_TOKEN}},
        {"data": {"access_token": FIRST_ACCESS_TOKEN}},
        {"params": {"auth": FIRST_ACCESS_TOKEN}},
        {"headers": {"Authorization": f"Bearer {FIRST_ACCESS_TOKEN}"}, "json": {"auth": "wrong"}},
        {"json": {"auth": FIRST_ACCESS_TOKEN, "access_token": "wrong"}},
    ],
)
def test_a_token_is_taken_from_the_header_then_auth_then_access_token(client, sent):
    response = client.session.post(client.url + "/rest/profile", timeout=5, **sent)

    assert response.json()["result"]["ID"] == "1"


def test_a_token_that_was_never_issued_is_an_invalid_token(client):
    response = client.session.post(client.url + "/rest/profile", json={"auth": "wrong"}, timeout=5)

    assert response.json() == {"error": "invalid_token", "error_description": "Unable to get application by token"}
    assert response.status_code == 401


def test_a_token_expires_by_the_clock(client, clock):
    clock.advance(3600)

    response = client.session.post(client.url + "/rest/profile", json={"auth": FIRST_ACCESS_TOKEN}, timeout=5)

    assert response.status_code == 401
    assert response.json() == {
        "error": "expired_token",
        "error_description": "The access token provided has expired.",
    }


def test_a_method_outside_the_scope_is_refused(client):
    client.order("settings", {"scope": ["crm"]})

    assert code_and_status(client.start()) == ("insufficient_scope", 401)
    assert client.call("scope").json()["result"] == ["crm"]


def test_the_statuses_of_the_documentation_are_an_option(client):
    client.order("settings", {"statuses": "docs", "scope": []})

    assert code_and_status(client.call("profile", secret="wrong")) == ("INVALID_CREDENTIALS", 403)
    assert code_and_status(client.start()) == ("insufficient_scope", 403)


def test_plain_http_from_another_machine_is_refused():
    with create_app(Portal()).test_client() as browser:
        far = browser.post("/rest/1/sandbox/profile", environ_overrides={"REMOTE_ADDR": "10.0.0.7"})
        unknown = browser.post("/rest/1/sandbox/profile", environ_overrides={"REMOTE_ADDR": ""})
        near = browser.post("/rest/1/sandbox/profile", environ_overrides={"REMOTE_ADDR": "::1"})
        secure = browser.post(
            "/rest/1/sandbox/profile", base_url="https://portal.test", environ_overrides={"REMOTE_ADDR": "10.0.0.7"}
        )

    assert (far.status_code, far.get_json()["error"]) == (401, "INVALID_REQUEST")
    assert far.get_json()["error_description"] == "Https required."
    assert unknown.status_code == 401
    assert near.status_code == secure.status_code == 200


@pytest.mark.parametrize(
    ("code", "source", "docs"),
    [
        ("QUERY_LIMIT_EXCEEDED", 503, 503),
        ("OPERATION_TIME_LIMIT", 429, 429),
        ("OVERLOAD_LIMIT", 401, 503),
        ("INTERNAL_SERVER_ERROR", 500, 500),
        ("ERROR_UNEXPECTED_ANSWER", 500, 500),
        ("expired_token", 401, 401),
        ("invalid_token", 401, 401),
        ("NO_AUTH_FOUND", 401, 401),
        ("INVALID_CREDENTIALS", 401, 403),
        ("insufficient_scope", 401, 403),
        ("authorization_error", 401, 401),
        ("user_access_error", 401, 403),
        ("ACCESS_DENIED", 403, 403),
        ("PAYMENT_REQUIRED", 401, 401),
        ("ERROR_OAUTH", 401, 401),
        ("NOT_INSTALLED", 401, 401),
        ("APPLICATION_NOT_FOUND", 401, 401),
        ("CONNECTION_ERROR", 401, 401),
        ("PORTAL_DELETED", 403, 500),
        ("ERROR_METHOD_NOT_FOUND", 404, 404),
        ("INVALID_REQUEST", 401, 400),
        ("WRONG_LICENSE", 403, 403),
        ("WRONG_AUTH_TYPE", 403, 403),
        ("allowed_only_intranet_user", 403, 403),
        ("METHOD_CONFIRM_WAITING", 401, 401),
        ("METHOD_CONFIRM_DENIED", 403, 403),
        ("ERROR_CORE", 400, 400),
        ("ERROR_ARGUMENT", 400, 400),
        ("INVALID_ARG_VALUE", 400, 400),
        ("ERROR_NOT_FOUND", 400, 400),
        ("NOT_FOUND", 400, 400),
        ("INTERNAL_WRONG_TRANSPORT", 500, 500),
        ("INTERNAL_WRONG_HANDLER_CLASS", 500, 500),
        ("ERROR_WRONG_WORKFLOW_ID", 400, 400),
        ("", 400, 400),
    ],
)
def test_any_row_of_the_error_table_can_be_ordered_by_its_code(client, code, source, docs):
    client.order("faults", {"kind": "error", "code": code, "times": 2})

    as_in_source = client.call("profile")
    client.order("settings", {"statuses": "docs"})
    as_in_docs = client.call("profile")

    assert (as_in_source.status_code, as_in_docs.status_code) == (source, docs)
    assert as_in_source.json() == {"error": code, "error_description": KNOWN_ERRORS[code].description}


def test_a_row_with_another_text_or_status_can_be_ordered_too(client):
    description = "REST is available only by subscription."
    client.order("faults", {"kind": "error", "code": "ACCESS_DENIED", "status": 401, "description": description})

    response = client.start()

    assert response.status_code == 401
    assert response.json() == {"error": "ACCESS_DENIED", "error_description": description}


@pytest.mark.parametrize(
    ("method", "is_right"),
    [
        ("profile", lambda result: result["ID"] == "1" and result["ADMIN"] is True),
        ("user.current", lambda result: result["ID"] == "1"),
        ("scope", lambda result: "bizproc" in result),
        ("methods", lambda result: "bizproc.workflow.start" in result),
        ("app.info", lambda result: "bizproc" in result["SCOPE"]),
        ("server.time", lambda result: result == "2027-01-15T11:00:00+03:00"),
    ],
)
def test_a_credential_can_be_checked_without_changing_anything(client, method, is_right):
    assert is_right(client.call(method).json()["result"])
    assert client.started() == []


@pytest.mark.parametrize(
    ("name", "exists", "available"),
    [("bizproc.workflow.start", True, False), ("profile", True, True), ("no.such.method", False, False)],
)
def test_a_method_can_be_asked_for_by_name(client, name, exists, available):
    client.order("settings", {"scope": ["crm"]})

    assert client.call("method.get", {"name": name}).json()["result"] == {
        "isExisting": exists,
        "isAvailable": available,
    }
