"""`/api/v1`: the record and the acts for programs. JSON in, JSON out, problem+json for errors, OpenAPI beside it.

This module puts it together: flask-smorest, its blueprints, the bearer token before everything. The OpenAPI document at
/api/openapi.json describes what the code does, because the same schemas validate it.
"""

from __future__ import annotations

from flask import Flask, Response, g, request

from relay.sources.bodies import read_json
from relay.web.api import acts, reading
from relay.web.api.documented import ProblemApi
from relay.web.language import ENGLISH
from relay.web.problems import problem
from relay.web.tokens import need_token

LONGEST_BODY = 2_000_000

INFO = {
    "description": "Webhooks in, Bitrix24 workflows out: what was received, what was asked, what became of it.",
    "license": {"name": "proprietary"},
}


def take_json() -> Response | None:
    """Before each request of the API: it takes JSON, and a body to try a rule on may be larger than a form."""
    request.max_content_length = LONGEST_BODY
    if (request.content_length or 0) > LONGEST_BODY:
        return problem(413, f"at most {LONGEST_BODY} bytes")
    body = request.get_data()
    if body and not request.is_json:
        return problem(415, "send application/json")
    if body:
        # As strictly as a webhook's, before anything recurses into it: what cannot be read is answered with 400.
        read_json(body)
    return None


def speak_english() -> None:
    """Before each request of the API: it answers in English, whatever the header of a browser asks for."""
    g.language = ENGLISH


for _blueprint in (reading.blueprint, acts.blueprint):
    _blueprint.before_request(speak_english)
    _blueprint.before_request(need_token)
    _blueprint.before_request(take_json)


def register(app: Flask) -> None:
    """Add the API to the application."""
    app.config.update(
        API_TITLE="relay",
        API_VERSION="v1",
        OPENAPI_VERSION="3.1.0",
        OPENAPI_URL_PREFIX="/api",
        OPENAPI_JSON_PATH="openapi.json",
        API_SPEC_OPTIONS={"info": INFO, "security": [{"bearer": []}]},
    )
    api = ProblemApi(app)
    api.spec.components.security_scheme("bearer", {"type": "http", "scheme": "bearer"})
    for blueprint in (reading.blueprint, acts.blueprint):
        api.register_blueprint(blueprint, url_prefix="/api/v1")
