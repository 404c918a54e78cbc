"""Reading the CRM: crm.item.list, crm.item.get, crm.item.fields, crm.type.list and crm.settings.mode.get."""

from __future__ import annotations

import pytest

OWN = {"=originatorId": "relay", "=originId": "dlv_1/lead"}
CUSTOM = [
    {"entityTypeId": 2, "name": "ufCrmUrgent", "type": "boolean"},
    {"entityTypeId": 2, "name": "ufCrm2_1639669411830", "type": "string"},
]


def listed(client, entity_type=1, **parameters):
    response = client.call("crm.item.list", {"entityTypeId": entity_type, **parameters})
    assert response.status_code == 200, response.text
    return response.json()


def numbers(client, entity_type=1, **parameters):
    return [item["id"] for item in listed(client, entity_type, select=["id"], **parameters)["result"]["items"]]


@pytest.fixture
def deals(client, clock):
    """Three deals, a minute apart; their numbers by title."""
    client.order("settings", {"crm_fields": CUSTOM})
    found = {}
    for title, fields in {
        "Alpha": {"opportunity": 100, "contactIds": [17, 18], "ufCrmUrgent": "Y"},
        "beta_1": {"opportunity": 20.5, "contactId": 17, "ufCrm2_1639669411830": "x"},
        "Gamma 100%": {"opportunity": 3, "companyId": 5},
    }.items():
        found[title] = client.make({"title": title, **fields}, 2)["id"]
        clock.advance(60)
    return found


# Filters.


@pytest.mark.parametrize(
    ("wanted", "titles"),
    [
        ({}, "Alpha beta_1 Gamma"),
        ({"title": "ALPHA"}, "Alpha"),
        ({"=title": "Alph"}, ""),
        ({"TITLE": "Alpha"}, "Alpha"),
        ({"=title": ["Alpha", "beta_1"]}, "Alpha beta_1"),
        ({"@title": ["Alpha", "Gamma 100%"]}, "Alpha Gamma"),
        ({"@title": []}, ""),
        ({"!@title": ["Alpha"]}, "beta_1 Gamma"),
        ({"!title": "Alpha"}, "beta_1 Gamma"),
        ({"!=title": "Alpha"}, "beta_1 Gamma"),
        ({"%title": "a_"}, "beta_1"),  # a wildcard of SQL is a character here
        ({"%title": "0%"}, "Gamma"),
        ({"%title": "ET"}, "beta_1"),
        ({"!%title": "a"}, ""),
        ({"=%title": "%a"}, "Alpha"),
        ({"%=title": "G%"}, "Gamma"),
        ({"!=%title": "G%"}, "Alpha beta_1"),
        ({"!%=title": "%a%"}, ""),
        ({">=opportunity": 20.5}, "Alpha beta_1"),
        ({">opportunity": "20.5"}, "Alpha"),
        ({"<=opportunity": 20.5}, "beta_1 Gamma"),
        ({"<opportunity": 20.5}, "Gamma"),
        ({"=opportunity": "much"}, ""),
        ({"=contactId": 17}, "Alpha beta_1"),
        ({"@contactIds": [18]}, "Alpha"),
        ({"=contactIds": ""}, "Gamma"),
        ({"=companyId": None}, "Alpha beta_1"),
        ({"=ufCrmUrgent": 1}, "Alpha"),
        ({"=ufCrmUrgent": 0}, "beta_1 Gamma"),
        ({"=ufCrmUrgent": "Y"}, ""),  # the form in which it is shown is not the one in which it is filtered
        ({"=ufCrm2_1639669411830": "x"}, "beta_1"),
        ({">createdTime": "2027-01-15T11:00:00+03:00"}, "beta_1 Gamma"),
        ({"<createdTime": "2027-01-15T08:01:00+00:00"}, "Alpha"),
        ({">createdTime": "yesterday"}, ""),
        ({"=title": "Alpha", "=opportunity": 3}, ""),
        ({"logic": "OR", "=title": "Alpha", "=opportunity": 3}, "Alpha Gamma"),
        ({"0": {"logic": "OR", "0": {"=title": "Alpha"}, "1": {"=title": "beta_1"}}, ">opportunity": 50}, "Alpha"),
    ],
)
def test_a_filter_finds_what_it_says(client, deals, wanted, titles):
    found = numbers(client, 2, filter=wanted)

    assert found == [number for title, number in deals.items() if title.split()[0] in titles.split()]


def test_what_was_made_is_found_by_its_own_id_at_once(client):
    number = client.make({"originatorId": "relay", "originId": "dlv_1/lead"})["id"]
    client.make({"originatorId": "other", "originId": "dlv_1/lead"})

    answer = listed(client, filter=OWN, select=["id"], start=-1)

    assert answer["result"] == {"items": [{"id": number}]}
    assert listed(client, filter={**OWN, "=originId": "dlv_2/lead"})["result"] == {"items": []}


@pytest.mark.parametrize("entity_type", [1, 2, 3, 4])
def test_leads_deals_contacts_and_companies_can_be_asked_for_the_originators_pair(client, entity_type):
    assert numbers(client, entity_type, filter=OWN) == []


