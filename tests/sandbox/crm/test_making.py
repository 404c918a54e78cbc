"""crm.item.add: what becomes of fields, and what is refused."""

from __future__ import annotations

from base64 import b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.sandbox.answers import RestError
from relay.sandbox.crm.contents import read_contents
from relay.sandbox.crm.fields import fields_of, find_type
from relay.sandbox.settings import Settings

PHONE = {"typeId": "PHONE", "valueType": "WORK", "value": "+7 912 345-67-89"}
MAIL = {"typeId": "EMAIL", "valueType": "HOME", "value": "olga@example.com"}
INVALID, REQUIRED = "CRM_FIELD_ERROR_VALUE_NOT_VALID", "CRM_FIELD_ERROR_REQUIRED"


# What becomes of fields.


def test_a_lead_is_made_with_its_fields_and_answered_whole(client):
    item = client.make({"title": "Callback", "name": "Olga", "contactId": "17", "opportunity": "9.5"})

    assert {name: item[name] for name in ("title", "name", "contactId", "contactIds", "opportunity")} == {
        "title": "Callback", "name": "Olga", "contactId": 17, "contactIds": [17], "opportunity": 9.5,
    }  # fmt: skip
    assert item["entityTypeId"] == 1
    assert item["stageId"] == "NEW"
    assert item["assignedById"] == item["createdBy"] == 1
    assert item["createdTime"] == "2027-01-15T11:00:00+03:00"
    assert client.item(item["id"]) == item


@pytest.mark.parametrize(
    ("entity_type", "title"),
    [(1, "Lead"), (2, "Deal"), (4, "Company"), (7, "Estimate"), (31, "Invoice"), (147, "Smart process 147")],
)
def test_an_item_without_a_title_is_called_after_its_type_and_number(client, entity_type, title):
    item = client.make({}, entity_type)

    assert item["title"] == f"{title} #{item['id']}"


def test_a_contact_without_a_name_gets_one(client):
    assert client.make({"post": "Buyer"}, 3)["name"]
    assert client.make({"lastName": "Known"}, 3)["name"] is None


def test_an_unknown_field_and_a_read_only_one_are_passed_over_without_a_word(client):
    item = client.make({"title": "x", "tilte": "y", "ufCrmNope": "z", "id": 5, "createdBy": 9})

    assert item["title"] == "x"
    assert item["id"] != 5
    assert item["createdBy"] == 1
    assert not {"tilte", "ufCrmNope"} & set(item)
    assert client.make({"previousStageId": "DT147_1:OLD"}, 147)["previousStageId"] is None


def test_usual_fields_may_be_written_as_the_server_calls_them_and_custom_ones_may_not(client):
    client.order("settings", {"crm_fields": [{"entityTypeId": 1, "name": "ufCrm_17"}]})

    item = client.make({"TITLE": "x", "SOURCE_ID": "WEB", "UF_CRM_17": "y"})

    assert (item["title"], item["sourceId"], item["ufCrm_17"]) == ("x", "WEB", None)
    assert client.make({"ufCrm_17": "y"})["ufCrm_17"] == "y"


@pytest.mark.parametrize(
    ("name", "given", "shown"),
    [
        ("opened", True, "Y"),
        ("opened", "y", "Y"),
        ("opened", "1", "N"),  # as a batch would write a boolean
        ("opened", "N", "N"),
        ("birthdate", "2000-01-31", "2000-01-31T03:00:00+03:00"),
        ("birthdate", "31.01.2000", None),
        ("observers", ["2", 3], [2, 3]),
        ("observers", "", []),
        ("sourceId", "", None),
        ("comments", 5, "5"),
        ("parentId147", "12", 12),
    ],
)
def test_a_value_is_read_as_its_field_is(client, name, given, shown):
    assert client.make({name: given})[name] == shown


FILES = [
    {"entityTypeId": 1, "name": "ufCrmPassport", "type": "file"},
    {"entityTypeId": 1, "name": "ufCrmPhotos", "type": "file", "isMultiple": True},
]


def test_files_are_pairs_of_name_and_base64_and_any_other_shape_is_passed_over(client):
    client.order("settings", {"crm_fields": FILES})
    content = b64encode(b"scan").decode()

    item = client.make({"ufCrmPassport": ["a.pdf", content], "ufCrmPhotos": [["b.jpg", content], ["c.jpg"]]})
    wrong = client.make({"ufCrmPassport": {"fileData": ["a.pdf", content]}})

    assert set(item["ufCrmPassport"]) == {"id", "url", "urlMachine"}
    assert [file["url"] for file in item["ufCrmPhotos"]] == ["/file/b.jpg"]
    assert wrong["ufCrmPassport"] is None


def test_phones_and_mails_are_one_list(client):
    item = client.make({"fm": [PHONE, MAIL, {"typeId": "WEB", "value": "example.com"}, {"value": "?"}]})

    assert item["fm"] == [
        {"id": 1, **PHONE}, {"id": 2, **MAIL}, {"id": 3, "typeId": "WEB", "valueType": "WORK", "value": "example.com"},
    ]  # fmt: skip
    assert (item["hasPhone"], item["hasEmail"]) == ("Y", "Y")


