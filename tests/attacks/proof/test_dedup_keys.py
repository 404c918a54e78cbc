"""The same event twice is one, and nothing else is: no key of nothing, none that a stranger may take, none made new."""

from __future__ import annotations

import pytest

from relay.configuration.expressions import Expression
from relay.core.lifecycle import EventState
from relay.sources.events import Dedup
from tests.support.senders import JSON, SEED, dump, github, website

NOTHINGS = [
    None,
    "",
    "  ",
    "\t\n",
    [],
    {},
    [None, None],
    [None, ""],
    [[]],
    [[], [None, {"a": " "}]],
    {"a": None, "b": []},
    False,
    True,
    [False, None],
]
SOMETHINGS = [0, "0", "a", [0], [None, "a"], {"a": None, "b": 1}, [[], ["x"]], 0.0]


def key(found, header=""):
    context = {"body": found, "headers": {"x-id": header}}
    return Dedup(expression=Expression.parse("body", None)).key("one", context, b""), Dedup(header="x-id").key(
        "one", context, b""
    )


@pytest.mark.parametrize("found", NOTHINGS, ids=repr)
def test_nothing_is_no_key(found):
    assert key(found)[0] is None


@pytest.mark.parametrize("found", SOMETHINGS, ids=repr)
def test_a_value_is_a_key_even_where_others_beside_it_are_missing(found):
    assert key(found)[0] is not None


@pytest.mark.parametrize("header", ["", " ", "\t "])
def test_a_blank_header_is_no_key(header):
    assert key(None, header)[1] is None


def test_different_keys_are_different_things():
    keys = [key(found)[0] for found in SOMETHINGS]

    assert len({one for one in keys if one}) >= len(SOMETHINGS) - 1  # 0 and "0" may mean the same


BOUNDARY = "multipart/form-data; boundary="
PART = '--{0}\r\nContent-Disposition: form-data; name="a"\r\n\r\n{1}\r\n--{0}--'


def whole(content_type, body):
    return Dedup(whole_body=True).key("one", {"headers": {"content-type": content_type}}, body.encode())


@pytest.mark.parametrize(
    "content_type", [JSON, "text/plain", "application/x-www-form-urlencoded", "application/a+json"]
)
def test_a_boundary_where_none_belongs_makes_no_other_event_of_a_captured_body(content_type):
    body = '{"id": 1, "note": "id"}'

    assert whole(content_type, body) == whole(f'{content_type}; boundary="id"', body)


def test_the_boundary_of_a_form_makes_no_other_event_of_it():
    assert whole(f"{BOUNDARY}x1", PART.format("x1", "v")) == whole(f"{BOUNDARY}y22", PART.format("y22", "v"))
    assert whole(f"{BOUNDARY}x1", PART.format("x1", "v")) != whole(f"{BOUNDARY}x1", PART.format("x1", "w"))


def test_a_boundary_that_stands_in_a_value_does_not_make_two_events_one():
    assert whole(f"{BOUNDARY}x1", PART.format("x1", "x1v")) != whole(f"{BOUNDARY}x1", PART.format("x1", "v"))


@pytest.fixture
def client(app):
    return app.test_client()


def test_a_captured_body_with_another_content_type_starts_nothing_twice(client, record):
    first = client.post("/hooks/lenient", data=dump({"id": 5}), headers={"Content-Type": JSON}).get_json()
    again = client.post("/hooks/lenient", data=dump({"id": 5}), headers={"Content-Type": f"{JSON}; boundary=id"})

    assert (first["duplicate"], again.get_json()["duplicate"]) == (False, True)
    assert record.counts().total == 1


@pytest.mark.parametrize("body", [{"id": "none"}, {"other": 1}])
def test_what_fits_no_rule_takes_no_key_even_where_it_is_answered_with_a_success(client, record, body):
    receipts = [
        client.post("/hooks/lenient", data=dump(body), headers={"Content-Type": JSON}).get_json() for _ in range(2)
    ]

    assert [(receipt["duplicate"], receipt["deliveries"]) for receipt in receipts] == [(False, [])] * 2
    assert record.counts().total == 0


def test_an_event_that_no_rule_wanted_does_not_stand_in_the_way_of_the_one_that_is(client, record):
    unwanted = dump({"submission_id": "s-1", "other": 1})
    wanted = dump({**SEED, "submission_id": "s-1"})

    assert client.post("/hooks/website", data=unwanted, headers=website()).get_json()["state"] == EventState.IGNORED
    real = client.post("/hooks/website", data=wanted, headers=website()).get_json()
    repeat = client.post("/hooks/website", data=wanted, headers=website()).get_json()

    assert (real["state"], real["duplicate"]) == (EventState.ACCEPTED, False)
    assert (repeat["event_id"], repeat["duplicate"]) == (real["event_id"], True)
    assert record.counts().total == 1


def test_a_repeat_of_what_no_rule_wanted_starts_nothing(client, record):
    body = dump({"action": "opened", "issue": {"number": 1}})
    headers = github(body, "nothing-we-know", "d-1")

    states = [client.post("/hooks/github", data=body, headers=headers).get_json()["state"] for _ in range(2)]

    assert states == [EventState.IGNORED] * 2
    assert record.counts().total == 0
