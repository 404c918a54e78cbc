"""`workers schema`: an editor of rules is told what the portal has by name, and what nobody may see stays open."""

from __future__ import annotations

import json
from typing import Any

import jsonschema_rs
import pytest
import yaml

from relay.operations.editor_schemas import schema_text
from relay.sandbox.callers import PEOPLE
from tests.delivering.contexts import SECRET, methods
from tests.support.processes import refusing_address
from workers.__main__ import main
from workers.checks.editor_schema import Hidden, schema_for

RULES = json.loads(schema_text("rules"))
RULE = """\
name: one
source: site
extract: {phone: {from: body.phone, type: phone}, owner: {from: body.owner}}
find: {client: {contact: {phone: "{phone}"}}}
make:
  lead: {lead: {title: x, stageId: NEW, sourceId: WEB, assignedById: 1, contactId: "{client}"}}
  item: {dynamic: [147, {title: x, stageId: "DT147_1:NEW", observers: [1, "{owner}"]}]}
start:
  portal: main
  template_id: 1
  document_id: {lead: "{lead}"}
  parameters: {Parameter1: user_1, Note: x}
"""


def asked(context) -> tuple[jsonschema_rs.Draft7Validator, list[str], Any]:
    """The schema of the portal, and what was hidden."""
    hidden = Hidden()
    schema = schema_for(context, RULES, hidden)
    return jsonschema_rs.Draft7Validator(schema), hidden.lines, schema


def is_right(schema: jsonschema_rs.Draft7Validator, text: str) -> bool:
    return schema.is_valid(yaml.safe_load(text))


def test_a_rule_that_names_what_the_portal_has_is_right(context, portal):
    schema, hidden, _ = asked(context)

    assert is_right(schema, RULE), [error.message for error in schema.iter_errors(yaml.safe_load(RULE))]
    assert hidden == []
    assert portal.started() == []
    assert set(methods(portal)) <= {
        "scope", "bizproc.workflow.template.list", "crm.item.fields", "crm.type.list", "crm.status.list", "user.get",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("template_id: 1", "template_id: 99"),
        ("Note: x", "Nope: x"),
        ("stageId: NEW", "stageId: NWE"),
        ("sourceId: WEB", "sourceId: WBE"),
        ("assignedById: 1", "assignedById: 9999"),
        ("title: x, stageId: NEW", "titel: x, stageId: NEW"),
        ("title: x, stageId: NEW", "createdTime: x, stageId: NEW"),
        ("[147, {title", "[148, {title"),
        ("observers: [1, ", "observers: [9999, "),
    ],
)
def test_a_name_that_the_portal_does_not_have_is_wrong(context, right, wrong):
    schema, _, _ = asked(context)
    assert right in RULE

    assert not is_right(schema, RULE.replace(right, wrong))
    other = RULE.replace(right, wrong).replace("portal: main", "portal: second")
    assert is_right(schema, other), "another portal's names are not known here"


def test_an_editor_reads_names_beside_numbers(context):
    _, _, schema = asked(context)

    templates = schema["then"]["properties"]["start"]["properties"]["template_id"]["oneOf"]
    assert {one["const"] for one in templates} == set(range(1, 11))
    assert all(one["title"] and one["title"] == one["description"] for one in templates)
    text = json.dumps(schema, ensure_ascii=False)
    assert f'"title": "{PEOPLE[2].name} {PEOPLE[2].last_name}' in text


@pytest.mark.parametrize(
    ("scope", "words", "open_now"),
    [
        (["crm", "user"], "templates: left open, the credential lacks the scope bizproc", "template_id: 99"),
        (["bizproc"], "fields, stages and users: left open, the credential lacks the scope crm", "stageId: NWE"),
        (["bizproc", "crm"], "users: left open, the credential lacks the scope user_brief", "assignedById: 9999"),
    ],
)
def test_what_a_scope_hides_is_left_open_and_said(context, sandbox, scope, words, open_now):
    sandbox.portal.configure(scope=scope)

    schema, hidden, _ = asked(context)

    key = open_now.partition(":")[0]
    line = next(part for part in ("template_id: 1", "stageId: NEW", "assignedById: 1") if part.startswith(key))
    assert words in hidden
    assert is_right(schema, RULE.replace(line, open_now))


@pytest.fixture
def environ(monkeypatch, valkey, config, sandbox):
    """What `python -m workers` is told from outside."""
    monkeypatch.setenv("REDIS_URL", valkey.url)
    monkeypatch.setenv("RELAY_CONFIG", str(config))
    monkeypatch.setenv("PORTAL_MAIN_WEBHOOK_URL", f"{sandbox.url}/rest/1/{SECRET}/")
    return monkeypatch.setenv


def test_the_command_prints_a_schema_and_nothing_else(environ, capsys):
    assert main(["schema", "main"]) == 0

    said = capsys.readouterr()
    assert json.loads(said.out)["title"].endswith("for the portal main")
    assert said.err == ""
    assert SECRET not in said.out


def test_a_portal_that_does_not_answer_is_a_line_and_a_1(environ, capsys):
    with refusing_address() as nobody:
        environ("PORTAL_MAIN_WEBHOOK_URL", f"http://{nobody}/rest/1/{SECRET}/")
        assert main(["schema", "main"]) == 1

    said = capsys.readouterr()
    assert (said.out, len(said.err.splitlines())) == ("", 1)
    assert SECRET not in said.err
