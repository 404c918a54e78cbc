"""crm.item.import, what the portal does by itself when there is a new item, and what it remembers of it."""

from __future__ import annotations

import pytest

PHONE = {"typeId": "PHONE", "valueType": "WORK", "value": "+7 912 345-67-89"}
MAIL = {"typeId": "EMAIL", "valueType": "HOME", "value": "olga@example.com"}
INVALID = "CRM_FIELD_ERROR_VALUE_NOT_VALID"


# Import.


def test_an_import_answers_with_the_number_alone(client):
    assert set(client.make({"title": "x"}, method="crm.item.import")) == {"id"}


def test_an_import_takes_phones_by_kind_and_passes_over_the_list(client):
    fields = {"PHONE": [{"VALUE": PHONE["value"], "VALUE_TYPE": "MOBILE"}], "EMAIL": [{"VALUE": MAIL["value"]}]}

    by_kind = client.item(client.make(fields, method="crm.item.import")["id"])
    by_list = client.item(client.make({"fm": [PHONE]}, method="crm.item.import")["id"])

    assert [(each["typeId"], each["valueType"], each["value"]) for each in by_kind["fm"]] == [
        ("PHONE", "MOBILE", PHONE["value"]),
        ("EMAIL", "WORK", MAIL["value"]),
    ]
    assert by_list["fm"] == []


def test_adding_passes_over_what_only_an_import_takes(client):
    assert client.make({"PHONE": [{"VALUE": "1", "VALUE_TYPE": "WORK"}]})["fm"] == []


def test_an_import_may_say_when_but_only_in_order_and_only_for_administrators(client):
    def imported(at, **options):
        return client.add({"createdTime": at}, method="crm.item.import", **options)

    first = imported("2027-01-10T00:00:00+00:00").json()["result"]["item"]

    assert client.item(first["id"])["createdTime"] == "2027-01-10T03:00:00+03:00"
    for refused in (
        imported("2027-01-09T00:00:00+00:00"),
        imported("2027-01-16T00:00:00+00:00"),
        imported("2027-01-11T00:00:00+00:00", user=2),
        imported("yesterday"),
    ):
        assert refused.json()["error"] == INVALID


# What the portal does by itself.


def test_templates_that_run_on_new_documents_start_when_one_is_added_and_not_when_it_is_imported(client):
    client.order(
        "templates", {"id": 50, "document_type": ["crm", "CCrmDocumentLead", "LEAD"], "auto_execute": 3,
                      "parameters": {"Note": {"Default": "new"}}},
    )  # fmt: skip

    client.add({}, method="crm.item.import")
    client.add({}, 2)
    number = client.add({}, user=2).json()["result"]["item"]["id"]

    (workflow,) = client.started()
    assert workflow["document"] == ["crm", "CCrmDocumentLead", f"LEAD_{number}"]
    assert (workflow["template"], workflow["started_by"], workflow["parameters"]) == (50, 2, {"Note": "new"})


@pytest.mark.parametrize("method", ["crm.item.add", "crm.item.import"])
def test_in_simple_mode_a_new_lead_becomes_a_deal_at_once(client, method):
    client.order("settings", {"crm_mode": 2})
    number = client.make({"title": "Callback", "contactId": 17}, method=method)["id"]

    deals = client.call("crm.item.list", {"entityTypeId": 2, "filter": {"=leadId": number}}).json()["result"]["items"]

    assert client.item(number)["stageId"] == "CONVERTED"
    assert [(deal["title"], deal["contactId"]) for deal in deals] == [("Callback", 17)]
    assert [document["entityTypeId"] for document in client.made()] == [1]  # the deal was made by no call


@pytest.mark.parametrize(
    ("entity_type", "template", "entity", "element"),
    [
        (1, 1, "CCrmDocumentLead", "LEAD_{}"),
        (2, 2, "CCrmDocumentDeal", "DEAL_{}"),
        (3, 3, "CCrmDocumentContact", "CONTACT_{}"),
        (4, 4, "CCrmDocumentCompany", "COMPANY_{}"),
        (7, 5, "Bitrix\\Crm\\Integration\\BizProc\\Document\\Quote", "QUOTE_{}"),
        (31, 6, "Bitrix\\Crm\\Integration\\BizProc\\Document\\SmartInvoice", "SMART_INVOICE_{}"),
        (147, 7, "Bitrix\\Crm\\Integration\\BizProc\\Document\\Dynamic", "DYNAMIC_147_{}"),
    ],
)
def test_a_template_starts_on_what_was_made(client, entity_type, template, entity, element):
    number = client.make({}, entity_type)["id"]

    assert client.start(template, ["crm", entity, element.format(number)]).status_code == 200


def test_the_same_fields_twice_are_two_items(client):
    own = {"originatorId": "relay", "originId": "dlv_1/lead"}
    first, second = (client.make(own)["id"] for _ in range(2))
    client.add({"originatorId": "relay", "originId": "dlv_2/lead"})

    assert first != second
    assert [(document["id"], document["times_made"]) for document in client.made()] == [
        (second + 1, 1), (second, 2), (first, 2),
    ]  # fmt: skip


def test_an_invoice_is_known_again_by_its_external_code(client):
    for _ in range(2):
        client.add({"xmlId": "dlv_1/invoice"}, 31)

    assert [document["times_made"] for document in client.made()] == [2, 2]


def test_numbers_that_do_not_exist_are_never_given(client, portal):
    portal.configure(missing_documents=[1001, 1002])

    assert client.make({})["id"] == 1003


def test_made_documents_are_listed_with_their_fields_as_they_were_given(client):
    fields = {"title": "x", "unknown": [1], "fm": [PHONE]}
    number = client.add(fields, user=2).json()["result"]["item"]["id"]

    assert client.made() == [
        {"entityTypeId": 1, "id": number, "fields": fields, "created_at": "2027-01-15T08:00:00.000+00:00",
         "created_by": 2, "method": "crm.item.add", "times_made": 1},
    ]  # fmt: skip
