"""Who changes a secret is told where it is, when it was changed, and how no request is lost; no secret is shown."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta

from relay.core.ids import utc_now
from relay.sources.loading import load_sources
from relay.web.dashboard.sources import secret_places
from tests.support.folders import SECRETS
from tests.support.pages import Page, ask

CHANGED = datetime(2026, 6, 1, 12, tzinfo=UTC)
TWO = "sources:\n  one:\n    verify: {kind: token, header: X-Token, secrets: [SOURCE_OLD, SOURCE_NEW]}\n"


def test_each_secret_is_said_with_its_place_and_its_last_change(tmp_path):
    config, file = tmp_path / "sources.yaml", tmp_path / "new"
    config.write_text(TWO, "utf-8")
    file.write_text("a secret in a file, long", "utf-8")
    os.utime(file, (CHANGED.timestamp(), CHANGED.timestamp()))
    environ = {"SOURCE_OLD": "a secret of the environment", "SOURCE_NEW_FILE": str(file)}
    source = load_sources(config, environ)["one"]

    old, new = secret_places(source, environ)

    assert (old.name, old.file, old.changed_at) == ("SOURCE_OLD", None, None)
    assert (new.name, new.file, new.changed_at) == ("SOURCE_NEW", str(file), CHANGED)
    assert "long" not in repr(new)


def test_the_pages_say_to_operators_how_a_secret_is_changed_and_show_none(operator, viewer):
    source, portal = ask(operator, "/sources?open=website"), ask(operator, "/portals/main/connect")
    change = ask(operator, "/sources/website/secret")

    assert "SOURCE_WEBSITE_TOKEN : in the environment of the web process" in Page(source).text(".//section").replace(
        "TOKEN:", "TOKEN :"
    )
    assert "Both are accepted until you end the change" in change
    assert "PORTAL_MAIN_WEBHOOK_URL_FILE" in portal
    assert "python -m workers credential main" in portal
    assert not any(secret in source + portal + change for secret in SECRETS.values())
    assert "SOURCE_WEBSITE_TOKEN" not in ask(viewer, "/sources?open=website")


def test_a_file_of_a_secret_that_is_followed_says_that_no_restart_is_needed(operator, tmp_path, monkeypatch):
    file = tmp_path / "token"
    file.write_text("anything", "utf-8")
    changed = (utc_now() - timedelta(days=3)).timestamp()
    os.utime(file, (changed, changed))
    monkeypatch.setenv("SOURCE_WEBSITE_TOKEN_FILE", str(file))

    said = Page(ask(operator, "/sources?open=website")).text(".//section[@aria-label='website']")

    assert f"in the file {file}, which is followed without a restart. Last changed 3 d ago." in said
