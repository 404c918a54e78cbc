"""Edit and replay: an operator changes a body, sees the call, and it is delivered; the original stays as it came."""

from __future__ import annotations

import json

import pytest

from relay.core.lifecycle import EventState, State
from relay.store import Store
from relay.store.operators.audit_log import read_acts
from tests.support.making import NOON, claim_one
from tests.support.senders import dump, website
from tests.watching.conftest import SAME


@pytest.fixture
def dead(operator, record):
    """A delivery of a real event that the portal has refused, revealed to the operator."""
    answer = operator.post("/hooks/website", data=dump({"document": "deal", "id": 404}), headers=website())
    (delivery_id,) = answer.get_json()["deliveries"]
    delivery = record.delivery(delivery_id)
    record.settle(claim_one(record, delivery), State.DEAD, NOON, reason="wrong_document_id")
    reveal(operator, delivery.event_id)
    return record.delivery(delivery_id)


def reveal(operator, event_id):
    assert operator.post(f"/events/{event_id}/reveal", headers=SAME).status_code == 303


def edited(**changes):
    return json.dumps({"document": "deal", "id": 12, **changes})


def test_the_body_is_offered_as_it_came_and_the_call_is_shown_before_anything_is_sent(operator, record, dead):
    before = record.counts()
    form = operator.get(f"/edits/{dead.id}", headers=SAME).text

    tried = operator.post(f"/edits/{dead.id}/try", data={"body": edited()}, headers=SAME).text

    assert "&#34;id&#34;: 404" in form
    assert "DEAL_404" in tried
    assert "DEAL_12" in tried
    assert "Make 1 delivery of it" in tried
    assert record.counts() == before


def test_it_is_delivered_beside_the_original_and_each_names_the_other(operator, record, dead):
    answer = operator.post(f"/edits/{dead.id}", data={"body": edited()}, headers=SAME)

    (fresh_id,) = Store(record.redis).record.replaced([dead.id]).values()
    fresh = record.delivery(fresh_id)
    assert answer.headers["Location"] == f"/events/{fresh.event_id}"
    assert (fresh.state, fresh.replay_of, fresh.call.document_id[2]) == (State.PENDING, dead.id, "DEAL_12")
    copy, original = record.event(fresh.event_id), record.event(dead.event_id)
    assert (copy.state, copy.deliveries) == (EventState.ACCEPTED, (fresh_id,))
    assert b"404" in original.body
    assert dead.event_id in operator.get(f"/events/{copy.id}", headers=SAME).text
    assert f"/deliveries/{fresh_id}" in operator.get(f"/events/{original.id}", headers=SAME).text
    assert not record.counts().imbalances
    (act, *_) = read_acts(record.redis)
    assert (act.what, act.subject) == ("edit and replay", dead.id)


def test_it_is_done_once(operator, record, dead):
    operator.post(f"/edits/{dead.id}", data={"body": edited()}, headers=SAME)

    again = operator.post(f"/edits/{dead.id}", data={"body": edited(id=13)}, headers=SAME)

    assert again.status_code == 409
    assert "replayed before" in again.text
    assert record.counts().deliveries[State.PENDING] == 1


def test_what_could_not_be_filled_is_mended_by_hand(operator, record):
    answer = operator.post("/hooks/website", data=dump({"document": "deal", "id": "x"}), headers=website())
    event_id = answer.get_json()["event_id"]
    reveal(operator, event_id)
    assert "Edit and replay" in operator.get(f"/events/{event_id}", headers=SAME).text

    wrong = operator.post(f"/edits/{event_id}/try", data={"body": edited(id="y")}, headers=SAME)
    assert wrong.status_code == 422
    assert '<dt translate="no">id</dt>' in wrong.text
    answers = [operator.post(f"/edits/{event_id}", data={"body": edited()}, headers=SAME) for _ in range(2)]
    assert [one.status_code for one in answers] == [303, 409], "a second click makes no second delivery"

    assert record.event(event_id).state is EventState.REJECTED
    assert not record.counts().imbalances
    assert record.counts().deliveries[State.PENDING] == 1


def test_a_body_is_edited_only_by_who_has_revealed_it(operator, viewer, record, dead):
    assert viewer.get(f"/edits/{dead.id}", headers=SAME).status_code == 403
    assert viewer.post(f"/edits/{dead.id}/try", data={"body": "{}"}, headers=SAME).status_code == 403
    operator.post("/logout", headers=SAME)
    assert operator.get(f"/edits/{dead.id}", headers=SAME).status_code == 303


def test_a_sender_cannot_pretend_that_a_person_has_edited_its_event(operator, record):
    headers = {**website(), "X-Relay-Edited-From": "evt_01m8a7hzf5b0xv7p8yk1bsmt6f"}
    event_id = operator.post("/hooks/website", data=dump({"a": 1}), headers=headers).get_json()["event_id"]

    assert "has edited the body" not in operator.get(f"/events/{event_id}", headers=SAME).text


def test_what_is_no_json_any_more_says_so_and_makes_nothing(operator, record, dead):
    answer = operator.post(f"/edits/{dead.id}/try", data={"body": "{"}, headers=SAME)

    assert answer.status_code == 422
    assert "cannot be read" in answer.text


def test_a_multipart_form_is_edited_and_stays_one(operator, record):
    lines = ["--B", 'Content-Disposition: form-data; name="document"', "", "deal", "--B"]
    lines += ['Content-Disposition: form-data; name="id"', "", "404", "--B--", ""]
    headers = website() | {"Content-Type": "multipart/form-data; boundary=B"}
    answer = operator.post("/hooks/website", data="\r\n".join(lines).encode(), headers=headers)
    (delivery_id,) = answer.get_json()["deliveries"]
    delivery = record.delivery(delivery_id)
    record.settle(claim_one(record, delivery), State.DEAD, NOON, reason="wrong_document_id")
    reveal(operator, delivery.event_id)

    body = "\r\n".join(lines).replace("404", "12")
    tried = operator.post(f"/edits/{delivery_id}/try", data={"body": body}, headers=SAME)

    assert tried.status_code == 200
    assert "DEAL_12" in tried.text
