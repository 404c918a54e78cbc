"""What can be seen of workflows, and how they are ended."""

from __future__ import annotations

import pytest

LEAD = ["crm", "CCrmDocumentLead", "LEAD_7"]
QUOTE = ["crm", "Bitrix\\Crm\\Integration\\BizProc\\Document\\Quote", "QUOTE_7"]
ALL_FIELDS = [
    "ID", "MODIFIED", "OWNED_UNTIL", "MODULE_ID", "ENTITY", "DOCUMENT_ID", "STARTED", "STARTED_BY", "TEMPLATE_ID",
]  # fmt: skip


def listed(client, **parameters):
    return client.call("bizproc.workflow.instances", parameters).json()["result"]


@pytest.fixture
def three(client, clock):
    """Three workflows, a minute apart: on leads 7 and 17, and on quote 7. Their ids by name."""
    ids = {"lead": client.start(1, LEAD).json()["result"]}
    clock.advance(60)
    ids["other"] = client.start(1, ["crm", "CCrmDocumentLead", "LEAD_17"]).json()["result"]
    clock.advance(60)
    ids["quote"] = client.start(5, QUOTE).json()["result"]
    return ids


def names(three, rows):
    by_id = {workflow_id: name for name, workflow_id in three.items()}
    return [by_id[row["ID"]] for row in rows]


def test_by_default_three_fields_are_shown_the_last_modified_first(client, three):
    rows = listed(client)

    assert names(three, rows) == ["quote", "other", "lead"]
    assert rows[0] == {"ID": three["quote"], "MODIFIED": "2027-01-15T11:02:00+03:00", "OWNED_UNTIL": None}


def test_all_fields_are_texts_or_null(client, three):
    (row,) = listed(client, select=ALL_FIELDS, filter={"ID": three["quote"]})

    assert row == {
        "ID": three["quote"], "MODIFIED": "2027-01-15T11:02:00+03:00", "OWNED_UNTIL": None, "MODULE_ID": "crm",
        "ENTITY": QUOTE[1], "DOCUMENT_ID": "QUOTE_7", "STARTED": "2027-01-15T11:02:00+03:00", "STARTED_BY": "1",
        "TEMPLATE_ID": "5",
    }  # fmt: skip


EVERYTHING = ["quote", "other", "lead"]


@pytest.mark.parametrize(
    ("profile", "condition", "found"),
    [
        ("a", {"TEMPLATE_ID": 1}, ["other", "lead"]),
        ("a", {"TEMPLATE_ID": [1, 5]}, EVERYTHING),
        ("a", {"!TEMPLATE_ID": 1}, ["quote"]),
        ("a", {">TEMPLATE_ID": 1}, ["quote"]),
        ("a", {">=TEMPLATE_ID": 1}, EVERYTHING),
        ("a", {"<TEMPLATE_ID": 5}, ["other", "lead"]),
        ("a", {"<=TEMPLATE_ID": 1}, ["other", "lead"]),
        ("a", {"DOCUMENT_ID": "LEAD_7"}, ["lead"]),
        ("a", {"DOCUMENT_ID": "lead_7"}, ["lead"]),
        ("a", {"DOCUMENT_ID": "LEAD%"}, ["other", "lead"]),
        ("a", {"DOCUMENT_ID": "_____7"}, ["lead"]),
        ("a", {"DOCUMENT_ID": "QUOTE\\_7"}, ["quote"]),
        ("a", {"ENTITY": "CCrmDocumentLead"}, ["other", "lead"]),
        ("a", {"ENTITY": QUOTE[1]}, []),
        ("a", {"OWNED_UNTIL": ""}, EVERYTHING),
        ("a", {">=STARTED": "2027-01-15T11:01:00+03:00"}, ["quote", "other"]),
        ("a", {">=STARTED": "2027-01-15T08:01:00"}, ["quote", "other"]),
        ("a", {"<STARTED": "2027-01-15T11:01:00+03:00", "TEMPLATE_ID": "1"}, ["lead"]),
        # dropped, so that the filter gets wider
        ("a", {"=TEMPLATE_ID": 1}, EVERYTHING),
        ("a", {"!=TEMPLATE_ID": 1}, EVERYTHING),
        ("a", {"template_id": 1}, EVERYTHING),
        ("a", {"NO_SUCH_FIELD": 1}, EVERYTHING),
        ("a", {">=STARTED": "not a date"}, EVERYTHING),
        ("a", {"TEMPLATE_ID": [[1]]}, EVERYTHING),
        ("b", {"=TEMPLATE_ID": 1}, ["other", "lead"]),
        ("b", {"!=TEMPLATE_ID": 1}, ["quote"]),
        ("b", {"template_id": 1}, ["other", "lead"]),
        ("b", {"=DOCUMENT_ID": "LEAD%"}, []),
        ("b", {"=ENTITY": QUOTE[1]}, ["quote"]),
        ("b", {"NO_SUCH_FIELD": 1}, EVERYTHING),
    ],
)
def test_a_filter_finds_the_workflows_that_it_describes(client, three, profile, condition, found):
    client.order("settings", {"profile": profile})

    assert names(three, listed(client, filter=condition)) == found


