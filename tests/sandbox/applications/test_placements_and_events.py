"""placement.* and event.*: what an application may bind, and the events that come to its handlers."""

from __future__ import annotations

import pytest

from relay.sandbox import application_events
from tests.support.waiting import until

HANDLER = "http://127.0.0.1:9/app/main"
TAB = "CRM_DEAL_DETAIL_TAB"


def bind(app, code=TAB, **parameters):
    return app.call("placement.bind", **{"PLACEMENT": code, "HANDLER": HANDLER, **parameters})


@pytest.mark.parametrize(
    "code",
    [
        "CRM_LEAD_DETAIL_TAB", "CRM_DEAL_DETAIL_TAB", "crm_contact_detail_tab", "CRM_COMPANY_DETAIL_TAB",
        "CRM_QUOTE_DETAIL_TAB", "CRM_SMART_INVOICE_DETAIL_TAB", "CRM_DYNAMIC_147_DETAIL_TAB", "LEFT_MENU",
    ],
)  # fmt: skip
def test_a_place_can_be_bound(app, code):
    assert bind(app, code, TITLE="Relay").json()["result"] is True

    (row,) = app.result("placement.get")
    assert (row["placement"], row["handler"], row["title"], row["userId"]) == (code.upper(), HANDLER, "Relay", 0)


@pytest.mark.parametrize(
    ("parameters", "error"),
    [
        ({"PLACEMENT": ""}, "ERROR_ARGUMENT"),
        ({"HANDLER": ""}, "ERROR_ARGUMENT"),
        ({"PLACEMENT": "CRM_DYNAMIC_999_DETAIL_TAB"}, "ERROR_PLACEMENT_NOT_FOUND"),
        ({"PLACEMENT": "DEFAULT"}, "ERROR_PLACEMENT_NOT_FOUND"),
        ({"HANDLER": "ftp://127.0.0.1/"}, "ERROR_UNSUPPORTED_PROTOCOL"),
        ({"HANDLER": "http://localhost/"}, "ERROR_WRONG_HANDLER_URL"),
        ({"USER_ID": 1}, "ERROR_PLACEMENT_USER_MODE"),
    ],
)
def test_a_place_that_cannot_be_bound_is_refused(app, parameters, error):
    response = bind(app, **parameters)

    assert (response.json()["error"], response.status_code) == (error, 400)
    assert app.result("placement.get") == []


def test_a_place_of_the_crm_needs_the_scope_of_the_crm(app):
    app.save(scopes=["placement"])

    assert bind(app).json()["error"] == "ERROR_PLACEMENT_NOT_FOUND"
    assert bind(app, "LEFT_MENU").status_code == 200
    assert app.result("placement.list") == ["LEFT_MENU"]
    assert TAB in app.result("placement.list", FULL=True)
    assert TAB in app.result("placement.list", SCOPE="crm")


def test_the_same_handler_is_bound_once_and_another_beside_it(app):
    bind(app)

    again = bind(app)
    other = bind(app, HANDLER=f"{HANDLER}/two")

    assert again.json() == {
        "error": "ERROR_CORE", "error_description": "Unable to set placement handler: Handler already binded",
    }  # fmt: skip
    assert other.json()["result"] is True
    assert len(app.result("placement.get")) == 2


@pytest.mark.parametrize(("parameters", "left"), [({"HANDLER": HANDLER}, 1), ({}, 0), ({"HANDLER": "http://1.1/"}, 2)])
def test_one_handler_of_a_place_is_unbound_or_all(app, parameters, left):
    bind(app)
    bind(app, HANDLER=f"{HANDLER}/two")

    assert app.result("placement.unbind", PLACEMENT=TAB, **parameters) == {"count": 2 - left}
    assert len(app.result("placement.get")) == left


def test_titles_may_be_given_for_each_language(app):
    bind(app, TITLE="ignored", LANG_ALL={"ru": {"TITLE": "Реле"}, "en": {"TITLE": "Relay"}})

    (row,) = app.result("placement.get")
    assert row["title"] == "Relay"
    assert row["langAll"]["ru"] == {"TITLE": "Реле", "DESCRIPTION": "", "GROUP_NAME": ""}


@pytest.fixture
def posted(monkeypatch):
    """The addresses that events are sent to, by threads that do nothing else."""
    addresses = []
    monkeypatch.setattr(application_events, "post_form", lambda address, _fields: addresses.append(address))
    return addresses


APPLICATION_ONLY = [
    "placement.bind", "placement.unbind", "placement.get", "placement.list", "event.bind", "event.unbind", "event.get",
    "event.test", "events",
]  # fmt: skip


@pytest.mark.parametrize("method", APPLICATION_ONLY)
def test_a_webhook_is_told_that_an_application_is_needed(client, method):
    response = client.call(method, {"PLACEMENT": TAB, "EVENT": "ONAPPTEST", "HANDLER": HANDLER})

    assert response.status_code == 403
    assert response.json() == {
        "error": "WRONG_AUTH_TYPE",
        "error_description": "Current authorization type is denied for this method Application context required",
    }


