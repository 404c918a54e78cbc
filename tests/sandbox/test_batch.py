"""`batch`: up to fifty commands in one request."""

from __future__ import annotations

from urllib.parse import quote

import pytest

START = "bizproc.workflow.start?TEMPLATE_ID=1&DOCUMENT_ID[0]=crm&DOCUMENT_ID[1]=CCrmDocumentLead&DOCUMENT_ID[2]=LEAD_7"
SECTIONS = {"result", "result_error", "result_total", "result_next", "result_time"}


def batch(client, commands, **more):
    response = client.call("batch", {"cmd": commands, **more})
    assert response.status_code == 200
    return response.json()["result"]


def test_each_command_gets_its_own_answer(client):
    sections = batch(client, {"e1": START, "e2": "bizproc.workflow.start?TEMPLATE_ID=99", "e3": START})

    assert set(sections) == SECTIONS
    assert [sections["result"][key] for key in ("e3", "e1")] == [workflow["id"] for workflow in client.started()]
    assert sections["result_error"] == {
        "e2": {"error": "ERROR_WRONG_WORKFLOW_ID", "error_description": "Template not found"}
    }
    assert set(sections["result_time"]) == {"e1", "e3"}


def test_the_answer_is_200_even_if_every_command_failed(client):
    sections = batch(client, {"e1": "bizproc.workflow.start", "e2": "no.such.method"})

    assert sections["result"] == []
    assert sections["result_error"]["e2"]["error"] == "ERROR_METHOD_NOT_FOUND"


def test_empty_sections_are_lists(client):
    assert batch(client, {}) == {section: [] for section in SECTIONS}


def test_keys_from_nought_make_lists(client):
    assert batch(client, ["server.time", "scope"])["result"][0].startswith("2027")
    assert isinstance(batch(client, {"0": "scope", "1": "scope"})["result_time"], list)


def test_a_list_with_a_failure_in_front_becomes_a_map(client):
    sections = batch(client, ["no.such.method", "server.time"])

    assert list(sections["result"]) == ["1"]
    assert isinstance(sections["result_error"], list)


def test_lists_tell_their_totals_and_next_pages(client):
    batch(client, {f"e{number}": START for number in range(50)})
    batch(client, {"e": START})

    sections = batch(client, {"few": "bizproc.workflow.template.list", "many": "bizproc.workflow.instances"})

    assert sections["result_total"] == {"few": 10, "many": 51}
    assert sections["result_next"] == {"many": 50}


def test_parameters_are_a_query_with_quoted_values(client):
    document = quote("Bitrix\\Crm\\Integration\\BizProc\\Document\\Quote", safe="")
    note = "a&b=c#d+e?é%"
    command = (
        f"bizproc.workflow.start?template_id=5&DOCUMENT_ID[]=crm&DOCUMENT_ID[]={document}&DOCUMENT_ID[]=QUOTE_1"
        f"&PARAMETERS[Note]={quote(note, safe='')}&PARAMETERS[Parameter1][]=user_1"
    )

    batch(client, {"e": command})

    assert client.started()[0]["parameters"] == {"Note": note, "Parameter1": ["user_1"]}


def test_a_hash_that_is_not_quoted_cuts_the_command(client):
    batch(client, {"e": START + "&PARAMETERS[Note]=a#b&PARAMETERS[Email]=c"})

    assert client.started()[0]["parameters"] == {"Note": "a"}


@pytest.mark.parametrize("method", ["batch", "download", "upload"])
def test_some_methods_are_not_allowed_inside(client, method):
    assert batch(client, {"e": method})["result_error"]["e"]["error"] == "ERROR_BATCH_METHOD_NOT_ALLOWED"


def test_commands_beyond_the_fiftieth_are_not_executed(client):
    sections = batch(client, {f"e{number}": START for number in range(52)})

    assert len(client.started()) == len(sections["result"]) == 50
    assert {key: error["error"] for key, error in sections["result_error"].items()} == {
        "e50": "ERROR_BATCH_LENGTH_EXCEEDED",
        "e51": "ERROR_BATCH_LENGTH_EXCEEDED",
    }


def test_a_command_that_is_no_text_appears_nowhere(client):
    sections = batch(client, {"a": ["profile"], "b": 5, "c": "scope"})

    assert list(sections["result"]) == ["c"]
    assert sections["result_error"] == []


@pytest.mark.parametrize(
    ("halt", "executed"),
    [(0, 2), ("0", 2), (None, 2), (False, 2), ("", 2), (1, 1), ("1", 1), (True, 1), ("false", 1)],
)
def test_halt_stops_at_the_first_failure_and_the_rest_appears_nowhere(client, halt, executed):
    sections = batch(client, {"a": START, "b": "no.such.method", "c": START}, halt=halt)

    assert len(client.started()) == len(sections["result"]) == executed
    assert list(sections["result_error"]) == ["b"]


@pytest.mark.parametrize(
    ("written", "received"),
    [
        ("$result[who][NAME]", "Ada"),
        ("Hello $result[who][NAME]!", "Hello Ada!"),
        ("$result[list][0][ID]", "1"),
        ("$total[list]", 10),
        ("in all: $total[list]", "in all: 10"),
        ("$error[bad][error]", "ERROR_METHOD_NOT_FOUND"),
        ("$result[none]", None),
        ("a$result[none]b", "ab"),
        ("$5 and $result", "$5 and $result"),
    ],
)
def test_references_to_earlier_answers_are_replaced_and_cannot_be_quoted(client, written, received):
    commands = {
        "who": "profile",
        "list": "bizproc.workflow.template.list",
        "bad": "no.such.method",
        "e": f"{START}&PARAMETERS[Note]={quote(written, safe='')}",
    }

    batch(client, commands)

    assert client.started()[0]["parameters"] == {"Note": received}


def test_a_batch_as_a_form_works_too(client):
    response = client.session.post(
        f"{client.url}/rest/1/sandbox/batch", data={"halt": "0", "cmd[e1]": START, "cmd[e2]": START}, timeout=5
    )

    assert list(response.json()["result"]["result"]) == ["e1", "e2"]


def test_the_credential_and_the_scope_are_those_of_the_whole_batch(client):
    client.order("settings", {"scope": []})

    assert client.call("batch", {"cmd": {"e": "profile"}}, secret="wrong").status_code == 401
    assert batch(client, {"e": START})["result_error"]["e"]["error"] == "insufficient_scope"


def test_a_command_that_breaks_php_breaks_the_whole_batch(client):
    response = client.call("batch", {"cmd": {"e1": START, "e2": START + "&PARAMETERS[PreGeneratedWorkflowId][]=x"}})

    assert response.status_code == 500
    assert len(client.started()) == 1


def test_the_sum_of_the_first_legs_is_what_a_batch_takes(client, clock):
    client.order("templates", {"id": 1, "document_type": ["crm", "CCrmDocumentLead", "LEAD"], "first_leg_s": 20})
    before = clock.now

    assert client.call("batch", {"cmd": {"a": START, "b": START, "c": START, "d": START}}).status_code == 504
    assert clock.now - before == 60
    assert len(client.started()) == 4
