"""The page: made documents beside started workflows, and how they lead to each other."""

from __future__ import annotations

import re

import pytest

PHONE = {"typeId": "PHONE", "valueType": "WORK", "value": "+7 912 345-67-89"}


@pytest.fixture
def page(client):
    def read():
        return client.session.get(f"{client.url}/", timeout=5).text

    return read


def test_a_document_and_its_workflow_lead_to_each_other(client, page):
    number = client.make({"title": "Callback: Olga", "sourceId": "WEB", "comments": "", "fm": [PHONE]})["id"]
    workflow = client.start(1, ["crm", "CCrmDocumentLead", f"LEAD_{number}"]).json()["result"]

    text = page()

    for shown in (f"Lead {number} &middot; Callback: Olga", "WEB", PHONE["value"], "crm.item.add"):
        assert shown in text
    assert "<dt>comments</dt>" not in text  # nothing was given
    assert f'id="LEAD_{number}"' in text
    assert f'href="#LEAD_{number}"' in text
    assert f'id="w-{workflow}"' in text
    assert f'href="#w-{workflow}"' in text


def test_every_link_within_the_page_leads_somewhere(client, page):
    client.start(1, ["crm", "CCrmDocumentLead", "LEAD_7"])
    for entity_type in (1, 3, 31, 147):
        client.make({}, entity_type)
    client.start(7, ["crm", "Bitrix\\Crm\\Integration\\BizProc\\Document\\Dynamic", "DYNAMIC_147_1001"])

    text = page()

    links, names = re.findall(r'href="#([^"]+)"', text), re.findall(r'id="([^"]+)"', text)
    assert "DYNAMIC_147_1001" in links
    assert set(links) <= set(names)
    assert len(names) == len(set(names))


def test_what_was_made_twice_is_said_to_be(client, page):
    for _ in range(2):
        client.make({"originatorId": "relay", "originId": "dlv_1/lead"})

    assert page().count("made 2 times") == 2


def test_the_page_counts_what_was_made_and_names_the_clients_and_the_triggers(client, page):
    client.make({"title": "x"})
    client.call("crm.automation.trigger", {"target": "DEAL_5", "code": "nwly5"})

    text = page()

    assert "<title>Sandbox portal: 1 made, 0 started</title>" in text
    for shown in ("Clara Known", "8 (900) 000-00-17", "Example Ltd", "DEAL_5", "nwly5"):
        assert shown in text


def test_the_page_says_how_to_begin_where_nothing_was_made(page):
    assert "crm.item.add</code> makes one" in page()


def test_a_file_is_not_written_out(client, page):
    client.make({"ufCrmFile": ["a.pdf", "QUJD" * 1000]})

    assert "QUJD" * 50 not in page()


def test_what_strangers_sent_is_escaped(client, page):
    client.make({"title": "<script>alert(1)</script>", "<b>": "<i>"})

    text = page()

    assert not re.search(r"<script|<b>|<i>", text)
    assert "&lt;script&gt;alert(1)" in text


def test_the_newest_two_hundred_are_shown_and_the_rest_is_elsewhere(client, portal, page):
    client.order("settings", {"rate": None, "operating_add_s": 0})
    for _ in range(5):
        commands = {f"a{number}": "crm.item.add?entityTypeId=1&fields[name]=x" for number in range(50)}
        client.call("batch", {"cmd": commands})

    text = page()

    assert text.count('<li id="LEAD_') == 200
    assert "50 older ones are in" in text