@pytest.mark.parametrize("method", ["placement.bind", "placement.unbind", "placement.get"])
def test_only_administrators_may_place_an_application(app, method):
    assert app.error(method, user=3, PLACEMENT=TAB, HANDLER=HANDLER) == ("ACCESS_DENIED", 403)


def test_a_deleted_application_has_bound_nothing_when_it_is_added_again(app):
    bind(app)
    app.delete()
    app.save()
    app.tokens.clear()

    assert app.result("placement.get") == []


def test_an_event_is_bound_once_and_can_be_unbound(app):
    event = {"EVENT": "OnAppUninstall", "HANDLER": HANDLER}
    assert app.result("event.bind", **event) is True
    assert app.error("event.bind", **event) == ("ERROR_CORE", 400)

    assert app.result("event.get") == [{"event": "ONAPPUNINSTALL", "handler": HANDLER, "auth_type": "0", "offline": 0}]
    assert app.result("event.unbind", **event) == {"count": 1}
    assert app.result("event.get") == []
    assert "ONAPPUNINSTALL" in app.result("events")


def test_an_event_that_does_not_exist_is_refused(app):
    assert app.error("event.bind", EVENT="ONNOTHING", HANDLER=HANDLER) == ("ERROR_EVENT_NOT_FOUND", 400)


def test_an_employee_binds_events_for_himself_and_sees_only_his(app):
    app.result("event.bind", EVENT="ONAPPTEST", HANDLER=HANDLER)
    app.result("event.bind", user=3, EVENT="ONAPPTEST", HANDLER=HANDLER)

    assert app.error("event.bind", user=3, EVENT="ONAPPTEST", HANDLER=HANDLER, auth_type=1) == ("ACCESS_DENIED", 403)
    assert [row["auth_type"] for row in app.result("event.get", user=3)] == ["3"]
    assert len(app.result("event.get")) == 2


def test_a_test_event_comes_once_with_tokens_of_the_user_and_what_was_passed(app, handler):
    events, address = handler
    app.result("event.bind", EVENT="ONAPPTEST", HANDLER=address)

    assert app.result("event.test", any={"a": ["x", 1]}) == 1

    until(lambda: events, "the event")
    (event,) = events
    assert (event["event"], event["data[QUERY][ANY][a][0]"], event["data[QUERY][ANY][a][1]"]) == ("ONAPPTEST", "x", "1")
    assert event["auth[application_token]"] == app.keys["application_token"]
    assert event["auth[user_id]"] == "1"
    assert app.info(event["auth[access_token]"]).json()["result"]["client_id"] == app.keys["client_id"]
    assert "auth[refresh_token]" not in event
    assert app.token() not in event.values()


def test_the_last_event_of_an_application_comes_without_tokens_when_it_is_gone(app, handler):
    events, address = handler
    app.result("event.bind", EVENT="ONAPPUNINSTALL", HANDLER=address)

    assert app.delete().json()["told"] == [address]

    until(lambda: events, "the event")
    (event,) = events
    assert {name for name in event if name.startswith("auth")} == {
        "auth[domain]", "auth[server_endpoint]", "auth[client_endpoint]", "auth[member_id]", "auth[application_token]",
    }  # fmt: skip
    assert (event["event"], event["data[CLEAN]"], event["data[LANGUAGE_ID]"]) == ("ONAPPUNINSTALL", "1", "en")
    assert app.error("profile") == ("APPLICATION_NOT_FOUND", 401)


def test_the_last_event_can_be_lost(app, posted):
    app.result("event.bind", EVENT="ONAPPUNINSTALL", HANDLER=HANDLER)

    assert app.delete(silent=True).json()["told"] == []

    assert app.error("profile") == ("APPLICATION_NOT_FOUND", 401)
    assert posted == []


def test_an_event_can_be_ordered(app, client, handler):
    events, address = handler
    app.result("event.bind", EVENT="ONAPPMETHODCONFIRM", HANDLER=address)

    told = client.order(
        "application/event", {"event": "ONAPPMETHODCONFIRM", "data": {"METHOD": "user.get", "CONFIRMED": 1}, "user": 1}
    ).json()

    assert told == {"told": [address]}
    until(lambda: events, "the event")
    assert (events[0]["data[METHOD]"], events[0]["data[CONFIRMED]"]) == ("user.get", "1")
    assert "auth[access_token]" not in events[0]


@pytest.mark.parametrize("host", ["handler.invalid", "10.0.0.7", "127.0.0.1.handler.invalid"])
def test_no_event_leaves_this_machine(app, posted, host):
    app.result("event.bind", EVENT="ONAPPTEST", HANDLER=f"http://{host}/")
    app.result("event.bind", EVENT="ONAPPTEST", HANDLER=HANDLER)

    assert app.result("event.test") == 1

    until(lambda: posted, "the event")
    assert posted == [HANDLER]
