"""`up --sandbox` with a portal by application: the sandbox has the application, and the workers its secret."""

from __future__ import annotations

import os

import pytest
import requests

from relay.runtime import up
from relay.runtime.up import Machine

PORTALS = """\
portals:
  main: {plan: standard}
  acme: {plan: standard, application: local.5a1b5c0d1e0f.12345678, card: [deal]}
"""


@pytest.fixture
def machine(tmp_path, monkeypatch):
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "portals.yaml").write_text(PORTALS)
    kept = {name: text for name, text in os.environ.items() if not name.startswith(("RELAY_", "PORTAL_"))}
    monkeypatch.setattr(os, "environ", kept | {"RELAY_CONFIG": str(tmp_path / "config")})
    monkeypatch.setattr(up, "configure", lambda *_: None)  # the logs of this process are others' too
    with Machine(tmp_path / "var", any_port=True) as made:
        yield made


def test_the_application_of_a_portal_is_in_the_sandbox_and_waits_to_be_opened(machine):
    machine.add_sandbox()

    listed = {
        one["client_id"]: one for one in requests.get(f"{machine.sandbox_url}/sandbox/application", timeout=5).json()
    }
    assert listed["local.5a1b5c0d1e0f.12345678"]["handler"] == f"{machine.url}/app/acme"
    assert os.environ["PORTAL_ACME_OAUTH_SERVER"] == f"{machine.sandbox_url}/oauth"
    assert len(os.environ["PORTAL_ACME_CLIENT_SECRET"]) >= 32
    assert "PORTAL_ACME_WEBHOOK_URL" not in os.environ
    assert os.environ["PORTAL_MAIN_WEBHOOK_URL"].startswith(machine.sandbox_url)


def test_an_application_with_a_secret_of_its_own_is_of_a_real_portal(machine):
    os.environ["PORTAL_ACME_CLIENT_SECRET"] = "of-a-real-portal"
    machine.add_sandbox()

    assert (
        "local.5a1b5c0d1e0f.12345678" not in requests.get(f"{machine.sandbox_url}/sandbox/application", timeout=5).text
    )
    assert "PORTAL_ACME_OAUTH_SERVER" not in os.environ