@pytest.mark.parametrize(("entity_type", "has_external_code"), [(31, True), (147, True), (7, False)])
def test_the_others_have_no_originator_and_quotes_no_external_code_either(client, entity_type, has_external_code):
    def ask(wanted):
        return client.call("crm.item.list", {"entityTypeId": entity_type, "filter": wanted}).status_code

    assert ask(OWN) == 400
    assert ask({"=xmlId": "x"}) == (200 if has_external_code else 400)


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"filter": {"=tilte": 1}}, "Invalid filter: field '=TILTE' is not allowed in filter"),
        ({"filter": {"%ufCrmNope": 1}}, "Invalid filter: field '%UF_CRM_NOPE' is not allowed in filter"),
        ({"filter": {"fm": "x"}}, "Invalid filter: field 'FM' is not allowed in filter"),
        ({"filter": {"0": {"=tilte": 1}}}, "Invalid filter: field '=TILTE' is not allowed in filter"),
        ({"filter": {"%title": ["a"]}}, "Invalid filter: field '%TITLE' has invalid value"),
        ({"filter": {"!title": ["a", "b"]}}, "Invalid filter: field '!TITLE' has invalid value"),
        ({"filter": {">=id": {"from": 1}}}, "Invalid filter: field 'FROM' is not allowed in filter"),
        ({"filter": {">id": []}}, "Invalid filter: field '>ID' has invalid value"),
        ({"filter": {"0": {"<id": [1]}}}, "Invalid filter: field '<ID' has invalid value"),
        ({"order": {"tilte": "ASC"}}, "Invalid order: field 'TILTE' is not allowed in order"),
        ({"order": {"contactIds": "ASC"}}, "Invalid order: field 'CONTACT_IDS' is not allowed in order"),
        (
            {"order": {"id": "up"}},
            "Invalid order: allowed sort directions are ASC, DESC. But got 'UP' for field 'ID'",
        ),
    ],
)
def test_an_unknown_field_or_an_unusable_value_is_refused_aloud(client, parameters, words):
    response = client.call("crm.item.list", {"entityTypeId": 1, **parameters})

    assert response.status_code == 400
    assert response.json() == {"error": "INVALID_ARG_VALUE", "error_description": words}


def test_a_filter_that_is_no_map_is_refused(client):
    answer = client.call("crm.item.list", {"entityTypeId": 1, "filter": "x"}).json()

    assert answer["error_description"] == (
        "Invalid value {x} to match with parameter {filter}. Should be value of type array."
    )


# Order, selection, pages.


@pytest.mark.parametrize(
    ("order", "titles"),
    [
        ({}, ["Alpha", "beta_1", "Gamma 100%"]),
        ({"id": "desc"}, ["Gamma 100%", "beta_1", "Alpha"]),
        ({"ID": "DESC"}, ["Gamma 100%", "beta_1", "Alpha"]),
        ({"opportunity": "ASC"}, ["Gamma 100%", "beta_1", "Alpha"]),
        ({"contactId": "DESC", "title": "DESC"}, ["beta_1", "Alpha", "Gamma 100%"]),
        ({"createdTime": "DESC"}, ["Gamma 100%", "beta_1", "Alpha"]),
    ],
)
def test_items_come_in_the_order_that_was_asked_for(client, deals, order, titles):
    assert numbers(client, 2, order=order) == [deals[title] for title in titles]


def test_only_the_selected_fields_are_there_and_phones_only_with_a_star(client):
    client.make({"title": "x", "fm": [{"typeId": "PHONE", "value": "12345"}]})

    def first(**parameters):
        return listed(client, **parameters)["result"]["items"][0]

    assert first(select=["title", "fm", "nonsense"]) == {"title": "x"}
    assert first(select=["*"]) == first() == client.item(1001)
    assert first()["fm"][0]["value"] == "12345"


def test_fifty_items_are_a_page_and_the_answer_says_where_the_next_begins(client, portal):
    portal.add_documents([{"entityTypeId": 1, "fields": {}} for _ in range(120)])

    first, second, last = (listed(client, select=["id"], start=start) for start in (0, 50, 100))

    assert [len(page["result"]["items"]) for page in (first, second, last)] == [50, 50, 20]
    assert [(page["total"], page.get("next")) for page in (first, second, last)] == [(120, 50), (120, 100), (120, None)]


def test_with_a_start_of_minus_one_nothing_is_counted(client, portal):
    portal.add_documents([{"entityTypeId": 1, "fields": {}} for _ in range(60)])

    page = listed(client, start=-1)

    assert len(page["result"]["items"]) == 50
    assert not {"total", "next"} & set(page)


# One item, its fields, the types, the mode.


