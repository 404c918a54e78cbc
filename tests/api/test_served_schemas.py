"""The JSON Schemas of configuration files, for editors: for everybody, kept by caches, and without a session."""

from __future__ import annotations

import json

import pytest

from relay import __version__
from relay.cli.main import main
from relay.operations.editor_schemas import FILES, FOLDER, schema_text
from tests.support.folders import CONFIG


@pytest.mark.parametrize("name", FILES)
def test_a_schema_is_one_and_the_same_served_printed_and_shipped(app, capsys, name):
    """`make docs` mends the shipped one."""
    assert main(["schema", name]) == 0
    printed = capsys.readouterr().out
    served = app.test_client().get(f"/schemas/{__version__}/{name}.json")

    assert served.text == printed == schema_text(name) == (CONFIG / FOLDER / f"{name}.json").read_text("utf-8")
    assert json.loads(printed)["$schema"] == "http://json-schema.org/draft-07/schema#"


def test_a_schema_needs_no_login_and_caches_may_keep_it(app):
    answer = app.test_client().get("/schemas/latest/rules.json")

    assert (answer.status_code, answer.content_type) == (200, "application/schema+json")
    assert answer.headers["Cache-Control"] == "public, max-age=3600"
    assert "Set-Cookie" not in answer.headers
    assert "Cookie" not in answer.headers.get("Vary", "")
    again = app.test_client().get("/schemas/latest/rules.json", headers={"If-None-Match": answer.headers["ETag"]})
    assert (again.status_code, again.text) == (304, "")


@pytest.mark.parametrize("path", ["0.0.1/rules.json", "latest/secrets.json", "latest/..%2fsources.json"])
def test_a_schema_of_another_version_or_name_is_a_404(app, path):
    assert app.test_client().get(f"/schemas/{path}").status_code == 404


def test_a_name_that_is_no_schema_is_bad_usage(capsys):
    with pytest.raises(SystemExit) as caught:
        main(["schema", "rule"])

    assert caught.value.code == 2
    assert "sources" in capsys.readouterr().err
