"""How a request may be written: addresses, verbs, bodies, names."""

from __future__ import annotations

import json
from xml.etree import ElementTree as ET

import pytest

LEAD = ["crm", "CCrmDocumentLead", "LEAD_7"]
START = "/rest/1/sandbox/bizproc.workflow.start"
FORM = {
    "TEMPLATE_ID": "1", "DOCUMENT_ID[0]": "crm", "DOCUMENT_ID[1]": "CCrmDocumentLead", "DOCUMENT_ID[2]": "LEAD_7",
    "PARAMETERS[Email]": "ada@example.com", "PARAMETERS[Parameter1][]": "user_1",
}  # fmt: skip
RECEIVED = {"Email": "ada@example.com", "Parameter1": ["user_1"]}


def test_a_form_is_understood(client):
    client.session.post(client.url + START, data=FORM, timeout=5)

    assert client.started()[0]["parameters"] == RECEIVED


def test_a_query_is_understood_by_get(client):
    client.session.get(client.url + START, params=FORM, timeout=5)

    assert client.started()[0]["parameters"] == RECEIVED


def test_a_multipart_form_is_understood(client):
    client.session.post(client.url + START, files={name: (None, value) for name, value in FORM.items()}, timeout=5)

    assert client.started()[0]["parameters"] == RECEIVED


@pytest.mark.parametrize(
    "method",
    [
        "bizproc.workflow.start",
        "bizproc.workflow.start.json",
        "bizproc.workflow.start/",
        "bizproc.workflow.start.json/",
        "BizProc.Workflow.Start",
    ],
)
def test_the_method_may_have_a_suffix_a_slash_and_any_case(client, method):
    assert client.call(method, {"TEMPLATE_ID": 1, "DOCUMENT_ID": LEAD}).status_code == 200


def test_names_are_case_insensitive_at_the_top_and_case_sensitive_below(client):
    body = {"template_id": 1, "Document_Id": LEAD, "parameters": {"email": "x"}}

    assert client.call("bizproc.workflow.start", body).status_code == 200
    assert client.started()[0]["parameters"] == {"email": "x"}


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        ('{"TEMPLATE_ID": 1,', "application/json"),
        ("", "application/json"),
        ("5", "application/json"),
        ('"text"', "application/json"),
        ("[" * 100_000, "application/json"),
        (b"\xff\xfe", "application/json"),
        (json.dumps({"TEMPLATE_ID": 1}), "text/plain"),
        (json.dumps({"TEMPLATE_ID": 1}), "application/x-www-form-urlencoded"),
    ],
)
def test_a_body_that_cannot_be_parsed_counts_as_no_parameters_at_all(client, body, content_type):
    response = client.session.post(client.url + START, data=body, headers={"Content-Type": content_type}, timeout=5)

    assert response.status_code == 400
    assert response.json()["error_description"] == "Empty TEMPLATE_ID"


def test_the_body_beats_the_query(client):
    body = {"TEMPLATE_ID": 1, "DOCUMENT_ID": LEAD}

    client.session.post(client.url + START, params={"TEMPLATE_ID": "2"}, json=body, timeout=5)

    assert client.started()[0]["template"] == 1


def test_a_document_id_array_in_the_query_beats_the_body(client):
    query = {"DOCUMENT_ID[]": ["crm", "CCrmDocumentLead", "LEAD_8"]}

    client.session.post(client.url + START, params=query, json={"TEMPLATE_ID": 1, "DOCUMENT_ID": LEAD}, timeout=5)

    assert client.started()[0]["document"] == ["crm", "CCrmDocumentLead", "LEAD_8"]


def test_numbered_keys_in_json_are_a_list_to_php(client):
    document = dict(enumerate(LEAD))

    assert client.call("bizproc.workflow.start", {"TEMPLATE_ID": 1, "DOCUMENT_ID": document}).status_code == 200


def test_backslashes_are_single_in_the_value_and_doubled_only_in_the_text(client):
    text = r'{"TEMPLATE_ID":5,"DOCUMENT_ID":["crm","Bitrix\\Crm\\Integration\\BizProc\\Document\\Quote","QUOTE_1"]}'

    response = client.session.post(
        client.url + START, data=text, headers={"Content-Type": "application/json"}, timeout=5
    )

    assert response.status_code == 200


@pytest.mark.parametrize(
    "address", ["/rest/1/bizproc.workflow.start", "/rest/x/sandbox/profile", "/rest/1/2/3/profile", "/rest/", "/rest//"]
)
def test_a_malformed_address_reads_as_an_unknown_method(client, address):
    response = client.session.post(client.url + address, json={}, timeout=5)

    assert response.status_code == 404
    assert response.json() == {"error": "ERROR_METHOD_NOT_FOUND", "error_description": "Method not found!"}


def test_answers_are_json_in_utf_8_that_no_browser_shall_guess_at(client):
    headers = client.call("profile").headers

    assert headers["Content-Type"] == "application/json; charset=utf-8"
    assert headers["X-Content-Type-Options"] == "nosniff"


def test_an_answer_is_in_xml_where_the_methods_name_says_so(client):
    def ask(method, **parameters):
        answer = client.call(method, parameters)
        assert answer.headers["Content-Type"] == "text/xml; charset=utf-8"
        return answer.status_code, ET.fromstring(answer.content)  # noqa: S314 - of our own pretend portal

    status, started = ask(
        "bizproc.workflow.start.xml", TEMPLATE_ID=1, DOCUMENT_ID=["crm", "CCrmDocumentLead", "LEAD_1"]
    )
    assert (status, started.tag, started.findtext("result")) == (200, "response", client.started()[0]["id"])
    status, refused = ask("bizproc.workflow.start.XML", TEMPLATE_ID=0)
    assert (status, refused.findtext("error")) == (400, "ERROR_WRONG_WORKFLOW_ID")
    status, listed = ask("user.get.xml", FILTER={"ID": 2})
    assert [each.findtext("NAME") for each in listed.find("result")] == ["Ben"]