def test_a_filter_by_id_finds_that_workflow(client, three):
    assert names(three, listed(client, filter={"ID": three["other"]})) == ["other"]


def test_dates_in_a_filter_may_be_shifted_by_a_time_zone(client, three):
    client.order("settings", {"filter_shift_s": 60})

    assert names(three, listed(client, filter={">=STARTED": "2027-01-15T11:01:00+03:00"})) == ["quote"]


def test_the_order_can_be_chosen(client, three):
    assert names(three, listed(client, order={"STARTED": "ASC"})) == ["lead", "other", "quote"]
    assert names(three, listed(client, order={"template_id": "desc", "ID": "asc"})) == ["quote", "lead", "other"]
    assert names(three, listed(client, order={"NO_SUCH_FIELD": "asc"})) == EVERYTHING


def test_unknown_names_in_select_are_ignored_and_arrays_refused(client, three):
    assert list(listed(client, select=["TEMPLATE_ID", "PARAMETERS"])[0]) == ["TEMPLATE_ID"]

    refused = client.call("bizproc.workflow.instances", {"select": [["ID"]]})

    assert (refused.status_code, refused.json()["error"]) == (400, "ERROR_SELECT_VALIDATION_FAILURE")


def test_fifty_make_a_page_and_the_next_begins_where_the_answer_says(client):
    client.order("settings", {"rate": None})
    for _ in range(51):
        client.start(1, LEAD)

    first = client.call("bizproc.workflow.instances", {}).json()
    second = client.call("bizproc.workflow.instances", {"start": first["next"]}).json()
    uncounted = client.call("bizproc.workflow.instances", {"start": -1}).json()

    assert (len(first["result"]), first["next"], first["total"]) == (50, 50, 51)
    assert (len(second["result"]), second["total"], "next" in second) == (1, 51, False)
    assert (len(uncounted["result"]), uncounted["total"], "next" in uncounted) == (50, 0, False)


def test_a_workflow_in_its_first_leg_is_not_to_be_seen(client, clock):
    client.order("templates", {"document_type": ["crm", "CCrmDocumentLead", "LEAD"], "first_leg_s": 30})
    client.order("faults", {"kind": "drop_after_start"})
    with pytest.raises(OSError, match="reset"):
        client.start(11, LEAD)

    assert listed(client) == []
    assert client.started()[0]["state"] == "starting"
    clock.advance(30)
    assert [row["STARTED"] for row in listed(client, select=["STARTED"])] == ["2027-01-15T11:00:30+03:00"]


def test_a_workflow_that_ended_at_once_never_appears(client):
    client.order("templates", {"document_type": ["crm", "CCrmDocumentLead", "LEAD"], "waits": False})
    client.start(11, LEAD)
    client.order("settings", {"instances_visible": False})
    client.start(1, LEAD)

    assert listed(client) == []
    assert [workflow["state"] for workflow in client.started()] == ["completed", "completed"]


def test_the_list_of_workflows_has_an_alias(client, three):
    assert len(client.call("bizproc.workflow.instance.list").json()["result"]) == 3