def test_one_phone_need_not_be_in_a_list(client):
    assert client.make({"fm": PHONE})["fm"] == [{"id": 1, **PHONE}]


def test_deals_have_neither_phones_nor_mails(client):
    assert "fm" not in client.make({"fm": [PHONE]}, 2)


# What is refused.


@pytest.mark.parametrize(
    ("body", "code", "words"),
    [
        ({"fields": {}}, "100", "Could not find value for parameter {entityTypeId}"),
        ({"entityTypeId": 1}, "100", "Could not find value for parameter {fields}"),
        (
            {"entityTypeId": "lead", "fields": {}},
            "100",
            "Invalid value {lead} to match with parameter {entityTypeId}. Should be value of type int.",
        ),
        (
            {"entityTypeId": 1, "fields": "x"},
            "100",
            "Invalid value {x} to match with parameter {fields}. Should be value of type array.",
        ),
        ({"entityTypeId": 999, "fields": {}}, "NOT_FOUND", "Smart process not found"),
        ({"entityTypeId": 5, "fields": {}}, "ENTITY_TYPE_NOT_SUPPORTED", "Entity type INVOICE is not supported"),
        (
            {"entityTypeId": 1, "fields": {"observers": "2"}},
            "100",
            "Expected iterable value for multiple field, but got `string` instead",
        ),
        ({"entityTypeId": 1, "fields": {"stageId": "MINE"}}, INVALID, 'Invalid value for field "Stage id"'),
        ({"entityTypeId": 1, "fields": {"contactId": "Olga"}}, INVALID, 'Invalid value for field "Contact id"'),
        ({"entityTypeId": 1, "fields": {"opportunity": "much"}}, INVALID, 'Invalid value for field "Opportunity"'),
        ({"entityTypeId": 1, "fields": {"title": ["x"]}}, INVALID, 'Invalid value for field "Title"'),
        (
            {"entityTypeId": 1, "fields": {"fm": [{**MAIL, "value": "olga"}]}},
            INVALID,
            'Invalid value for field "Email"',
        ),
        (
            {"entityTypeId": 1, "fields": {"fm": [{**PHONE, "valueType": "X"}]}},
            INVALID,
            'Invalid value for field "Phone"',
        ),
        ({"entityTypeId": 1, "fields": {"fm": [{**PHONE, "typeId": "FAX"}]}}, INVALID, 'Invalid value for field "Fax"'),
    ],
)
def test_what_cannot_be_made_is_refused(client, body, code, words):
    response = client.call("crm.item.add", body)

    assert (response.status_code, response.json()) == (400, {"error": code, "error_description": words})
    assert client.made() == []


@pytest.mark.parametrize("method", ["crm.item.add", "crm.item.import"])
def test_a_field_may_be_declared_as_required(client, method):
    client.order("settings", {"crm_fields": [{"entityTypeId": 1, "name": "sourceId", "isRequired": True}]})

    assert client.add({"sourceId": ""}, method=method).json()["error"] == REQUIRED
    assert client.add({"sourceId": "WEB"}, method=method).status_code == 200
    assert client.add({}, 2, method=method).status_code == 200


@pytest.mark.parametrize("method", ["crm.item.add", "crm.item.import"])
def test_a_caller_without_the_right_to_add_is_refused(client, method):
    client.order("settings", {"crm_may_add": False})

    assert client.add({}, method=method).json() == {"error": "ACCESS_DENIED", "error_description": "Access denied"}


@pytest.mark.parametrize("method", ["crm.item.add", "crm.item.import"])
def test_a_plan_may_forbid_items_of_smart_processes(client, method):
    client.order("settings", {"smart_items_allowed": False})

    assert client.add({}, 147, method=method).json()["error"] == "CREATE_DYNAMIC_ITEM_RESTRICTED"
    assert client.add({}, 1, method=method).status_code == 200


def test_making_needs_the_scope_crm(client):
    client.order("settings", {"scope": ["bizproc"]})

    assert client.add({}).json()["error"] == "insufficient_scope"


def test_a_body_that_came_with_get_is_not_read(client):
    address = f"{client.url}/rest/1/sandbox/crm.item.add"

    response = client.session.get(address, json={"entityTypeId": 1, "fields": {}}, timeout=5)

    assert response.json() == {
        "error": "100", "error_description": "Could not find value for parameter {entityTypeId}"
    }  # fmt: skip


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@given(st.sampled_from([1, 2, 3, 4, 7, 31, 147]), st.data())
def test_any_value_of_any_field_is_taken_or_refused_and_never_breaks(entity_type, data):
    entity = find_type(entity_type, Settings())
    fields = fields_of(entity, Settings())
    given_fields = data.draw(st.dictionaries(st.sampled_from(sorted(fields)), JSON, max_size=4))

    try:
        values = read_contents(entity, fields, given_fields, 3)
    except RestError:
        return
    assert set(values) == set(fields)
