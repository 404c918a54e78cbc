"""`rules try` on a rule that finds and makes: the steps, and what only the portal knows as whoever tries it says."""

from __future__ import annotations

import json

import pytest

from relay.cli.main import main
from tests.support.folders import CONFIG

FORM = {"form": "callback", "name": "Nina {lead}", "phone": "8 900 000-00-99", "manager": "eva@example.com"}
STEPS = [
    "1. client: find a contact, crm.duplicate.findbycomm",
    "2. owner: find a user, user.get",
    "3. lead: make a lead",
]


@pytest.fixture
def attempt(tmp_path, capsys, monkeypatch):
    """Tries a rule of the shipped configuration, or a text of one: status, what was printed as JSON, what was said."""
    monkeypatch.setenv("RELAY_CONFIG", str(CONFIG))

    def run(*given, body=FORM, rule="callback"):
        path = tmp_path / "body.json"
        path.write_text(json.dumps(body), "utf-8")
        status = main(["rules", "try", rule, str(path), *(word for text in given for word in ("--given", text))])
        printed = capsys.readouterr()
        return status, list(documents(printed.out)), printed.err.splitlines()

    return run


def documents(text):
    """Each JSON document of a text that has several."""
    decoder, at = json.JSONDecoder(), 0
    while (rest := text[at:].lstrip()) and rest[0] == "{":
        content, length = decoder.raw_decode(rest)
        yield content
        at = len(text) - len(rest) + length


def test_the_steps_come_first_each_with_its_method_and_fields_and_then_the_call(attempt):
    status, (client, owner, lead, call), said = attempt()

    assert status == 0
    assert [line.startswith(words) for line, words in zip(said, STEPS, strict=False)] == [True, True, True]
    assert said[3] == "bizproc.workflow.start on portal main:"
    assert client == {"phone": "+79000000099"}
    assert owner == {"EMAIL": "eva@example.com"}
    assert lead == {
        "title": "Callback: Nina {lead}",
        "name": "Nina {lead}",
        "phone": "+79000000099",
        "contactId": "{client}",
        "assignedById": "{owner}",
    }
    assert call["DOCUMENT_ID"] == ["crm", "CCrmDocumentLead", "LEAD_{lead}"]
    assert call["PARAMETERS"]["Parameter1"] == "user_{owner}"


def test_what_is_given_stands_wherever_it_goes(attempt):
    _, (_, _, lead, call), said = attempt("client=17", "owner=nothing", "lead=5")

    assert [line.rpartition("main")[2] for line in said[:3]] == [", given 17", ", nothing: 1 instead", ", given 5"]
    assert (lead["contactId"], lead["assignedById"], lead["name"]) == (17, 1, "Nina {lead}")
    assert call["DOCUMENT_ID"][2] == "LEAD_5"
    assert call["PARAMETERS"]["Note"] == "client 17"


def test_where_there_is_nothing_to_look_for_nothing_is_found(attempt):
    _, (*_, call), said = attempt("client=nothing", body={**FORM, "manager": ""})

    assert said[0].endswith(", nothing")
    assert said[1].endswith(", nothing: 1 instead")
    assert call["PARAMETERS"]["Parameter1"] == "user_1"
    assert not call["PARAMETERS"]["Note"], "a text of nothing but results says nothing without them"


RULE = """\
name: callback
source: website
extract: {phone: {from: body.phone, type: phone}}
find:
  known: {lead: {title: "{phone}"}}
  client: {contact: {phone: "{phone}"}, none: stop}
make: {lead: {lead: {title: "{phone}"}, unless: known}}
trigger: {portal: main, document_id: {lead: "{lead}"}, code: nwly5}
"""


@pytest.fixture
def with_rule(monkeypatch, tmp_path):
    """The shipped configuration with a rule that takes what is found, stops where nothing is, and fires a trigger."""
    folder = tmp_path / "configuration"
    (folder / "rules").mkdir(parents=True)
    for name in ("sources.yaml", "portals.yaml"):
        (folder / name).write_text((CONFIG / name).read_text("utf-8"), "utf-8")
    (folder / "rules" / "callback.yaml").write_text(RULE, "utf-8")
    return lambda: monkeypatch.setenv("RELAY_CONFIG", str(folder))


def test_what_was_found_is_taken_and_nothing_is_made(attempt, with_rule):
    with_rule()

    _, (*_, trigger), said = attempt("known=7", "client=1")

    assert said[2].endswith(", not made: known is 7")
    assert said[3].startswith("4. trigger: fire a trigger, crm.automation.trigger on portal main")
    assert trigger == {"target": "LEAD_7", "code": "nwly5"}
    assert len(said) == 4, "no workflow is started"


def test_where_a_find_stops_nothing_follows(attempt, with_rule):
    with_rule()

    status, printed, said = attempt("client=nothing")

    assert status == 0
    assert said[1].endswith(", nothing: the delivery ends here")
    assert (len(printed), len(said)) == (2, 2)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("client", "'client': expected what a step comes to, such as client=17 or client=nothing"),
        ("client=0", "expected what a step comes to"),
        ("client=x", "expected what a step comes to"),
        ("cleint=1", "cleint: no step has this name; did you mean 'client'?"),
        ("lead=nothing", "lead: it is made, so it is never nothing: expected an id"),
    ],
)
def test_what_no_step_can_come_to_is_refused_in_one_line(attempt, given, words):
    status, printed, said = attempt(given)

    assert (status, printed, len(said)) == (1, [], 1)
    assert words in said[0]


def test_a_rule_without_steps_has_none_to_give(attempt):
    status, _, said = attempt("client=1", rule="seed-example", body={"lead": {"id": 1}, "user": 1})

    assert (status, said) == (1, ["client: no step has this name"])