@pytest.mark.parametrize(
    "method",
    [
        "bizproc.workflow.instances",
        "bizproc.workflow.template.list",
        "bizproc.workflow.terminate",
        "bizproc.workflow.kill",
    ],
)
def test_only_administrators_may_see_and_end_workflows(client, method):
    response = client.call(method, {}, user=2)

    assert response.status_code == 403
    assert response.json() == {"error": "ACCESS_DENIED", "error_description": "Access denied!"}


@pytest.mark.parametrize(("verb", "state"), [("terminate", "terminated"), ("kill", "killed")])
def test_a_workflow_can_be_ended(client, three, verb, state):
    response = client.call(f"bizproc.workflow.{verb}", {"ID": three["lead"], "STATUS": "enough"})

    assert response.json()["result"] is True
    assert names(three, listed(client)) == ["quote", "other"]
    assert client.started()[2]["state"] == state


@pytest.mark.parametrize(("verb", "again"), [("terminate", 400), ("kill", 200)])
def test_the_id_of_a_killed_workflow_is_free_again(client, verb, again):
    own = "0123456789abcd.01234567"
    client.start(1, LEAD, PreGeneratedWorkflowId=own)
    client.call(f"bizproc.workflow.{verb}", {"ID": own})

    assert client.start(1, LEAD, PreGeneratedWorkflowId=own).status_code == again


@pytest.mark.parametrize("verb", ["terminate", "kill"])
@pytest.mark.parametrize(
    ("given", "code", "description"),
    [
        (None, "ERROR_WRONG_WORKFLOW_ID", "Empty workflow instance ID"),
        ("", "ERROR_WRONG_WORKFLOW_ID", "Empty workflow instance ID"),
        (713, "ERROR_WRONG_WORKFLOW_ID", "Invalid workflow instance ID (string expected)"),
        (["x"], "ERROR_WRONG_WORKFLOW_ID", "Invalid workflow instance ID (string expected)"),
        ("no-such-id", "", "The business process is not found."),
    ],
)
def test_an_id_that_names_nothing_is_refused(client, verb, given, code, description):
    response = client.call(f"bizproc.workflow.{verb}", {"ID": given})

    assert response.status_code == 400
    assert response.json() == {"error": code, "error_description": description}


def test_a_workflow_that_has_ended_cannot_be_terminated(client, three):
    client.call("bizproc.workflow.terminate", {"ID": three["lead"]})

    again = client.call("bizproc.workflow.terminate", {"ID": three["lead"]})

    assert (again.status_code, again.json()["error"]) == (400, "")


def templates(client, **parameters):
    return client.call("bizproc.workflow.template.list", parameters).json()["result"]


def test_templates_are_listed_by_id_alone_unless_more_is_asked_for(client):
    assert templates(client) == [{"ID": str(number)} for number in range(1, 11)]


def test_a_template_tells_its_document_type_and_parameters(client):
    (lead,) = templates(client, select=["NAME", "DOCUMENT_TYPE", "PARAMETERS", "MODIFIED"], filter={"ID": 1})

    assert lead["DOCUMENT_TYPE"] == ["crm", "CCrmDocumentLead", "LEAD"]
    assert list(lead["PARAMETERS"]) == ["Parameter1", "Email", "Phone", "Note"]
    assert lead["PARAMETERS"]["Parameter1"] == {
        "Name": "Parameter1", "Description": "", "Type": "user", "Required": "0", "Multiple": "0", "Options": None,
        "Default": None,
    }  # fmt: skip
    assert lead["MODIFIED"] == "2026-01-01T03:00:00+03:00"


def test_a_template_that_was_added_is_listed_unless_it_is_a_robot_or_a_script(client):
    for auto_execute in (1, 8, 32):
        client.order("templates", {"document_type": ["crm", "CCrmDocumentLead", "LEAD"], "auto_execute": auto_execute})

    found = templates(
        client, select=["ID", "AUTO_EXECUTE", "TEMPLATE", "PARAMETERS", "SYSTEM_CODE"], filter={">ID": 10}
    )

    assert found == [{"ID": "11", "AUTO_EXECUTE": "1", "TEMPLATE": [], "PARAMETERS": [], "SYSTEM_CODE": None}]
