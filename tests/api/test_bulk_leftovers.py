"""What a death or a failover leaves of a bulk replay neither runs for ever nor stands in the way of others."""

from __future__ import annotations

import pytest

from relay.core.ids import utc_now
from relay.core.lifecycle import State
from relay.operations import bulk_replay as bulk_module
from relay.store.portals.rollback import hold
from relay.store.redis import keys
from tests.support.making import bring_to


@pytest.fixture
def bulk(app):
    return app.extensions["services"].bulk


class Rounds:
    """Tells the thread's loop to go round so many times."""

    def __init__(self, count: int) -> None:
        self.left = count

    def wait(self, _timeout: float) -> bool:
        self.left -= 1
        return self.left < 0


def begin(api, record):
    bring_to(record, State.DEAD)
    return api.post("/replays", {"filter": {"state": "dead"}}, 201)["id"]


def test_one_whose_process_died_over_its_last_word_does_not_run_for_ever(api, bulk, record):
    begun = begin(api, record)
    bulk.step(begun)
    record.redis.sadd(keys.BULKS, begun)  # as where it died between its state and the list of those that run

    assert bulk.step(begun).state == "finished"

    assert bulk.bulks.running() == []


def test_one_whose_order_is_gone_is_given_up_and_the_others_go_on(api, bulk, record, monkeypatch):
    monkeypatch.setattr(bulk_module, "PAUSE_S", 0.0)
    record.redis.sadd(keys.BULKS, "rpl_00")  # which comes before every other
    begun = begin(api, record)

    bulk_module.run_bulk_replays(lambda: bulk, Rounds(1))

    assert api.get(f"/replays/{begun}")["state"] == "finished"
    assert bulk.bulks.running() == []


def test_one_that_was_held_when_the_record_went_back_goes_on_when_somebody_says_so(api, bulk, record):
    begun, store = begin(api, record), bulk.store
    assert api.post(f"/replays/{begun}/resume", status=409)["detail"] == f"{begun} is not held"
    hold(record.redis, record, store.high_water, store.high_water.read(), utc_now())
    bulk.step_all("web-1")
    assert api.get(f"/replays/{begun}")["state"] == "held"

    assert api.post(f"/replays/{begun}/resume")["state"] == "running"
    bulk.step_all("web-1")

    assert api.get(f"/replays/{begun}")["state"] == "finished"
