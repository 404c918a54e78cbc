"""The sandbox's own addresses: lists, knobs and the page."""

from __future__ import annotations

import pytest

from relay.sandbox.portal import Portal
from relay.sandbox.settings import UsageError

LEAD = ["crm", "CCrmDocumentLead", "LEAD_7"]


def get(client, path):
    return client.session.get(client.url + path, timeout=5)


def test_workflows_are_listed_newest_first(client):
    ids = [client.start(1, LEAD).json()["result"] for _ in range(3)]

    assert [workflow["id"] for workflow in client.started()] == ids[::-1]


def test_requests_are_logged_without_secrets_or_parameters(client):
    client.start(1, LEAD, Email="ada@example.com")
    client.call("batch", {"cmd": {"a": "profile", "b": "profile"}}, user=2)
    client.call("profile", secret="a-wrong-secret")

    answer = get(client, "/sandbox/requests")

    at = "2027-01-15T08:00:00.000+00:00"
    assert answer.json()["requests"] == [
        {"at": at, "method": "profile", "user": None, "status": 401, "code": "INVALID_CREDENTIALS",
         "batch_size": None, "fault": None},
        {"at": at, "method": "batch", "user": 2, "status": 200, "code": None, "batch_size": 2, "fault": None},
        {"at": at, "method": "bizproc.workflow.start", "user": 1, "status": 200, "code": None, "batch_size": None,
         "fault": None},
    ]  # fmt: skip
    assert "secret" not in answer.text
    assert "ada@" not in answer.text


def test_requests_are_counted(client):
    client.order("faults", [{"kind": "drop_before"}, {"kind": "lock_wait"}])
    with pytest.raises(OSError, match="reset"):
        client.start()
    client.start()
    client.call("batch", {"cmd": {"a": "profile", "b": "profile"}})

    assert get(client, "/sandbox/requests").json()["counters"] == {
        "total": 3,
        "batch_commands": 2,
        "by_method": {"bizproc.workflow.start": 2, "batch": 1},
        "by_status": {"none": 1, "400": 1, "200": 1},
        "by_code": {"": 1},
        "by_fault": {"drop_before": 1, "lock_wait": 1},
    }


def test_settings_can_be_read_and_changed_one_by_one(client):
    changed = client.order("settings", {"profile": "b", "rate": 5, "burst": 250}).json()

    assert (changed["profile"], changed["rate"], changed["burst"], changed["latency_ms"]) == ("b", 5, 250, 0)
    assert get(client, "/sandbox/settings").json() == changed


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ([], "settings are an object"),
        ({"nonsense": 1}, "unknown setting 'nonsense'; known are profile, rate"),
        ({"profile": "c"}, 'setting \'profile\' must be "a" or "b"'),
        ({"profile": ["a"]}, "setting 'profile' must be"),
        ({"rate": "2"}, "setting 'rate' must be a number of 0 or more, or null"),
        ({"rate": -1}, "setting 'rate' must be"),
        ({"rate": True}, "setting 'rate' must be"),
        ({"burst": 1.5}, "setting 'burst' must be a whole number"),
        ({"burst": None}, "setting 'burst' must be a whole number"),
        ({"latency_ms": 1e300}, "setting 'latency_ms' must be"),
        ({"instances_visible": 1}, "setting 'instances_visible' must be true or false"),
        ({"missing_documents": ["404"]}, "setting 'missing_documents' must be a list of whole numbers"),
        ({"operating_window_s": 0}, "setting 'operating_window_s' must be a number above 0"),
        ({"crm_mode": 3}, "setting 'crm_mode' must be 1 or 2"),
        ({"crm_mode": True}, "setting 'crm_mode' must be 1 or 2"),
        ({"smart_processes": [5]}, "setting 'smart_processes' must be a list of whole numbers of 128 or more"),
        ({"smart_processes": "147"}, "setting 'smart_processes' must be a list"),
        ({"crm_fields": {}}, "setting 'crm_fields' must be a list of objects with entityTypeId and name"),
        ({"crm_fields": [{"name": "x"}]}, "setting 'crm_fields' must be a list"),
        ({"crm_fields": [{"entityTypeId": 1, "name": "x", "size": 5}]}, "setting 'crm_fields' must be a list"),
        ({"crm_fields": [{"entityTypeId": 1, "name": "x", "isRequired": 1}]}, "setting 'crm_fields' must be a list"),
        ({"scope": "crm"}, "setting 'scope' must be a list"),
        ({"utc_offset_h": 15}, "setting 'utc_offset_h' must be"),
        ({"language": "fr"}, "setting 'language' must be"),
        ({"statuses": "both"}, "setting 'statuses' must be"),
        ({"filter_shift_s": "1"}, "setting 'filter_shift_s' must be a number"),
        ({"member_id": "5A"}, "setting 'member_id' must be 32 hexadecimal digits"),
        ({"domain": None}, "setting 'domain' must be a host"),
        ({"administrators": ["1"]}, "setting 'administrators' must be a list of user numbers"),
        ({"crm_reads_of": {"3": ["all"]}}, "setting 'crm_reads_of' must be an object of user numbers"),
        ({"crm_reads_of": []}, "setting 'crm_reads_of' must be"),
        ({"refresh_grace_s": -1}, "setting 'refresh_grace_s' must be"),
        ({"frame_without": "AUTH_ID"}, "setting 'frame_without' must be a list of names of fields"),
    ],
)
def test_a_setting_that_cannot_be_used_is_answered_with_400_and_changes_nothing(client, changes, complaint):
    before = get(client, "/sandbox/settings").json()

    response = client.order("settings", {"burst": 7, **changes} if isinstance(changes, dict) else changes)

    assert response.status_code == 400
    assert response.json()["error"].startswith(complaint)
    assert get(client, "/sandbox/settings").json() == before


