"""The API as programs use it: a client with its token, on a record of this test's own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from tests.support.folders import WEB_SECRETS
from tests.support.valkey import Valkey

READ_TOKEN = "read-token-of-the-test"


class Api:
    """Asks with a token; JSON in, JSON out."""

    def __init__(self, client: FlaskClient, token: str | None) -> None:
        self.client = client
        self.headers = {"Authorization": f"Bearer {token}"} if token else {}

    def ask(self, method: str, path: str, **options: Any) -> TestResponse:
        headers = self.headers | options.pop("headers", {})
        return self.client.open(f"/api/v1{path}", method=method, headers=headers, **options)

    def get(self, path: str, status: int = 200, **query: Any) -> Any:
        answer = self.ask("GET", path, query_string=query)
        assert answer.status_code == status, answer.text
        return answer.json

    def post(self, path: str, content: Any = None, status: int = 200, key: str | None = None) -> Any:
        headers = {} if key is None else {"Idempotency-Key": key}
        options = {} if content is None else {"json": content}
        answer = self.ask("POST", path, headers=headers, **options)
        assert answer.status_code == status, answer.text
        if status >= 400:
            assert answer.content_type == "application/problem+json"
            assert answer.json["status"] == status
        return answer.json


@pytest.fixture(scope="session")
def api_app(make_app: Callable[..., Flask], shared_valkey: Valkey) -> Flask:
    shared_valkey.make_fresh()
    return make_app(shared_valkey, api_read_token=READ_TOKEN)


@pytest.fixture
def app(api_app: Flask, valkey: Valkey) -> Flask:
    """With a token that may only read, and an empty record."""
    return api_app


@pytest.fixture
def api(app: Flask) -> Api:
    return Api(app.test_client(), WEB_SECRETS["RELAY_API_TOKEN"])


@pytest.fixture
def reader(app: Flask) -> Api:
    """May only read."""
    return Api(app.test_client(), READ_TOKEN)


@pytest.fixture
def stranger(app: Flask) -> Api:
    return Api(app.test_client(), None)
