"""A source may have a bound on what is in work at the same time: who is beyond it is told to come again in a moment."""

from __future__ import annotations

from dataclasses import replace

import pytest

from relay.sources.source import Limit
from relay.store.senders import Slots
from tests.support.senders import SEED, dump, website


@pytest.fixture
def post(app, monkeypatch):
    """Sends as the website does, whose source works on one request at a time."""
    sources = app.extensions["services"].sources
    monkeypatch.setitem(sources, "website", replace(sources["website"], limit=Limit(1_000, 1_000_000, at_once=1)))
    client = app.test_client()
    return lambda headers=None: client.post("/hooks/website", data=dump(SEED), headers=headers or website())


def test_beyond_the_bound_a_sender_is_told_to_come_again_and_nothing_is_kept(post, redis, record):
    with Slots(redis).taken("website", 1):
        answer = post()

    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "1")
    assert record.counts().total_events == 0
    assert [post().status_code for _ in range(3)] == [200] * 3


def test_who_is_not_proven_takes_no_place(post, redis, record):
    with Slots(redis).taken("website", 1):
        answer = post({"Content-Type": "application/json", "X-Relay-Token": "wrong"})

    assert answer.status_code == 401
    assert record.counts().total_events == 1


def test_a_sender_that_was_told_to_come_again_is_not_kept_away_for_longer(post, redis):
    with Slots(redis).taken("website", 1):
        post()

    assert post().status_code == 200
