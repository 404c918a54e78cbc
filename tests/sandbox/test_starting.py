"""bizproc.workflow.start: what it checks, in which order, and what a workflow receives."""

from __future__ import annotations

import re

import pytest

LEAD = ["crm", "CCrmDocumentLead", "LEAD_7"]
CRM = "Bitrix\\Crm\\Integration\\BizProc\\Document\\"
WRONG_ID = ("", "Wrong DOCUMENT_ID!")
WRONG_TYPE = ("", "Incorrect document type!")
MISMATCH = ("", "Template type and DOCUMENT_ID mismatch!")
EMPTY_TEMPLATE = ("ERROR_WRONG_WORKFLOW_ID", "Empty TEMPLATE_ID")
NO_TEMPLATE = ("ERROR_WRONG_WORKFLOW_ID", "Template not found")


def answer(response):
    body = response.json()
    return body["error"], body["error_description"]


def test_a_start_answers_with_an_id_of_the_native_shape_and_the_time_block(client):
    response = client.start(1, LEAD, Email="ada@example.com")

    assert response.status_code == 200
    assert re.fullmatch(r"[0-9a-f]{14}\.[0-9]{8}", response.json()["result"])
    assert set(response.json()) == {"result", "time"}


def test_a_started_workflow_is_listed_with_its_document_and_parameters(client):
    workflow_id = client.start(1, LEAD, Email="ada@example.com").json()["result"]

    (workflow,) = client.started()

    assert workflow == {
        "id": workflow_id, "template": 1, "document": LEAD, "parameters": {"Email": "ada@example.com"},
        "started": "2027-01-15T08:00:00.000+00:00", "started_by": 1, "state": "running",
    }  # fmt: skip


def test_the_same_start_twice_makes_two_workflows(client):
    first, second = client.start(1, LEAD), client.start(1, LEAD)

    assert first.json()["result"] != second.json()["result"]
    assert len(client.started()) == 2


@pytest.mark.parametrize(
    ("template", "document", "expected"),
    [
        (None, LEAD, EMPTY_TEMPLATE),
        (0, LEAD, EMPTY_TEMPLATE),
        ("0", LEAD, EMPTY_TEMPLATE),
        ("", LEAD, EMPTY_TEMPLATE),
        ("abc", LEAD, EMPTY_TEMPLATE),
        ([], LEAD, EMPTY_TEMPLATE),
        (99, LEAD, NO_TEMPLATE),
        (-1, LEAD, NO_TEMPLATE),
        (1, "LEAD_7", WRONG_ID),
        (1, [], WRONG_ID),
        (1, LEAD[:2], WRONG_ID),
        (1, [*LEAD, "x"], WRONG_ID),
        (1, {"module": "crm", "entity": "CCrmDocumentLead", "id": "LEAD_7"}, WRONG_ID),
        (1, ["crm", "CCrmDocumentLead", ""], WRONG_ID),
        (1, ["crm", "CCrmDocumentLead", ["LEAD_7"]], WRONG_ID),
        (1, ["crm", "NoSuchClass", "LEAD_7"], WRONG_ID),
        (5, ["crm", CRM.replace("\\", "\\\\") + "Quote", "QUOTE_7"], WRONG_ID),
        (7, ["crm", CRM + "Dynamic", "DYNAMIC_147"], WRONG_ID),
        (8, ["lists", "BizprocDocument", "404"], WRONG_ID),
        (10, ["disk", "Bitrix\\Disk\\BizProcDocument", "404"], WRONG_ID),
        (1, ["crm", "CCrmDocumentLead", "LEAD_404"], WRONG_TYPE),
        (7, ["crm", CRM + "Dynamic", "DYNAMIC_147_404"], WRONG_TYPE),
        (1, ["crm", "CCrmDocumentLead", "garbage"], WRONG_TYPE),
        (1, ["crm", "CCrmDocumentLead", "DEAL_404"], WRONG_TYPE),
        (1, ["crm", "CCrmDocumentLead", "DEAL_1"], MISMATCH),
        (2, LEAD, MISMATCH),
        (7, ["crm", CRM + "Dynamic", "DYNAMIC_148_1"], MISMATCH),
        (8, ["lists", "Bitrix\\Lists\\BizprocDocumentLists", "7"], MISMATCH),
    ],
)
def test_a_start_that_cannot_be_is_refused_with_400_code_and_text(client, template, document, expected):
    response = client.start(template, document)

    assert response.status_code == 400
    assert answer(response) == expected
    assert client.started() == []


