"""A relay with sources of the test's own."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from flask.testing import FlaskClient

from tests.support.configs import write_config


@pytest.fixture
def relay(make_app, valkey, tmp_path, monkeypatch) -> Callable[..., FlaskClient]:
    """A client of a relay with these sources and rules; secrets: the environment of its sources."""

    numbers = itertools.count()

    def make(
        sources: Mapping[str, Any],
        rules: list[dict[str, Any]] | None = None,
        secrets: Mapping[str, str] | None = None,
        **settings: Any,
    ) -> FlaskClient:
        for name, value in (secrets or {}).items():
            monkeypatch.setenv(name, value)
        folder = write_config(tmp_path / f"config-{next(numbers)}", sources, rules or [])
        client: FlaskClient = make_app(valkey, config=folder, **settings).test_client()
        return client

    return make