@pytest.mark.parametrize(
    ("body", "code", "words"),
    [
        ({"entityTypeId": 1, "id": 1001}, "NOT_FOUND", "Element not found"),
        ({"entityTypeId": 999, "id": 1}, "NOT_FOUND", "Smart process not found"),
        ({"entityTypeId": 0, "id": 1}, "ENTITY_TYPE_NOT_SUPPORTED", "Entity type  is not supported"),
        ({"entityTypeId": 1}, "100", "Could not find value for parameter {id}"),
    ],
)
def test_an_item_that_is_not_there_is_not_found(client, body, code, words):
    response = client.call("crm.item.get", body)

    assert (response.status_code, response.json()) == (400, {"error": code, "error_description": words})


def test_fields_are_described_with_those_that_a_setting_declares(client):
    client.order("settings", {"crm_fields": [*CUSTOM, {"entityTypeId": 2, "name": "sourceId", "isRequired": True}]})

    fields = client.call("crm.item.fields", {"entityTypeId": 2}).json()["result"]["fields"]

    assert fields["originId"] == {
        "type": "string", "isRequired": False, "isReadOnly": False, "isImmutable": False, "isMultiple": False,
        "isDynamic": False, "title": "Origin id", "upperName": "ORIGIN_ID",
    }  # fmt: skip
    assert fields["ufCrm2_1639669411830"]["upperName"] == "UF_CRM_2_1639669411830"
    assert fields["ufCrmUrgent"]["isDynamic"] is True
    assert fields["contactIds"]["isMultiple"] is fields["id"]["isReadOnly"] is fields["sourceId"]["isRequired"] is True
    assert "fm" not in fields


@pytest.mark.parametrize("entity_type", [1, 2, 3, 4, 7, 31, 147])
def test_every_field_that_is_described_can_be_filtered_and_shown(client, entity_type):
    fields = client.call("crm.item.fields", {"entityTypeId": entity_type}).json()["result"]["fields"]

    assert numbers(client, entity_type, filter={f"={name}": "1" for name in fields}) == []
    assert set(fields) <= set(client.make({}, entity_type))


def test_smart_processes_are_listed_for_administrators(client):
    client.order("settings", {"smart_processes": [147, 1038]})

    answer = client.call("crm.type.list", {"filter": {"=entityTypeId": 1038}}).json()
    refused = client.call("crm.type.list", user=2)

    assert [(each["entityTypeId"], each["isBizProcEnabled"]) for each in answer["result"]["types"]] == [(1038, "Y")]
    assert answer["total"] == 1
    assert (refused.status_code, refused.json()["error"]) == (400, "ACCESS_DENIED")


def test_the_mode_tells_whether_there_are_leads(client):
    assert client.call("crm.settings.mode.get").json()["result"] == 1
    client.order("settings", {"crm_mode": 2})
    assert client.call("crm.settings.mode.get").json()["result"] == 2


@pytest.mark.parametrize(("right", "seen"), [("all", ["Alpha", "Beta"]), ("own", ["Beta"]), ("none", [])])
def test_who_is_no_administrator_sees_in_lists_what_their_rights_allow_and_no_word_of_the_rest(client, right, seen):
    made = {title: client.make({"title": title, "assignedById": by})["id"] for title, by in (("Alpha", 1), ("Beta", 2))}
    client.order("settings", {"crm_reads": right})

    rows = client.call("crm.item.list", {"entityTypeId": 1, "filter": {"@id": [*made.values()]}}, user=2).json()
    got = {title: client.call("crm.item.get", {"entityTypeId": 1, "id": made[title]}, user=2).json() for title in made}

    assert [row["title"] for row in rows["result"]["items"]] == seen
    assert rows["total"] == len(seen)
    assert [title for title, answer in got.items() if answer.get("error") != "ACCESS_DENIED"] == seen
    assert len(numbers(client, filter={"@id": [*made.values()]})) == 2, "an administrator sees all"


def test_a_deal_has_the_fields_that_the_docs_show_beside_those_that_can_be_written(client):
    deal = client.make({"title": "A"}, 2)
    lost = client.make({"title": "B", "stageId": "LOSE"}, 2)

    assert (deal["closed"], lost["closed"], deal["isNew"], deal["isRepeatedApproach"]) == ("N", "Y", "N", "N")
    assert deal["productId"] is None
    assert deal["hasProducts"] is None
    assert "closed" not in client.make({"title": "C"}, 1)


def test_the_lists_of_the_crm_have_the_stages_that_an_item_takes_and_a_field_names_its_list(client):
    fields = client.call("crm.item.fields", {"entityTypeId": 2}).json()["result"]["fields"]
    kind = fields["stageId"]["statusType"]

    entries = client.call("crm.status.list", {"filter": {"ENTITY_ID": kind}}).json()["result"]

    assert kind == "DEAL_STAGE"
    assert {one["ENTITY_ID"] for one in entries} == {kind}
    for one in entries:
        made = client.call("crm.item.add", {"entityTypeId": 2, "fields": {"title": "x", "stageId": one["STATUS_ID"]}})
        assert made.status_code == 200, made.text
    everything = client.call("crm.status.list").json()["result"]
    assert {"STATUS", "SOURCE", "DYNAMIC_147_STAGE_1"} <= {one["ENTITY_ID"] for one in everything}
