"""Where a body was removed because its time had come, page and API say so, and what can still be done."""

from __future__ import annotations

import pytest

from relay.core.ids import utc_now
from relay.core.lifecycle import State
from relay.store.record.compaction import Compaction
from tests.support.folders import READ_TOKEN, WEB_SECRETS
from tests.support.making import claim_one
from tests.support.senders import SEED, dump, website

SAME = {"Origin": "http://localhost"}


@pytest.fixture
def dead(app, record):
    """A delivery that has died, of an event whose body was removed."""
    answer = app.test_client().post("/hooks/website", data=dump(SEED), headers=website())
    delivery = record.delivery(answer.json["deliveries"][0])
    record.settle(claim_one(record, delivery, delivery.created_at), State.DEAD, utc_now(), reason="x")
    assert Compaction(record.redis).remove_bodies([delivery.event_id], utc_now()) == 1
    return delivery


def ask(app, path, token=WEB_SECRETS["RELAY_API_TOKEN"], **options):
    headers = {"Authorization": f"Bearer {token}"}
    return app.test_client().open(f"/api/v1{path}", headers=headers, **options)


def test_the_page_of_the_event_says_that_it_was_removed(operator, record, dead):
    page = operator.get(f"/events/{dead.event_id}").text

    assert "Removed at" in page
    assert "RELAY_BODY_DAYS is over" in page
    assert "They cannot be tried: its body was removed on" in page
    assert "LEAD_1" in page, "the call is kept"


def test_the_api_says_when_and_gives_nothing_for_a_body(app, dead):
    wire = ask(app, f"/events/{dead.event_id}").json

    assert wire["body"] is None
    assert wire["body_removed_at"].startswith(f"{utc_now():%Y-}")
    assert wire["headers"] == {}
    assert ask(app, "/events").json["events"][0]["body"] is None


def test_so_it_says_to_who_only_reads(make_app, valkey, dead):
    wire = ask(make_app(valkey, api_read_token=READ_TOKEN), f"/events/{dead.event_id}", READ_TOKEN).json

    assert (wire["body"], wire["envelope"]) == (None, "")


def test_a_replay_with_todays_rules_is_refused_with_the_reason_and_the_same_call_is_sent_again(app, record, dead):
    path = f"/deliveries/{dead.id}/replay"

    refused = ask(app, path, method="POST", json={"rules": "current"})
    assert refused.status_code == 409
    assert "removed on" in refused.json["detail"]
    assert "(original)" in refused.json["detail"]

    made = ask(app, path, method="POST", json={"rules": "original"})
    assert made.status_code == 201
    assert made.json["call"] == dead.call.to_wire()


def test_the_page_that_asks_before_a_replay_with_todays_rules_says_that_there_is_nothing_to_read(operator, dead):
    assert "its body was removed on" in operator.get(f"/deliveries/{dead.id}/acts/replay-current").text