def test_an_error_has_two_members_and_no_time_block(client):
    assert set(client.start(99).json()) == {"error", "error_description"}


def test_the_checks_come_in_this_order(client):
    """Each request cures the first fault of the one before."""
    faults = [
        (0, "nonsense", EMPTY_TEMPLATE),
        (99, "nonsense", NO_TEMPLATE),
        (1, "nonsense", WRONG_ID),
        (1, ["crm", "CCrmDocumentLead", "DEAL_404"], WRONG_TYPE),
        (1, ["crm", "CCrmDocumentLead", "DEAL_1"], MISMATCH),
        (1, LEAD, ("ACCESS_DENIED", "Access denied!")),
    ]
    for template, document, expected in faults:
        body = {"TEMPLATE_ID": template, "DOCUMENT_ID": document}
        assert answer(client.call("bizproc.workflow.start", body, user=2)) == expected


def test_who_is_no_administrator_gets_403(client):
    response = client.call("bizproc.workflow.start", {"TEMPLATE_ID": 1, "DOCUMENT_ID": LEAD}, user=2)

    assert response.status_code == 403
    assert answer(response) == ("ACCESS_DENIED", "Access denied!")


@pytest.mark.parametrize("template", [1, "1", "1abc", " 1", 1.9, True, [5]])
def test_the_template_number_is_cast_as_php_casts(client, template):
    assert client.start(template, LEAD).status_code == 200
    assert client.started()[0]["template"] == 1


@pytest.mark.parametrize("parameters", ["text", 5, None, True, []])
def test_parameters_that_are_no_array_are_ignored_silently(client, parameters):
    body = {"TEMPLATE_ID": 1, "DOCUMENT_ID": LEAD, "PARAMETERS": parameters}

    assert client.call("bizproc.workflow.start", body).status_code == 200
    assert client.started()[0]["parameters"] == {}


def test_values_arrive_as_they_were_sent(client):
    given = {"Parameter1": ["user_1", "user_2"], "Email": 5, "Note": "Привет & <b>"}

    client.start(1, LEAD, **given)

    assert client.started()[0]["parameters"] == given


@pytest.fixture
def greeting(client):
    """Template 11: a lead's, with a Default."""
    client.order(
        "templates",
        {
            "document_type": ["crm", "CCrmDocumentLead", "LEAD"],
            "parameters": {"Greeting": {"Default": "Hello"}, "Email": {}},
        },
    )
    return 11


@pytest.mark.parametrize(
    ("profile", "given", "received"),
    [
        ("a", {}, {"Greeting": "Hello"}),
        ("b", {}, {"Greeting": "Hello"}),
        ("a", {"Email": "x"}, {"Greeting": "Hello", "Email": "x"}),
        ("b", {"Email": "x"}, {"Greeting": None, "Email": "x"}),
        ("a", {"Email": "x", "Stray": 1}, {"Greeting": "Hello", "Email": "x", "Stray": 1}),
        ("b", {"Email": "x", "Stray": 1}, {"Greeting": None, "Email": "x"}),
        ("b", {"bizproc11_Email": "x"}, {"Greeting": None, "Email": "x"}),
        ("b", {"11": {"Email": "x", "Stray": 1}}, {"Greeting": "Hello", "Email": "x", "Stray": 1}),
        ("a", {"11": {"Email": "x"}}, {"Greeting": "Hello", "11": {"Email": "x"}}),
        ("a", {"email": "x"}, {"Greeting": "Hello", "email": "x"}),
        ("a", {"TargetUser": "user_9"}, {"Greeting": "Hello"}),
    ],
)
def test_the_generations_fill_and_drop_parameters_differently(client, greeting, profile, given, received):
    client.order("settings", {"profile": profile})

    client.start(greeting, LEAD, **given)

    assert client.started()[0]["parameters"] == received


OWN = "0123456789abcd.01234567"


