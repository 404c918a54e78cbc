"""The CRM of the pretend portal before clients that others wrote for Bitrix24: the vendor's own and a popular one.

What they read and write must survive the way through their encodings, singly and in batches.
"""

from __future__ import annotations

import pytest
from b24pysdk import errors as vendors
from fast_bitrix24.server_response import ErrorInServerResponseException

pytestmark = [pytest.mark.usefixtures("collected"), pytest.mark.filterwarnings("ignore::ResourceWarning")]
PHONE = {"typeId": "PHONE", "valueType": "WORK", "value": "+7 912 345-67-89"}
FIELDS = {"title": "ä & b [c]=d", "contactIds": [17, 18], "originatorId": "relay", "originId": "dlv_1/lead"}
OWN = {"=originatorId": "relay", "=originId": "dlv_1/lead"}
TYPES = [1, 2, 3, 4, 7, 31, 147]


# The vendor's.


@pytest.mark.parametrize("entity_type", TYPES)
def test_the_vendors_client_makes_an_item_of_every_type_and_reads_it_back(vendor, entity_type):
    crm = vendor().crm

    made = crm.item.add(entity_type, {"comments": "x", "assignedById": 2}).response.result["item"]

    assert crm.item.get(entity_type, made["id"]).response.result["item"] == made
    assert made["assignedById"] == 2
    assert set(crm.item.fields(entity_type).value) <= set(made)


def test_the_vendors_client_makes_a_lead_with_phones_and_imports_one(vendor):
    crm = vendor().crm

    added = crm.item.add(1, {**FIELDS, "fm": [PHONE]}).response.result["item"]
    imported = crm.item.import_(1, {"title": "y", "PHONE": [{"VALUE": "12345", "VALUE_TYPE": "WORK"}]}).response.result

    assert {name: added[name] for name in FIELDS} == FIELDS
    assert added["fm"] == [{"id": 1, **PHONE}]
    assert crm.item.get(1, imported["item"]["id"]).response.result["item"]["fm"][0]["value"] == "12345"


def test_the_vendors_client_finds_what_it_made(vendor):
    crm = vendor().crm
    number = crm.item.add(1, FIELDS).response.result["item"]["id"]
    crm.item.add(1, {"title": "another"})

    answer = crm.item.list(1, filter=OWN, select=["id", "title"], order={"id": "DESC"}, start=-1).response

    assert answer.result == {"items": [{"id": number, "title": FIELDS["title"]}]}


def test_the_vendors_client_reads_every_page_of_a_list(vendor, secure):
    secure.portal.add_documents([{"entityTypeId": 1, "fields": {}} for _ in range(120)])

    everything = vendor().crm.item.list(1, select=["id"]).as_list().response.result

    assert [item["id"] for item in everything] == list(range(1001, 1121))


def test_the_vendors_client_finds_clients_by_phone_and_mail(vendor):
    duplicate = vendor().crm.duplicate

    found = duplicate.findbycomm("PHONE", ["89000000017", "+49 30 5550005"]).value

    assert (found.lead_ids, found.contact_ids, found.company_ids) == (None, [17], [5])
    assert duplicate.findbycomm("EMAIL", ["nobody@example.com"]).response.result == []


def test_the_vendors_client_finds_users_types_and_the_mode(vendor):
    client = vendor()

    users = client.user.get(filter={"EMAIL": ["ben@example.com", "gus@example.com"], "ACTIVE": True}).response.result

    assert [user["ID"] for user in users] == ["2"]
    assert client.crm.type.list().response.result["types"][0]["entityTypeId"] == 147
    assert client.crm.settings.mode.get().response.result == 1
    assert client.crm.automation.trigger(target="LEAD_25", code="nwly5").response.result is True


@pytest.mark.parametrize(
    ("fields", "entity_type", "error", "words"),
    [
        ({"stageId": "MINE"}, 1, "CRM_FIELD_ERROR_VALUE_NOT_VALID", 'Invalid value for field "Stage id"'),
        ({"observers": "2"}, 1, "100", "Expected iterable value for multiple field, but got `string` instead"),
        ({}, 999, "NOT_FOUND", "Smart process not found"),
    ],
)
def test_the_vendors_client_gets_the_words_of_a_refusal(vendor, fields, entity_type, error, words):
    with pytest.raises(vendors.BitrixAPIError) as raised:
        _ = vendor().crm.item.add(entity_type, fields).response

    assert (raised.value.error, raised.value.error_description) == (error, words)


def test_the_vendors_client_mixes_methods_in_a_batch(vendor, secure):
    client = vendor()
    lead = ["crm", "CCrmDocumentLead", "LEAD_7"]
    calls = {
        "find": client.crm.duplicate.findbycomm("EMAIL", ["clara@example.com"], entity_type="CONTACT"),
        "make": client.crm.item.add(1, {**FIELDS, "fm": [PHONE]}),
        "look": client.crm.item.list(1, filter=OWN, select=["id"], start=-1),
        "start": client.bizproc.workflow.start(1, lead),
        "bad": client.crm.item.list(1, filter={"=tilte": "x"}),
    }

    answer = client.call_batch(calls).response.result

    (made,) = secure.portal.items.made
    assert answer.result["find"] == {"CONTACT": [17]}
    assert {name: answer.result["make"]["item"][name] for name in FIELDS} == FIELDS
    assert answer.result["make"]["item"]["fm"] == [{"id": 1, **PHONE}]
    assert answer.result["look"] == {"items": [{"id": made.id}]}
    assert answer.result["start"] == secure.portal.started()[0]["id"]
    assert answer.result_error["bad"]["error"] == "INVALID_ARG_VALUE"


# The popular one.


def test_the_popular_client_makes_many_leads_in_batches(popular, secure):
    orders = [{"entityTypeId": 1, "fields": {"title": f"t{n}", "fm": [PHONE]}} for n in range(70)]

    popular(lambda bitrix: bitrix.call("crm.item.add", orders))

    assert {item.values["title"] for item in secure.portal.items.made} == {f"t{n}" for n in range(70)}
    assert {item.multifields[0].value for item in secure.portal.items.made} == {PHONE["value"]}
    assert secure.portal.log.counters()["by_method"] == {"batch": 2}


def test_the_popular_client_reads_every_page_of_the_leads(popular, secure):
    secure.portal.add_documents([{"entityTypeId": 1, "fields": {"name": "x"}} for _ in range(120)])
    secure.portal.add_documents({"entityTypeId": 1, "fields": {"name": "y"}})

    rows = popular(
        lambda bitrix: bitrix.get_all("crm.item.list", {"entityTypeId": 1, "filter": {"=name": "x"}, "select": ["id"]})
    )

    assert sorted(row["id"] for row in rows) == list(range(1001, 1121))


def test_the_popular_client_finds_a_client(popular):
    order = {"type": "PHONE", "values": ["89000000017"]}

    assert popular(lambda bitrix: bitrix.call("crm.duplicate.findbycomm", order)) == 17  # it unwraps what is alone


def test_the_popular_client_finds_the_error_of_a_command(popular):
    with pytest.raises(ErrorInServerResponseException) as raised:
        popular(lambda bitrix: bitrix.call("crm.item.add", [{"entityTypeId": 1, "fields": {"stageId": "MINE"}}]))

    assert "CRM_FIELD_ERROR_VALUE_NOT_VALID" in str(raised.value)
