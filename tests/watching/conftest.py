"""Browsers at the dashboard: an operator's and a viewer's, logged in."""

from __future__ import annotations

import pytest
from flask import Flask
from flask.testing import FlaskClient

from tests.support.folders import WEB_SECRETS

SAME = {"Origin": "http://localhost", "Accept": "text/html"}


def enter(app: Flask, password: str) -> FlaskClient:
    client = app.test_client()
    assert client.post("/login", data={"password": password}, headers=SAME).status_code == 303
    return client


@pytest.fixture
def operator(app: Flask) -> FlaskClient:
    return enter(app, WEB_SECRETS["RELAY_DASHBOARD_PASSWORD"])


@pytest.fixture
def viewer(app: Flask) -> FlaskClient:
    return enter(app, "viewer-password-of-the-test")
