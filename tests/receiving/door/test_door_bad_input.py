"""Whatever is sent to the door: a clear refusal or a receipt, never an error of ours."""

from __future__ import annotations

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from relay.core.lifecycle import EventState
from relay.store.record.search import Filter, list_events
from tests.support.senders import JSON, SEED, dump, website

FORM = "application/x-www-form-urlencoded"
MULTIPART = (
    b'--x\r\nContent-Disposition: form-data; name="lead[id]"\r\n\r\n1\r\n'
    b'--x\r\nContent-Disposition: form-data; name="user"\r\n\r\n1\r\n--x--\r\n'
)
NESTED = b"[" * 1000 + b"]" * 1000
MANY_KEYS = json.dumps(dict.fromkeys(map(str, range(100_000)), 1)).encode()

BAD = [
    ("broken JSON", JSON, b'{"lead": ', 400, "not valid JSON"),
    ("words after the JSON", JSON, b"{} {}", 400, "not valid JSON"),
    ("no body", JSON, b"", 400, "no body"),
    ("a blank body", JSON, b" ", 400, "not valid JSON"),
    ("NaN", JSON, b'{"lead": NaN}', 400, "NaN"),
    ("a number beyond all numbers", JSON, b'{"lead": 1e999}', 400, "too large"),
    ("a number of a million digits", JSON, b'{"lead": ' + b"1" * 999_000 + b"}", 400, "not valid JSON"),
    ("a thousand levels", JSON, NESTED, 400, "deeper than"),
    ("a thousand levels of maps", JSON, b'{"a":' * 1000 + b"1" + b"}" * 1000, 400, "deeper than"),
    ("a hundred thousand levels", JSON, b"[" * 100_000, 400, "deeper than"),
    ("a hundred thousand keys", JSON, MANY_KEYS[:900_000].rpartition(b",")[0] + b"}", 400, "more than"),
    ("a NUL byte", JSON, b'{"lead": "\x00"}', 400, "NUL"),
    ("an escaped NUL", JSON, b'{"lead": "\\u0000"}', 400, "NUL"),
    ("half a surrogate pair", JSON, b'{"lead": "\\ud800"}', 400, "surrogate"),
    ("half a surrogate pair in a key", JSON, b'{"\\udfff": 1}', 400, "surrogate"),
    ("a surrogate in bytes", JSON, b'{"lead": "\xed\xa0\x80"}', 400, "charset"),
    ("bytes that are no UTF-8", JSON, b'{"lead": "\xff\xfe"}', 400, "charset"),
    ("an unknown charset", f"{JSON}; charset=zip", b"{}", 400, "charset"),
    ("a form of invalid UTF-8", FORM, b"lead=%FF", 400, "charset"),
    ("a form with NUL", FORM, b"lead=%00", 400, "NUL"),
    ("a form of too many fields", FORM, b"a=1&" * 10_001, 400, "more than"),
    ("a form that is too deep", FORM, b"a" + b"[a]" * 100 + b"=1", 400, "deeper than"),
    ("a multipart form without a boundary", "multipart/form-data", b"--x--", 400, "boundary"),
    ("a multipart form cut short", "multipart/form-data; boundary=x", b"--x\r\n", 400, "boundary"),
    ("neither a content type nor anything known", "", b"hello", 415, "no content type"),
    ("broken JSON without a content type", "", b'{"lead": ', 400, "line 1, column 10"),
    ("a template that made no JSON", "text/plain", b'{"lead": "1",\n "user": }', 400, "line 2, column 10"),
    ("JSON in lines", JSON, b'{"lead": 1}\n{"lead": 2}', 400, "sent as one list"),
    ("JSON in lines, by its name", "application/x-ndjson", b'{"lead": 1}\n', 415, "one list"),
    ("XML", "application/xml", b"<lead/>", 415, "expected JSON"),
    ("XML by its suffix", "application/atom+xml; charset=utf-8", b"<lead/>", 415, "xml: true"),
    ("SOAP", "application/soap+xml", b"<lead/>", 415, "xml: true"),
    ("a page", "text/html", b"<html></html>", 415, "a page is not read"),
    ("protobuf", "application/x-protobuf", b"\x08\x01", 415, "set the sender to JSON"),
    ("a picture", "image/png", b"\x89PNG", 415, "expected JSON"),
    ("a body of 2 MB", JSON, b'{"a": "' + b"x" * 2_000_000 + b'"}', 413, "at most 1000000 bytes"),
    ("one byte too many", JSON, b" " * 1_000_001, 413, "at most 1000000 bytes"),
]