@pytest.mark.parametrize(
    ("profile", "given", "is_honoured"),
    [
        ("a", {"PreGeneratedWorkflowId": OWN}, True),
        ("a", {"1": {"PreGeneratedWorkflowId": OWN}}, False),
        ("b", {"PreGeneratedWorkflowId": OWN}, False),
        ("b", {"1": {"PreGeneratedWorkflowId": OWN}}, True),
        ("a", {"PreGeneratedWorkflowId": OWN, "1": {"PreGeneratedWorkflowId": OWN}}, True),
        ("b", {"PreGeneratedWorkflowId": OWN, "1": {"PreGeneratedWorkflowId": OWN}}, True),
    ],
)
def test_an_own_id_is_honoured_flat_in_generation_a_and_nested_in_b(client, profile, given, is_honoured):
    client.order("settings", {"profile": profile})

    result = client.start(1, LEAD, **given).json()["result"]

    assert (result == OWN) is is_honoured
    assert "PreGeneratedWorkflowId" not in client.started()[0]["parameters"]


def test_an_own_id_that_is_taken_is_refused_before_anything_runs(client):
    client.start(1, LEAD, PreGeneratedWorkflowId=OWN)

    again = client.start(2, ["crm", "CCrmDocumentDeal", "DEAL_1"], PreGeneratedWorkflowId=OWN)

    assert again.status_code == 400
    assert answer(again) == ("", "WorkflowAlreadyExists")
    assert len(client.started()) == 1


def test_an_own_id_of_more_than_32_characters_breaks_in_the_database(client):
    response = client.start(1, LEAD, PreGeneratedWorkflowId="x" * 33)

    assert response.status_code == 400
    assert answer(response)[0] == ""
    assert answer(response)[1].startswith("Mysql query error")


def test_an_own_id_that_is_no_text_ends_in_a_page_without_json(client):
    response = client.start(1, LEAD, PreGeneratedWorkflowId=5)

    assert response.status_code == 500
    assert response.headers["Content-Type"].startswith("text/html")


def test_a_limit_of_simultaneous_processes_counts_the_living_on_one_document(client):
    client.order("settings", {"limit_simultaneous": 1})

    assert client.start(1, LEAD).status_code == 200
    refused = client.start(1, LEAD)
    other = client.start(1, ["crm", "CCrmDocumentLead", "LEAD_8"])
    exempt = client.start(1, LEAD, IgnoreSimultaneousProcessesLimit=True)

    assert answer(refused) == ("", "A document can be handled by 1 processes at most.")
    assert other.status_code == exempt.status_code == 200


def test_the_engines_own_texts_are_in_the_portals_language(client):
    client.order("settings", {"limit_simultaneous": 1, "language": "ru"})
    client.start(1, LEAD)

    assert answer(client.start(1, LEAD))[1].startswith("Документ")


@pytest.mark.parametrize(("profile", "status"), [("a", 200), ("b", 400)])
def test_a_script_template_can_be_started_in_generation_a_only(client, profile, status):
    client.order("templates", {"document_type": ["crm", "CCrmDocumentLead", "LEAD"], "auto_execute": 32})
    client.order("settings", {"profile": profile})

    response = client.start(11, LEAD)

    assert response.status_code == status
    assert response.json().get("error", "none") == {"a": "none", "b": "ERROR_WRONG_WORKFLOW_ID"}[profile]


def test_a_start_answers_when_the_first_leg_is_over(client, clock):
    client.order("templates", {"document_type": ["crm", "CCrmDocumentLead", "LEAD"], "first_leg_s": 7})
    before = clock.now

    response = client.start(11, LEAD)

    assert clock.now - before == 7
    assert response.json()["time"]["duration"] == 7.0


def test_a_first_leg_of_more_than_sixty_seconds_is_cut_but_runs(client, clock):
    client.order("templates", {"document_type": ["crm", "CCrmDocumentLead", "LEAD"], "first_leg_s": 90})
    before = clock.now

    response = client.start(11, LEAD)

    assert response.status_code == 504
    assert clock.now - before == 60
    assert client.started()[0]["state"] == "starting"
    clock.advance(30)
    assert client.started()[0]["state"] == "running"
