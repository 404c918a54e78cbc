"""user.get and crm.automation.trigger."""

from __future__ import annotations

import pytest

from relay.rules.schemas import USER_FIELDS


def found(client, **parameters):
    response = client.call("user.get", parameters)
    assert response.status_code == 200, response.text
    return [int(user["ID"]) for user in response.json()["result"]]


@pytest.mark.parametrize(
    ("wanted", "numbers"),
    [
        ({"EMAIL": "admin@example.com"}, [1]),
        ({"email": "BEN@example.com"}, [2]),
        ({"EMAIL": ["cleo@example.com", "dan@example.com", "nobody@example.com"]}, [3, 4]),
        ({"EMAIL": "nobody@example.com"}, []),
        ({"ID": 1}, [1]),
        ({"@ID": ["2", "3"], "ACTIVE": True}, [2, 3]),
        ({"EMAIL": "gus@example.com"}, [13]),
        ({"EMAIL": "gus@example.com", "ACTIVE": True}, []),
        ({"EMAIL": "gus@example.com", "ACTIVE": "1"}, []),
        ({"ACTIVE": False}, [13]),
        ({"EMAIL": "ida@example.com"}, []),  # an integrator is not shown
        ({"%NAME": "in"}, [6, 7, 9]),
        ({"NONSENSE": "x", "ID": 1}, [1]),
        ({"WORK_PHONE": "+74950000002"}, [2]),
        ({"WORK_PHONE": "+10000000000"}, []),
        ({"PERSONAL_MOBILE": "+79000000002"}, [2]),
        ({"PERSONAL_PHONE": "+79010000002"}, [2]),
        ({"UF_PHONE_INNER": "102"}, [2]),
        ({"WORK_POSITION": "Sales manager"}, [2]),
        ({"SECOND_NAME": "B."}, [2]),
        ({"UF_DEPARTMENT": 5}, [2]),
        ({"UF_DEPARTMENT": 6}, []),
    ],
)
def test_users_are_found_by_their_fields(client, wanted, numbers):
    assert found(client, FILTER=wanted) == numbers


@pytest.mark.parametrize("field", sorted(USER_FIELDS))
def test_every_field_by_which_a_rule_may_look_for_users_narrows_the_answer(client, field):
    assert found(client, FILTER={field.upper(): "999"}) == []


@pytest.mark.parametrize("field", ["EMAIL", "PERSONAL_PHONE", "PERSONAL_MOBILE", "WORK_PHONE"])
def test_a_filter_by_what_the_scope_does_not_show_is_passed_over_without_a_word(client, field):
    client.order("settings", {"scope": ["user_brief"]})

    answer = client.call("user.get", {"FILTER": {field: "nobody"}, "select": ["ID", field]}).json()["result"]

    assert [set(row) for row in answer] == [{"ID"}] * 13


def test_users_come_by_number_unless_asked_otherwise(client):
    assert found(client) == list(range(1, 14))
    assert found(client, sort="NAME", order="DESC", FILTER={"ID": [1, 2, 3]}) == [3, 2, 1]


def test_a_user_has_the_fields_that_were_selected(client):
    answer = client.call("user.get", {"FILTER": {"ID": 2}, "select": ["ID", "EMAIL", "NONSENSE"]}).json()

    assert answer["result"] == [{"ID": "2", "EMAIL": "ben@example.com"}]
    assert answer["total"] == 1


def test_pages_are_not_counted_with_a_start_of_minus_one(client):
    assert "total" not in client.call("user.get", {"start": -1}).json()


@pytest.mark.parametrize(
    ("scope", "status", "shows_mail"),
    [(["user"], 200, True), (["user_basic"], 200, True), (["user_brief"], 200, False), (["crm"], 401, None)],
)
def test_which_scopes_show_users_and_their_mails(client, scope, status, shows_mail):
    client.order("settings", {"scope": scope})

    response = client.call("user.get", {"FILTER": {"ID": 1}})

    assert response.status_code == status
    if status == 200:
        assert ("EMAIL" in response.json()["result"][0]) is shows_mail


# Triggers.


def fired(client):
    return client.session.get(f"{client.url}/sandbox/triggers", timeout=5).json()


def test_a_trigger_is_fired_and_the_answer_says_nothing_more(client):
    for target in ("DEAL_25", "DYNAMIC_147_5"):
        assert (
            client.call("crm.automation.trigger", {"target": target, "code": "nwly5"}, user=2).json()["result"] is True
        )

    at = "2027-01-15T08:00:00.000+00:00"
    assert fired(client) == [
        {"at": at, "by": 2, "target": "DYNAMIC_147_5", "code": "nwly5"},
        {"at": at, "by": 2, "target": "DEAL_25", "code": "nwly5"},
    ]


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("", "Target is not set."),
        ("DEAL", "Incorrect target format."),
        ("DEAL_x", "Incorrect target format."),
        ("SALE_5", "Target is not found."),
        ("DYNAMIC_999_5", "Target is not found."),
    ],
)
def test_a_target_that_is_none_is_refused_without_a_code(client, target, words):
    response = client.call("crm.automation.trigger", {"target": target, "code": "x"})

    assert (response.status_code, response.json()) == (400, {"error": "", "error_description": words})
    assert fired(client) == []


def test_firing_needs_the_scope_crm(client):
    client.order("settings", {"scope": ["bizproc"]})

    assert client.call("crm.automation.trigger", {"target": "DEAL_5"}).json()["error"] == "insufficient_scope"
