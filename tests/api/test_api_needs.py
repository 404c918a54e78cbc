"""What failed is read in groups by the API as well, and each group is replayed, left or settled by its filter."""

from __future__ import annotations

from dataclasses import replace

import pytest

from relay.core.lifecycle import EventState, State
from tests.support.making import bring_to, make_entry, write

LEAD = b'{"document": "lead", "id": 7, "email": "ivan@example.com"}'


@pytest.fixture
def services(app):
    return app.extensions["services"]


def make_rejected(record):
    entry = make_entry([], state=EventState.REJECTED, body=LEAD)
    write(record, replace(entry, event=replace(entry.event, errors={"lead_id": ["missing"]})))
    return entry.event.id


def test_a_group_is_replayed_by_its_own_filter(api, services, record):
    for _ in range(2):
        make_rejected(record)
    (group,) = api.get("/needs")["groups"]
    assert (group["state"], group["count"]) == ("rejected", 2)
    fault = '{"code":"cannot_be_filled","fields":["lead_id"]}'
    assert group["filter"] == {"state": "rejected", "source": "website", "fault": fault, "needs": "1"}

    begun = api.post("/replays", {"filter": group["filter"]}, 201)
    services.bulk.step(begun["id"])

    done = api.get(f"/replays/{begun['id']}")
    assert (done["state"], done["replayed"], done["outcomes"]) == ("finished", 2, {"pending": 2})
    assert api.get("/needs")["groups"] == []
    assert len(api.get("/deliveries", bulk=begun["id"])["deliveries"]) == 2


def test_a_group_of_deliveries_is_left_by_its_own_filter(api, services, record):
    bring_to(record, State.DEAD)
    (group,) = api.get("/needs")["groups"]

    begun = api.post("/replays", {"filter": group["filter"], "act": "leave", "note": "known"}, 201)

    assert services.bulk.step(begun["id"]).replayed == 1
    assert record.unresolved_dead() == 0


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        ({"filter": {"state": "dead"}, "act": "leave"}, 409),
        ({"filter": {"state": "started"}, "act": "leave", "note": "x"}, 409),
        ({"filter": {"state": "uncertain"}}, 409),
        ({"filter": {"state": "refused"}}, 422),
        ({"filter": {"state": "dead"}, "act": "burn"}, 422),
    ],
)
def test_what_cannot_be_done_is_refused(api, record, asked, status):
    for one in (State.DEAD, State.STARTED, State.UNCERTAIN):
        bring_to(record, one)

    api.post("/replays", asked, status)


def test_a_rejected_event_is_left_once(api, record):
    event_id = make_rejected(record)

    api.post(f"/events/{event_id}/leave", {"note": "a test"}, 200)
    api.post(f"/events/{event_id}/leave", {"note": "a test"}, 409)

    assert record.unresolved_rejected() == 0
