"""Faults on demand: what the client sees, and whether the call was executed."""

from __future__ import annotations

import pytest
import requests

from relay.sandbox.answers import CRM_ERRORS

LOST = requests.exceptions.ConnectionError
CUT_OFF = requests.exceptions.ChunkedEncodingError


@pytest.mark.parametrize(
    ("fault", "status", "content_type", "executed"),
    [
        ({"kind": "http_503"}, 503, "application/json", False),
        ({"kind": "html_502"}, 502, "text/html", False),
        ({"kind": "html_503"}, 503, "text/html", False),
        ({"kind": "html_504"}, 504, "text/html", False),
        ({"kind": "slow", "seconds": 30}, 200, "application/json", True),
        ({"kind": "cut"}, 504, "text/html", True),
        ({"kind": "error", "code": "OVERLOAD_LIMIT"}, 401, "application/json", False),
        ({"kind": "expired_token"}, 401, "application/json", False),
        ({"kind": "lock_wait"}, 400, "application/json", False),
        ({"kind": "not_json"}, 200, "text/html", True),
        ({"kind": "empty_200"}, 200, "text/plain", True),
        ({"kind": "wrong_encoding"}, 200, "application/json", True),
        ({"kind": "redirect"}, 302, "text/html", False),
    ],
)
def test_a_fault_answers_in_place_of_the_method(client, fault, status, content_type, executed):
    client.order("faults", fault)

    response = client.start()

    assert response.status_code == status
    assert response.headers["Content-Type"].startswith(content_type)
    assert bool(client.started()) is executed


@pytest.mark.parametrize(
    ("kind", "error", "executed"),
    [("drop_before", LOST, False), ("drop_after_start", LOST, True), ("truncated", CUT_OFF, True)],
)
def test_a_fault_breaks_the_connection(client, kind, error, executed):
    client.order("faults", {"kind": kind})

    with pytest.raises(error):
        client.start()

    assert bool(client.started()) is executed
    assert client.start().status_code == 200


@pytest.mark.parametrize(
    ("kind", "body"),
    [("empty_200", ""), ("wrong_encoding", '{"error":"WRONG_ENCODING"}')],
)
def test_a_spoiled_body_is_empty_or_in_the_wrong_encoding(client, kind, body):
    client.order("faults", {"kind": kind})

    assert client.start().text == body


def test_a_lock_wait_has_an_empty_code_and_the_databases_text(client):
    client.order("faults", {"kind": "lock_wait"})

    body = client.start().json()

    assert body["error"] == ""
    assert body["error_description"].startswith("Mysql query error: (1205) Lock wait timeout exceeded")


def test_a_503_says_that_there_are_too_many_requests_unless_told_otherwise(client):
    client.order("faults", [{"kind": "http_503"}, {"kind": "http_503", "code": "OVERLOAD_LIMIT"}])

    first, second = client.start(), client.start()

    assert (first.status_code, first.json()["error"]) == (503, "QUERY_LIMIT_EXCEEDED")
    assert (second.status_code, second.json()["error"]) == (503, "OVERLOAD_LIMIT")


def test_a_redirect_points_to_another_host(client):
    client.order("faults", [{"kind": "redirect"}, {"kind": "redirect", "location": "https://new.test/rest/"}])

    assert client.start().headers["Location"] == "http://renamed.invalid/rest/"
    assert client.start().headers["Location"] == "https://new.test/rest/"


@pytest.mark.parametrize(("fault", "seconds"), [({}, 1), ({"seconds": 70}, 70)])
def test_a_slow_answer_comes_late_but_is_right(client, clock, fault, seconds):
    client.order("faults", {"kind": "slow", **fault})
    before = clock.now

    assert client.start().json()["result"] == client.started()[0]["id"]
    assert clock.now - before == seconds


def test_whether_a_fault_is_executed_can_be_turned_round(client):
    client.order("faults", [{"kind": "html_502", "executed": True}, {"kind": "not_json", "executed": False}])

    client.start(), client.start()

    assert len(client.started()) == 1


def test_a_fault_hits_as_often_as_it_was_ordered(client):
    client.order("faults", {"kind": "html_502", "times": 2})

    assert [client.start().status_code for _ in range(3)] == [502, 502, 200]


def test_faults_take_their_turns(client):
    client.order("faults", [{"kind": "html_502"}, {"kind": "html_503"}])
    client.order("faults", {"kind": "html_504"})

    assert [client.start().status_code for _ in range(4)] == [502, 503, 504, 200]


def test_a_share_hits_that_part_of_requests_until_the_reset(client):
    client.order("settings", {"rate": None})
    client.order("faults", {"kind": "html_502", "share": 0.25})

    hits = sum(client.call("profile").status_code == 502 for _ in range(200))

    assert 25 <= hits <= 75


def test_a_share_of_one_hits_always(client):
    client.order("faults", {"kind": "html_502", "share": 1})

    assert {client.call("profile").status_code for _ in range(5)} == {502}


def test_a_fault_may_be_confined_to_a_method(client):
    client.order("faults", {"kind": "html_502", "method": "BizProc.Workflow.Start"})

    assert client.call("profile").status_code == 200
    assert client.start().status_code == 502


def test_a_batch_is_hit_as_one_request_whatever_is_in_it(client):
    client.order("faults", [{"kind": "html_502", "method": "batch"}, {"kind": "html_503", "method": "profile"}])
    commands = {"cmd": {"e": "profile"}}

    assert client.call("batch", commands).status_code == 502
    assert client.call("batch", commands).status_code == 200