@pytest.fixture
def client(app):
    return app.test_client()


def is_problem(answer, status):
    """Whether this is an RFC 9457 answer with this status and nothing that a sender should not learn."""
    problem = answer.get_json(force=True)
    return (
        answer.status_code == status
        and answer.content_type == "application/problem+json"
        and problem["status"] == status
        and problem["type"] == "about:blank"
        and bool(problem["title"])
        and bool(problem["detail"])
        and set(problem) <= {"type", "title", "status", "detail", "code", "errors", "codes", "event_id"}
    )


@pytest.mark.parametrize(("content_type", "body", "status", "words"), [row[1:] for row in BAD], ids=[r[0] for r in BAD])
def test_the_door_refuses_what_it_cannot_read_and_says_why(client, content_type, body, status, words):
    answer = client.post("/hooks/website", data=body, headers=website(content_type))

    assert is_problem(answer, status)
    assert words in answer.get_json()["detail"]


@pytest.mark.parametrize(("content_type", "body", "status"), [row[1:4] for row in BAD], ids=[r[0] for r in BAD])
def test_what_cannot_be_read_is_kept_as_rejected_unless_it_was_never_read(client, record, content_type, body, status):
    client.post("/hooks/website", data=body, headers=website(content_type))

    kept = [row.event for row in list_events(record, Filter()).rows]
    if status == 413:
        assert kept == []
        return
    (event,) = kept
    assert (event.state, event.body, event.deliveries) == (EventState.REJECTED, body, ())
    assert event.reason
    assert record.counts().imbalances == []


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        (JSON, b'{"lead": {"id": 9007199254740993}, "user": 1, "deep": ' + b"[" * 60 + b"]" * 60 + b"}"),
        (f"{JSON}; charset=utf-8", dump(SEED)),
        ("application/vnd.shop+json", dump(SEED)),
        ("text/plain", dump(SEED)),
        ("", dump(SEED)),
        ("", b"lead[id]=1&user=1"),
        (FORM, dump(SEED)),
        (JSON, b"\xef\xbb\xbf" + dump(SEED)),
        (JSON, b'{"lead": {"id": 1}, "user": 1, "text": "\\ud83d\\ude00 \xf0\x9f\x98\x80"}'),
        (JSON, b'{"lead": {"id": 1}, "user": 1, "n": 1e308, "d": 1, "d": 2}'),
        (FORM, b"lead[id]=1&user=1"),
        ("multipart/form-data; boundary=x", MULTIPART),
        (JSON, dump(SEED) + b" " * (1_000_000 - len(dump(SEED)))),
    ],
)
def test_the_door_accepts_what_is_odd_but_right(client, content_type, body):
    answer = client.post("/hooks/website", data=body, headers=website(content_type))

    assert (answer.status_code, answer.get_json()["state"]) == (200, "accepted")


@pytest.mark.parametrize("body", [b"[]", b"null", b"0", b'"text"', b"[[{}]]", b'{"lead": [], "user": {"a": 1}}', b"{}"])
def test_json_that_no_rule_wants_is_kept_as_ignored(client, record, body):
    answer = client.post("/hooks/website", data=body, headers=website())

    assert (answer.status_code, answer.get_json()["state"], answer.get_json()["deliveries"]) == (200, "ignored", [])
    assert record.event(answer.get_json()["event_id"]).body == body


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS"])
def test_another_method_is_refused_with_those_that_are_allowed(client, method):
    answer = client.open("/hooks/website", method=method, headers=website())

    assert answer.status_code == 405
    assert answer.headers["Allow"] == "POST"
    assert method == "HEAD" or is_problem(answer, 405)


