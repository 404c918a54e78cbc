"""A workflow whose end is watched for: its address, what a call of it does, and where the end is seen."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest

from relay.core.events import CallbackState
from relay.core.ids import utc_now
from relay.core.lifecycle import State
from relay.store import Store
from tests.support.ends import path_of, post_watched, start
from tests.support.folders import READ_TOKEN, WEB_SECRETS
from tests.support.making import claim_one
from tests.support.senders import dump, website
from tests.watching.conftest import SAME, enter
from tests.watching.events.test_pages import page

ACTIVITY = {"document_id[0]": "crm", "document_id[1]": "CCrmDocumentLead", "document_id[2]": "LEAD_1"}
API = {"Authorization": f"Bearer {WEB_SECRETS['RELAY_API_TOKEN']}"}
READING = {"Authorization": f"Bearer {READ_TOKEN}"}


@pytest.fixture
def app(watching_app, valkey):
    return watching_app


@pytest.fixture
def delivery(app, record):
    return post_watched(app, record)


@pytest.fixture
def endings(redis):
    return Store(redis).endings


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_call_of_the_address_says_ok_and_notes_the_end_with_what_came(app, record, delivery, method):
    start(record, delivery)
    data = ACTIVITY if method == "POST" else None

    answer = app.test_client().open(f"{path_of(delivery)}?s=ok&v=1", method=method, data=data)

    assert (answer.status_code, answer.text, answer.mimetype) == (200, "ok\n", "text/plain")
    found = record.delivery(delivery.id).watched
    assert (found.state, found.query) == (CallbackState.FINISHED, "s=ok&v=1")
    assert found.document_id == (tuple(ACTIVITY.values()) if data else ())


def test_a_replay_has_an_address_of_its_own_and_the_old_one_ends_the_old_one_only(app, record, delivery):
    record.settle(claim_one(record, delivery), State.DEAD, utc_now(), reason="budget_spent")
    answer = app.test_client().post(f"/api/v1/deliveries/{delivery.id}/replay", json={}, headers=API)
    fresh = record.delivery(answer.json["id"])
    assert fresh.watched.address != delivery.watched.address

    app.test_client().post(path_of(delivery))

    assert record.delivery(delivery.id).watched.state is CallbackState.FINISHED
    assert record.delivery(fresh.id).watched.state is CallbackState.WAITING
    assert record.delivery(fresh.id).state is State.PENDING


def test_the_page_tells_that_it_waits_then_that_it_ended_and_with_what_masked(app, operator, record, delivery):
    start(record, delivery, ago=timedelta(minutes=3))
    before = " ".join(page(operator, f"/events/{delivery.event_id}").text.split())
    assert "its end is awaited until" in before
    assert "The start carries a one-time address in RelayCallback." in before

    app.test_client().post(f"{path_of(delivery)}?s=ok&mail=bob%40example.com", data=ACTIVITY)

    after = " ".join(page(operator, f"/events/{delivery.event_id}").text.split())
    assert "finished after 3 min with s=ok&mail=b•••@e•••.com, on crm · CCrmDocumentLead · LEAD_1" in after
    assert "Nothing more: the workflow has come to its end." in after


def test_the_list_tells_the_end_without_its_values(app, operator, record, delivery):
    start(record, delivery, ago=timedelta(minutes=3))
    app.test_client().get(f"{path_of(delivery)}?s=very-good")

    shown = page(operator, "/events").text

    assert "finished after 3 min" in shown
    assert "very-good" not in shown


def test_the_address_is_on_no_page_in_no_export_and_in_no_answer_of_the_api(app, operator, record, delivery):
    start(record, delivery)
    token = path_of(delivery).removeprefix("/done/")
    client = app.test_client()
    operator.post(f"/events/{delivery.event_id}/reveal", headers=SAME)
    paths = [f"/events/{delivery.event_id}", "/events", "/deliveries.csv", "/deliveries.jsonl"]
    paths += ["/events.csv", f"/deliveries/{delivery.id}/acts/replay", "/log"]
    texts = [operator.get(path, headers=SAME).text for path in paths]
    for name in (f"deliveries/{delivery.id}", "deliveries", "events", f"events/{delivery.event_id}"):
        texts += [client.get(f"/api/v1/{name}", headers=headers).text for headers in (API, READING)]

    assert all(texts)
    assert [text for text in texts if token in text] == []


def test_the_api_tells_the_end_and_masks_its_query_for_who_only_reads(app, record, delivery):
    found = start(record, delivery)
    app.test_client().post(f"{path_of(delivery)}?mail=bob%40example.com", data=ACTIVITY)

    client, path = app.test_client(), f"/api/v1/deliveries/{delivery.id}"
    wire, masked = (client.get(path, headers=headers).json["watch"] for headers in (API, READING))

    finished_at = wire.pop("finished_at")
    assert finished_at >= found.updated_at.isoformat(timespec="milliseconds")
    assert wire == {
        "within_s": 3600,
        "until": found.watched.until.isoformat(timespec="milliseconds"),
        "state": "finished",
        "query": "mail=bob%40example.com",
        "document_id": list(ACTIVITY.values()),
    }
    assert masked["query"] == "mail=b•••@e•••.com"


def test_what_is_overdue_is_a_need_a_metric_and_a_filter_until_it_is_left(app, operator, record, delivery, endings):
    start(record, delivery, ago=timedelta(hours=2))
    endings.note_overdue(utc_now())

    front = operator.get("/", headers=SAME).text
    assert "1 workflow has not told of its end" in front
    assert "/events?watch=overdue" in front
    metrics = app.test_client().get("/metrics", headers=API).text
    assert "relay_overdue 1.0" in metrics
    assert 'relay_needs{code="overdue"} 1.0' in metrics
    assert delivery.event_id in page(operator, "/events?watch=overdue").text
    listed = app.test_client().get("/api/v1/deliveries?watch=overdue", headers=API).json["deliveries"]
    assert [one["id"] for one in listed] == [delivery.id]
    assert "overdue since" in page(operator, f"/events/{delivery.event_id}").text

    assert "Leave it" in operator.get(f"/deliveries/{delivery.id}/acts/leave-overdue", headers=SAME).text
    left = operator.post(f"/deliveries/{delivery.id}/acts/leave-overdue", data={"note": "seen"}, headers=SAME)

    assert left.status_code == 303
    assert record.delivery(delivery.id).watched.state is CallbackState.LEFT
    assert "has not told of its end" not in page(operator, "/").text
    assert delivery.event_id not in page(operator, "/events?watch=overdue").text
    assert "leave-overdue" not in page(operator, f"/events/{delivery.event_id}").text


def test_a_filter_by_another_state_of_the_end_is_refused(app, operator):
    assert operator.get("/events?watch=waiting", headers=SAME).status_code == 400
    assert app.test_client().get("/api/v1/deliveries?watch=waiting", headers=API).status_code == 422


def test_a_viewer_sees_the_end_and_cannot_leave_it(app, record, delivery, endings):
    start(record, delivery, ago=timedelta(hours=2))
    endings.note_overdue(utc_now())
    viewer = enter(app, "viewer-password-of-the-test")

    assert "overdue since" in page(viewer, f"/events/{delivery.event_id}").text
    answer = viewer.post(f"/deliveries/{delivery.id}/acts/leave-overdue", data={"note": ""}, headers=SAME)
    assert answer.status_code == 403


def test_what_was_given_up_and_has_ended_is_shown_as_started_and_needs_nobody(app, operator, record, delivery):
    record.settle(claim_one(record, delivery), State.DEAD, utc_now(), reason="budget_spent")
    assert delivery.rule in page(operator, "/needs").text
    app.test_client().post(path_of(delivery))

    text = page(operator, f"/events/{delivery.event_id}").text

    assert record.delivery(delivery.id).state is State.STARTED
    assert "it had started" in text
    assert delivery.rule not in page(operator, "/needs").text


def test_of_what_was_given_up_replayed_and_has_ended_a_person_is_told_to_look_for_two(app, operator, record, delivery):
    record.settle(claim_one(record, delivery), State.DEAD, utc_now(), reason="budget_spent")
    fresh = app.test_client().post(f"/api/v1/deliveries/{delivery.id}/replay", json={}, headers=API).json["id"]
    app.test_client().post(path_of(delivery))
    app.test_client().post(path_of(delivery))

    said = page(operator, "/alerts").text
    text = page(operator, f"/events/{delivery.event_id}").text

    assert said.count("look for a second workflow") == 1
    assert delivery.id in said
    assert fresh in said
    assert "it had started" in text
    assert fresh in text


def test_what_had_ended_before_a_proof_won_says_what_a_replay_would_do(app, operator, record, delivery):
    """As an earlier version has left it."""
    record.settle(claim_one(record, delivery), State.DEAD, utc_now(), reason="budget_spent")
    ended = {"finished_at": "1", "finished_query": "", "finished_document": "[]", "watch_state": "finished"}
    record.redis.hset(f"relay:delivery:{delivery.id}", mapping=ended)

    assert "a replay would start it once more" in page(operator, f"/events/{delivery.event_id}").text


def test_a_rule_that_does_not_watch_is_as_before(app, operator, record):
    body = dump({"lead": {"id": 1}, "user": 1})
    answer = app.test_client().post("/hooks/website", data=body, headers=website())
    found = record.delivery(answer.json["deliveries"][0])
    kept = record.redis.hgetall(f"relay:delivery:{found.id}")

    assert (found.watched, found.to_wire()["watch"]) == (None, None)
    assert [name for name in kept if name.startswith((b"watch", b"address", b"finished"))] == []
    assert "Its end" not in page(operator, f"/events/{found.event_id}").text
    assert "watch" in json.loads(json.dumps(found.to_wire()))
