"""Scripts of the pages that a source names may send and read every answer; those of all others may not."""

from __future__ import annotations

import pytest

from relay.core.lifecycle import EventState
from relay.store.record.search import Filter, list_events
from tests.support.forms import FILLED, SITE, copy_config_with_forms
from tests.support.senders import website

FOREIGN = (
    "null",
    "http://site.example",
    "https://site.example:443",
    "https://site.example.evil",
    "https://www.site.example",
    "HTTPS://SITE.EXAMPLE",
    "https://site.example/",
    "https://site.example, https://evil.example",
    "https://evil.example",
    "*",
    "",
)
ASKED = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type"}
ALLOWED = "Access-Control-Allow-Origin"


@pytest.fixture(scope="module")
def with_forms(make_app, shared_valkey, tmp_path_factory):
    return make_app(shared_valkey, config=copy_config_with_forms(tmp_path_factory.mktemp("cors")))


@pytest.fixture
def client(with_forms, valkey):
    return with_forms.test_client()


def events(record):
    return [row.event for row in list_events(record, Filter()).rows]


def test_a_preflight_says_with_what_a_script_may_send(client, record):
    answer = client.options("/hooks/scripted", headers={"Origin": SITE, **ASKED})

    assert (answer.status_code, answer.data) == (204, b"")
    assert answer.headers[ALLOWED] == SITE
    assert answer.headers["Access-Control-Allow-Methods"] == "POST, PUT"
    assert answer.headers["Access-Control-Allow-Headers"] == "content-type, x-relay-token, x-submission"
    assert answer.headers["Access-Control-Max-Age"] == "600"
    assert answer.vary == {"Origin"} or "origin" in answer.vary
    assert events(record) == []


def test_every_origin_of_a_source_is_answered_with_itself(client):
    for origin in (SITE, "https://www.site.example:8443"):
        assert client.options("/hooks/scripted", headers={"Origin": origin, **ASKED}).headers[ALLOWED] == origin


def test_no_answer_names_all_or_lets_cookies_along(client):
    answers = [
        client.options("/hooks/contact", headers={"Origin": SITE, **ASKED}),
        client.post("/hooks/contact", json=FILLED, headers={"Origin": SITE}),
        client.post("/hooks/contact", json=FILLED),
        client.post("/hooks/open-form", json={}, headers={"Origin": SITE}),
    ]

    assert [answer.headers.get(ALLOWED) for answer in answers] == [SITE, SITE, None, None]
    assert not [answer for answer in answers if "Access-Control-Allow-Credentials" in answer.headers]


def test_an_answer_is_kept_apart_by_origin(client):
    assert "Origin" in client.post("/hooks/contact", json=FILLED).headers["Vary"]
    assert "Vary" not in client.post("/hooks/open-form", json={}, headers={"Origin": SITE}).headers


@pytest.mark.parametrize("origin", FOREIGN)
def test_a_page_of_another_site_is_no_sender_of_a_form(client, record, origin):
    answer = client.post("/hooks/contact", data=FILLED, headers={"Origin": origin, "Accept": "text/html"})

    assert (answer.status_code, answer.mimetype) == (403, "text/html")
    assert ALLOWED not in answer.headers
    (event,) = events(record)
    assert (event.state, event.reason) == (EventState.REFUSED, "origin")
    assert (event.body, event.headers, event.query) == (b"", {}, "")


@pytest.mark.parametrize("origin", FOREIGN)
def test_a_script_of_another_site_may_not_even_try(client, record, origin):
    answer = client.options("/hooks/contact", headers={"Origin": origin, **ASKED})

    assert answer.status_code == 403
    assert ALLOWED not in answer.headers
    (event,) = events(record)
    assert (event.reason, event.method) == ("origin", "OPTIONS")


@pytest.mark.parametrize("origin", FOREIGN)
def test_where_no_form_is_expected_a_foreign_script_is_only_not_let_in_on_the_answer(client, origin):
    asked = client.options("/hooks/scripted", headers={"Origin": origin, **ASKED})
    sent = client.post("/hooks/scripted", json=FILLED, headers={**website(), "Origin": origin})

    assert (asked.status_code, sent.status_code) == (405, 200)
    assert ALLOWED not in asked.headers
    assert ALLOWED not in sent.headers


def test_who_says_nothing_of_an_origin_is_no_browser_and_sends(client):
    assert client.post("/hooks/contact", json=FILLED).status_code == 200


@pytest.mark.parametrize(
    ("status", "send"),
    [
        (200, {"json": FILLED}),
        (400, {"data": b"{", "content_type": "application/json"}),
        (405, {"json": FILLED, "method": "PUT"}),
        (413, {"data": b"x" * 3000}),
        (415, {"data": b"x", "content_type": "image/png"}),
        (422, {"json": {}}),
    ],
)
def test_a_script_can_read_every_answer(client, status, send):
    answer = client.open("/hooks/contact", **{"method": "POST", "headers": {"Origin": SITE}, **send})

    assert (answer.status_code, answer.headers.get(ALLOWED)) == (status, SITE)


def test_a_script_can_read_that_it_is_not_verified(client):
    assert client.post("/hooks/scripted", json=FILLED, headers={"Origin": SITE}).headers[ALLOWED] == SITE


def test_a_script_can_read_when_to_come_again(client, with_forms, valkey, monkeypatch):
    valkey.make_read_only()
    away = client.post("/hooks/contact", json=FILLED, headers={"Origin": SITE})
    valkey.make_fresh()
    monkeypatch.setattr(with_forms.extensions["services"].ingest._pauses, "sit_out", lambda *_, **__: 7)
    limited = client.post("/hooks/contact", json=FILLED, headers={"Origin": SITE})

    assert [answer.status_code for answer in (away, limited)] == [503, 429]
    assert {answer.headers[ALLOWED] for answer in (away, limited)} == {SITE}
    assert {answer.headers["Access-Control-Expose-Headers"] for answer in (away, limited)} == {"Retry-After"}


def test_an_options_that_is_no_preflight_is_a_method_like_others(client):
    assert client.options("/hooks/contact", headers={"Origin": SITE}).status_code == 405