def test_a_source_that_takes_get_reads_its_query(client, record):
    answer = client.get("/hooks/in-query?token=website-token-of-the-test&id=7")

    (delivery,) = record.deliveries(answer.get_json()["deliveries"])
    assert delivery.call.document_id[2] == "LEAD_7"
    assert record.event(answer.get_json()["event_id"]).query == "id=7"


@pytest.mark.parametrize("query", ["a=%00", "a" + "[b]" * 100 + "=1"])
def test_a_query_that_cannot_be_read_is_refused(client, query):
    answer = client.post(f"/hooks/website?{query}", data=dump(SEED), headers=website())

    assert is_problem(answer, 400)


@pytest.mark.parametrize("source", ["nobody", "Website", "website%00", "%FF", "x" * 3000])
def test_an_unknown_source_is_not_found_whatever_is_sent(client, record, source):
    answer = client.post(f"/hooks/{source}", data=b"{", headers=website())

    assert is_problem(answer, 404)
    assert answer.get_json()["detail"] == "not found"
    assert record.counts().total_events == 0


@pytest.mark.parametrize(
    "path", ["/hooks", "/hooks/", "/hooks/website/", "/hooks/website/more", "/hooks/..%2Fwebsite", "/api/v9/x"]
)
def test_an_address_that_is_none_is_answered_as_a_problem(client, path):
    answer = client.post(path, data=dump(SEED), headers={**website(), "Accept": JSON})

    assert is_problem(answer, 404)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"lead": {"id": "x"}, "user": 1}, "lead_id"),
        ({"lead": {"id": -1}, "user": 1}, "lead_id"),
        ({"lead": {"id": 1.5}, "user": 1}, "lead_id"),
        ({"lead": {"id": True}, "user": 1}, "lead_id"),
        ({"lead": {"id": ["1"]}, "user": 1}, "lead_id"),
        ({"lead": {"id": 1}, "user": "nobody"}, "user"),
        ({"document": "deal"}, "id"),
        ({"document": "deal", "id": None}, "id"),
        ({"document": "deal", "id": 1, "email": "not-an-address"}, "email"),
        ({"form": "demo", "lead": {"id": 1}, "phone": "12"}, "phone"),
    ],
)
def test_a_value_that_does_not_fit_is_named_and_the_event_is_kept(client, record, body, field):
    answer = client.post("/hooks/website", data=dump(body), headers=website())

    assert is_problem(answer, 422)
    assert list(answer.get_json()["errors"]) == [field]
    event = record.event(answer.get_json()["event_id"])
    assert (event.state, event.reason) == (EventState.REJECTED, "rule_not_filled")
    assert event.errors == answer.get_json()["errors"]
    assert event.body == dump(body)
    assert record.counts().imbalances == []


def test_an_error_by_field_never_repeats_the_value(client):
    answer = client.post("/hooks/website", data=dump({"document": "deal", "id": "4111-secret"}), headers=website())

    assert answer.status_code == 422
    assert "4111" not in answer.text


def test_a_source_may_want_success_even_for_what_no_rule_could_use(client, record):
    answer = client.post("/hooks/lenient", data=b'{"id": "x"}', headers={"Content-Type": JSON})

    assert (answer.status_code, answer.get_json()["state"]) == (202, "rejected")
    assert record.event(answer.get_json()["event_id"]).errors


@settings(max_examples=75, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    content_type=st.sampled_from(
        [JSON, FORM, "multipart/form-data; boundary=x", "text/plain", f"{JSON}; charset=utf-16"]
    ),
    body=st.binary(max_size=200)
    | st.text(max_size=100).map(lambda text: text.encode("utf-8", "surrogatepass"))
    | st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["lead", "id", "user"]), inner),
        max_leaves=8,
    ).map(lambda content: json.dumps(content).encode()),
)
def test_no_bytes_make_the_door_fail(client, content_type, body):
    answer = client.post("/hooks/website", data=body, headers=website(content_type))

    assert answer.status_code in {200, 400, 422}
