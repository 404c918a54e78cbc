"""Lines in the timeline of a document, and notifications: by a webhook and by an application."""

from __future__ import annotations

import pytest

LOG = "crm.timeline.logmessage.add"
COMMENT = "crm.timeline.comment.add"
NOTIFY = "im.notify.system.add"


def log(**changes):
    return {"fields": {"entityTypeId": 2, "entityId": 12, "title": "T", "text": "x", "iconCode": "info"} | changes}


def comment(**changes):
    return {"fields": {"ENTITY_TYPE": "deal", "ENTITY_ID": 12, "COMMENT": "x"} | changes}


def listed(client):
    return client.session.get(f"{client.url}/sandbox/comments", timeout=5).json()


def test_a_webhook_writes_a_quiet_line(client):
    result = client.call(LOG, log()).json()["result"]

    assert result == {
        "logMessage": {
            "id": 1, "created": "2027-01-15T11:00:00+03:00", "authorId": 1, "title": "T", "text": "x",
            "iconCode": "info",
        }
    }  # fmt: skip
    assert listed(client) == [
        {
            "id": 1, "at": "2027-01-15T08:00:00.000+00:00", "kind": "log", "by": 1, "application": None,
            "document": "DEAL_12", "title": "T", "text": "x", "icon": "info", "user_id": None, "tag": "",
            "sender": None, "replaced": False,
        }
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "document"),
    [("lead", "LEAD_12"), ("DEAL", "DEAL_12"), ("contact", "CONTACT_12"), ("dynamic_147", "DYNAMIC_147_12")],
)
def test_an_application_writes_a_loud_line(app, client, kind, document):
    assert app.result(COMMENT, **comment(ENTITY_TYPE=kind)) == 1

    (line,) = listed(client)
    assert (line["kind"], line["document"], line["application"]) == ("comment", document, app.keys["client_id"])


@pytest.mark.parametrize(
    ("method", "parameters", "code"),
    [
        (LOG, {}, "100"),
        (LOG, log(title=""), "100"),
        (LOG, log(entityTypeId=5), "OWNER_NOT_FOUND"),
        (LOG, log(entityId=404), "OWNER_NOT_FOUND"),
        (LOG, log(entityId=0), "OWNER_NOT_FOUND"),
        (COMMENT, comment(ENTITY_ID=404), "OWNER_NOT_FOUND"),
        (COMMENT, comment(ENTITY_TYPE="nothing"), "OWNER_NOT_FOUND"),
        (COMMENT, comment(ENTITY_TYPE=""), "100"),
        (COMMENT, comment(COMMENT=" "), "INVALID_ARG_VALUE"),
        (NOTIFY, {"MESSAGE": "x"}, "USER_ID_EMPTY"),
        (NOTIFY, {"USER_ID": 1, "MESSAGE": " "}, "MESSAGE_EMPTY"),
    ],
)
def test_a_line_that_cannot_be_written_is_refused_and_not_there(client, method, parameters, code):
    response = client.call(method, parameters)

    assert (response.json()["error"], response.status_code) == (code, 400)
    assert listed(client) == []


def test_who_may_not_see_a_document_may_not_write_about_it(app, client):
    client.order("documents", {"entityTypeId": 2, "id": 13, "fields": {"assignedById": 3}})

    assert app.error(LOG, user=3, **log()) == ("ACCESS_DENIED", 400)
    assert app.error(COMMENT, user=3, **comment()) == ("ACCESS_DENIED", 400)
    assert app.call(LOG, user=3, **log(entityId=13)).status_code == 200
    assert client.call(LOG, log(), user=2).status_code == 200


@pytest.mark.parametrize("method", [LOG, COMMENT, NOTIFY])
def test_writing_needs_its_scope(client, method):
    client.order("settings", {"scope": ["bizproc"]})

    assert client.call(method, {}).json()["error"] == "insufficient_scope"


def test_a_line_is_there_although_its_answer_was_cut(client):
    client.order("faults", {"kind": "drop_after_start", "method": LOG})

    with pytest.raises(OSError, match="reset"):
        client.call(LOG, log())

    assert [line["document"] for line in listed(client)] == ["DEAL_12"]


def test_a_notification_goes_to_a_user(client):
    assert client.call(NOTIFY, {"USER_ID": 2, "MESSAGE": " All is well. "}).json()["result"] == 1

    (line,) = listed(client)
    assert (line["kind"], line["user_id"], line["text"]) == ("notification", 2, "All is well.")


def test_nobody_who_is_not_there_is_notified(client):
    assert client.call(NOTIFY, {"USER_ID": 99, "MESSAGE": "x"}).json()["result"] is False
    assert client.call(NOTIFY, {"USER_ID": 13, "MESSAGE": "x"}).json()["result"] is False
    assert listed(client) == []


@pytest.mark.parametrize(
    ("first", "second", "replaced"),
    [
        ({"TAG": "a", "CLIENT_ID": "relay"}, {"TAG": "a", "CLIENT_ID": "relay"}, True),
        ({"TAG": "a", "CLIENT_ID": "relay"}, {"TAG": "b", "CLIENT_ID": "relay"}, False),
        ({"TAG": "a", "CLIENT_ID": "relay"}, {"TAG": "a", "CLIENT_ID": "relay", "USER_ID": 2}, False),
        ({"TAG": "a"}, {"TAG": "a"}, False),
    ],
)
def test_a_notification_takes_the_place_of_the_older_one_with_its_tag(client, first, second, replaced):
    for parameters in (first, second):
        client.call(NOTIFY, {"USER_ID": 1, "MESSAGE": "x"} | parameters)

    assert [line["replaced"] for line in listed(client)] == [False, replaced]
