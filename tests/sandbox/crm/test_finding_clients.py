"""crm.duplicate.findbycomm: who is there, in whatever form his phone and his e-mail are written."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.sandbox.crm.contents import normalize_phone

MISSING_TYPE = {"error": "", "error_description": "Communication type is not defined."}


def phones(*values):
    return {"fm": [{"typeId": "PHONE", "valueType": "WORK", "value": value} for value in values]}


def mails(*values):
    return {"fm": [{"typeId": "EMAIL", "valueType": "WORK", "value": value} for value in values]}


def find(client, kind, *values, **parameters):
    response = client.call("crm.duplicate.findbycomm", {"type": kind, "values": list(values), **parameters})
    assert response.status_code == 200, response.text
    return response.json()["result"]


# Phones and mails, written in many ways.


@pytest.mark.parametrize(
    ("written", "form"),
    [
        ("+7 (912) 345-67-89", "79123456789"),
        ("8 912 345 67 89", "79123456789"),
        ("79123456789", "79123456789"),
        ("0079123456789", "79123456789"),
        ("01179123456789", "79123456789"),
        ("+79123456789#12", "79123456789"),
        ("+79123456789;12", "79123456789"),
        ("+79123456789,12", "79123456789"),
        ("9123456789", "9123456789"),
        ("0301234567", "301234567"),
        ("030 123 45", "03012345"),  # too short for a prefix
        ("+86 10 1234 5678", "861012345678"),  # an 8 behind a plus is no trunk prefix
        ("8012345678", "8012345678"),
        ("8112345678", "8112345678"),
        ("8212345678", "8212345678"),
        ("12345", "12345"),
        ("none", ""),
        ("", ""),
    ],
)
def test_a_phone_is_brought_into_one_form(written, form):
    assert normalize_phone(written) == form


@given(st.text(max_size=40))
def test_the_form_of_any_phone_has_digits_and_stars_only_and_no_extension(written):
    assert set(normalize_phone(written)) <= set("0123456789*#,;")


@pytest.mark.parametrize("asked", ["+79123456789", "89123456789", "8 (912) 345-67-89", "+7 912 345 67 89 #5"])
@pytest.mark.parametrize("kept", ["+7 (912) 345-67-89", "89123456789"])
def test_a_client_is_found_by_his_phone_however_either_side_writes_it(client, kept, asked):
    number = client.make({"name": "Olga", **phones(kept)}, 3)["id"]

    assert find(client, "PHONE", asked) == {"CONTACT": [number]}


def test_a_client_is_found_by_his_mail_in_any_case(client):
    number = client.make({"title": "x", **mails("Office@Example.org")}, 4)["id"]

    assert find(client, "email", " office@example.ORG ") == {"COMPANY": [number]}
    assert find(client, "PHONE", "office@example.org") == []


def test_clients_are_there_from_the_start(client):
    assert find(client, "PHONE", "+79000000017") == {"CONTACT": [17]}
    assert find(client, "EMAIL", "office@example.com") == {"COMPANY": [5]}


def test_clients_can_be_seeded(client):
    seeded = client.order("documents", [{"entityTypeId": 3, "id": 9, "fields": mails("a@example.org")}]).json()

    assert seeded == [{"entityTypeId": 3, "id": 9}]
    assert find(client, "EMAIL", "a@example.org") == {"CONTACT": [9]}
    assert client.made() == []


def test_a_client_seeded_again_is_only_reached_as_he_is_now(client):
    for mail in ("a@example.org", "b@example.org"):
        client.order("documents", {"entityTypeId": 3, "id": 9, "fields": mails(mail)})

    assert find(client, "EMAIL", "a@example.org", "b@example.org") == {"CONTACT": [9]}
    assert find(client, "EMAIL", "a@example.org") == []


@pytest.mark.parametrize(
    ("order", "complaint"),
    [
        ("x", "a document is an object with entityTypeId and fields"),
        ({"entityTypeId": 3, "nonsense": 1}, "a document is an object with entityTypeId and fields"),
        ({"entityTypeId": "3", "fields": {}}, '"entityTypeId" must be a whole number'),
        ({"entityTypeId": 3, "fields": "x"}, '"entityTypeId" must be a whole number and "fields" an object'),
        ({"entityTypeId": 3, "id": 0, "fields": {}}, '"id" must be a whole number above 0'),
        ({"entityTypeId": 999, "fields": {}}, "Smart process not found"),
        ({"entityTypeId": 3, "fields": {"fm": [{"typeId": "EMAIL", "value": "x"}]}}, "Invalid value for field"),
    ],
)
def test_a_seed_that_cannot_be_used_is_answered_with_400_and_the_reason(client, order, complaint):
    response = client.order("documents", order)

    assert response.status_code == 400
    assert response.json()["error"].startswith(complaint)


# What is found, and what is hidden.


def test_nothing_found_is_an_empty_list_not_an_empty_map(client):
    assert find(client, "PHONE", "12345") == []


def test_what_is_found_is_told_by_type_each_once(client):
    lead = client.make({**phones("111", "222")})["id"]
    contact = client.make({**phones("222")}, 3)["id"]

    assert find(client, "PHONE", "111", "222") == {"LEAD": [lead], "CONTACT": [contact]}
    assert find(client, "PHONE", "222", entity_type="contact") == {"CONTACT": [contact]}
    assert find(client, "PHONE", "222", entity_type="COMPANY") == []
    assert find(client, "PHONE", "222", entity_type="NONSENSE") == {"LEAD": [lead], "CONTACT": [contact]}


@pytest.mark.parametrize(
    ("leads", "contacts", "shown"), [(19, 3, (19, 1)), (20, 3, (20, 0)), (25, 3, (20, 0)), (2, 25, (2, 18))]
)
def test_of_one_value_twenty_items_are_found_by_type_and_number(client, portal, leads, contacts, shown):
    portal.add_documents([{"entityTypeId": 1, "fields": phones("12345")} for _ in range(leads)])
    portal.add_documents([{"entityTypeId": 3, "fields": phones("12345")} for _ in range(contacts)])

    found = find(client, "PHONE", "12345")

    assert (len(found["LEAD"]), len(found.get("CONTACT", []))) == shown
    assert found["LEAD"] == list(range(1001, 1001 + shown[0]))  # the oldest
    assert len(find(client, "PHONE", "12345", entity_type="CONTACT")["CONTACT"]) == min(contacts, 20)


def test_twenty_different_values_are_looked_for_and_further_ones_passed_over(client):
    number = client.make({**phones("999")}, 3)["id"]
    others = [f"{n:03}" for n in range(19)]

    assert find(client, "PHONE", *others, "999") == {"CONTACT": [number]}
    assert find(client, "PHONE", *others, "019", "999") == []
    assert find(client, "PHONE", *others, "0-0-0", "999") == {"CONTACT": [number]}  # the same again is not counted


def test_a_number_that_is_no_text_is_passed_over(client):
    client.make({**phones("12345")}, 3)

    assert find(client, "PHONE", 12345) == []


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"values": ["1"]}, "Communication type is not defined."),
        ({"type": "", "values": ["1"]}, "Communication type is not defined."),
        ({"type": "FAX", "values": ["1"]}, "Communication type 'FAX' is not supported in current context."),
        ({"type": "PHONE"}, "Communication values is not defined."),
        ({"type": "PHONE", "values": []}, "Communication values is not defined."),
        ({"type": "PHONE", "values": "1"}, "Communication values is not defined."),
        ({"type": "PHONE", "values": ["1"], "entity_type": "DEAL"}, "Deal is not supported in current context."),
    ],
)
def test_what_cannot_be_looked_for_is_refused_without_a_code(client, body, words):
    response = client.call("crm.duplicate.findbycomm", body)

    assert (response.status_code, response.json()) == (400, {"error": "", "error_description": words})


def test_the_docs_put_the_text_where_the_code_is(client):
    client.order("settings", {"statuses": "docs"})

    assert client.call("crm.duplicate.findbycomm", {"values": ["1"]}).json() == {
        "error": "Communication type is not defined", "error_description": "Parameter 'type' is required.",
    }  # fmt: skip


def test_a_get_with_a_body_misses_its_parameters(client):
    address = f"{client.url}/rest/1/sandbox/crm.duplicate.findbycomm"
    body = {"type": "PHONE", "values": ["12345"]}

    assert client.session.get(address, json=body, timeout=5).json() == MISSING_TYPE
    assert client.session.get(address, params={"type": "PHONE", "values[]": "1"}, timeout=5).json()["result"] == []


# Chains.


def test_a_batch_finds_makes_and_starts_with_what_came_before(client):
    commands = {
        "client": "crm.duplicate.findbycomm?type=EMAIL&values[]=clara@example.com&entity_type=CONTACT",
        "deal": "crm.item.add?entityTypeId=2&fields[title]=x&fields[contactId]=$result[client][CONTACT][0]",
        "start": "bizproc.workflow.start?TEMPLATE_ID=2&DOCUMENT_ID[]=crm&DOCUMENT_ID[]=CCrmDocumentDeal"
                 "&DOCUMENT_ID[]=DEAL_$result[deal][item][id]",
        "found": "crm.item.list?entityTypeId=2&filter[%3DcontactId]=17&select[]=id&start=-1",
    }  # fmt: skip

    sections = client.call("batch", {"cmd": commands, "halt": 1}).json()["result"]

    (deal,) = client.made()
    assert sections["result_error"] == []
    assert deal["fields"]["contactId"] == 17
    assert client.started()[0]["document"][2] == f"DEAL_{deal['id']}"
    assert sections["result"]["found"] == {"items": [{"id": deal["id"]}]}


def test_who_may_read_nothing_of_the_crm_finds_nobody(client):
    client.order("settings", {"crm_reads": "none"})
    asked = {"type": "EMAIL", "values": ["ada@example.com"]}

    refused = client.call("crm.duplicate.findbycomm", asked, user=2)

    assert (refused.status_code, refused.json()["error"]) == (403, "Access denied")
    assert client.call("crm.duplicate.findbycomm", asked).status_code == 200