def test_missing_documents_are_a_setting(client):
    client.order("settings", {"missing_documents": [7]})

    assert client.start(1, LEAD).json()["error_description"] == "Incorrect document type!"
    assert client.start(1, ["crm", "CCrmDocumentLead", "LEAD_404"]).status_code == 200


def test_templates_can_be_added_and_replaced(client):
    kind = ["crm", "CCrmDocumentLead", "LEAD"]

    added = client.order(
        "templates", [{"document_type": kind}, {"document_type": kind, "id": 40}, {"document_type": kind}]
    )
    client.order("templates", {"id": 2, "document_type": kind, "name": "Once a deal's"})

    assert [template["id"] for template in added.json()] == [11, 40, 41]
    assert {template["id"]: template["name"] for template in get(client, "/sandbox/templates").json()}[
        2
    ] == "Once a deal's"
    assert client.start(2, LEAD).status_code == 200


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        (5, "a template is an object with some of"),
        ({"nonsense": 1}, "a template is an object with some of"),
        ({}, '"document_type" must be a list'),
        ({"document_type": ["crm", "LEAD"]}, '"document_type" must be a list'),
        ({"document_type": ["crm", "x", "y"], "id": 0}, '"id" must be a whole number'),
        ({"document_type": ["crm", "x", "y"], "parameters": []}, '"parameters" must be an object'),
        ({"document_type": ["crm", "x", "y"], "parameters": {"P": {"type": "x"}}}, "parameter 'P' must be an object"),
        ({"document_type": ["crm", "x", "y"], "first_leg_s": "1"}, '"first_leg_s" must be a number'),
        ({"document_type": ["crm", "x", "y"], "waits": 1}, '"waits" must be true or false'),
    ],
)
def test_a_template_that_cannot_be_used_is_answered_with_400(client, given, complaint):
    response = client.order("templates", given)

    assert response.status_code == 400
    assert response.json()["error"].startswith(complaint)


@pytest.mark.parametrize(
    ("body", "content_type", "complaint"),
    [
        ("{}", "text/plain", "send JSON with Content-Type: application/json"),
        ("{", "application/json", "the body is not JSON"),
    ],
)
def test_orders_must_be_json_so_that_no_foreign_web_page_can_give_them(client, body, content_type, complaint):
    response = client.session.post(
        f"{client.url}/sandbox/settings", data=body, headers={"Content-Type": content_type}, timeout=5
    )

    assert response.status_code == 400
    assert response.json() == {"error": complaint}