def test_a_fault_comes_before_any_check(client):
    client.order("faults", {"kind": "html_502"})

    assert client.call("no.such.method", secret="wrong").status_code == 502


def test_faults_leave_the_sandboxs_own_addresses_and_the_token_server_alone(client):
    client.order("faults", {"kind": "html_502", "share": 1})

    assert client.session.get(f"{client.url}/sandbox/faults", timeout=5).json() == [{"kind": "html_502", "share": 1}]
    assert client.session.get(f"{client.url}/oauth/token/", timeout=5).status_code == 400


def test_what_is_left_of_a_fault_can_be_read_and_taken_back(client):
    client.order("faults", {"kind": "error", "code": "X", "times": 3, "method": "profile"})
    client.call("profile")
    address = f"{client.url}/sandbox/faults"

    left = client.session.get(address, timeout=5).json()
    client.session.delete(address, timeout=5)

    assert left == [{"kind": "error", "times": 2, "method": "profile", "code": "X"}]
    assert client.call("profile").status_code == 200


@pytest.mark.parametrize(
    ("order", "complaint"),
    [
        ({}, 'a fault is an object whose "kind" is one of'),
        ({"kind": "nonsense"}, 'a fault is an object whose "kind" is one of'),
        ({"kind": ["slow"]}, 'a fault is an object whose "kind" is one of'),
        ("slow", 'a fault is an object whose "kind" is one of'),
        ({"kind": "slow", "times": 0}, '"times" must be a whole number'),
        ({"kind": "slow", "times": True}, '"times" must be a whole number'),
        ({"kind": "slow", "share": 0}, '"share" must be a number above 0'),
        ({"kind": "slow", "share": 1.5}, '"share" must be a number above 0'),
        ({"kind": "slow", "share": "all"}, '"share" must be a number above 0'),
        ({"kind": "slow", "times": 1, "share": 1}, 'give "times" or "share", not both'),
        ({"kind": "slow", "method": 5}, '"method" must be the name'),
        ({"kind": "slow", "seconds": -1}, '"seconds" must be a number'),
        ({"kind": "slow", "seconds": "5"}, '"seconds" must be a number'),
        ({"kind": "slow", "status": 500}, "fault 'slow' has no key 'status'"),
        ({"kind": "drop_before", "executed": True}, "fault 'drop_before' has no key 'executed'"),
        ({"kind": "html_502", "executed": "yes"}, '"executed" must be true or false'),
        ({"kind": "error"}, "fault 'error' needs the key 'code'"),
        ({"kind": "error", "code": 5}, '"code" must be a text'),
        ({"kind": "error", "code": "X", "status": 99}, '"status" must be a whole number'),
    ],
)
def test_an_order_that_cannot_be_used_is_answered_with_400_and_the_reason(client, order, complaint):
    response = client.order("faults", [{"kind": "html_502"}, order])

    assert response.status_code == 400
    assert response.json()["error"].startswith(complaint)
    assert client.start().status_code == 200  # nothing of the list is in force


def test_a_fault_of_commands_strikes_a_method_alone_and_in_batches(client):
    client.order("faults", {"kind": "command_error", "method": "crm.item.add", "code": "ACCESS_DENIED", "times": 2})
    add = "crm.item.add?entityTypeId=1&fields[title]=x"

    alone = client.add({})
    sections = client.call("batch", {"cmd": {"a": add, "b": "profile", "c": add}}).json()["result"]

    assert (alone.status_code, alone.json()["error"]) == (403, "ACCESS_DENIED")
    assert sections["result_error"] == {"a": {"error": "ACCESS_DENIED", "error_description": "Access denied!"}}
    assert set(sections["result"]) == {"b", "c"}
    assert len(client.made()) == 1


@pytest.mark.parametrize("code", CRM_ERRORS)
def test_the_errors_of_the_crm_have_their_texts(client, code):
    client.order("faults", {"kind": "command_error", "code": code})

    response = client.add({})

    assert response.status_code == CRM_ERRORS[code].source
    assert response.json() == {"error": code, "error_description": CRM_ERRORS[code].description}


def test_a_fault_of_any_command_leaves_the_batch_itself_alone(client):
    client.order("faults", {"kind": "command_error", "code": "ACCESS_DENIED"})

    sections = client.call("batch", {"cmd": {"a": "profile", "b": "profile"}}).json()["result"]

    assert (set(sections["result_error"]), set(sections["result"])) == ({"a"}, {"b"})


def test_a_command_may_be_executed_and_fail_nevertheless(client):
    client.order("faults", {"kind": "command_error", "code": "ERROR_CORE", "description": "late", "executed": True})

    assert client.add({}).json() == {"error": "ERROR_CORE", "error_description": "late"}
    assert len(client.made()) == 1


@pytest.mark.parametrize("method", ["crm.item.add", "crm.item.import", "crm.duplicate.findbycomm", "user.get"])
def test_faults_strike_the_methods_of_the_crm(client, method):
    client.order("faults", {"kind": "cut", "method": method})

    assert client.call(method, {"entityTypeId": 1, "fields": {}}).status_code == 504
    assert client.call("profile").status_code == 200


def test_what_was_cut_after_it_was_made_is_there(client):
    client.order("faults", {"kind": "drop_after_start", "method": "crm.item.add"})
    own = {"originatorId": "relay", "originId": "dlv_1/lead"}

    with pytest.raises(LOST):
        client.add(own)

    found = client.call("crm.item.list", {"entityTypeId": 1, "filter": {"=originId": own["originId"]}}).json()
    assert found["total"] == 1
