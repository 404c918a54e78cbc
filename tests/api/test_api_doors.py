"""Who may use the API: nobody without a token, a reader only to read; and what is answered to what is no request."""

from __future__ import annotations

import jsonschema_rs
import pytest
import schemathesis

from tests.support.folders import WEB_SECRETS

CHANGING = {"POST", "PUT", "PATCH", "DELETE"}
OPEN = {"/hooks/<source>", "/hooks/<source>/<path:tail>", "/done/<token>", "/login", "/logout"}
INSIDE = {"/app/<portal>", "/app/<portal>/page", "/app/<portal>/events"}
"""A hook has its source's own proof, a one-time address is one; the login is how one gets in. Pages inside Bitrix24
show nothing until a worker has found out who looks. All have their tests.
"""


def routes(app, methods):
    """Each route with a method of these, as an address that could be."""
    for rule in app.url_map.iter_rules():
        for method in sorted(rule.methods & methods):
            yield method, rule, rule.build(dict.fromkeys(rule.arguments, "1"), append_unknown=False)[1]


def test_every_changing_request_without_login_or_token_is_refused(app, record):
    walked = [(method, rule, path) for method, rule, path in routes(app, CHANGING) if rule.rule not in OPEN | INSIDE]

    assert len(walked) >= 10
    for method, _, path in walked:
        answer = app.test_client().open(path, method=method, json={})
        assert answer.status_code in {302, 303, 401, 403}, (method, path)
    assert record.counts().total_events == 0


def test_every_request_to_the_api_needs_a_token_that_is_known(app, redis):
    for method, rule, path in routes(app, CHANGING | {"GET"}):
        if not rule.rule.startswith("/api/v1/"):
            continue
        for text in (None, "Bearer", "Bearer wrong", "Basic eDp5"):
            answer = app.test_client().open(path, method=method, headers={"Authorization": text} if text else {})
            assert (answer.status_code, answer.content_type) == (401, "application/problem+json"), (method, path)
            assert answer.headers["WWW-Authenticate"] == "Bearer"
        redis.flushall()  # who tries many is told to come back later: tests/attacks/access/test_guessing.py


def test_the_reading_token_reads_everything_and_changes_nothing(app, reader):
    for method, rule, path in routes(app, CHANGING | {"GET"}):
        if not rule.rule.startswith("/api/v1/"):
            continue
        answer = app.test_client().open(path, method=method, headers=reader.headers)
        if method == "GET":
            assert answer.status_code in {200, 404}, path
        else:
            assert (answer.status_code, answer.json["detail"]) == (403, "this token may only read"), path


def test_the_scheme_of_the_token_is_not_case_sensitive_and_blanks_do_no_harm(stranger):
    token = WEB_SECRETS["RELAY_API_TOKEN"]
    for text in (f"bearer {token}", f"BEARER  {token} "):
        assert stranger.ask("GET", "/events", headers={"Authorization": text}).status_code == 200


def test_without_a_reading_token_in_the_settings_no_text_is_one(make_app, shared_valkey):
    shared_valkey.make_fresh()
    client = make_app(shared_valkey).test_client()

    assert client.get("/api/v1/events", headers={"Authorization": "Bearer None"}).status_code == 401


@pytest.mark.parametrize(
    ("options", "status"),
    [
        ({"data": b"{", "content_type": "application/json"}, 400),
        ({"data": b"a=1", "content_type": "application/x-www-form-urlencoded"}, 415),
        ({"data": b"x" * 2_000_001, "content_type": "application/json"}, 413),
        ({"json": []}, 422),
        ({"json": {"filter": {"colour": "red"}}}, 422),
        ({"json": {"filter": {"rule": "\ud800"}}}, 400),
        ({"json": {}}, 422),
    ],
)
def test_what_cannot_be_read_is_said_as_a_problem(api, options, status):
    answer = api.ask("POST", "/replays", **options)

    assert (answer.status_code, answer.content_type) == (status, "application/problem+json")


def test_a_wrong_method_is_a_405_that_names_the_right_ones(api):
    answer = api.ask("PUT", "/events")

    assert (answer.status_code, answer.content_type) == (405, "application/problem+json")
    assert "GET" in answer.headers["Allow"]


def test_the_document_is_openapi_3_1_and_every_schema_in_it_is_valid(app):
    document = app.test_client().get("/api/openapi.json").json

    assert document["openapi"] == "3.1.0"
    assert document["security"] == [{"bearer": []}]
    for schema in document["components"]["schemas"].values():
        jsonschema_rs.meta.validate({"$schema": "https://json-schema.org/draft/2020-12/schema", **schema})
    schemathesis.openapi.from_dict(document).validate()
    documented = {
        (method.upper(), path.replace("{", "<").replace("}", ">"))
        for path, item in document["paths"].items()
        for method in item
        if method != "parameters"
    }
    served = {
        (method, rule.rule)
        for rule in app.url_map.iter_rules()
        for method in rule.methods - {"HEAD", "OPTIONS"}
        if rule.rule.startswith("/api/v1/")
    }
    assert documented == served