def test_a_reset_brings_back_the_first_day(client):
    client.start(1, LEAD)
    client.call("im.message.add", {"DIALOG_ID": "1", "MESSAGE": "x"})
    client.call("im.notify.system.add", {"USER_ID": 1, "MESSAGE": "x"})
    client.order("application", {"handler": "http://127.0.0.1:9/"})
    client.call("crm.automation.trigger", {"target": "DEAL_5"})
    client.make({"title": "x"})
    client.order("documents", {"entityTypeId": 3, "id": 17, "fields": {"name": "Another"}})
    client.order("faults", {"kind": "html_502"})
    client.order("settings", {"profile": "b"})
    client.order("templates", {"document_type": ["crm", "CCrmDocumentLead", "LEAD"]})

    client.session.post(f"{client.url}/sandbox/reset", timeout=5)

    assert client.started() == []
    assert get(client, "/sandbox/messages").json() == []
    assert get(client, "/sandbox/comments").json() == []
    assert [each["client_id"] for each in get(client, "/sandbox/application").json()] == ["local.sandbox"]
    assert get(client, "/sandbox/triggers").json() == []
    assert client.made() == []
    assert get(client, "/sandbox/faults").json() == []
    assert get(client, "/sandbox/settings").json()["profile"] == "a"
    assert get(client, "/sandbox/requests").json()["counters"]["total"] == 0
    assert len(get(client, "/sandbox/templates").json()) == 10
    assert client.item(17, 3)["name"] == "Clara"


def test_a_reset_goes_back_to_the_settings_the_portal_was_made_with():
    portal = Portal({"profile": "b", "rate": 9})
    portal.configure(rate=1)

    portal.reset()

    assert (portal.settings.profile, portal.settings.rate) == ("b", 9)


def test_a_workflow_id_is_never_given_twice(client, portal, monkeypatch):
    """The clock stands still, so only chance tells two ids apart; here it comes up the same twice."""
    draws = iter([5, 5, 6])
    monkeypatch.setattr(portal._chance, "randrange", lambda _limit: next(draws))

    first, second = client.start(1, LEAD).json()["result"], client.start(1, LEAD).json()["result"]

    assert (first[-9:], second[-9:]) == (".00000005", ".00000006")


def test_a_portal_cannot_be_made_with_an_unusable_setting():
    with pytest.raises(UsageError, match="unknown setting 'speed'"):
        Portal({"speed": 1})


def test_the_page_shows_what_was_started(client):
    client.start(1, LEAD, Note="two\nlines", Parameter1=["user_1", "user_2"])
    client.order("faults", [{"kind": "slow", "times": 2, "method": "batch"}, {"kind": "html_502", "share": 0.05}])

    page = get(client, "/")

    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    for text in ("LEAD_7", "Lead: follow up", "running", '["user_1", "user_2"]', "2 more times", "5.0 %"):
        assert text in page.text.replace("&#34;", '"')


def test_the_page_says_how_to_begin_when_nothing_was_started(client):
    assert "None yet." in get(client, "/").text


def test_the_page_escapes_what_strangers_sent_and_runs_no_script(client):
    client.start(1, LEAD, Note="<script>alert(1)</script>", Email=["<b>"])

    page = get(client, "/")

    assert "<script" not in page.text
    assert "<b>" not in page.text
    assert "&lt;script&gt;alert(1)" in page.text
    assert page.headers["Content-Security-Policy"].startswith("default-src 'none'; style-src 'self'")


def test_the_page_has_a_style_sheet_for_light_and_dark(client):
    assert "prefers-color-scheme: dark" in get(client, "/sandbox/static/portal.css").text


def test_the_page_shows_the_newest_two_hundred_and_says_where_the_rest_is(client, portal):
    client.order("settings", {"rate": None})
    command = (
        "bizproc.workflow.start?TEMPLATE_ID=1&DOCUMENT_ID[]=crm&DOCUMENT_ID[]=CCrmDocumentLead&DOCUMENT_ID[]=LEAD_1"
    )
    for _ in range(5):
        client.call("batch", {"cmd": {f"e{number}": command for number in range(50)}})

    page = get(client, "/").text

    assert page.count('<div class="what">') == 200
    assert "50 older ones are in" in page
