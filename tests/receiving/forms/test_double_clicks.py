"""A form that is sent with two clicks is one event, and the same form filled in again later is another."""

from __future__ import annotations

import pytest

from tests.support.configs import rule_of
from tests.support.waiting import until

FORM = "application/x-www-form-urlencoded"
MULTIPART = '--{0}\r\nContent-Disposition: form-data; name="name"\r\n\r\nAda\r\n--{0}--\r\n'


def form(**more):
    return {"verify": {"kind": "none"}, "double_click": "10s", **more}


@pytest.fixture
def client(relay):
    sources = {
        "form": form(),
        "short": form(double_click="300ms"),
        "by-id": form(dedup={"from": "body.id", "window": "1h"}),
        "query": form(methods=["GET"]),
        "entries": form(each="body.items"),
    }
    return relay(sources, [rule_of(name, name="body.name") for name in sources])


def duplicates(client, name, *bodies, **options):
    answers = [client.post(f"/hooks/{name}", data=body, **{"content_type": FORM, **options}) for body in bodies]
    return [answer.get_json()["duplicate"] for answer in answers]


def test_the_same_content_within_the_window_is_a_duplicate_and_other_content_is_not(client):
    assert duplicates(client, "form", "name=Ada", "name=Ada", "name=Eve", "name=Ada") == [False, True, False, True]


def test_after_the_window_the_same_content_is_another_event(client):
    assert duplicates(client, "short", "name=Ada", "name=Ada") == [False, True]
    until(lambda: duplicates(client, "short", "name=Ada") == [False], "the window to be over", 5)


def test_the_boundary_of_a_browser_makes_no_other_content(client):
    posts = [
        client.post(
            "/hooks/form", data=MULTIPART.format(boundary), content_type=f"multipart/form-data; boundary={boundary}"
        )
        for boundary in ("x1", "y2")
    ]

    assert [answer.get_json()["duplicate"] for answer in posts] == [False, True]


def test_where_dedup_finds_a_key_only_that_counts(client):
    assert duplicates(client, "by-id", "id=1&name=Ada", "id=2&name=Ada", "id=1&name=Eve") == [False, False, True]
    assert duplicates(client, "by-id", "name=Ada", "name=Ada", "id=&name=Ada") == [False, True, False]


def test_of_a_form_that_is_sent_by_get_the_query_is_the_content(client):
    answers = [client.get(f"/hooks/query?name={name}").get_json() for name in ("Ada", "Ada", "Eve")]

    assert [answer["duplicate"] for answer in answers] == [False, True, False]


def test_of_a_get_the_query_is_the_body_that_is_compared(relay):
    source = {"verify": {"kind": "none"}, "methods": ["GET", "POST"], "dedup": {"body": True}}
    client = relay({"get": source}, [rule_of("get", name="body.order")])

    answers = [client.get(f"/hooks/get?order={order}").get_json() for order in (1, 1, 2)]
    bare = [client.get("/hooks/get").get_json()["duplicate"] for _ in range(2)]

    assert [answer["duplicate"] for answer in answers] == [False, True, False]
    assert bare == [False, False]


def test_two_entries_that_are_the_same_in_one_batch_are_one(client):
    told = client.post("/hooks/entries", json={"items": [{"name": "Ada"}, {"name": "Ada"}, {"name": "Eve"}]}).get_json()

    assert [one["duplicate"] for one in told["events"]] == [False, True, False]


def test_another_source_has_clicks_of_its_own(client):
    assert duplicates(client, "form", "name=Ada") + duplicates(client, "by-id", "name=Ada") == [False, False]
